"""Files: uploads, what sessions put out, and tool outputs too long for an event."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models

from agents.models.base import IdField, WorkspaceRow


class File(WorkspaceRow):
    id = IdField("file")
    filename = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=255, default="application/octet-stream")
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    downloadable = models.BooleanField(
        default=False, help_text="Uploads are not; what a session made is."
    )
    # The id of the session this file belongs to; a plain column, since sessions stand
    # above this app.
    scope_id = models.CharField(max_length=48, blank=True, db_index=True)
    # Where a session put it below /mnt/session/outputs, and as it was then.
    output_path = models.CharField(max_length=1024, blank=True)
    output_mark = models.CharField(max_length=100, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scope_id", "output_path"],
                condition=~models.Q(output_path=""),
                name="one_file_per_output",
            )
        ]
        indexes = [
            models.Index(fields=["workspace", "-created_at", "-id"], name="file_listed")
        ]

    def __str__(self) -> str:
        return f"{self.filename} ({self.id})"

    @property
    def path(self) -> Path:
        """Where the bytes lie: in the state directory, under the file's id."""
        home: Path = settings.AGENTSITE.home
        return home / "files" / str(self.id)[-2:] / str(self.id)
