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
    content_hash = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="Of what its image holds; empty: the base image.",
    )
    last_image = models.ForeignKey(
        "agents.EnvironmentImage",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="environments",
        help_text="The last good build, used while a newer one is not ready.",
    )
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
