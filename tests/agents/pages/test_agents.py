"""Pages on agents."""

from __future__ import annotations

import pytest
from django.utils.datastructures import MultiValueDict

from agents import actions
from agents.custom_tools import CustomTools
from agents.forms import AgentForm
from agents.models import Agent
from agents.params import AgentUpdate
from agents.views.starters import STARTERS


def test_who_is_not_signed_in_is_asked_to(client, agent):
    answer = client.get(f"/agents/{agent.pk}")
    assert answer.status_code == 302
    assert answer["location"].startswith("/accounts/login/?next=/agents/")


def test_the_list_shows_the_agents_of_the_workspace(as_alice, as_charlie, agent):
    assert "Bookkeeper" in as_alice.get("/agents").content.decode()
    assert "Bookkeeper" not in as_charlie.get("/agents").content.decode()


@pytest.mark.parametrize("page", ["", "/edit", "/versions"])
def test_another_workspace_s_agent_is_not_there(as_charlie, agent, page):
    assert as_charlie.get(f"/agents/{agent.pk}{page}").status_code == 404


def test_a_builder_makes_an_agent_with_every_field(as_alice, aliases, definition):
    answer = as_alice.post("/agents/new", definition)
    agent = Agent.objects.get()
    assert answer["location"] == f"/agents/{agent.pk}"
    config = agent.latest.config
    assert config["name"] == "Auditor"
    assert config["description"] == "Looks for faults."
    assert config["model"]["id"] == "opus"
    assert config["model"]["effort"] == {"type": "medium"}
    assert config["system"] == "Look.\nThen say."
    assert config["metadata"] == {"team": "audit"}
    tools = {tool["name"]: tool["enabled"] for tool in config["tools"][0]["configs"]}
    assert [name for name, enabled in tools.items() if enabled] == ["bash", "read"]
    assert agent.latest.created_by.username == "alice"


def test_a_model_may_be_named_that_no_alias_knows(as_alice, aliases, definition):
    said = definition | {"model": "other", "other_model": "llama-4"}
    as_alice.post("/agents/new", said)
    assert Agent.objects.get().latest.config["model"]["id"] == "llama-4"


def test_an_agent_without_tools_can_be_made(as_alice, aliases, definition):
    as_alice.post("/agents/new", definition | {"tools": []})
    assert Agent.objects.get().latest.config["tools"] == []


def test_the_scripted_model_is_offered_where_no_key_is_set(as_alice, aliases):
    assert "scripted-demo" in as_alice.get("/agents/new").content.decode()


@pytest.mark.parametrize("like", STARTERS)
def test_a_starter_fills_the_editor_and_can_be_saved(as_alice, aliases, like):
    form = as_alice.get(f"/agents/new?like={like}").context["form"]
    sent = {field.name: field.value() for field in form if field.value() is not None}
    answer = as_alice.post(f"/agents/new?like={like}", sent | {"model": "opus"})
    assert answer.status_code == 302
    assert Agent.objects.get().latest.config["system"] == STARTERS[like]["system"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "   "}, "This field is required."),
        ({"model": "other", "other_model": " "}, "Name the model"),
        ({"metadata": "no colon here"}, "key: value"),
        ({"metadata": f"{'k' * 65}: v"}, "1 to 64 characters"),
        ({"tools": ["bash", "fly"]}, "fly is not one of the available choices"),
        ({"effort": "heroic"}, "heroic is not one of the available choices"),
    ],
)
def test_a_wrong_field_is_explained_and_nothing_is_saved(
    as_alice, aliases, definition, change, said
):
    answer = as_alice.post("/agents/new", definition | change)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert said in page
    assert "Look.\nThen say." in page.replace("\r\n", "\n")
    assert not Agent.objects.exists()


def test_an_operator_may_look_at_agents_and_not_change_them(as_bob, agent, definition):
    page = as_bob.get(f"/agents/{agent.pk}").content.decode()
    assert "Close the books." in page
    assert "/edit" not in page
    for path in ("/agents/new", f"/agents/{agent.pk}/edit"):
        assert as_bob.get(path).status_code == 403
        assert as_bob.post(path, definition).status_code == 403
    assert as_bob.post(f"/agents/{agent.pk}/archive").status_code == 403


def test_saving_makes_a_version_and_keeps_what_was_left_alone(
    as_alice, agent, definition
):
    shown = as_alice.get(f"/agents/{agent.pk}/edit").context["form"].initial
    assert shown["version"] == 1
    said = shown | {"system": "Close them twice.", "metadata": "team: finance"}
    answer = as_alice.post(f"/agents/{agent.pk}/edit", said)
    assert answer["location"] == f"/agents/{agent.pk}"
    agent.refresh_from_db()
    assert agent.version == 2
    assert agent.latest.config["system"] == "Close them twice."
    assert agent.latest.config["metadata"] == {"team": "finance"}
    assert agent.latest.config["tools"] == agent.versions.get(version=1).config["tools"]


def test_metadata_that_is_taken_out_of_the_form_is_gone(as_alice, agent):
    shown = as_alice.get(f"/agents/{agent.pk}/edit").context["form"].initial
    as_alice.post(f"/agents/{agent.pk}/edit", shown | {"metadata": "owner: mara"})
    agent.refresh_from_db()
    assert agent.latest.config["metadata"] == {"owner": "mara"}


def test_saving_nothing_new_makes_no_version(as_alice, agent):
    shown = as_alice.get(f"/agents/{agent.pk}/edit").context["form"].initial
    as_alice.post(f"/agents/{agent.pk}/edit", shown | {"metadata": "team: finance"})
    agent.refresh_from_db()
    assert agent.version == 1


def test_a_conflict_shows_the_other_change_and_keeps_the_text(as_alice, agent, owner):
    mine = as_alice.get(f"/agents/{agent.pk}/edit").context["form"].initial
    mine |= {"system": "My words.", "metadata": "team: finance"}
    theirs = AgentUpdate.model_validate({"system": "Their words."})
    actions.update_agent(owner, agent.pk, theirs)
    answer = as_alice.post(f"/agents/{agent.pk}/edit", mine)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Version 2 was saved while you edited version 1" in page
    assert "My words." in page
    assert "Their words." in page
    again = mine | {"version": answer.context["form"]["version"].value()}
    assert as_alice.post(f"/agents/{agent.pk}/edit", again).status_code == 302
    agent.refresh_from_db()
    assert (agent.version, agent.latest.config["system"]) == (3, "My words.")


def test_versions_are_compared(as_alice, agent, owner):
    changed = AgentUpdate.model_validate({"system": "Close them twice."})
    actions.update_agent(owner, agent.pk, changed)
    for view in ("split", "unified"):
        answer = as_alice.get(f"/agents/{agent.pk}/versions?view={view}")
        page = answer.content.decode()
        assert "Close the books." in page
        assert "Close them twice." in page
    kinds = [line.kind for line in answer.context["lines"]]
    assert kinds.count("changed") == 1


def test_a_version_that_never_was_is_not_there(as_alice, agent):
    assert as_alice.get(f"/agents/{agent.pk}?version=9").status_code == 404
    assert as_alice.get(f"/agents/{agent.pk}/versions?to=9").status_code == 404


def test_an_archived_agent_leaves_the_list_and_cannot_be_changed(
    as_alice, agent, definition
):
    assert as_alice.get(f"/agents/{agent.pk}/archive").status_code == 405
    as_alice.post(f"/agents/{agent.pk}/archive")
    assert "Bookkeeper" not in as_alice.get("/agents").content.decode()
    assert "Bookkeeper" in as_alice.get("/agents?archived=1").content.decode()
    as_alice.post(f"/agents/{agent.pk}/edit", definition)
    agent.refresh_from_db()
    assert agent.version == 1


def test_the_words_of_an_agent_cannot_become_markup(as_alice, aliases, definition):
    said = definition | {"name": "<script>x</script>", "system": "</pre><b>"}
    as_alice.post("/agents/new", said)
    agent = Agent.objects.get()
    for page in ("/agents", f"/agents/{agent.pk}", f"/agents/{agent.pk}/versions"):
        text = as_alice.get(page).content.decode()
        assert "<script>x" not in text
        assert "</pre><b>" not in text


def test_the_back_button_gets_the_whole_list(as_alice, agent):
    rows = as_alice.get("/agents", HTTP_HX_REQUEST="true").content.decode()
    restored = as_alice.get(
        "/agents",
        HTTP_HX_REQUEST="true",
        HTTP_HX_HISTORY_RESTORE_REQUEST="true",
    ).content.decode()
    assert "<html" not in rows
    assert "<html" in restored


def test_a_tool_can_be_told_to_ask_first(as_alice, aliases, definition):
    as_alice.post("/agents/new", definition | {"asks": ["bash", "write"]})
    agent = Agent.objects.get()
    policies = {
        tool["name"]: tool["permission_policy"]["type"]
        for tool in agent.latest.config["tools"][0]["configs"]
    }
    assert policies["bash"] == "always_ask"
    assert policies["read"] == "always_allow"
    assert "Asks first" in as_alice.get(f"/agents/{agent.pk}").content.decode()


def test_saving_the_form_keeps_policies_and_custom_tools(owner, agent, aliases):
    custom = {
        "type": "custom",
        "name": "weather",
        "description": "Says how it is.",
        "input_schema": {"type": "object"},
    }
    config = agent.latest.config
    config["tools"] = [custom]
    agent.latest.__class__.objects.filter(agent=agent).update(config=config)
    initial = AgentForm.initial_of(config, 1)
    (row,) = [row for row in CustomTools.of(config["tools"]) if not row.is_blank]
    sent = {**initial, **row.data, "metadata": "", "name": "New", "other_model": "x"}
    form = AgentForm(
        owner,
        MultiValueDict(
            {
                key: value if isinstance(value, list) else [value]
                for key, value in sent.items()
            }
        ),
    )
    assert form.is_valid(), form.errors
    assert form.to_update(config).tools[-1].name == "weather"
