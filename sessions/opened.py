"""What a host reads of a session once, and the files a turn may ask for later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents.models import File, SkillVersion
from sandbox.spec import SKILLS, FileMount
from sessions import log
from sessions.harness.contract import FileUnavailable
from sessions.models import Session, SessionResource

Files = tuple[tuple[str, Path], ...]
"""Where each is mounted, and where its bytes lie."""


@dataclass(frozen=True, kw_only=True)
class MountedSkill:
    """A skill of the session's agent, and its files."""

    name: str
    description: str
    mounts: tuple[FileMount, ...]

    @property
    def manifest(self) -> str:
        return f"{SKILLS}/{self.name}/SKILL.md"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A session as it was when a host began to work on it."""

    session: Session
    files: Files
    has_repositories: bool = False  # none is added later
    session_hosts: tuple[str, ...] = ()  # what it may reach beside its environment's
    skills: tuple[MountedSkill, ...] = ()

    @property
    def mounts(self) -> tuple[FileMount, ...]:
        """Everything that is put into the sandbox."""
        files = (FileMount(path=path, source=source) for path, source in self.files)
        return (*files, *(mount for skill in self.skills for mount in skill.mounts))


def load(session_id: str, session_hosts: tuple[str, ...] = ()) -> Opened:
    """Read what all turns of a session need to know.

    Raises:
        log.SessionGone: it was deleted.
    """
    session = Session.objects.filter(pk=session_id).first()
    if session is None:
        raise log.SessionGone(session_id)
    resources = [*SessionResource.objects.filter(session=session_id)]
    return Opened(
        session=session,
        files=_files(resources),
        has_repositories=any(
            each.type == SessionResource.REPOSITORY for each in resources
        ),
        session_hosts=session_hosts,
        skills=_skills(session),
    )


def _skills(session: Session) -> tuple[MountedSkill, ...]:
    ids = [each["version"] for each in session.agent_snapshot["skills"]]
    found = SkillVersion.objects.select_related("skill").in_bulk(ids)
    return tuple(_mounted(found[id]) for id in ids if id in found)


def _mounted(version: SkillVersion) -> MountedSkill:
    name = version.skill.name
    return MountedSkill(
        name=name,
        description=version.description,
        mounts=tuple(
            FileMount(
                path=f"{SKILLS}/{name}/{file['path']}",
                source=version.folder / file["path"],
                executable=file["executable"],
            )
            for file in version.files
        ),
    )


def mounted_files(session_id: str) -> Files:
    """What is mounted now: files may be added and removed while a session works."""
    return _files(SessionResource.objects.filter(session=session_id))


def _files(resources: Iterable[SessionResource]) -> Files:
    mounted = {each.file_id: each.mount_path for each in resources if each.file_id}
    files = File.objects.filter(pk__in=mounted).order_by("pk")
    return tuple((mounted[file.pk], file.path) for file in files)


def read_file(workspace_id: str, file_id: str) -> tuple[str, bytes]:
    file = File.objects.filter(pk=file_id, workspace=workspace_id).first()
    if file is None or not file.path.exists():
        raise FileUnavailable(f"file {file_id} does not exist any more")
    return file.mime_type, file.path.read_bytes()
