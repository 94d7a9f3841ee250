"""Agents, environments and files through the official SDK."""

from __future__ import annotations

import anthropic
import pytest

TOOLSET = {"type": "agent_toolset_20260401"}


def test_an_agent_is_answered_with_every_default_spelled_out(client):
    agent = client.beta.agents.create(name="Clerk", model="opus", tools=[TOOLSET])
    assert agent.version == 1
    assert agent.model.to_dict() == {
        "id": "opus",
        "effort": {"type": "high"},
        "speed": "standard",
        "inference_geo": None,
    }
    enabled = {tool.name: tool.enabled for tool in agent.tools[0].configs}
    assert len(enabled) == 8
    assert [name for name, on in enabled.items() if not on] == [
        "web_fetch",
        "web_search",
    ]
    assert agent.execution_identity.type == "service_account"
    assert (agent.skills, agent.mcp_servers, agent.multiagent) == ([], [], None)


def test_what_was_answered_can_be_sent_back(client, agent):
    same = client.beta.agents.update(
        agent.id,
        version=1,
        model=agent.model.to_dict(),
        tools=[tool.to_dict() for tool in agent.tools],
        metadata=agent.metadata,
        system=agent.system,
        description=agent.description,
        mcp_servers=agent.mcp_servers,
        skills=agent.skills,
        multiagent=agent.multiagent,
        execution_identity=agent.execution_identity.to_dict(),
    )
    assert same.version == 1


def test_an_update_makes_a_version_and_the_old_one_stays(client, agent):
    changed = client.beta.agents.update(agent.id, version=1, system="Count twice.")
    assert (changed.version, changed.system) == (2, "Count twice.")
    assert client.beta.agents.retrieve(agent.id).version == 2
    assert client.beta.agents.retrieve(agent.id, version=1).system is None
    versions = [each.version for each in client.beta.agents.versions.list(agent.id)]
    assert versions == [2, 1]


def test_an_update_that_changes_nothing_makes_no_version(client, agent):
    same = client.beta.agents.update(agent.id, name=agent.name, metadata={})
    assert same.version == 1


def test_an_update_of_an_old_version_is_refused_once_and_not_repeated(site, agent):
    seen = []
    transport = anthropic.DefaultHttpxClient(
        event_hooks={"response": [lambda response: seen.append(response)]}
    )
    with anthropic.Anthropic(
        base_url=site.url, api_key=site.alice, http_client=transport
    ) as client:
        client.beta.agents.update(agent.id, version=1, system="first")
        with pytest.raises(anthropic.ConflictError, match="is at version 2, not 1"):
            client.beta.agents.update(agent.id, version=1, system="first")
    assert [response.status_code for response in seen] == [200, 409]


def test_null_clears_and_absence_keeps(client):
    agent = client.beta.agents.create(
        name="Clerk",
        model={"id": "opus", "effort": "low"},
        system="Be brief.",
        description="Counts",
        metadata={"team": "books", "tier": "1"},
        tools=[TOOLSET],
    )
    kept = client.beta.agents.update(
        agent.id, name="Clerk 2", metadata={"tier": None, "new": "x"}, system=None
    )
    assert kept.metadata == {"team": "books", "new": "x"}
    assert (kept.system, kept.description) == (None, "Counts")
    assert kept.tools == agent.tools
    cleared = client.beta.agents.update(agent.id, tools=[], description="")
    assert (cleared.tools, cleared.description) == ([], None)


def test_the_effort_stays_with_its_model_and_goes_with_another(client):
    agent = client.beta.agents.create(
        name="Clerk", model={"id": "opus", "effort": {"type": "low"}}
    )
    same = client.beta.agents.update(agent.id, model="opus")
    assert (same.version, same.model.effort.type) == (1, "low")
    other = client.beta.agents.update(agent.id, model="claude-haiku-5-5")
    assert other.model.effort.type == "high"


def test_an_archived_agent_is_hidden_and_cannot_be_changed(client, agent):
    archived = client.beta.agents.archive(agent.id)
    assert archived.archived_at is not None
    assert client.beta.agents.archive(agent.id).archived_at == archived.archived_at
    assert agent.id not in {each.id for each in client.beta.agents.list(limit=100)}
    shown = client.beta.agents.list(limit=100, include_archived=True)
    assert agent.id in {each.id for each in shown}
    with pytest.raises(anthropic.BadRequestError, match="archived"):
        client.beta.agents.update(agent.id, system="late")


def test_an_archived_agent_starts_no_session(client, agent, environment):
    client.beta.agents.archive(agent.id)
    with pytest.raises(anthropic.BadRequestError, match="archived"):
        client.beta.sessions.create(agent=agent.id, environment_id=environment.id)


def test_pages_show_each_agent_once_while_others_are_made(client):
    before = [client.beta.agents.create(name=f"n{n}", model="m").id for n in range(5)]
    page = client.beta.agents.list(limit=2)
    seen = [agent.id for agent in page.data]
    client.beta.agents.create(name="late", model="m")
    while page.has_next_page() and len(seen) < 5:
        page = page.get_next_page()
        seen += [agent.id for agent in page.data]
    assert seen[:5] == before[::-1]


def test_an_environment_keeps_null_and_the_empty_description_apart(client):
    made = client.beta.environments.create(name="null", metadata={"a": "1", "b": "2"})
    assert made.description is None
    assert made.config.networking.type == "unrestricted"
    update = client.beta.environments.update
    assert update(made.id, description="").description == ""
    assert update(made.id, description=None).description is None
    assert update(made.id, metadata={"a": "", "b": None}).metadata == {}


def test_a_limited_network_keeps_what_an_update_leaves_out(client):
    cloud = {"type": "cloud"}
    made = client.beta.environments.create(
        name="limited",
        config={
            **cloud,
            "networking": {"type": "limited", "allowed_hosts": ["A.EXAMPLE"]},
        },
    )
    network = made.config.networking
    assert network.allowed_hosts == ["a.example"]
    assert (network.allow_mcp_servers, network.allow_package_managers) == (False, False)

    def updated(**networking):
        changed = client.beta.environments.update(
            made.id, config={**cloud, "networking": networking}
        )
        return changed.config.networking

    more = updated(type="limited", allow_package_managers=True, allowed_hosts=None)
    assert (more.allowed_hosts, more.allow_package_managers) == (["a.example"], True)
    assert updated(type="limited", allowed_hosts=[]).allow_package_managers is True
    assert client.beta.environments.update(made.id, config=cloud).config.networking.type
    assert updated(type="unrestricted").type == "unrestricted"
    assert updated(type="limited").allowed_hosts == []


def test_two_environments_of_a_workspace_have_two_names(client, stranger):
    client.beta.environments.create(name="twice")
    with pytest.raises(anthropic.ConflictError, match="twice"):
        client.beta.environments.create(name="twice")
    assert stranger.beta.environments.create(name="twice").id


def test_an_environment_in_use_is_archived_rather_than_deleted(client, agent):
    environment = client.beta.environments.create(name="used")
    client.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    with pytest.raises(anthropic.ConflictError, match="used by sessions"):
        client.beta.environments.delete(environment.id)
    client.beta.environments.archive(environment.id)
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.beta.environments.update(environment.id, description="late")
    assert refused.value.body["error"]["details"] == {
        "error_code": "environment_archived"
    }


def test_an_unused_environment_can_be_deleted(client):
    environment = client.beta.environments.create(name="unused")
    deleted = client.beta.environments.delete(environment.id)
    assert deleted.type == "environment_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.beta.environments.retrieve(environment.id)


def test_an_uploaded_file_keeps_only_the_last_part_of_its_name(client):
    file = client.beta.files.upload(file=("../a/books.csv", b"1,2\n", "text/csv"))
    assert (file.filename, file.mime_type, file.size_bytes) == (
        "books.csv",
        "text/csv",
        4,
    )
    assert file.downloadable is False


def test_an_uploaded_file_cannot_be_downloaded_and_a_made_one_can(client, site):
    file = client.beta.files.upload(file=("books.csv", b"1"))
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.beta.files.download(file.id)
    code = refused.value.body["error"]["details"]["error_code"]
    assert code == "file_not_downloadable"
    assert client.beta.files.download(site.report).read() == b"done"


def test_a_file_may_be_larger_than_what_json_may_be(client):
    file = client.beta.files.upload(file=("large.bin", bytes(40 << 20)))
    assert file.size_bytes == 40 << 20
    assert client.beta.files.delete(file.id).type == "file_deleted"


def test_files_are_listed_by_id_and_unknown_ones_left_out(client):
    file = client.beta.files.upload(file=("books.csv", b"1"))
    found = client.beta.files.list(ids=[file.id, "file_unknown"])
    assert [each.id for each in found.data] == [file.id]


def test_models_are_the_aliases_what_is_behind_them_and_the_scripted_one(client):
    ids = [model.id for model in client.models.list(limit=2)]
    assert {"opus", "claude-opus-5-5", "scripted-demo"} <= set(ids)
    assert len(ids) == len(set(ids))
    with pytest.raises(anthropic.NotFoundError, match="gpt"):
        client.models.retrieve("gpt")
