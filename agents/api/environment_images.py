"""/v1/environments/{id}/image: an extension."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from agents import images
from agents.http.endpoint import Call, endpoint
from agents.lookup import find_environment
from agents.models import Act, Environment, EnvironmentImage
from agents.times import stamp


class LogQuery(BaseModel):
    after: Annotated[int, Field(ge=0, le=2**30)] = 0


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], environment_id: str) -> dict[str, Any]:
    return _of(find_environment(call.actor, environment_id))


@endpoint(Act.LOOK, query=LogQuery)
def log(call: Call[Any], environment_id: str) -> dict[str, Any]:
    """The build log from a character on; `next` continues it while it grows."""
    part = images.read_log(
        find_environment(call.actor, environment_id), call.query.after
    )
    return {
        "type": "environment_image_log",
        "environment_id": environment_id,
        "text": part.text,
        "next": part.next,
        "done": part.done,
    }


@endpoint(Act.BUILD)
def rebuild(call: Call[Any], environment_id: str) -> dict[str, Any]:
    images.rebuild(call.actor, environment_id)
    return _of(find_environment(call.actor, environment_id))


@endpoint(Act.BUILD)
def stop(call: Call[Any], environment_id: str) -> dict[str, Any]:
    images.stop(call.actor, environment_id)
    return _of(find_environment(call.actor, environment_id))


def _of(environment: Environment) -> dict[str, Any]:
    standing = images.standing(environment)
    row = standing.row
    return {
        "type": "environment_image",
        "environment_id": environment.pk,
        "content_hash": environment.content_hash or None,
        "status": standing.status,
        "reason": standing.reason or None,
        "failed": (
            {"layer": row.layer, "package": row.package or None}
            if row and row.layer
            else None
        ),
        "image": row.image or None if row else None,
        "size_bytes": row.size_bytes or None if row else None,
        "queued_at": stamp(row.queued_at) if row else None,
        "started_at": stamp(row.started_at) if row else None,
        "finished_at": stamp(row.finished_at) if row else None,
        "built_at": stamp(row.built_at) if row else None,
        "last_good": _last_good(environment.last_image),
    }


def _last_good(row: EnvironmentImage | None) -> dict[str, Any] | None:
    """The image that sandboxes are made of while the newest build is not ready."""
    if row is None or not row.image:
        return None
    return {"image": row.image, "built_at": stamp(row.built_at)}
