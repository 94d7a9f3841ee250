"""/v1/skills and their versions; under the older header they have older names."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import Field

from agents import serialise, skills
from agents.bundles import MOST_BYTES, Bundle, Part, read_bundle
from agents.errors import InvalidRequest, TooLarge
from agents.http.body import sent_name
from agents.http.endpoint import Call, endpoint
from agents.http.pages import paginate
from agents.http.query import PageQuery
from agents.http.validation import Params, validate
from agents.lookup import find, rows
from agents.models import Act, Skill, SkillVersion

OLDER = "skills-2025-10-02"
PARTS = ("files[]", "files")


class SkillForm(Params):
    """The text parts of the form; the parts `files[]` hold the files."""

    display_name: str | None = Field(None, max_length=255)
    display_title: str | None = Field(None, max_length=255)  # its older name


class SkillsQuery(PageQuery):
    limit: int = Field(20, ge=1, le=1000)
    source: str | None = None


class VersionsQuery(PageQuery):
    limit: int = Field(20, ge=1, le=1000)


@endpoint(Act.BUILD, body=None)
def create(call: Call[Any]) -> dict[str, Any]:
    form = validate(SkillForm, call.request.POST.dict())
    name = form.display_name or form.display_title
    skill = skills.create_skill(call.actor, _sent(call.request), name)
    return _skill(call, skill)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], skill_id: str) -> dict[str, Any]:
    return _skill(call, find(Skill, call.actor, skill_id))


@endpoint(Act.BUILD)
def delete(call: Call[Any], skill_id: str) -> dict[str, Any]:
    skills.delete_skill(call.actor, skill_id)
    return {"type": "skill_deleted", "id": skill_id}


@endpoint(Act.LOOK, query=SkillsQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    query: SkillsQuery = call.query
    found = rows(Skill, call.actor)
    if query.source not in {None, "custom"}:
        found = found.none()
    page = paginate(found, query).answer(lambda row: _skill(call, row))
    return {**page, "has_more": page["next_page"] is not None} if _older(call) else page


@endpoint(Act.BUILD, body=None)
def create_version(call: Call[Any], skill_id: str) -> dict[str, Any]:
    validate(Params, call.request.POST.dict())
    version = skills.add_version(call.actor, skill_id, _sent(call.request))
    return _version(call, version)


@endpoint(Act.LOOK)
def retrieve_version(call: Call[Any], skill_id: str, version: str) -> dict[str, Any]:
    return _version(call, skills.find_version(call.actor, skill_id, version))


@endpoint(Act.BUILD)
def delete_version(call: Call[Any], skill_id: str, version: str) -> dict[str, Any]:
    found = _concrete(call, skill_id, version)
    id = str(found.number) if _older(call) else found.pk
    skills.delete_version(call.actor, found)
    return {"type": "skill_version_deleted", "id": id}


@endpoint(Act.LOOK)
def content(call: Call[Any], skill_id: str, version: str) -> HttpResponseBase:
    found = _concrete(call, skill_id, version)
    response = HttpResponse(skills.packed(found), content_type="application/zip")
    name = f"{found.skill.name}.zip"
    response["content-disposition"] = f'attachment; filename="{name}"'
    return response


@endpoint(Act.LOOK, query=VersionsQuery)
def versions(call: Call[Any], skill_id: str) -> dict[str, Any]:
    skill = find(Skill, call.actor, skill_id)
    found = skill.versions.select_related("skill")
    page = paginate(found, call.query, of=skill_id).answer(
        lambda row: _version(call, row)
    )
    return {**page, "has_more": page["next_page"] is not None} if _older(call) else page


def _concrete(call: Call[Any], skill_id: str, version: str) -> SkillVersion:
    if version == skills.LATEST:
        raise InvalidRequest("name a version by its id: latest may be another one soon")
    return skills.find_version(call.actor, skill_id, version)


def _sent(request: HttpRequest) -> Bundle:
    names = {*request.FILES}
    if not names or names - {*PARTS}:
        raise InvalidRequest(
            "files: send the files as parts named files[], with their folder in the"
            " filename, as multipart/form-data"
        )
    size = sum(each.size or 0 for _, many in request.FILES.lists() for each in many)
    if size > MOST_BYTES:
        raise TooLarge(f"files: a skill is at most {MOST_BYTES >> 20} MB large")
    return read_bundle(
        [
            Part(name=sent_name(each), data=each.read())
            for name in PARTS
            for each in request.FILES.getlist(name)
        ]
    )


def _older(call: Call[Any]) -> bool:
    return OLDER in call.betas


def _skill(call: Call[Any], row: Skill) -> dict[str, Any]:
    return serialise.older_skill(row) if _older(call) else serialise.skill(row)


def _version(call: Call[Any], row: SkillVersion) -> dict[str, Any]:
    said = serialise.skill_version(row)
    older = {"version": str(row.number), "directory": row.skill.name}
    return {**said, **older} if _older(call) else said
