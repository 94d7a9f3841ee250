"""Pages on skills: list, upload, versions side by side, who uses them."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agents import skills
from agents.bundles import MANIFEST, MOST_BYTES, Bundle, Part, read_bundle
from agents.errors import InvalidRequest, NotFound
from agents.lookup import find, rows
from agents.models import Act, Skill, SkillVersion
from agents.views.access import PageRequest, acted, page
from agents.views.comparison import compare_lines

PAGE = 50
SHOWN_BYTES = 200_000
MOST_LINES = 4_000
"""Compared on one page: the time it takes grows with their square."""


@page()
def index(request: PageRequest) -> HttpResponse:
    found = rows(Skill, request.actor).prefetch_related("versions")
    shown = Paginator(found.order_by("-updated_at", "-pk"), PAGE).get_page(
        request.GET.get("page")
    )
    listed = [
        {
            "skill": skill,
            "latest": skill.latest,
            "versions": len(skill.versions.all()),
            "users": skills.users(request.actor, skill.pk).count(),
        }
        for skill in shown
    ]
    return render(request, "skills/index.html", {"page": shown, "skills": listed})


@page(Act.BUILD, "POST")
def create(request: PageRequest) -> HttpResponse:
    made: list[Skill] = []

    def upload() -> None:
        name = request.POST.get("display_name", "").strip()[:255]
        made.append(skills.create_skill(request.actor, sent_bundle(request), name))

    answer = acted(request, upload, then="/skills", back="/skills", said="")
    return redirect(f"/skills/{made[0].pk}") if made else answer


def sent_bundle(request: HttpRequest) -> Bundle:
    sent = request.FILES.get("zip")
    if sent is None:
        raise InvalidRequest(f"Choose a zip of a folder with a {MANIFEST}.")
    if (sent.size or 0) > MOST_BYTES:
        raise InvalidRequest(f"A skill is at most {MOST_BYTES >> 20} MB large.")
    return read_bundle([Part(name=sent.name or "", data=sent.read())])


@page()
def show(request: PageRequest, skill_id: str) -> HttpResponse:
    skill = find(Skill, request.actor, skill_id)
    listed = list(skill.versions.order_by("-number"))
    new = _chosen(listed, request.GET.get("to"), listed[0])
    at = listed.index(new)
    old = _chosen(listed, request.GET.get("from"), listed[min(at + 1, len(listed) - 1)])
    context = {
        "skill": skill,
        "versions": listed,
        "new": new,
        "old": old,
        "manifest": _decoded(_bytes(new, MANIFEST) or b""),
        "changes": _changes(old, new) if old != new else [],
        "users": skills.users(request.actor, skill.pk).order_by("name"),
    }
    return render(request, "skills/show.html", context)


def _chosen(
    listed: list[SkillVersion], asked: str | None, default: SkillVersion
) -> SkillVersion:
    if not asked:
        return default
    for each in listed:
        if each.pk == asked:
            return each
    raise NotFound(f"there is no version {asked}")


def _changes(old: SkillVersion, new: SkillVersion) -> list[dict[str, Any]]:
    """The files that differ, with their lines as long as there is room for them."""
    changes: list[dict[str, Any]] = []
    room = MOST_LINES
    for path in sorted({file["path"] for each in (old, new) for file in each.files}):
        before, after = _bytes(old, path), _bytes(new, path)
        if before == after:
            continue
        kind = "added" if before is None else "removed" if after is None else "changed"
        left, right = _lines(before, after)
        room -= len(left) + len(right)
        lines = compare_lines(left, right) if room >= 0 else []
        changes.append({"path": path, "kind": kind, "lines": lines})
    return changes


def _lines(before: bytes | None, after: bytes | None) -> tuple[list[str], list[str]]:
    """The lines of both; none of either where one is no text."""
    left, right = _decoded(before or b""), _decoded(after or b"")
    if left is None or right is None:
        return [], []
    return left.splitlines(), right.splitlines()


def _bytes(version: SkillVersion, path: str) -> bytes | None:
    """A file of the skill; none where the version has no such file."""
    if path not in {file["path"] for file in version.files}:
        return None
    return (version.folder / path).read_bytes()


def _decoded(data: bytes) -> str | None:
    if b"\0" in data or len(data) > SHOWN_BYTES:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


@page(Act.BUILD, "POST")
def add_version(request: PageRequest, skill_id: str) -> HttpResponse:
    here = f"/skills/{skill_id}"

    def upload() -> None:
        skills.add_version(request.actor, skill_id, sent_bundle(request))

    said = "A new version is saved. Agents keep theirs until they are saved anew."
    return acted(request, upload, then=here, back=here, said=said)


@page(Act.BUILD, "POST")
def delete(request: PageRequest, skill_id: str) -> HttpResponse:
    return acted(
        request,
        lambda: skills.delete_skill(request.actor, skill_id),
        then="/skills",
        back=f"/skills/{skill_id}",
        said="The skill is deleted.",
    )


@page()
def download(request: PageRequest, skill_id: str, version_id: str) -> HttpResponse:
    version = skills.find_version(request.actor, skill_id, version_id)
    response = HttpResponse(skills.packed(version), content_type="application/zip")
    name = f"{version.skill.name}.zip"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
