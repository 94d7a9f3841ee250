"""Sandboxes made ahead: claimed once, by one session, and never left behind."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import pool
from sandbox.errors import ImageMissing
from sandbox.pool import Pool
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import FileMount, Files, Limits, SandboxSpec
from tests.sandbox.fixtures import Place
from tests.sandbox.places import bash, spec_of, text


async def filled(place: Place, most: int = 1) -> None:
    """Have one sandbox wait, as after a first session of the kind."""
    place.provider.pool.most = most
    place.provider.pool.note(spec_of(place.image))
    await place.provider.tend()


def waiting(place: Place) -> list[str]:
    tickets = place.provider.pool.folder.glob("*/tickets/*")
    return sorted(ticket.name for ticket in tickets)


def engines(place: Place) -> set[str]:
    return set(place.provider.engine.sandboxes())


async def emptied(place: Place) -> None:
    for session_id in await place.provider.sessions():
        await place.provider.destroy(session_id, keep_workspace=False)
    await place.provider.drain()
    assert engines(place) == set()


async def test_a_session_claims_what_was_made_ahead(
    place: Place, tmp_path: Path
) -> None:
    await filled(place)
    [name] = waiting(place)
    assert await place.provider.sessions() == frozenset()
    source = tmp_path / "report.txt"
    source.write_text("numbers\n")
    spec = spec_of(
        place.image,
        environment={"COLOUR": "blue"},
        files=(FileMount(path="/mnt/session/uploads/report.txt", source=source),),
    )
    sandbox = await place.provider.provision(spec)
    assert sandbox.origin.files == Files.NEW
    seen = await bash(sandbox, "echo $COLOUR; cat /mnt/session/uploads/report.txt; pwd")
    assert text(seen) == "blue\nnumbers\n/workspace"
    assert engines(place) == {name}
    assert await place.provider.sessions() == {spec.session_id}
    assert await place.provider.running() == {spec.session_id}
    assert waiting(place) == []
    await sandbox.close()
    await emptied(place)


async def test_its_files_are_found_again_when_it_is_lost(
    place: Place, tmp_path: Path
) -> None:
    await filled(place)
    spec = spec_of(place.image)
    sandbox = await place.provider.provision(spec)
    await bash(sandbox, "echo kept > note")
    await sandbox.close()
    await place.provider.destroy(spec.session_id, keep_workspace=True)
    assert await place.provider.snapshot(spec.session_id, tmp_path / "snapshot.tar")
    again = await place.provider.provision(spec)
    assert again.origin.files == Files.KEPT
    assert text(await bash(again, "cat note")) == "kept"
    await again.close()
    await emptied(place)


async def test_a_worker_that_dies_as_it_claims_loses_no_variables(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        pass

    async def die(*_: object) -> None:
        raise Died

    await filled(place)
    [name] = waiting(place)
    spec = spec_of(place.image, environment={"COLOUR": "blue"})
    with monkeypatch.context() as patch:
        patch.setattr(SocketSandbox, "set_variables", die)
        with pytest.raises(Died):
            await place.provider.provision(spec)
    sandbox = await place.provider.provision(spec)
    assert text(await bash(sandbox, "echo $COLOUR")) == "blue"
    assert engines(place) == {name}
    await sandbox.close()
    await emptied(place)


async def test_two_sessions_never_get_the_same_one(place: Place) -> None:
    await filled(place)
    specs = [spec_of(place.image) for _ in range(2)]
    both = await asyncio.gather(*(place.provider.provision(spec) for spec in specs))
    await bash(both[0], "echo mine > note")
    assert (await bash(both[1], "cat note")).is_error
    assert len(engines(place)) == 2
    for sandbox in both:
        await sandbox.close()
    await emptied(place)


async def test_one_of_another_shape_is_left_waiting(place: Place) -> None:
    await filled(place)
    [name] = waiting(place)
    small = spec_of(place.image, limits=Limits(memory_mb=256))
    await (await place.provider.provision(small)).close()
    assert waiting(place) == [name]
    await emptied(place)


async def test_one_that_died_while_it_waited_is_made_anew(place: Place) -> None:
    await filled(place)
    [name] = waiting(place)
    place.provider.engine.remove(name)
    sandbox = await place.provider.provision(spec_of(place.image))
    assert text(await bash(sandbox, "echo well")) == "well"
    await sandbox.close()
    await emptied(place)


async def test_what_a_dead_worker_left_is_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(place)
    [name] = waiting(place)
    place.provider.pool.withdraw()  # it died before it wrote the ticket
    await place.provider._end_left_over()
    assert engines(place) == {name}  # another worker may just be making it
    monkeypatch.setattr(pool, "MADE_WITHIN", -1.0)
    await place.provider._end_left_over()
    assert engines(place) == set()


async def test_what_cannot_be_made_is_not_tried_again_and_again(place: Place) -> None:
    place.provider.pool.most = 1
    place.provider.pool.note(spec_of("agentsite-env:gone"))
    with pytest.raises(ImageMissing):
        await place.provider.tend()
    await place.provider.tend()
    assert engines(place) == set()
    assert list(place.provider.places.state_dir.glob(f"{pool.PREFIX}*")) == []


async def test_a_session_with_a_snapshot_gets_its_files(
    place: Place, tmp_path: Path
) -> None:
    spec = spec_of(place.image)
    sandbox = await place.provider.provision(spec)
    await bash(sandbox, "echo kept > note")
    await sandbox.close()
    snapshot = tmp_path / "snapshot.tar"
    await place.provider.destroy(spec.session_id, keep_workspace=True)
    assert await place.provider.snapshot(spec.session_id, snapshot)
    await place.provider.destroy(spec.session_id, keep_workspace=False)
    await filled(place)
    sandbox = await place.provider.provision(replace(spec, snapshot=snapshot))
    assert sandbox.origin.files == Files.RESTORED
    assert text(await bash(sandbox, "cat note")) == "kept"
    await sandbox.close()
    await emptied(place)


# The tickets alone.


def spec(**fields: object) -> SandboxSpec:
    return replace(spec_of("base:1"), **fields)


@pytest.fixture
def tickets(tmp_path: Path) -> Pool:
    (tmp_path / "session").mkdir()
    return Pool(tmp_path / "pool", most=10)


def test_without_sessions_nothing_is_wanted(tickets: Pool) -> None:
    assert tickets.wanted() == []


def test_one_waits_where_sessions_are_rare(tickets: Pool) -> None:
    first = spec()
    tickets.note(first)
    assert tickets.wanted() == [first]
    tickets.offer(first, pool.new_name())
    assert tickets.wanted() == []


@pytest.mark.parametrize(
    ("starts", "wanted"), [(0, 1), (1, 1), (200, 1), (201, 2), (600, 3), (6000, 30)]
)
def test_more_wait_where_sessions_are_many(starts: int, wanted: int) -> None:
    assert pool.target(starts) == wanted


def test_no_more_wait_than_may(tickets: Pool) -> None:
    tickets.most = 3
    for image in ("a:1", "b:1", "c:1", "d:1"):
        tickets.note(spec(image=image))
    assert len(tickets.wanted()) == 3
    tickets.most = 0
    assert tickets.wanted() == []


def test_a_shape_that_nobody_uses_any_more_is_not_made(
    tickets: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets.note(spec())
    now = time.time()
    monkeypatch.setattr(pool.time, "time", lambda: now + pool.USED_WITHIN + 1)
    assert tickets.wanted() == []


def test_a_ticket_is_taken_once(tickets: Pool, tmp_path: Path) -> None:
    name = pool.new_name()
    tickets.offer(spec(), name)
    assert tickets.take(spec(), tmp_path / "session/sandbox") == name
    assert tickets.take(spec(), tmp_path / "session/other") is None
    assert (tmp_path / "session/sandbox").read_text() == name


def test_what_a_session_brings_along_does_not_count(tmp_path: Path) -> None:
    same = spec(environment={"A": "1"}, snapshot=tmp_path / "s.tar")
    assert pool.shape_of(same) == pool.shape_of(spec())
    assert pool.shape_of(spec(image="base:2")) != pool.shape_of(spec())
    assert pool.shape_of(spec(limits=Limits(pids=9))) != pool.shape_of(spec())


def test_one_that_waited_for_too_long_is_not_given_away(
    tickets: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = pool.new_name()
    tickets.offer(spec(), name)
    now = time.time()
    monkeypatch.setattr(pool.time, "time", lambda: now + pool.RECYCLED_AFTER + 1)
    assert tickets.take(spec(), tmp_path / "session/sandbox") is None
    assert tickets.left_over({name, "sesn_1"}, tuple) == [name]


def test_one_that_is_claimed_meanwhile_is_not_left_over(
    tickets: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MADE_WITHIN", -1.0)
    name = pool.new_name()
    tickets.offer(spec(), name)

    def claimed() -> list[str]:
        """Nothing yet; the next moment a session takes its ticket."""
        tickets.take(spec(), tmp_path / "session/sandbox")
        return []

    assert tickets.left_over({name}, claimed) == []


def test_one_process_at_a_time_cares(tickets: Pool) -> None:
    with tickets.alone() as first, tickets.alone() as second:
        assert (first, second) == (True, False)
