"""Sessions and their resources as the API answers them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from agents.times import stamp
from sessions.models import Session, SessionResource, Status
from sessions.usage import usage_of


def session(row: Session) -> dict[str, Any]:
    usage = usage_of(row)
    return {
        "type": "session",
        "id": row.id,
        "title": row.title,
        "status": row.status,
        "agent": row.agent_snapshot,
        "environment_id": row.environment_id,
        "deployment_id": None,
        "metadata": row.metadata,
        "resources": [resource(each) for each in ordered_resources(row)],
        "vault_ids": [],
        "outcome_evaluations": [],
        "budget": None,
        "stats": {
            "active_seconds": usage["active_seconds"],
            "duration_seconds": _duration(row),
        },
        "usage": usage,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "archived_at": stamp(row.archived_at),
    }


def resource(row: SessionResource) -> dict[str, Any]:
    return {
        "type": row.type,
        "id": row.id,
        "file_id": row.file_id,
        "mount_path": row.mount_path,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }


def ordered_resources(row: Session) -> list[SessionResource]:
    # Sorted here, so that a prefetched list is used as it is.
    return sorted(row.resources.all(), key=lambda each: (each.created_at, each.id))


def _duration(row: Session) -> float:
    """Seconds since creation; frozen once the session has ended."""
    ended = row.status == Status.TERMINATED
    until = row.updated_at if ended else timezone.now()
    return round(max(0.0, (until - row.created_at).total_seconds()), 3)
