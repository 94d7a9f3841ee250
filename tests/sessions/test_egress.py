"""What the egress proxy spools reaches the database, once, with the call it was under."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import DataError, OperationalError
from django.utils import timezone

from sandbox.egress.records import Record, shortened
from sessions import actions, egress, log
from sessions.events import AgentToolResult, Draft, EventType, ToolStarted
from sessions.models import EgressRecord, Event


@pytest.fixture
def spool(tmp_path, session):
    """Closes a file with records of the session; its path."""

    def close(*records, torn=""):
        path = tmp_path / f"{len([*tmp_path.iterdir()]):020d}-1.jsonl"
        lines = [json.dumps(shortened(record)) for record in records]
        path.write_text("\n".join([*lines, torn]))
        return path

    return close


@pytest.fixture
def request_of(session):
    def record(**fields):
        return Record(
            **{
                "session_id": session.pk,
                "host": "a.example",
                "port": 443,
                "method": "CONNECT",
                "path": None,
                "verdict": "allowed",
                "rule": "unrestricted",
                "reason": "the network is unrestricted",
                "bytes_up": 10,
                "bytes_down": 20,
                "seconds": 0.5,
                **fields,
            }
        )

    return record


@pytest.fixture
def refused(request_of):
    def record(host, **fields):
        why = {"verdict": "refused", "rule": "not_allowed", "reason": "not allowed"}
        return request_of(host=host, **why, **fields)

    return record


def told(session):
    rows = Event.objects.filter(session=session, type=EventType.EGRESS_REFUSED)
    return [row.payload["host"] for row in rows.order_by("seq")]


def test_records_are_taken_in_and_their_files_removed(tmp_path, spool, request_of):
    path = spool(request_of(host="a.example"), request_of(host="b.example"))
    assert egress.take_in(tmp_path) == 1
    assert {row.host for row in EgressRecord.objects.all()} == {
        "a.example",
        "b.example",
    }
    assert not path.exists()
    assert egress.take_in(tmp_path) == 0


def test_a_file_that_comes_twice_changes_nothing(tmp_path, spool, refused, session):
    record = refused("evil.example")
    for _ in range(2):
        spool(record)
        egress.take_in(tmp_path)
    assert EgressRecord.objects.count() == 1
    assert told(session) == ["evil.example"]


def test_what_lasts_is_one_row_that_ends(tmp_path, spool, request_of):
    begun = request_of(seconds=None, bytes_down=0)
    spool(begun)
    egress.take_in(tmp_path)
    assert EgressRecord.objects.get().seconds is None
    spool(request_of(id=begun.id, seconds=3.5, bytes_down=99))
    egress.take_in(tmp_path)
    row = EgressRecord.objects.get()
    assert (row.seconds, row.bytes_down) == (3.5, 99)


def test_a_torn_line_costs_only_itself(tmp_path, spool, request_of):
    spool(request_of(), torn='{"host": "cut')
    egress.take_in(tmp_path)
    assert EgressRecord.objects.count() == 1


def test_records_of_a_session_that_is_gone_are_dropped(tmp_path, spool, request_of):
    spool(request_of(session_id="sesn_gone"), request_of())
    egress.take_in(tmp_path)
    assert EgressRecord.objects.count() == 1


def test_without_a_database_the_files_wait(tmp_path, spool, request_of, monkeypatch):
    def fails(*_):
        raise OperationalError("away")

    path = spool(request_of())
    with monkeypatch.context() as patched:
        patched.setattr(egress, "store", fails)
        with pytest.raises(OperationalError):
            egress.take_in(tmp_path)
    assert path.exists()
    assert egress.take_in(tmp_path) == 1


def test_what_no_database_takes_keeps_no_other_session_waiting(
    tmp_path, spool, request_of, session, actor, agent, environment, monkeypatch
):
    other = actions.create_session(actor, agent=agent.latest, environment=environment)
    stored = egress._store

    def picky(session_id, records):
        if session_id == session.pk:
            raise DataError("value too long for type character varying(253)")
        stored(session_id, records)

    monkeypatch.setattr(egress, "_store", picky)
    spool(request_of(), request_of(session_id=other.pk))
    assert egress.take_in(tmp_path) == 1
    assert [row.session_id for row in EgressRecord.objects.all()] == [other.pk]


def test_a_second_process_leaves_the_folder_alone(tmp_path, spool, request_of):
    spool(request_of())
    with egress.only_one(tmp_path) as mine:
        assert mine
        assert egress.take_in(tmp_path) == 0
    assert egress.take_in(tmp_path) == 1


def test_a_request_belongs_to_the_calls_that_ran(tmp_path, spool, request_of, session):
    moment = timezone.now()

    def event(payload, seconds):
        [record] = log.append(session.pk, [Draft(payload=payload)])
        Event.objects.filter(pk=record.id).update(
            created_at=moment + timedelta(seconds=seconds)
        )

    event(ToolStarted(tool_use_id="early"), 0)
    event(AgentToolResult(tool_use_id="early"), 10)
    event(ToolStarted(tool_use_id="late"), 8)
    asked = {}
    for second in (-1, 5, 9, 60):
        began = (moment + timedelta(seconds=second)).isoformat()
        asked[second] = request_of(began_at=began)
    spool(*asked.values())
    egress.take_in(tmp_path)
    under = dict(EgressRecord.objects.values_list("pk", "tool_use_ids"))
    found = {second: under[record.id] for second, record in asked.items()}
    assert found == {-1: [], 5: ["early"], 9: ["early", "late"], 60: ["late"]}


def test_a_refused_host_is_told_once(tmp_path, spool, refused, session):
    spool(refused("evil.example"), refused("evil.example"), refused("b.example"))
    egress.take_in(tmp_path)
    spool(refused("evil.example"))
    egress.take_in(tmp_path)
    assert sorted(told(session)) == ["b.example", "evil.example"]


def test_the_longest_host_is_told_and_kept(tmp_path, spool, refused, session):
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    spool(refused(longest), refused(longest))
    egress.take_in(tmp_path)
    assert told(session) == [longest]
    assert EgressRecord.objects.count() == 2
    assert keys_fit(session)


def keys_fit(session):
    """SQLite takes a key of any length; PostgreSQL does not."""
    most = Event._meta.get_field("idempotency_key").max_length
    keys = Event.objects.filter(session=session).values_list(
        "idempotency_key", flat=True
    )
    return all(len(key or "") <= most for key in keys)


def test_a_flood_of_hosts_does_not_flood_the_timeline(
    tmp_path, spool, refused, session, monkeypatch
):
    monkeypatch.setattr(egress, "TOLD", 3)
    for first in (0, 4):
        spool(*(refused(f"h{number}.example") for number in range(first, first + 4)))
        egress.take_in(tmp_path)
    assert len(told(session)) == 3
    assert EgressRecord.objects.count() == 8


def test_only_the_newest_requests_are_kept(tmp_path, spool, request_of, monkeypatch):
    monkeypatch.setattr(egress, "KEPT", 2)
    moment = timezone.now()
    spool(
        *(
            request_of(
                host=f"h{number}.example",
                began_at=(moment + timedelta(seconds=number)).isoformat(),
            )
            for number in range(5)
        )
    )
    egress.take_in(tmp_path)
    egress.delete_surplus()
    assert {row.host for row in EgressRecord.objects.all()} == {
        "h3.example",
        "h4.example",
    }


@pytest.fixture
def get(client, api_key):
    def get(path):
        return client.get(path, headers={"x-api-key": api_key})

    return get


def test_the_list_is_paged_and_narrowed(
    tmp_path, spool, request_of, refused, session, get
):
    spool(*(request_of() for _ in range(3)), refused("evil.example"))
    egress.take_in(tmp_path)
    path = f"/v1/sessions/{session.pk}/egress"
    first = get(f"{path}?limit=3").json()
    rest = get(f"{path}?limit=3&page={first['next_page']}").json()
    assert len({row["id"] for row in first["data"] + rest["data"]}) == 4
    assert rest["next_page"] is None
    [row] = get(f"{path}?verdict=refused").json()["data"]
    assert row["host"] == "evil.example"
    assert row["type"] == "egress_record"
    assert (row["bytes_sent"], row["bytes_received"], row["seconds"]) == (10, 20, 0.5)
    assert get(f"{path}?host=a.example&verdict=refused").json()["data"] == []
    assert get(f"{path}?verdict=odd").status_code == 400


def test_another_workspace_sees_nothing(session, client, other_api_key, as_charlie):
    path = f"/v1/sessions/{session.pk}/egress"
    assert client.get(path, headers={"x-api-key": other_api_key}).status_code == 404
    assert as_charlie.get(f"/sessions/{session.pk}/network").status_code == 404


def test_the_page_shows_requests_as_text(
    tmp_path, spool, request_of, session, as_alice
):
    here = f"/sessions/{session.pk}/network"
    assert "Nothing has left" in as_alice.get(here).content.decode()
    spool(request_of(method="GET", path="/<script>alert(1)</script>", port=80))
    egress.take_in(tmp_path)
    page = as_alice.get(here).content.decode()
    assert "a.example" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
