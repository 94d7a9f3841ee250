"""What may be done with skills, and which version a definition means."""

from __future__ import annotations

import io
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from agents.actors import Actor
from agents.bundles import Bundle, Part
from agents.definitions import Config
from agents.errors import Conflict, InvalidRequest, NotFound
from agents.ids import new_id
from agents.lookup import find, rows
from agents.models import Act, Agent, Skill, SkillVersion
from agents.params import SkillRef

LATEST = "latest"
ABANDONED_SECONDS = 24 * 3600


def create_skill(
    actor: Actor, bundle: Bundle, display_name: str | None = None
) -> Skill:
    actor.require(Act.BUILD)
    with transaction.atomic():
        skill = Skill.objects.create(
            workspace=actor.workspace,
            name=bundle.name,
            display_name=display_name or bundle.name,
        )
        _save_version(actor, skill, bundle)
    return skill


def add_version(actor: Actor, skill_id: str, bundle: Bundle) -> SkillVersion:
    """Save another version; agents keep the one they were saved with.

    Raises:
        InvalidRequest: the bundle has another name.
    """
    actor.require(Act.BUILD)
    with transaction.atomic():
        find(Skill, actor, skill_id)
        skill = Skill.objects.select_for_update().get(pk=skill_id)
        if bundle.name != skill.name:
            raise InvalidRequest(
                f"skill {skill_id} is named {skill.name} in all of its versions,"
                f" and this one is named {bundle.name}"
            )
        version = _save_version(actor, skill, bundle)
        skill.save(update_fields=["updated_at"])
    return version


def _save_version(actor: Actor, skill: Skill, bundle: Bundle) -> SkillVersion:
    newest = skill.versions.order_by("-number").first()
    version = SkillVersion(
        id=new_id("skver"),
        skill=skill,
        number=max(time.time_ns() // 1000, newest.number + 1 if newest else 0),
        description=bundle.description,
        size_bytes=bundle.size,
        files=[
            {"path": path, "size": len(part.data), "executable": _can_be_run(part)}
            for path, part in sorted(bundle.files.items())
        ],
        created_by=actor.name,
    )
    _write(version, bundle)
    version.save(force_insert=True)
    return version


def _can_be_run(part: Part) -> bool:
    return part.executable or part.data.startswith(b"#!")


def _write(version: SkillVersion, bundle: Bundle) -> None:
    """The bytes, then the row: paths were checked when the bundle was read."""
    draft = version.folder.with_suffix(".part")
    for path, part in bundle.files.items():
        target = draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(part.data)
    draft.rename(version.folder)


def find_version(actor: Actor, skill_id: str, ref: str) -> SkillVersion:
    """Return a version by its id, its number in the older API, or `latest`.

    Raises:
        NotFound: no such skill, or it has no such version.
    """
    skill = find(Skill, actor, skill_id)
    if ref == LATEST:
        return skill.latest
    found = skill.versions.filter(pk=ref).first()
    if found is None and ref.isdecimal() and len(ref) < 19:
        found = skill.versions.filter(number=int(ref)).first()
    if found is None:
        raise NotFound(f"skill {skill_id} has no version {ref}")
    return found


def delete_skill(actor: Actor, skill_id: str) -> None:
    """Remove a skill that nobody uses, with all of its versions.

    Raises:
        Conflict: an agent or a session uses it.
    """
    actor.require(Act.BUILD)
    skill = find(Skill, actor, skill_id)
    _refuse_used(actor, skill_id, f"skill {skill_id}")
    folders = [version.folder for version in skill.versions.all()]
    skill.delete()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def delete_version(actor: Actor, version: SkillVersion) -> None:
    """Remove a version that nobody uses and that is not the only one.

    Raises:
        Conflict: an agent or a session uses it.
        InvalidRequest: it is the skill's only one.
    """
    actor.require(Act.BUILD)
    if version.skill.versions.count() == 1:
        raise InvalidRequest(
            f"{version.pk} is the only version of skill {version.skill_id}:"
            " delete the skill"
        )
    _refuse_used(actor, version.pk, f"version {version.pk}")
    folder = version.folder
    version.delete()
    shutil.rmtree(folder, ignore_errors=True)


def delete_abandoned() -> None:
    """Remove the folders of uploads that broke off: no row speaks of them."""
    home: Path = settings.AGENTSITE.home
    before = time.time() - ABANDONED_SECONDS
    folders = [*(home / "skills").glob("*")]
    known = {*SkillVersion.objects.values_list("pk", flat=True)}
    for folder in folders:
        if folder.name not in known and folder.stat().st_mtime < before:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_used(actor: Actor, id: str, what: str) -> None:
    if user := users(actor, id).first():
        raise Conflict(
            f"{what} is used by agent {user.pk} ({user.name}): save that agent without"
            " it or archive it first"
        )
    living = rows(Agent, actor).filter(
        sessions__archived_at=None, sessions__agent_snapshot__skills__icontains=id
    )
    if user := living.first():
        raise Conflict(
            f"{what} is used by a session of agent {user.pk} ({user.name}):"
            " archive or delete that session first"
        )


def users(actor: Actor, id: str) -> QuerySet[Agent]:
    """The agents in use whose latest version names a skill or a version by its id."""
    return rows(Agent, actor).filter(
        archived_at=None,
        versions__version=F("version"),
        versions__config__skills__icontains=id,
    )


def resolve(actor: Actor, refs: Sequence[SkillRef]) -> list[Config]:
    """The references with versions that do not move.

    Raises:
        InvalidRequest: a skill is unknown, or two of one name would be in one place.
    """
    resolved: list[Config] = []
    names: dict[str, str] = {}
    for ref in refs:
        try:
            version = find_version(actor, ref.skill_id, ref.version or LATEST)
        except NotFound as error:
            raise InvalidRequest(f"skills: {error.message}") from None
        name = version.skill.name
        if other := names.get(name):
            raise InvalidRequest(
                f"skills: {other} and {ref.skill_id} are both named {name}"
            )
        names[name] = ref.skill_id
        resolved.append(
            {"type": "custom", "skill_id": ref.skill_id, "version": version.pk}
        )
    return resolved


def named_skills(actor: Actor, refs: Sequence[Config]) -> list[Skill]:
    """The skills that a definition names, for people to read."""
    found = rows(Skill, actor).in_bulk([ref["skill_id"] for ref in refs])
    return [found[ref["skill_id"]] for ref in refs if ref["skill_id"] in found]


def packed(version: SkillVersion) -> bytes:
    """A zip of the version, in one folder of the skill's name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in version.files:
            entry = zipfile.ZipInfo(
                f"{version.skill.name}/{file['path']}",
                version.created_at.timetuple()[:6],
            )
            entry.external_attr = (0o755 if file["executable"] else 0o644) << 16
            data = (version.folder / file["path"]).read_bytes()
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
