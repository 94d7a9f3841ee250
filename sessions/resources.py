"""What is mounted into a session: the rules of paths, and the copies that go with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from agents import files
from agents.actors import Actor
from agents.errors import InvalidRequest, NotFound
from agents.models import File
from sandbox.spec import UPLOADS, WORKSPACE
from sessions.models import Session, SessionResource

BRANCH = re.compile(r"[^-\s\x00-\x1f\x7f~^:?*\[\\][^\s\x00-\x1f\x7f~^:?*\[\\]{0,254}")
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


def mount_repository(
    session: Session,
    url: str,
    *,
    checkout: Mapping[str, Any] | None = None,
    mount_path: str | None = None,
) -> SessionResource:
    """Name a repository that is cloned when the session begins to work.

    Raises:
        InvalidRequest: the path is taken.
    """
    try:
        checked_url(url)
        if checkout and "name" in checkout:
            checked_branch(checkout["name"])
    except ValueError as error:
        raise InvalidRequest(f"repository: {error}") from None
    path = mount_path or f"{WORKSPACE}/{_repository_name(url)}"
    _refuse_taken(session, path)
    return SessionResource.objects.create(
        session=session,
        type=SessionResource.REPOSITORY,
        url=url,
        checkout=dict(checkout) if checkout else None,
        mount_path=path,
    )


def checked_url(url: str) -> str:
    """Return the address of a repository.

    Raises:
        ValueError: it is no plain https address, or holds a user or a token.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be an https:// address of a Git repository")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address must not hold a user or a token")
    if not parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("the address must end with the path of the repository")
    return url


def checked_branch(name: str) -> str:
    """Return a name that git can only take for a branch or a tag.

    Raises:
        ValueError: it is not one.
    """
    if not BRANCH.fullmatch(name) or ".." in name:
        raise ValueError("the name of the branch is none that git allows")
    return name


def _repository_name(url: str) -> str:
    """The last part of its path, as git names a clone; never a name with a meaning."""
    last = unquote(urlsplit(url).path.rstrip("/")).rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", last.removesuffix(".git")).strip(".-")
    return "repository" if name in {"", "skills"} else name[:100]


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
                f"mount_path: {path} and {other} cannot both be there: one lies below"
                " the other"
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
