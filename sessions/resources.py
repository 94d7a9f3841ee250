"""What is mounted into a session: the rules of paths, and the copies that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from agents import files
from agents.actors import Actor
from agents.errors import InvalidRequest, NotFound
from agents.models import File
from sandbox.spec import UPLOADS
from sessions.models import Session, SessionResource

MOST = 500
"""Resources of one session."""


def find_resource(session: Session, resource_id: str) -> SessionResource:
    """Return a resource of a session.

    Raises:
        NotFound: the session has none with this id.
    """
    found = session.resources.filter(pk=resource_id).first()
    if found is None:
        raise NotFound(f"session {session.pk} has no resource {resource_id}")
    return found


def mount_file(
    actor: Actor, session: Session, file_id: str, mount_path: str | None
) -> SessionResource:
    """Attach a copy of a file that belongs to this session.

    Raises:
        InvalidRequest: the path is taken, or the session has as many as it may.
    """
    if session.resources.count() >= MOST:
        raise InvalidRequest(f"session {session.pk} has {MOST} resources already")
    original = files.find_file(actor, file_id)
    copy = files.copy_to_session(original, session.pk)
    path = mount_path or f"{UPLOADS}/{copy.pk}"
    _refuse_taken(session, path)
    return SessionResource.objects.create(
        session=session, file_id=copy.pk, mount_path=path
    )


def _refuse_taken(session: Session, path: str) -> None:
    """One thing per place, and nothing below a file."""
    taken = [*session.resources.values_list("mount_path", flat=True)]
    if path in taken:
        raise InvalidRequest(
            f"mount_path: two resources of session {session.pk} are at {path}"
        )
    new = PurePosixPath(path)
    for other in map(PurePosixPath, taken):
        if other in new.parents or new in other.parents:
            raise InvalidRequest(
                f"mount_path: {path} and {other} cannot both be there: one is a file,"
                " and the other lies below it"
            )


def unmount(resource: SessionResource) -> None:
    """Detach a file; the copy goes, what was uploaded stays."""
    resource.delete()
    if file := File.objects.filter(pk=resource.file_id).first():
        files.remove(file)


def described(resource: SessionResource) -> Mapping[str, Any]:
    """What the log says of a resource."""
    file = File.objects.filter(pk=resource.file_id).first()
    return {
        "id": resource.pk,
        "type": resource.type,
        "mount_path": resource.mount_path,
        "name": file.filename if file else resource.file_id,
    }
