"""Environments: where an agent's tools run."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField, WorkspaceRow


class Environment(WorkspaceRow):
    id = IdField("env")
    name = models.CharField(max_length=256)
    description = models.TextField(null=True, blank=True)  # noqa: DJ001 - null and "" differ on the wire
    config = models.JSONField(help_text="The resolved config, as the API answers it.")
    metadata = models.JSONField(default=dict, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"],
                condition=models.Q(archived_at=None),
                name="one_environment_per_name",
            )
        ]
        indexes = [
            models.Index(
                fields=["workspace", "-created_at", "-id"], name="environment_listed"
            )
        ]

    def __str__(self) -> str:
        return self.name
