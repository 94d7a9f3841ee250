"""Which image the sandbox of a session is made of, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agents import images
from agents.models import BuildStatus, EnvironmentImage
from sandbox.contents import Contents
from sandbox.errors import ProvisionFailed
from sessions.models import Session

Names = Callable[[Contents], str]
"""What the image of these contents is called on this machine's engine now."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The image to use; without one, what the session waits for."""

    image: str = ""
    waits: str = ""
    note: str = ""  # what the session is to know of an image that is not the newest


def choose(session: Session, name_of: Names) -> Choice:
    """Choose a session's image: its own, else the environment's last good one.

    Raises:
        ProvisionFailed: its build failed, and there is no earlier one.
    """
    contents = Contents.of(session.environment_config)
    if contents.is_plain:
        return Choice(image=name_of(contents))
    row = EnvironmentImage.objects.filter(content_hash=contents.hash()).first()
    if row is None:
        row = images.want(session.environment_config)
    if row.status == BuildStatus.READY and row.image == name_of(contents):
        return Choice(image=row.image)
    if row.status == BuildStatus.READY:
        images.queue_again(row, reason="What it stands on has changed since.")
    return _of_unready(session, row)


def _of_unready(session: Session, row: EnvironmentImage) -> Choice:
    last = EnvironmentImage.objects.filter(environments=session.environment_id).first()
    for earlier in (row, last):
        if earlier and earlier.image:
            return Choice(image=earlier.image, note=_note(session, row, earlier))
    if row.status == BuildStatus.FAILED:
        raise ProvisionFailed(
            f"the image of environment {session.environment_id} was not built. {row.reason}"
        )
    return Choice(waits=_waits(session, row))


def _note(session: Session, row: EnvironmentImage, earlier: EnvironmentImage) -> str:
    what = (
        f"failed ({row.reason})"
        if row.status == BuildStatus.FAILED
        else "is not ready yet"
    )
    built = f"{earlier.built_at:%Y-%m-%d %H:%M} UTC" if earlier.built_at else "earlier"
    return (
        f"The newest image of environment {session.environment_id} {what}: this sandbox"
        f" is made of the last good one, built {built}."
    )


def _waits(session: Session, row: EnvironmentImage) -> str:
    said = f"Waiting for the image of environment {session.environment_id}: "
    if row.status == BuildStatus.BUILDING:
        return said + "it is being built"
    return said + (row.reason or "its build is queued")
