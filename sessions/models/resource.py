"""What is mounted into a session's sandbox."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField
from sessions.models.session import Session


class SessionResource(models.Model):
    FILE, REPOSITORY = "file", "github_repository"
    READY, FAILED = "ready", "failed"

    id = IdField("sesrsc")
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="resources"
    )
    type = models.CharField(max_length=32, default="file")
    # A session-scoped copy of the uploaded file, as in the field.
    file_id = models.CharField(max_length=48, blank=True)
    # Of a repository: where it is, what of it is wanted, and what became of the clone.
    url = models.CharField(max_length=2048, blank=True)
    checkout = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=16, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    commit = models.CharField(max_length=64, blank=True)
    error = models.JSONField(null=True, blank=True)
    skills = models.JSONField(default=list, blank=True)
    mount_path = models.CharField(max_length=1024)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session", "mount_path"], name="one_resource_per_path"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mount_path} ({self.id})"
