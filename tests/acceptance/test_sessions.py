"""Sessions and their events through the official SDK (nothing runs turns here)."""

from __future__ import annotations

import anthropic
import pytest

TOOLSET = {"type": "agent_toolset_20260401"}


def message(text):
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


@pytest.fixture
def new(client, agent, environment):
    def create(**more):
        more.setdefault("agent", agent.id)
        return client.beta.sessions.create(environment_id=environment.id, **more)

    return create


def test_a_session_begins_idle_with_the_resolved_agent(new, agent):
    session = new(title="Audit", metadata={"month": "11"})
    assert (session.status, session.title) == ("idle", "Audit")
    assert (session.agent.id, session.agent.version) == (agent.id, 1)
    assert session.agent.model.id == "claude-opus-5-5"  # what the alias means today
    assert (session.resources, session.vault_ids) == ([], [])
    assert (session.archived_at, session.deployment_id) == (None, None)


def test_a_session_keeps_its_version_when_the_agent_changes(client, new, agent):
    old = new()
    client.beta.agents.update(agent.id, system="New rules.")
    assert client.beta.sessions.retrieve(old.id).agent.version == 1
    assert new().agent.version == 2
    pinned = new(agent={"type": "agent", "id": agent.id, "version": 1})
    assert (pinned.agent.version, pinned.agent.system) == (1, None)


def test_a_version_that_does_not_exist_starts_nothing(new, agent):
    with pytest.raises(anthropic.NotFoundError, match="has no version 9"):
        new(agent={"type": "agent", "id": agent.id, "version": 9})


def test_overrides_change_one_session_only(client, new, agent):
    session = new(
        agent={
            "type": "agent_with_overrides",
            "id": agent.id,
            "system": "Only here.",
            "model": {"id": "claude-haiku-5-5", "effort": "low"},
            "tools": [],
        }
    )
    assert (session.agent.id, session.agent.version) == (agent.id, 1)
    assert (session.agent.system, session.agent.tools) == ("Only here.", [])
    assert session.agent.model.id == "claude-haiku-5-5"
    assert client.beta.agents.retrieve(agent.id).system is None


def test_an_override_cannot_clear_the_model(http, agent, environment):
    body = {
        "agent": {"type": "agent_with_overrides", "id": agent.id, "model": None},
        "environment_id": environment.id,
    }
    response = http.post("/v1/sessions", json=body)
    assert response.status_code == 400
    said = response.json()["error"]["message"]
    assert said.startswith("agent.model: agent_model_required")


def test_an_override_of_null_clears_and_an_absent_one_inherits(client, new, agent):
    own = client.beta.agents.update(agent.id, system="Rules.", model="claude-opus-5-5")

    def overridden(**fields):
        reference = {"type": "agent_with_overrides", "id": agent.id, **fields}
        return new(agent=reference).agent

    plain = overridden()
    assert (plain.system, plain.tools, plain.model) == (
        own.system,
        own.tools,
        own.model,
    )
    bare = overridden(system=None, tools=[])
    assert (bare.system, bare.tools, bare.model) == (None, [], own.model)
    slow = overridden(model={"id": "claude-opus-5-5", "effort": "low"})
    assert (slow.model.effort.type, slow.system) == ("low", "Rules.")
    pinned = overridden(version=1)
    assert (pinned.version, pinned.system) == (1, None)


def test_a_session_begins_with_a_hundred_documents_at_most(client, new):
    file = client.beta.files.upload(file=("books.csv", b"1"))
    source = {"type": "file", "file_id": file.id}
    many = {
        "type": "user.message",
        "content": [{"type": "document", "source": source}] * 50,
    }
    assert new(initial_events=[many, many]).status == "running"
    with pytest.raises(anthropic.BadRequestError, match="hold 101 documents"):
        new(initial_events=[many, many, {**many, "content": many["content"][:1]}])


def test_sessions_of_an_archived_agent_go_on(client, new, agent):
    session = new()
    client.beta.agents.archive(agent.id)
    client.beta.sessions.events.send(session.id, events=[message("Go on.")])
    assert client.beta.sessions.retrieve(session.id).status == "running"


def test_vaults_cannot_be_given_later(client, session):
    with pytest.raises(anthropic.BadRequestError, match="vault_ids: not supported"):
        client.beta.sessions.update(session.id, vault_ids=["vlt_1"])


def test_events_are_filtered_by_when_they_were_taken_in(client, session):
    events = client.beta.sessions.events
    stop = {"type": "user.interrupt"}  # of a resting session: taken in at once
    sent = [events.send(session.id, events=[stop]).data[0] for _ in range(3)]
    queued = events.send(session.id, events=[message("Later.")]).data[0]
    first, second, third = sent

    def found(**limits):
        listed = events.list(
            session.id, types=["user.interrupt", "user.message"], **limits
        )
        return [event.id for event in listed]

    assert found() == [*(each.id for each in sent), queued.id]
    assert found(created_at_gt=first.processed_at) == [second.id, third.id]
    assert found(created_at_gte=second.processed_at) == [second.id, third.id]
    assert found(created_at_lt=second.processed_at) == [first.id]
    assert found(created_at_lte=second.processed_at) == [first.id, second.id]


def test_initial_events_start_the_session(client, new):
    session = new(initial_events=[message("Count."), message("Twice.")])
    assert session.status == "running"
    assert "initial_events" not in session.to_dict()
    sent = [
        event
        for event in client.beta.sessions.events.list(session.id)
        if event.type == "user.message"
    ]
    assert [event.content[0].text for event in sent] == ["Count.", "Twice."]


def test_initial_events_are_checked_all_or_nothing(client, new):
    before = len(client.beta.sessions.list(limit=1000).data)
    wrong = {"type": "user.message", "content": []}
    with pytest.raises(anthropic.BadRequestError, match=r"initial_events\.1\.content"):
        new(initial_events=[message("fine"), wrong])
    with pytest.raises(anthropic.BadRequestError, match="at most 50"):
        new(initial_events=[message("x")] * 51)
    with pytest.raises(anthropic.BadRequestError, match=r"user\.interrupt"):
        new(initial_events=[{"type": "user.interrupt"}])
    assert len(client.beta.sessions.list(limit=1000).data) == before


@pytest.mark.parametrize(
    "more",
    [
        {"vault_ids": ["vlt_1"]},
        {"resources": [{"type": "memory_store", "memory_store_id": "memstore_1"}]},
    ],
)
def test_what_is_not_built_starts_no_session(new, more):
    with pytest.raises(anthropic.BadRequestError, match=r"not supported yet"):
        new(**more)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "user.tool_result", "tool_use_id": "x"},
        {"type": "user.define_outcome", "description": "d", "rubric": {}},
    ],
)
def test_events_that_are_not_built_are_refused(client, session, event):
    with pytest.raises(anthropic.BadRequestError, match="not supported yet"):
        client.beta.sessions.events.send(session.id, events=[event])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": ""},
        {"type": "redacted"},
        {"type": "video"},
        {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "!"},
        },
    ],
)
def test_a_message_no_model_could_read_is_refused(client, session, block):
    sent = {"type": "user.message", "content": [block]}
    with pytest.raises(anthropic.BadRequestError, match=r"events\.0\.content\.0"):
        client.beta.sessions.events.send(session.id, events=[sent])
    assert client.beta.sessions.events.list(session.id).data == []


def test_a_sent_event_is_answered_as_queued_and_listed_last(client, session):
    sent = client.beta.sessions.events.send(session.id, events=[message("Hello")])
    assert sent.data[0].processed_at is None
    listed = list(client.beta.sessions.events.list(session.id))
    assert listed[-1].id == sent.data[0].id
    assert client.beta.sessions.retrieve(session.id).status == "running"
    named = client.beta.sessions.events.list(session.id, types=["user.message"])
    assert [event.id for event in named] == [sent.data[0].id]


def test_events_come_in_pages_in_both_orders(client, session):
    for n in range(3):
        client.beta.sessions.events.send(session.id, events=[message(str(n))])
    events = client.beta.sessions.events
    whole = [event.id for event in events.list(session.id)]
    assert len(whole) == len(set(whole)) >= 4
    assert [event.id for event in events.list(session.id, limit=2)] == whole
    back = [event.id for event in events.list(session.id, limit=2, order="desc")]
    assert back == whole[::-1]


def test_an_event_cursor_belongs_to_its_order(http, session):
    for n in range(2):
        body = {"events": [message(str(n))]}
        http.post(f"/v1/sessions/{session.id}/events", json=body)
    url = f"/v1/sessions/{session.id}/events"
    page = http.get(url, params={"limit": 1}).json()["next_page"]
    wrong = http.get(url, params={"limit": 1, "page": page, "order": "desc"})
    assert wrong.status_code == 400


def test_an_interrupt_names_a_thread_of_this_session(client, session):
    stop = {"type": "user.interrupt", "session_thread_id": "sthr_other"}
    with pytest.raises(anthropic.BadRequestError, match="has no thread sthr_other"):
        client.beta.sessions.events.send(session.id, events=[stop])


def test_a_file_is_mounted_as_a_copy_of_the_session(client, new):
    file = client.beta.files.upload(file=("books.csv", b"1,2\n"))
    session = new(resources=[{"type": "file", "file_id": file.id}])
    mounted = session.resources[0]
    assert mounted.file_id != file.id
    assert mounted.mount_path.startswith("/mnt/session/uploads/")
    copy = client.beta.files.list(scope_id=session.id).data
    assert [each.id for each in copy] == [mounted.file_id]
    assert client.beta.sessions.resources.list(session.id).data == [mounted]
    found = client.beta.sessions.resources.retrieve(mounted.id, session_id=session.id)
    assert found.mount_path == mounted.mount_path


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "books.csv", "/workspace/../etc/x", "/workspace", "/"]
)
def test_a_file_is_mounted_only_where_an_agent_may_write(client, new, path):
    file = client.beta.files.upload(file=("books.csv", b"1"))
    resource = {"type": "file", "file_id": file.id, "mount_path": path}
    with pytest.raises(anthropic.BadRequestError, match="mount_path"):
        new(resources=[resource])


def test_a_file_is_added_to_a_session_and_taken_away(client, session):
    resources = client.beta.sessions.resources
    file = client.beta.files.upload(file=("books.csv", b"1,2\n"))
    path = "/mnt/session/uploads/in/books.csv"
    added = resources.add(session.id, type="file", file_id=file.id, mount_path=path)
    assert added.mount_path == path
    assert resources.list(session.id).data == [added]
    with pytest.raises(anthropic.BadRequestError, match="two resources"):
        resources.add(session.id, type="file", file_id=file.id, mount_path=path)
    gone = resources.delete(added.id, session_id=session.id)
    assert (gone.id, gone.type) == (added.id, "session_resource_deleted")
    assert resources.list(session.id).data == []
    with pytest.raises(anthropic.NotFoundError):
        resources.delete(added.id, session_id=session.id)


def test_only_files_are_added_to_a_session_that_is_there(http, session):
    url = f"/v1/sessions/{session.id}/resources"
    added = {"type": "github_repository", "url": "https://github.com/a/b"}
    refused = http.post(url, json=added)
    assert refused.status_code == 400
    assert "only files are added" in refused.json()["error"]["message"]


def test_title_and_metadata_change_and_null_clears(client, new):
    session = new(title="Audit", metadata={"a": "1", "b": "2"})
    update = client.beta.sessions.update
    changed = update(session.id, metadata={"a": None, "c": "3"})
    assert (changed.title, changed.metadata) == ("Audit", {"b": "2", "c": "3"})
    assert update(session.id, title=None).title is None


def test_the_tools_of_an_idle_session_can_be_replaced(client, session, agent):
    changed = client.beta.sessions.update(session.id, agent={"tools": []})
    assert changed.agent.tools == []
    assert client.beta.agents.retrieve(agent.id).tools != []


def test_a_working_session_keeps_its_tools_and_is_not_archived(client, new):
    session = new(initial_events=[message("Work.")])
    with pytest.raises(anthropic.BadRequestError, match="interrupt"):
        client.beta.sessions.update(session.id, agent={"tools": []})
    with pytest.raises(anthropic.BadRequestError, match="interrupt"):
        client.beta.sessions.archive(session.id)
    with pytest.raises(anthropic.BadRequestError, match="interrupt"):
        client.beta.sessions.delete(session.id)


def test_an_archived_session_is_read_only_and_hidden(client, session):
    archived = client.beta.sessions.archive(session.id)
    assert archived.status == "terminated"
    assert archived.archived_at is not None
    with pytest.raises(anthropic.ConflictError, match="archived"):
        client.beta.sessions.events.send(session.id, events=[message("late")])
    assert session.id not in {each.id for each in client.beta.sessions.list()}
    shown = client.beta.sessions.list(include_archived=True)
    assert session.id in {each.id for each in shown}


def test_a_deleted_session_is_gone_with_its_files(client, new):
    file = client.beta.files.upload(file=("books.csv", b"1"))
    session = new(resources=[{"type": "file", "file_id": file.id}])
    assert client.beta.sessions.delete(session.id).type == "session_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.beta.sessions.retrieve(session.id)
    assert client.beta.files.list(scope_id=session.id).data == []
    assert client.beta.files.retrieve_metadata(file.id).id == file.id


def test_sessions_are_filtered_and_paged_both_ways(client, new, agent, http):
    made = [new().id for _ in range(3)]
    new(agent={"type": "agent", "id": agent.id}, initial_events=[message("Work.")])
    query = {"agent_id": agent.id, "statuses": ["idle"], "limit": 2}
    first = client.beta.sessions.list(**query)
    assert [each.id for each in first.data] == [made[2], made[1]]
    assert first.prev_page is None
    second = client.beta.sessions.list(**query, page=first.next_page)
    assert [each.id for each in second.data] == [made[0]]
    assert second.next_page is None
    back = client.beta.sessions.list(**query, page=second.prev_page)
    assert [each.id for each in back.data] == [made[2], made[1]]
    assert back.prev_page is None
    oldest = client.beta.sessions.list(**query, order="asc")
    assert oldest.data[0].id == made[0]
    working = http.get(f"/v1/sessions?agent_id={agent.id}&statuses=running").json()
    assert len(working["data"]) == 1


def test_sessions_are_filtered_by_time(client, new, agent):
    first, second = new(), new()
    later = client.beta.sessions.list(agent_id=agent.id, created_at_gt=first.created_at)
    assert [each.id for each in later] == [second.id]
    until = client.beta.sessions.list(
        agent_id=agent.id, created_at_lte=first.created_at
    )
    assert [each.id for each in until] == [first.id]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            {"type": "user.tool_confirmation", "tool_use_id": "x", "result": "allow"},
            "has no call x that waits",
        ),
        (
            {
                "type": "user.tool_confirmation",
                "tool_use_id": "x",
                "result": "allow",
                "deny_message": "no",
            },
            "deny_message belongs to the result deny",
        ),
        (
            {"type": "user.custom_tool_result", "custom_tool_use_id": "x"},
            "has no call x that waits",
        ),
        (
            {
                "type": "user.custom_tool_result",
                "custom_tool_use_id": "x",
                "content": [{"type": "text", "text": "x" * 100_001}],
            },
            "holds 100001 characters",
        ),
        (
            {"type": "system.message", "content": [{"type": "text", "text": "x"}]},
            "must directly follow",
        ),
    ],
)
def test_an_answer_to_nothing_is_refused_in_a_sentence(client, session, event, why):
    with pytest.raises(anthropic.BadRequestError, match=why):
        client.beta.sessions.events.send(session.id, events=[event])
    assert not list(client.beta.sessions.events.list(session.id))


def budget(amount):
    money = {"amount": amount, "currency": "USD"}
    return {"type": "limit", "max_list_cost": money}


def test_a_budget_is_given_raised_and_removed_for_good(client, new):
    session = new(budget=budget("2500"))
    assert session.budget.max_list_cost.amount == "2500"
    assert session.usage.list_cost.amount == "0"
    raised = client.beta.sessions.update(session.id, budget=budget("4000"))
    assert raised.budget.max_list_cost.amount == "4000"
    assert client.beta.sessions.update(session.id, title="x").budget is not None
    assert client.beta.sessions.update(session.id, budget=None).budget is None
    changes = [
        event.to_dict(exclude_unset=True)
        for event in client.beta.sessions.events.list(session.id)
        if event.type == "session.updated"
    ]
    assert [each.get("budget", "absent") for each in changes] == [
        budget("4000"),
        "absent",
        None,
    ]
    with pytest.raises(anthropic.BadRequestError, match=session.id) as refused:
        client.beta.sessions.update(session.id, budget=budget("4000"))
    details = refused.value.body["error"]["details"]
    assert details == {"error_code": "budget_create_only"}


@pytest.mark.parametrize("amount", ["0", "25.00", "025"])
def test_a_budget_is_whole_cents(new, amount):
    with pytest.raises(anthropic.BadRequestError, match=r"budget\.max_list_cost"):
        new(budget=budget(amount))


def test_a_model_without_a_price_gets_no_budget(new, agent):
    unpriced = {"type": "agent_with_overrides", "id": agent.id, "model": "mine-1"}
    assert new(agent=unpriced).usage.list_cost is None
    with pytest.raises(anthropic.BadRequestError, match="mine-1 has no list price"):
        new(agent=unpriced, budget=budget("1"))


def test_the_requests_of_a_turn_can_be_limited(client, new):
    session = new(extra_body={"max_model_requests": 50})
    assert session.max_model_requests == 50
    assert "max_model_requests" not in new().to_dict()
    with pytest.raises(anthropic.BadRequestError, match="max_model_requests"):
        new(extra_body={"max_model_requests": 0})
