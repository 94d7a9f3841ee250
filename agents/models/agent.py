"""Agents and their immutable versions."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from agents.models.base import IdField, WorkspaceRow


class Agent(WorkspaceRow):
    """A definition: model, system prompt, tools. Its content is in its versions."""

    id = IdField("agent")
    name = models.CharField(max_length=256)
    version = models.PositiveIntegerField(default=1, help_text="The latest version.")
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["workspace", "-created_at", "-id"], name="agent_listed"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def latest(self) -> AgentVersion:
        return self.versions.get(version=self.version)


class AgentVersion(models.Model):
    """One version of an agent, as it was saved. Never changed after."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    config = models.JSONField(
        help_text="The resolved definition, as the API answers it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "version"], name="one_row_per_agent_version"
            ),
            models.CheckConstraint(
                condition=models.Q(version__gte=1), name="agent_versions_begin_at_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"{self} is immutable")
        super().save(*args, **kwargs)
