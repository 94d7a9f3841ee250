"""The rows that say what happened."""

from sessions.models.egress import EgressCheck, EgressRecord
from sessions.models.event import Event
from sessions.models.resource import SessionResource
from sessions.models.session import Session, Status
from sessions.models.thread import Thread

__all__ = [
    "EgressCheck",
    "EgressRecord",
    "Event",
    "Session",
    "SessionResource",
    "Status",
    "Thread",
]
