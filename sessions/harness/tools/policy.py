"""Which tools an agent may use, and what is said of a call before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sessions.harness.tools.catalogue import BUILT_IN, TOOLSET

ALWAYS_ALLOW = {"type": "always_allow"}

Toolset = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a call may run. `denial` is the sentence the model gets when not."""

    permission: str
    evaluation: Mapping[str, Any] | None = None
    denial: str | None = None


def enabled_tools(toolsets: Sequence[Toolset]) -> list[dict[str, Any]]:
    """Return the definitions of the tools that an agent's resolved `tools` turn on."""
    return [
        tool.definition()
        for name, tool in BUILT_IN.items()
        if _setting(toolsets, name).get("enabled")
    ]


def judge(toolsets: Sequence[Toolset], name: str) -> Verdict:
    """Say whether a tool may be called. What is not plainly allowed is denied."""
    if name not in BUILT_IN:
        return _deny(f"There is no tool named {name}; nothing was run.")
    setting = _setting(toolsets, name)
    if not setting.get("enabled"):
        return _deny(f"The tool {name} is turned off for this agent; nothing was run.")
    policy = setting.get("permission_policy") or ALWAYS_ALLOW
    if policy.get("type") != ALWAYS_ALLOW["type"]:
        return _deny(
            f"The tool {name} needs a confirmation, and confirmations are "
            "not supported yet; nothing was run."
        )
    return Verdict(permission="allow", evaluation=ALWAYS_ALLOW)


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
