"""Repositories of a session: cloned in its sandbox before the model is first asked.

The state of a clone is on its resource. A clone whose worker died is joined by its call
id; one that failed is tried again at the next turn.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agents.bundles import MANIFEST, read_manifest
from agents.errors import InvalidRequest
from sandbox.base import Sandbox
from sandbox.errors import FileUnavailable, OutcomeUnknown
from sandbox.git_clone import (
    SENTENCES,
    Clone,
    CloneError,
    clone_command,
    cloned_commit,
    why_not,
)
from sandbox.spec import ToolOutcome
from sessions.database import Database
from sessions.events import Draft, RepositoryCloned
from sessions.models import SessionResource

logger = logging.getLogger(__name__)

CLONE_SECONDS = 900
MOST_BYTES = 4 * 1024**3
SKILL_FOLDER = ".claude/skills"
MOST_SKILLS = 100
MANIFEST_BYTES = 64 * 1024
SAID_CHARACTERS = 500

Emit = Callable[[Draft], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended: a commit, or an error with a sentence."""

    commit: str = ""
    error: CloneError | None = None
    message: str = ""
    seconds: float = 0.0


def repositories_of(session_id: str) -> list[SessionResource]:
    found = SessionResource.objects.filter(
        session=session_id, type=SessionResource.REPOSITORY
    )
    return list(found.order_by("created_at", "pk"))


def forget_clones(session_id: str) -> None:
    """The session's files are gone: the next turn clones anew."""
    found = SessionResource.objects.filter(
        session=session_id, type=SessionResource.REPOSITORY
    )
    found.update(state="", commit="", skills=[])


async def clone(
    resource: SessionResource, sandbox: Sandbox, database: Database, emit: Emit
) -> None:
    """Clone one repository and keep and tell how that ended. Raises SandboxError."""
    outcome = await _attempt(resource, sandbox)
    skills = [] if outcome.error else await find_skills(resource.mount_path, sandbox)
    await database(_keep, resource, outcome, skills)
    await emit(Draft(payload=_told(resource, outcome)))


async def _attempt(resource: SessionResource, sandbox: Sandbox) -> Outcome:
    command = clone_command(_clone_of(resource))
    # The number is in the id: an outcome that is remembered is not the next attempt's.
    call_id = f"{resource.pk}.{resource.attempts}"
    asked = {"command": command, "timeout_ms": CLONE_SECONDS * 1000}
    try:
        return _outcome_of(resource, await sandbox.execute(call_id, "bash", asked))
    except OutcomeUnknown as lost:
        return Outcome(error=CloneError.UNKNOWN, message=f"{resource.url}: {lost}")


def _clone_of(resource: SessionResource) -> Clone:
    checkout = resource.checkout or {}
    return Clone(
        url=resource.url,
        path=resource.mount_path,
        branch=checkout.get("name"),
        commit=checkout.get("sha"),
        most_bytes=MOST_BYTES,
    )


def _outcome_of(resource: SessionResource, ended: ToolOutcome) -> Outcome:
    said = "\n".join(block.get("text", "") for block in ended.content)
    if not ended.is_error:
        return Outcome(commit=cloned_commit(said), seconds=ended.seconds)
    error = why_not(said)
    message = f"{resource.url} was not cloned: {SENTENCES[error]}."
    if error in (CloneError.UNKNOWN, CloneError.UNREACHABLE):
        message = f"{message} It said: {_words(said)}"
    return Outcome(error=error, message=message, seconds=ended.seconds)


def _words(said: str) -> str:
    """The end of what git said, without the line that tells its exit code."""
    lines = [line for line in said.splitlines() if not line.startswith("Exit code")]
    return " ".join(" ".join(lines).split())[-SAID_CHARACTERS:]


async def find_skills(mount_path: str, sandbox: Sandbox) -> list[dict[str, str]]:
    """The skills that a repository brings: `.claude/skills/<name>/SKILL.md`, no deeper."""
    folder = f"{mount_path}/{SKILL_FOLDER}"
    try:
        listing = await sandbox.files_below(folder, MOST_SKILLS * 20)
    except FileUnavailable:
        return []
    skills = []
    for found in listing.files:
        name, _, rest = found.path.partition("/")
        if rest != MANIFEST or found.size > MANIFEST_BYTES:
            continue
        path = f"{folder}/{found.path}"
        try:
            said = read_manifest(await sandbox.read(path), folder=name)
        except (InvalidRequest, FileUnavailable) as error:
            logger.info("skill %s is left out: %s", path, error)
            continue
        skills.append({"name": said[0], "description": said[1], "path": path})
    return skills[:MOST_SKILLS]


def _keep(
    resource: SessionResource, outcome: Outcome, skills: list[dict[str, str]]
) -> None:
    failed = outcome.error is not None
    SessionResource.objects.filter(pk=resource.pk).update(
        state=SessionResource.FAILED if failed else SessionResource.READY,
        commit=outcome.commit,
        attempts=resource.attempts + 1,
        error={"type": outcome.error, "message": outcome.message} if failed else None,
        skills=skills,
    )


def _told(resource: SessionResource, outcome: Outcome) -> RepositoryCloned:
    failed = outcome.error is not None
    return RepositoryCloned(
        resource_id=resource.pk,
        url=resource.url,
        mount_path=resource.mount_path,
        commit=outcome.commit or None,
        error={"type": outcome.error, "message": outcome.message} if failed else None,
        seconds=outcome.seconds,
    )


def notes_of(resources: list[SessionResource]) -> list[str]:
    """What the model hears of its repositories."""
    return [_note(each) for each in resources]


def _note(resource: SessionResource) -> str:
    if resource.state == SessionResource.READY:
        at = f", at commit {resource.commit}" if resource.commit else " (empty)"
        return f"The repository {resource.url} is cloned at {resource.mount_path}{at}."
    why = (resource.error or {}).get("message", f"{resource.url} is not cloned.")
    return f"A repository is missing: {why}"
