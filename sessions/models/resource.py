"""What is mounted into a session's sandbox."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField
from sessions.models.session import Session


class SessionResource(models.Model):
    id = IdField("sesrsc")
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="resources"
    )
    type = models.CharField(max_length=32, default="file")
    # A session-scoped copy of the uploaded file, as in the field.
    file_id = models.CharField(max_length=48)
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
