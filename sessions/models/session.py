"""Sessions: one piece of work, the lease on it, and what it has used."""

from __future__ import annotations

from typing import Any

from django.db import models

from agents.models import Agent, Environment
from agents.models.base import IdField, WorkspaceRow


class Status(models.TextChoices):
    """The wire's four words; `sessions.lifecycle` alone changes them.

    idle ─ input ─▶ running ─ turn ends ─▶ idle
                    running ─ a fault that passes ─▶ rescheduling ─▶ running
    idle ─ archived ─▶ terminated;  any ─ beyond recovery ─▶ terminated
    """

    IDLE = "idle"
    RUNNING = "running"
    RESCHEDULING = "rescheduling"
    TERMINATED = "terminated"


WORKING = (Status.RUNNING, Status.RESCHEDULING)


class Session(WorkspaceRow):
    id = IdField("sesn")
    title = models.CharField(max_length=512, null=True, blank=True)  # noqa: DJ001 - null on the wire
    metadata = models.JSONField(default=dict, blank=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="sessions")
    agent_version = models.PositiveIntegerField()
    agent_snapshot = models.JSONField(
        help_text="The resolved agent this session was made with, overrides included."
    )
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, related_name="sessions"
    )
    environment_config = models.JSONField()
    created_by = models.CharField(max_length=200, blank=True)

    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.IDLE
    )
    stop_reason = models.JSONField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.FloatField(
        null=True, blank=True, help_text="Lease clock; not claimed before this."
    )

    next_seq = models.PositiveBigIntegerField(
        default=1, help_text="The next number of the event log; gapless."
    )
    usage = models.JSONField(default=dict, blank=True)
    active_seconds = models.FloatField(default=0)
    running_since = models.DateTimeField(null=True, blank=True)

    budget = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="The most its list cost may reach, in US cents; null: no limit.",
    )

    max_model_requests = models.PositiveIntegerField(
        null=True, blank=True, help_text="In one turn; null: no limit."
    )

    # The lease: who hosts the turn, since which claim, until when (seconds of the lease
    # clock, see sessions.lifecycle).
    owner = models.CharField(max_length=120, blank=True)
    fence = models.PositiveBigIntegerField(default=0)
    lease_until = models.FloatField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["workspace", "-created_at", "-id"], name="session_listed"
            ),
            models.Index(
                fields=["lease_until"],
                condition=models.Q(status__in=["running", "rescheduling"]),
                name="session_claimable",
            ),
            models.Index(fields=["agent", "-created_at"], name="session_of_agent"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(next_seq__gte=1), name="session_numbers_begin_at_one"
            )
        ]

    def __str__(self) -> str:
        return self.title or self.id

    @property
    def is_working(self) -> bool:
        return self.status in WORKING

    @property
    def tools(self) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = self.agent_snapshot.get("tools", [])
        return tools
