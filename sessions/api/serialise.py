"""Sessions and their resources as the API answers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from agents.times import stamp
from sessions import budgets
from sessions.ledger import Call
from sessions.models import EgressRecord, Session, SessionResource, Status, Thread
from sessions.usage import active_seconds, hour_price, usage_of


def sessions(rows: Sequence[Session]) -> list[dict[str, Any]]:
    hour = hour_price()
    return [session(row, hour) for row in rows]


def session(row: Session, hour: int | None = None) -> dict[str, Any]:
    usage = usage_of(row, hour)
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
        "budget": budgets.wire(row),
        "stats": {
            "active_seconds": usage["active_seconds"],
            "duration_seconds": _duration(row),
        },
        "usage": usage,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "archived_at": stamp(row.archived_at),
        **_ours(row),
    }


def tool_call(call: Call) -> dict[str, Any]:
    return {
        "type": "tool_call",
        "id": call.id,
        "session_thread_id": call.thread_id,
        "name": call.name,
        "state": call.state.value,
        "attempt": call.attempt,
        "answered_by": call.answered_by,
        "asked_at": stamp(call.asked_at),
        "answered_at": stamp(call.answered_at),
        "started_at": stamp(call.started_at),
        "ended_at": stamp(call.ended_at),
        "settled_by": call.settled_by,
        "settled_how": call.settled_how,
    }


def egress_record(row: EgressRecord) -> dict[str, Any]:
    return {
        "type": "egress_record",
        "id": row.id,
        "created_at": stamp(row.created_at),
        "host": row.host,
        "port": row.port,
        "method": row.method,
        "path": row.path,
        "verdict": row.verdict,
        "rule": row.rule,
        "reason": row.reason,
        "credentials": row.credentials,
        "bytes_sent": row.bytes_up,
        "bytes_received": row.bytes_down,
        "seconds": row.seconds,
        "tool_use_ids": row.tool_use_ids,
    }


def thread(row: Thread) -> dict[str, Any]:
    agent = {**row.agent_snapshot}
    agent.pop("multiagent", None)
    rested = row.active_seconds > 0
    began = rested or row.running_since is not None
    return {
        "type": "session_thread",
        "id": row.id,
        "session_id": row.session_id,
        "parent_thread_id": row.parent_id,
        "workflow_run_id": None,
        "agent": agent,
        "status": row.status,
        "stats": _thread_stats(row) if began else None,
        "usage": usage_of(row) if rested else None,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "archived_at": stamp(row.archived_at),
    }


def _thread_stats(row: Thread) -> dict[str, float]:
    return {
        "active_seconds": round(active_seconds(row), 3),
        "duration_seconds": _duration(row),
        "startup_seconds": 0.0,
    }


def _ours(row: Session) -> dict[str, Any]:
    """What the wire does not know is answered to those who asked for it."""
    most = row.max_model_requests
    return {"max_model_requests": most} if most is not None else {}


def resource(row: SessionResource) -> dict[str, Any]:
    return {
        "type": row.type,
        "id": row.id,
        "mount_path": row.mount_path,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        **_of_kind(row),
    }


def _of_kind(row: SessionResource) -> dict[str, Any]:
    if row.type == SessionResource.FILE:
        return {"file_id": row.file_id}
    return {"url": row.url, "checkout": row.checkout}


def repository(row: SessionResource) -> dict[str, Any]:
    """What became of a clone, which the wire has no place for."""
    return {
        "type": "repository",
        "resource_id": row.id,
        "url": row.url,
        "mount_path": row.mount_path,
        "state": row.state or "waiting",
        "commit": row.commit or None,
        "error": row.error,
        "skills": row.skills,
    }


def ordered_resources(row: Session) -> list[SessionResource]:
    # Sorted here, so that a prefetched list is used as it is.
    return sorted(row.resources.all(), key=lambda each: (each.created_at, each.id))


def _duration(row: Session | Thread) -> float:
    """Seconds since creation; frozen once the session has ended."""
    ended = row.status == Status.TERMINATED
    until = row.updated_at if ended else timezone.now()
    return round(max(0.0, (until - row.created_at).total_seconds()), 3)
