"""Definitions in full: what was said, with every default spelled out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.errors import InvalidRequest
from agents.http.validation import validate
from agents.models import AgentVersion
from agents.params import (
    SANDBOX_TOOLS,
    WEB_TOOLS,
    AgentCreate,
    AgentOverrides,
    AgentUpdate,
    CustomTool,
    ModelConfig,
    SandboxTool,
    SkillRef,
    ToolDefaults,
    Toolset,
    WebTool,
    check_metadata,
)

Config = dict[str, Any]
SkillResolver = Callable[[Sequence[SkillRef]], list[Config]]

DEFAULT_EFFORT = "high"
"""What the Messages API does when it is told nothing."""
ALLOW = {"type": "always_allow"}


def no_skills(refs: Sequence[SkillRef]) -> list[Config]:
    """For definitions that name none: looking skills up takes an actor."""
    assert not refs
    return []


def resolve_agent(
    params: AgentCreate, resolve_skills: SkillResolver = no_skills
) -> Config:
    """Return the whole definition of a new agent, as the API answers it."""
    return _checked(
        {
            "name": params.name,
            "description": params.description or None,
            "model": resolve_model(params.model),
            "system": params.system or None,
            "tools": resolve_tools(params.tools),
            "mcp_servers": [],
            "skills": resolve_skills(_refs(params.skills)),
            "multiagent": None,
            "execution_identity": {"type": "service_account"},
            "metadata": params.metadata,
        }
    )


def _refs(skills: Sequence[object] | None) -> list[SkillRef]:
    # The other kind was refused when the request was read.
    return [each for each in skills or () if isinstance(each, SkillRef)]


def _checked(config: Config) -> Config:
    """Refuse what fits in its parts and not as a whole."""
    if config["skills"] and "read" not in enabled_names(config):
        raise InvalidRequest("skills: an agent with skills needs the tool read")
    return config


def enabled_names(config: Mapping[str, Any]) -> set[str]:
    """The built-in tools that an agent may call."""
    return {
        tool["name"]
        for toolset in config["tools"]
        for tool in toolset.get("configs", ())
        if tool["enabled"]
    }


def changed_agent(
    config: Config, params: AgentUpdate, resolve_skills: SkillResolver = no_skills
) -> Config:
    """Return the definition after an update; equal to the old one if nothing changed."""
    given = params.model_fields_set
    changed = dict(config)
    if params.name is not None:
        changed["name"] = params.name
    for field in {"description", "system"} & given:
        changed[field] = getattr(params, field) or None
    if params.model is not None:
        changed["model"] = resolve_model(params.model, before=config["model"])
    if "tools" in given:
        changed["tools"] = resolve_tools(params.tools)
    if "skills" in given:
        changed["skills"] = resolve_skills(_refs(params.skills))
    if params.metadata:
        changed["metadata"] = merged_metadata(config["metadata"], params.metadata)
    return _checked(changed)


def apply_overrides(
    config: Config,
    overrides: Mapping[str, Any],
    resolve_skills: SkillResolver = no_skills,
) -> Config:
    """Return the definition one session uses: what is given replaces, whole."""
    params = validate(AgentOverrides, dict(overrides))
    changed = dict(config)
    if params.model is not None:
        changed["model"] = resolve_model(params.model)
    if "system" in params.model_fields_set:
        changed["system"] = params.system or None
    if "tools" in params.model_fields_set:
        changed["tools"] = resolve_tools(params.tools)
    if "skills" in params.model_fields_set:
        changed["skills"] = resolve_skills(_refs(params.skills))
    return _checked(changed)


def session_agent(version: AgentVersion, config: Config) -> Config:
    """Return the snapshot a session keeps: no metadata, but the id and the version."""
    kept = {name: value for name, value in config.items() if name != "metadata"}
    return {
        "type": "agent",
        "id": version.agent_id,
        "version": version.version,
        **kept,
    }


def resolve_model(model: ModelConfig, before: Config | None = None) -> Config:
    """Spell a model out. The same model keeps the effort it had when none is given."""
    kept = before["effort"]["type"] if before and before["id"] == model.id else None
    effort = model.effort.type if model.effort else kept or DEFAULT_EFFORT
    return {
        "id": model.id,
        "effort": {"type": effort},
        "speed": "standard",
        "inference_geo": None,
    }


def resolve_tools(tools: Sequence[object] | None) -> list[Config]:
    # The other kinds of tools were refused when the request was read.
    return [
        _resolve_toolset(each) if isinstance(each, Toolset) else each.given()
        for each in tools or ()
        if isinstance(each, Toolset | CustomTool)
    ]


def _resolve_toolset(toolset: Toolset) -> Config:
    said: dict[str, SandboxTool | WebTool] = {
        config.name: config for config in toolset.configs or ()
    }
    enabled, policy = _settings(toolset.default_config, True, ALLOW)

    def resolved(name: str, default: bool) -> Config:
        own_enabled, own_policy = _settings(said.get(name), default, policy)
        return {
            "type": name,
            "name": name,
            "enabled": own_enabled,
            "permission_policy": own_policy,
        }

    return {
        "type": toolset.type,
        "default_config": {"enabled": enabled, "permission_policy": policy},
        "configs": [
            *(resolved(name, enabled) for name in SANDBOX_TOOLS),
            # Nothing runs these yet, whatever the default says.
            *(resolved(name, False) for name in WEB_TOOLS),
        ],
    }


def _settings(
    said: ToolDefaults | SandboxTool | WebTool | None, enabled: bool, policy: Config
) -> tuple[bool, Config]:
    """What was said of a tool, over what holds otherwise."""
    if said is None:
        return enabled, policy
    own = said.permission_policy
    return (
        enabled if said.enabled is None else said.enabled,
        policy if own is None else {"type": own.type},
    )


def merged_metadata(
    before: Mapping[str, str],
    patch: Mapping[str, str | None],
    *,
    empty_deletes: bool = False,
) -> dict[str, str]:
    """Merge per key: null deletes; in environments the empty string does too.

    Raises:
        InvalidRequest: the result would break the limits.
    """
    merged = {**before, **patch}
    kept = {
        key: value
        for key, value in merged.items()
        if value is not None and not (empty_deletes and value == "")
    }
    try:
        check_metadata(kept)
    except ValueError as error:
        raise InvalidRequest(f"metadata: {error}") from None
    return kept
