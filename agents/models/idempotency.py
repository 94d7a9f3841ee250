"""Answers kept for callers who ask the same thing twice under one `Idempotency-Key`."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from agents.models.workspace import Workspace

KEPT_FOR = timedelta(hours=24)


class IdempotentAnswer(models.Model):
    """Written in the transaction of the act itself: both are there, or neither."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    path = models.CharField(max_length=255)
    digest = models.CharField(max_length=64, help_text="Of the request's body.")
    status = models.PositiveSmallIntegerField(default=200)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "path", "key"], name="one_answer_per_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.key} on {self.path}"

    @classmethod
    def forget_old(cls) -> int:
        """Delete answers nobody will ask for again; return how many."""
        old = cls.objects.filter(created_at__lt=timezone.now() - KEPT_FOR)
        return old.delete()[0]
