"""Definitions spelled out, overridden and merged; without a database."""

from __future__ import annotations

import pytest

from agents import definitions
from agents.errors import InvalidRequest
from agents.http.validation import validate
from agents.params import AgentCreate, AgentUpdate

TOOLSET = {"type": "agent_toolset_20260401"}


def resolved(**said):
    return definitions.resolve_agent(
        validate(AgentCreate, {"name": "Clerk", "model": "opus", **said})
    )


def changed(config, **said):
    return definitions.changed_agent(config, validate(AgentUpdate, said))


def enabled(toolset):
    return {tool["name"] for tool in toolset["configs"] if tool["enabled"]}


def test_a_toolset_says_every_tool():
    [toolset] = resolved(tools=[TOOLSET])["tools"]
    names = [tool["name"] for tool in toolset["configs"]]
    assert len(names) == 8
    assert enabled(toolset) == {"bash", "read", "write", "edit", "glob", "grep"}


def test_a_schema_that_is_nested_without_end_is_refused():
    properties = {}
    for _ in range(900):
        properties = {"in": properties}
    schema = {"type": "object", "properties": properties}
    tool = {"type": "custom", "name": "a", "description": "b", "input_schema": schema}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        resolved(tools=[tool])


def test_one_tool_may_differ_from_the_default():
    off = {"default_config": {"enabled": False}}
    on = {"configs": [{"name": "read", "enabled": True}]}
    [toolset] = resolved(tools=[{**TOOLSET, **off, **on}])["tools"]
    assert toolset["default_config"]["enabled"] is False
    assert enabled(toolset) == {"read"}


def test_a_tool_is_configured_once():
    twice = {"configs": [{"name": "read"}, {"name": "read"}]}
    with pytest.raises(InvalidRequest, match=r"tools\.0\.configs: each tool"):
        resolved(tools=[{**TOOLSET, **twice}])


def test_an_override_replaces_whole():
    config = resolved(tools=[TOOLSET], system="Old", metadata={"a": "b"})
    other = definitions.apply_overrides(config, {"tools": [], "system": None})
    assert (other["tools"], other["system"]) == ([], None)
    assert config["system"] == "Old"
    assert definitions.apply_overrides(config, {}) == config


def test_an_override_keeps_no_effort_of_the_model_it_replaces():
    config = resolved(model={"id": "opus", "effort": "low"})
    same = definitions.apply_overrides(config, {"model": "opus"})
    assert same["model"]["effort"] == {"type": "high"}


def test_an_override_that_is_not_known_is_refused():
    with pytest.raises(InvalidRequest, match="colour: unknown field"):
        definitions.apply_overrides(resolved(), {"colour": "red"})


def test_an_update_of_nothing_changes_nothing():
    config = resolved(tools=[TOOLSET], metadata={"a": "b"})
    assert changed(config) == config
    assert changed(config, metadata=None, mcp_servers=None, skills=[]) == config


@pytest.mark.parametrize("field", ["name", "model", "version"])
def test_what_cannot_be_cleared_says_so(field):
    with pytest.raises(InvalidRequest, match=f"{field}: .*cannot be null"):
        changed(resolved(), **{field: None})


def test_merged_metadata_is_held_to_the_limits():
    before = {str(number): "x" for number in range(16)}
    assert len(definitions.merged_metadata(before, {"0": None, "new": "y"})) == 16
    with pytest.raises(InvalidRequest, match="at most 16 pairs"):
        definitions.merged_metadata(before, {"new": "y"})


def test_what_is_unbuilt_is_said_last():
    with pytest.raises(InvalidRequest, match=r"x: unknown field; .*not supported yet$"):
        resolved(skills=[{"type": "anthropic"}], x=1)
