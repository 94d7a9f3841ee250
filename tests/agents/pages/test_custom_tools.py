"""Custom tools in the agent form: rows of name, description and schema."""

from __future__ import annotations

import json

import pytest

from agents.models import Agent

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOKUP = {
    "tool_name": "lookup",
    "tool_description": "Looks a customer up.",
    "tool_input_schema": json.dumps(CITY),
}
BLANK = dict.fromkeys(LOOKUP, "")


def rows(*tools):
    return {name: [tool[name] for tool in tools] for name in LOOKUP}


def custom_of(agent):
    return [tool for tool in agent.latest.config["tools"] if tool["type"] == "custom"]


def test_a_builder_gives_an_agent_tools_of_its_own(as_alice, aliases, definition):
    more = {**LOOKUP, "tool_name": "refund", "tool_input_schema": ""}
    as_alice.post("/agents/new", definition | rows(LOOKUP, more, BLANK))
    first, second = custom_of(Agent.objects.get())
    assert (first["name"], first["description"]) == ("lookup", "Looks a customer up.")
    assert first["input_schema"]["properties"] == CITY["properties"]
    assert second["name"] == "refund"
    assert second["input_schema"]["type"] == "object"


def test_the_form_shows_them_and_an_empty_row_and_saves_no_version_unchanged(
    as_alice, aliases, definition
):
    as_alice.post("/agents/new", definition | rows(LOOKUP))
    agent = Agent.objects.get()
    html = as_alice.get(f"/agents/{agent.pk}/edit").content.decode()
    assert html.count("data-tool>") == 2
    assert 'value="lookup"' in html
    sent = rows({**LOOKUP, "tool_input_schema": json.dumps(CITY, indent=2)}, BLANK)
    said = definition | sent | {"version": agent.version}
    as_alice.post(f"/agents/{agent.pk}/edit", said)
    agent.refresh_from_db()
    assert agent.version == 1


def test_an_emptied_row_is_a_tool_removed(as_alice, aliases, definition):
    as_alice.post("/agents/new", definition | rows(LOOKUP))
    agent = Agent.objects.get()
    as_alice.post(f"/agents/{agent.pk}/edit", definition | rows(BLANK, BLANK))
    agent.refresh_from_db()
    assert (agent.version, custom_of(agent)) == (2, [])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("tool_name", "not a name", "String should match pattern"),
        ("tool_name", "", "String should match pattern"),
        ("tool_name", "mcp__x", "those of MCP servers"),
        ("tool_description", "", "at least 1 character"),
        ("tool_input_schema", "{", "not valid JSON"),
        ("tool_input_schema", "[" * 100_000, "not valid JSON"),
        ("tool_input_schema", '{"type": "object", "x": NaN}', "not valid JSON"),
        ("tool_input_schema", '{"type": "object", "x": "\\u0000"}', "NUL character"),
        ("tool_input_schema", "[1]", "must be a JSON object"),
        (
            "tool_input_schema",
            '{"type": "array"}',
            "Input should be &#x27;object&#x27;",
        ),
        ("tool_input_schema", '{"type": "object", "oneOf": []}', "oneOf may not stand"),
        (
            "tool_input_schema",
            '{"type": "object", "properties": {"a": {"$ref": "x"}}}',
            "may not hold $ref",
        ),
    ],
)
def test_what_the_api_refuses_is_said_in_the_tool_s_row(
    as_alice, aliases, definition, field, value, sentence
):
    wrong = {**LOOKUP, field: value}
    answer = as_alice.post(
        "/agents/new", definition | rows(LOOKUP | {"tool_name": "first"}, wrong)
    )
    assert answer.status_code == 422
    html = answer.content.decode()
    place = f'id="id_tool_2_{field}_error"'
    assert place in html
    assert sentence in html[html.index(place) :]
    assert f'href="#id_tool_2_{field}"' in html
    assert "Looks a customer up." in html, "what was written is kept"
    assert not Agent.objects.exists()


def test_two_faults_are_both_said(as_alice, aliases, definition):
    wrong = {**LOOKUP, "tool_name": "a b", "tool_description": ""}
    html = as_alice.post("/agents/new", definition | rows(wrong)).content.decode()
    assert 'id="id_tool_1_tool_name_error"' in html
    assert 'id="id_tool_1_tool_description_error"' in html


@pytest.mark.parametrize("names", [("bash",), ("twice", "twice")])
def test_a_name_that_is_taken_is_refused(as_alice, aliases, definition, names):
    tools = [{**LOOKUP, "tool_name": name} for name in names]
    answer = as_alice.post("/agents/new", definition | rows(*tools))
    assert answer.status_code == 422
    assert f"the name of the tool {names[0]} is taken" in answer.content.decode()
