"""Agents, environments and files as the API answers them."""

from __future__ import annotations

from typing import Any

from agents.models import AgentVersion, Environment, File, Skill, SkillVersion
from agents.times import stamp


def agent(version: AgentVersion) -> dict[str, Any]:
    row = version.agent
    latest = version.version == row.version
    return {
        "type": "agent",
        "id": row.id,
        "version": version.version,
        **version.config,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at if latest else version.created_at),
        "archived_at": stamp(row.archived_at),
    }


def environment(row: Environment) -> dict[str, Any]:
    return {
        "type": "environment",
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "config": row.config,
        "metadata": row.metadata,
        "scope": "organization",
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
        "archived_at": stamp(row.archived_at),
    }


def file(row: File) -> dict[str, Any]:
    # Only what belongs to a session has a scope; one of two SDK types lacks the field.
    scope = {"scope": {"type": "session", "id": row.scope_id}} if row.scope_id else {}
    return {
        "type": "file",
        "id": row.id,
        "filename": row.filename,
        "mime_type": row.mime_type,
        "size_bytes": row.size_bytes,
        "downloadable": row.downloadable,
        "created_at": stamp(row.created_at),
        "expires_at": stamp(row.expires_at),
        **scope,
    }


def skill(row: Skill) -> dict[str, Any]:
    return {
        "type": "skill",
        "id": row.id,
        "display_name": row.display_name,
        "latest_version_id": row.latest.id,
        "source": {"type": "custom"},
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }


def older_skill(row: Skill) -> dict[str, Any]:
    return {
        "type": "skill",
        "id": row.id,
        "display_title": row.display_name,
        "latest_version": str(row.latest.number),
        "source": "custom",
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }


def skill_version(row: SkillVersion) -> dict[str, Any]:
    return {
        "type": "skill_version",
        "id": row.id,
        "skill_id": row.skill_id,
        "name": row.skill.name,
        "description": row.description,
        "created_at": stamp(row.created_at),
    }
