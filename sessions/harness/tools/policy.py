"""Which tools an agent may use, and what is said of a call before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions.harness.tools.catalogue import BUILT_IN, TOOLSET

ALWAYS_ALLOW = {"type": "always_allow"}
PERMISSIONS = {"always_allow": "allow", "always_ask": "ask"}
CUSTOM = "custom"
"""The type of a tool that a client answers, and the permission of a call of one."""

Toolset = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a call may run. `denial` is the sentence the model gets when not."""

    permission: str
    evaluation: Mapping[str, Any] | None = None
    denial: str | None = None


def enabled_tools(tools: Sequence[Toolset]) -> list[dict[str, Any]]:
    """Return the definitions of the tools that an agent's resolved `tools` turn on."""
    built_in = [
        tool.definition()
        for name, tool in BUILT_IN.items()
        if _setting(tools, name).get("enabled")
    ]
    return [*built_in, *(_definition(tool) for tool in _custom(tools))]


def judge(tools: Sequence[Toolset], name: str) -> Verdict:
    """Say whether a tool may be called. What is not plainly allowed is denied."""
    if any(tool["name"] == name for tool in _custom(tools)):
        return Verdict(permission=CUSTOM)
    if name not in BUILT_IN:
        return _deny(f"There is no tool named {name}; nothing was run.")
    setting = _setting(tools, name)
    if not setting.get("enabled"):
        return _deny(f"The tool {name} is turned off for this agent; nothing was run.")
    policy = setting.get("permission_policy") or ALWAYS_ALLOW
    permission = PERMISSIONS.get(policy["type"])
    if permission is None:
        return _deny(
            f"The policy {policy['type']} of the tool {name} is not supported yet; "
            "nothing was run."
        )
    return Verdict(permission=permission, evaluation=policy)


def _custom(tools: Sequence[Toolset]) -> list[Toolset]:
    return [tool for tool in tools if tool.get("type") == CUSTOM]


def _definition(tool: Toolset) -> dict[str, Any]:
    return {name: tool[name] for name in ("name", "description", "input_schema")}


def _deny(sentence: str) -> Verdict:
    return Verdict(permission="deny", denial=sentence)


def _setting(toolsets: Sequence[Toolset], name: str) -> Mapping[str, Any]:
    """The tool's own configuration over the toolset's default."""
    for toolset in toolsets:
        if toolset.get("type") == TOOLSET:
            own = {item["name"]: item for item in toolset.get("configs") or ()}
            default = {"enabled": True, **(toolset.get("default_config") or {})}
            return {**default, **_given(own.get(name, {}))}
    return {}


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}
