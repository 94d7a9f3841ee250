"""Skills: instructions and files for one kind of work, in immutable versions."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models

from agents.models.base import IdField, WorkspaceRow


class Skill(WorkspaceRow):
    """It has at least one version; the newest is what `latest` means."""

    id = IdField("skill")
    name = models.CharField(max_length=64, help_text="The same in all versions.")
    display_name = models.CharField(max_length=255)

    class Meta:
        indexes = [
            models.Index(
                fields=["workspace", "-created_at", "-id"], name="skill_listed"
            )
        ]

    def __str__(self) -> str:
        return f"{self.display_name} ({self.id})"

    @property
    def latest(self) -> SkillVersion:
        return self.versions.latest("number")


class SkillVersion(models.Model):
    """The files of a skill, as they were uploaded. Never changed after."""

    id = IdField("skver")
    skill = models.ForeignKey(Skill, on_delete=models.CASCADE, related_name="versions")
    number = models.BigIntegerField(help_text="Microseconds; the older API's name.")
    description = models.CharField(max_length=1024)
    size_bytes = models.PositiveBigIntegerField()
    # path, size and whether it can be run; sorted by path
    files = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=256, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["skill", "number"], name="one_row_per_skill_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.skill_id} {self.id}"

    @property
    def folder(self) -> Path:
        """Where the files lie: in the state directory, below the version's id."""
        home: Path = settings.AGENTSITE.home
        return home / "skills" / str(self.id)
