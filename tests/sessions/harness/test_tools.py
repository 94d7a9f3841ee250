"""Which tools an agent has, and what the model is told of them."""

from __future__ import annotations

import pytest

from sessions.harness.fake import fake_agent
from sessions.harness.tools.catalogue import BUILT_IN, TOOLSET
from sessions.harness.tools.policy import enabled_tools, judge


def toolset(default=None, *configs):
    return [{"type": TOOLSET, "default_config": default, "configs": list(configs)}]


def names(tools) -> list[str]:
    return [tool["name"] for tool in enabled_tools(tools)]


def test_a_resolved_toolset_has_all_six():
    assert names(fake_agent()["tools"]) == list(BUILT_IN)


def test_an_agent_without_a_toolset_has_no_tools():
    assert names([]) == []
    assert judge([], "bash").permission == "deny"


def test_a_tool_s_own_setting_counts_before_the_default():
    only_read = toolset({"enabled": False}, {"name": "read", "enabled": True})
    assert names(only_read) == ["read"]
    all_but_read = toolset(None, {"name": "read", "enabled": False})
    assert "read" not in names(all_but_read)
    assert len(names(all_but_read)) == 5


@pytest.mark.parametrize("policy", ["auto", "whatever"])
def test_what_is_not_plainly_allowed_is_denied(policy):
    tools = toolset({"enabled": True, "permission_policy": {"type": policy}})
    verdict = judge(tools, "bash")
    assert verdict.permission == "deny"
    assert "bash" in verdict.denial


@pytest.mark.parametrize("tool", BUILT_IN.values(), ids=list(BUILT_IN))
def test_every_tool_says_what_it_takes(tool):
    schema = tool.definition()["input_schema"]
    assert set(schema["required"]) <= set(schema["properties"])
    assert all(item["description"] for item in schema["properties"].values())
