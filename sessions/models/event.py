"""Events: everything that happened, in order. Written by `sessions.log` alone."""

from __future__ import annotations

from django.db import models

from agents.models.base import IdField
from sessions.models.session import Session
from sessions.models.thread import Thread


class Event(models.Model):
    """One event. It has one or two numbers from its session's counter.

    `seq` is when it arrived, `position` when it was taken in: the same number for what
    the platform writes, a later one for what a client sends (null while it is queued).
    The numbers of a session, both kinds together, have no gap.
    """

    id = IdField("sevt")
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="events"
    )
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="+")
    seq = models.PositiveBigIntegerField()
    position = models.PositiveBigIntegerField(null=True, blank=True)
    type = models.CharField(max_length=64)
    payload = models.JSONField()
    private = models.JSONField(
        null=True,
        blank=True,
        help_text="What only the harness may read: never on the wire or in a page.",
    )
    created_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True, blank=True)
    inner = models.BooleanField(
        default=False,
        help_text="Of a child thread, and on that thread's own stream only.",
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - unique among non-nulls

    class Meta:
        ordering = ["seq"]
        constraints = [
            models.UniqueConstraint(fields=["session", "seq"], name="event_seq_once"),
            models.UniqueConstraint(
                fields=["session", "position"], name="event_position_once"
            ),
            models.UniqueConstraint(
                fields=["session", "idempotency_key"], name="event_key_once"
            ),
        ]
        indexes = [
            models.Index(fields=["session", "type", "position"], name="event_of_type"),
            models.Index(
                fields=["session", "seq"],
                condition=models.Q(position=None),
                name="event_queued",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
