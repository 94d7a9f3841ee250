"""Threads: one conversation in a session. The primary one always exists."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField
from sessions.models.session import Session, Status


class Thread(models.Model):
    id = IdField("sthr")
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="threads"
    )
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="children"
    )
    agent_snapshot = models.JSONField()
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.IDLE
    )
    stop_reason = models.JSONField(null=True, blank=True)
    usage = models.JSONField(null=True, blank=True)
    active_seconds = models.FloatField(default=0)
    running_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session"],
                condition=models.Q(parent=None),
                name="one_primary_thread",
            )
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_primary(self) -> bool:
        return self.parent_id is None
