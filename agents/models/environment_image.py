"""Images of environments: what is in them, and how their builds went."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField


class BuildStatus(models.TextChoices):
    """Where the newest build is; an earlier image stays usable meanwhile.

    queued ─ claimed ─▶ building ─▶ ready
                        building ─ a package cannot be had, a limit, stopped ─▶ failed
                        building ─ interrupted, no engine ─▶ queued
    ready, failed ─ asked for again ─▶ queued
    """

    QUEUED = "queued"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class EnvironmentImage(models.Model):
    """One for all environments, of whatever workspace, that hold the same."""

    id = IdField("envimg")
    content_hash = models.CharField(max_length=64, unique=True)
    contents = models.JSONField(help_text="Packages, setup script and base image.")
    status = models.CharField(
        max_length=16, choices=BuildStatus.choices, default=BuildStatus.QUEUED
    )
    reason = models.TextField(
        blank=True, help_text="Why it failed, or what a queued build waits for."
    )
    layer = models.CharField(max_length=32, blank=True)
    package = models.CharField(max_length=512, blank=True)
    log = models.TextField(blank=True)
    fresh = models.BooleanField(
        default=False, help_text="The next build makes every layer anew."
    )
    attempts = models.PositiveIntegerField(
        default=0, help_text="Builds begun since it was asked for."
    )
    builder = models.CharField(
        max_length=120, blank=True, help_text="Who builds: only that one may write."
    )
    beat_at = models.DateTimeField(null=True, blank=True)

    # The last good build.
    image = models.CharField(max_length=200, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    built_at = models.DateTimeField(null=True, blank=True)

    queued_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["status", "queued_at"], name="image_queued")]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def seconds(self) -> float:
        """How long the last build took."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()
