"""Egress: each request that left a sandbox or tried to, and checks of its bounds."""

from __future__ import annotations

from django.db import models

from agents.models import Environment
from agents.models.base import IdField
from sessions.models.session import Session


class EgressRecord(models.Model):
    """Written by `sessions.egress` from what the proxy spooled; the proxy made the id."""

    id = models.CharField(primary_key=True, max_length=48)
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="egress_records"
    )
    created_at = models.DateTimeField(help_text="When the request began.")
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    method = models.CharField(max_length=32)
    path = models.TextField(null=True, help_text="Null where it was encrypted.")  # noqa: DJ001 - null and "" differ
    verdict = models.CharField(max_length=16)
    rule = models.CharField(max_length=32)
    reason = models.TextField()
    credentials = models.JSONField(
        default=list, help_text="The names of those that were put in."
    )
    bytes_up = models.PositiveBigIntegerField()
    bytes_down = models.PositiveBigIntegerField()
    seconds = models.FloatField(null=True, help_text="Null while it lasts.")
    tool_use_ids = models.JSONField(
        default=list, help_text="The calls that ran when it began."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["session", "-created_at", "-id"], name="egress_listed"
            ),
            models.Index(fields=["session", "verdict"], name="egress_by_verdict"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.host}:{self.port} {self.verdict}"


class EgressCheck(models.Model):
    """One attempt to get out of an environment's network, by `sandbox.egress_check`."""

    id = IdField("egck")
    environment = models.ForeignKey(
        Environment, on_delete=models.CASCADE, related_name="egress_checks"
    )
    asked_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    findings = models.JSONField(null=True, help_text="Null until it has run.")
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_over(self) -> bool:
        return self.findings is not None or bool(self.error)

    @property
    def has_passed(self) -> bool:
        found = self.findings or []
        return bool(found) and all(finding["is_refused"] for finding in found)
