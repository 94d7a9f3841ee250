"""The contract of every provider of sandboxes, told by the fake, Docker and bubblewrap."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from docker import APIClient

from sandbox.base import Provider, Sandbox
from sandbox.bubblewrap import processes
from sandbox.bubblewrap.provider import BubblewrapProvider
from sandbox.docker_provider import DockerProvider
from sandbox.errors import (
    FileUnavailable,
    ImageMissing,
    OutcomeUnknown,
    ProvisionFailed,
    SandboxGone,
)
from sandbox.fake import FakeProvider
from sandbox.spec import (
    FileMount,
    Files,
    NetworkPolicy,
    Running,
    SandboxSpec,
    SandboxStatus,
    ToolOutcome,
)
from tests.sandbox.fixtures import (
    BoxEngine,
    base_image,
    base_tree,
    box_engine,
    bubblewrap_provider,
    docker_provider,
    runtime_dir,
)
from tests.sandbox.places import bash, new_id, run, spec_of, text, until

__all__ = [
    "base_image",
    "base_tree",
    "box_engine",
    "bubblewrap_provider",
    "docker_provider",
    "runtime_dir",
]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A provider under test, its image, and how one of its sandboxes dies."""

    provider: Provider
    image: str
    lose: Callable[[str], Awaitable[None]]

    async def sandbox(self, **fields: Any) -> Sandbox:
        return await self.provider.provision(spec_of(self.image, **fields))


@pytest.fixture(
    params=[
        "fake",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "docker":
        return docker_case(
            request.getfixturevalue("docker_provider"),
            request.getfixturevalue("base_image"),
        )
    if request.param == "bubblewrap":
        return bubblewrap_case(
            request.getfixturevalue("bubblewrap_provider"),
            request.getfixturevalue("box_engine"),
            request.getfixturevalue("base_tree")[0],
        )
    provider = FakeProvider(images={"base"})
    return Case(provider=provider, image="base", lose=provider.lose)


def docker_case(provider: DockerProvider, image: str) -> Case:
    async def lose(session_id: str) -> None:
        api = APIClient(version="auto")
        name = f"agentsite-{provider.site}-{session_id}"
        await asyncio.to_thread(api.kill, name)
        api.close()

    return Case(provider=provider, image=image, lose=lose)


def bubblewrap_case(
    provider: BubblewrapProvider, engine: BoxEngine, image: str
) -> Case:
    async def lose(session_id: str) -> None:
        for pid in processes.running(engine.site)[session_id]:
            os.kill(pid, signal.SIGKILL)

    return Case(provider=provider, image=image, lose=lose)


@pytest_asyncio.fixture
async def sandbox(case: Case) -> AsyncIterator[Sandbox]:
    sandbox = await case.sandbox()
    yield sandbox
    await sandbox.close()


async def test_a_network_is_renewed_or_nothing_happens(case: Case) -> None:
    await case.provider.renew_network(new_id(), NetworkPolicy(mode="limited"))


async def test_it_can_run_sandboxes_here(case: Case) -> None:
    await case.provider.check()


async def test_it_refuses_an_image_that_is_not_there(case: Case) -> None:
    with pytest.raises(ImageMissing, match="nowhere"):
        await case.provider.provision(spec_of("nowhere:1"))


async def test_it_adopts_the_sandbox_of_a_session(case: Case) -> None:
    spec = spec_of(case.image)
    first = await case.provider.provision(spec)
    await bash(first, "export COLOUR=blue")
    await first.close()
    second = await case.provider.provision(spec)
    assert text(await bash(second, "echo $COLOUR")) == "blue"
    await second.close()


async def test_it_tells_a_running_from_a_stopped_and_an_absent_one(case: Case) -> None:
    spec = spec_of(case.image)
    provider = case.provider
    assert await provider.status(spec.session_id) is SandboxStatus.ABSENT
    await (await provider.provision(spec)).close()
    assert await provider.status(spec.session_id) is SandboxStatus.RUNNING
    assert await provider.sessions() == {spec.session_id}
    await provider.destroy(spec.session_id, keep_workspace=True)
    assert await provider.status(spec.session_id) is SandboxStatus.STOPPED
    assert await provider.sessions() == {spec.session_id}
    await provider.destroy(spec.session_id, keep_workspace=False)
    assert await provider.status(spec.session_id) is SandboxStatus.ABSENT
    assert await provider.sessions() == frozenset()


async def test_destroying_what_is_not_there_does_nothing(case: Case) -> None:
    await case.provider.destroy(new_id(), keep_workspace=False)


async def test_it_says_what_a_sandbox_found_when_it_began(case: Case) -> None:
    spec = spec_of(case.image)
    found = []
    for _ in range(2):
        sandbox = await case.provider.provision(spec)
        found.append(sandbox.origin.files)
        assert sandbox.origin.provider == case.provider.name
        await sandbox.close()
    await case.provider.destroy(spec.session_id, keep_workspace=True)
    sandbox = await case.provider.provision(spec)
    found.append(sandbox.origin.files)
    await sandbox.close()
    assert found == [Files.NEW, Files.RUNNING, Files.KEPT]


async def test_files_come_back_from_a_snapshot(case: Case, tmp_path: Path) -> None:
    spec = spec_of(case.image)
    first = await case.provider.provision(spec)
    await bash(
        first, "echo a > /workspace/a; echo h > ~/h; echo o > /mnt/session/outputs/o"
    )
    await first.close()
    await case.provider.destroy(spec.session_id, keep_workspace=True)
    snapshot = tmp_path / "snapshot.tar"
    assert await case.provider.snapshot(spec.session_id, snapshot)
    await case.provider.destroy(spec.session_id, keep_workspace=False)
    again = await case.provider.provision(replace(spec, snapshot=snapshot))
    assert again.origin.files == Files.RESTORED
    told = await bash(again, "cat /workspace/a ~/h /mnt/session/outputs/o")
    assert text(told) == "a\nh\no"
    await again.close()


async def test_a_snapshot_is_not_taken_where_files_are_kept(
    case: Case, tmp_path: Path
) -> None:
    spec = spec_of(case.image, snapshot=tmp_path / "none.tar")
    sandbox = await case.provider.provision(spec)
    assert sandbox.origin.files == Files.NEW
    await bash(sandbox, "echo old > note")
    await sandbox.close()
    await case.provider.destroy(spec.session_id, keep_workspace=True)
    assert await case.provider.snapshot(spec.session_id, tmp_path / "none.tar")
    sandbox = await case.provider.provision(spec)
    await bash(sandbox, "echo new > note")
    await sandbox.close()
    await case.provider.destroy(spec.session_id, keep_workspace=True)
    sandbox = await case.provider.provision(spec)
    assert text(await bash(sandbox, "cat note")) == "new"
    await sandbox.close()


async def test_there_is_no_snapshot_of_nothing(case: Case, tmp_path: Path) -> None:
    assert not await case.provider.snapshot(new_id(), tmp_path / "snapshot.tar")
    assert list(tmp_path.iterdir()) == []


async def test_a_used_sandbox_is_nobodys_alone(case: Case) -> None:
    spec = spec_of(case.image)
    used = [await case.provider.provision(spec) for _ in range(2)]
    for sandbox in used:
        async with case.provider.alone(spec.session_id) as alone:
            assert not alone
        await sandbox.close()
    async with case.provider.alone(spec.session_id) as alone:
        assert alone
    assert await case.provider.running() == {spec.session_id}


@pytest.mark.parametrize("keep", [True, False])
async def test_files_outlive_a_sandbox_when_they_shall(case: Case, keep: bool) -> None:
    spec = spec_of(case.image)
    first = await case.provider.provision(spec)
    await bash(
        first, "echo a > /workspace/a; echo h > ~/h; echo o > /mnt/session/outputs/o"
    )
    await first.close()
    await case.provider.destroy(spec.session_id, keep_workspace=keep)
    second = await case.provider.provision(spec)
    told = await bash(second, "cat /workspace/a ~/h /mnt/session/outputs/o")
    assert told.is_error is not keep
    assert (text(told) == "a\nh\no") is keep
    await second.close()


async def test_it_gives_a_sandbox_the_variables_of_its_environment(case: Case) -> None:
    sandbox = await case.sandbox(environment={"COLOUR": "red"})
    assert text(await bash(sandbox, "echo $COLOUR")) == "red"
    await sandbox.close()


async def test_the_shell_keeps_its_folder_and_variables(sandbox: Sandbox) -> None:
    assert text(await bash(sandbox, "pwd")) == "/workspace"
    await bash(sandbox, "cd /tmp && export COLOUR=green")
    assert text(await bash(sandbox, "pwd; echo $COLOUR")) == "/tmp\ngreen"


async def test_a_restart_forgets_variables(sandbox: Sandbox) -> None:
    await bash(sandbox, "export COLOUR=green")
    assert "restarted" in text(await run(sandbox, "bash", restart=True))
    assert text(await bash(sandbox, "echo [$COLOUR]")) == "[]"


async def test_output_is_never_empty(sandbox: Sandbox) -> None:
    assert text(await bash(sandbox, "true")) == "(no output)"


async def test_a_failing_command_is_an_error_with_its_code(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "echo before; cat nothing-here")
    assert outcome.is_error
    assert text(outcome).startswith("before\n")
    assert text(outcome).endswith("Exit code 1")


async def test_an_unknown_command_ends_with_127(sandbox: Sandbox) -> None:
    assert text(await bash(sandbox, "no-such-command")).endswith("Exit code 127")


async def test_exit_ends_the_shell_and_keeps_folder_and_variables(
    sandbox: Sandbox,
) -> None:
    outcome = await bash(sandbox, "cd /tmp; export COLOUR=grey; exit 3")
    assert outcome.is_error
    assert "Exit code 3" in text(outcome)
    assert text(await bash(sandbox, "pwd; echo $COLOUR")) == "/tmp\ngrey"


async def test_a_command_out_of_time_is_ended_and_says_so(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "cd /tmp; echo begun; sleep 600", timeout_ms=300)
    assert outcome.is_error
    assert text(outcome).startswith("begun\nTimed out after 0.3 s")
    assert text(await bash(sandbox, "echo well")) == "well"


async def test_a_call_runs_once_however_often_it_is_sent(sandbox: Sandbox) -> None:
    call = ("call_1", "bash", {"command": "echo x >> log"})
    first, second = [await sandbox.execute(*call) for _ in range(2)]
    assert first == second
    assert await sandbox.read("/workspace/log") == b"x\n"


async def test_sending_a_running_call_again_joins_it(sandbox: Sandbox) -> None:
    call = ("call_1", "bash", {"command": "echo x >> log; sleep 0.2"})
    first, second = await asyncio.gather(sandbox.execute(*call), sandbox.execute(*call))
    assert first == second
    assert await sandbox.read("/workspace/log") == b"x\n"


async def test_it_remembers_what_became_of_a_call(sandbox: Sandbox) -> None:
    assert await sandbox.outcome("call_1") is None
    call = ("call_1", "bash", {"command": "sleep 0.3; echo done"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    assert isinstance(await sandbox.outcome("call_1"), Running | ToolOutcome)
    assert await running == await sandbox.outcome("call_1")


async def test_an_abandoned_call_goes_on_and_its_outcome_is_collected(
    sandbox: Sandbox,
) -> None:
    call = ("call_1", "bash", {"command": "sleep 0.2; echo done"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    running.cancel()
    assert text(await sandbox.execute(*call)) == "done"


async def test_a_cancelled_call_ends_as_an_error(sandbox: Sandbox) -> None:
    call = ("call_1", "bash", {"command": "echo begun; sleep 600"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    await sandbox.cancel("call_1")
    outcome = await running
    assert outcome.is_error
    assert "Cancelled" in text(outcome)
    assert text(await bash(sandbox, "echo well")) == "well"


async def test_cancelling_what_does_not_run_does_nothing(sandbox: Sandbox) -> None:
    await sandbox.cancel("call_unknown")


async def test_commands_wait_for_one_another(sandbox: Sandbox) -> None:
    slow = asyncio.create_task(
        sandbox.execute("call_1", "bash", {"command": "sleep 0.2; echo 1 >> log"})
    )
    await until(lambda: sandbox.outcome("call_1"))
    await bash(sandbox, "echo 2 >> log")
    await slow
    assert await sandbox.read("/workspace/log") == b"1\n2\n"


async def test_other_tools_do_not_wait_for_a_command(sandbox: Sandbox) -> None:
    slow = asyncio.create_task(
        sandbox.execute("call_1", "bash", {"command": "sleep 600"})
    )
    await until(lambda: sandbox.outcome("call_1"))
    assert not (await run(sandbox, "write", file_path="a", content="a")).is_error
    await sandbox.cancel("call_1")
    await slow


async def test_a_lost_sandbox_leaves_an_unknown_outcome(case: Case) -> None:
    spec = spec_of(case.image)
    sandbox = await case.provider.provision(spec)
    await bash(sandbox, "echo kept > /workspace/kept")
    call = ("call_1", "bash", {"command": "sleep 600"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    await case.lose(spec.session_id)
    with pytest.raises(OutcomeUnknown, match=r"call_1.*" + spec.session_id):
        await running
    await refused_and_renewed(case, spec, sandbox)


async def refused_and_renewed(case: Case, spec: SandboxSpec, lost: Sandbox) -> None:
    with pytest.raises(SandboxGone, match=spec.session_id):
        await bash(lost, "echo never")
    await lost.close()
    again = await case.provider.provision(spec)
    assert await again.outcome("call_1") is None
    assert text(await bash(again, "cat /workspace/kept")) == "kept"
    await again.close()


async def test_long_output_goes_to_a_file(sandbox: Sandbox) -> None:
    whole = b"0123456789" * 15_000 + b"\nlast\n"
    await sandbox.write("/workspace/long", whole)
    outcome = await bash(sandbox, "cat long")
    assert outcome.spilled
    assert outcome.spilled in text(outcome)
    assert text(outcome).endswith("last")
    assert len(text(outcome)) < 25_000
    assert (await sandbox.read(outcome.spilled)).strip() == whole.strip()


async def test_the_host_reads_and_writes_bytes(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 10_000
    await sandbox.write("/workspace/deep/er/data", data)
    assert await sandbox.read("/workspace/deep/er/data") == data
    await sandbox.write("/workspace/empty", b"")
    assert await sandbox.read("/workspace/empty") == b""


async def test_the_host_cannot_read_what_is_not_there(sandbox: Sandbox) -> None:
    with pytest.raises(FileUnavailable, match="/workspace/nothing"):
        await sandbox.read("/workspace/nothing")


async def test_uploads_are_there_and_other_files_are_placed_once(
    case: Case, tmp_path: Path
) -> None:
    source = tmp_path / "report.txt"
    source.write_text("numbers\n")
    paths = "/mnt/session/uploads/a/report.txt", "/workspace/report.txt"
    spec = spec_of(
        case.image, files=tuple(FileMount(path=path, source=source) for path in paths)
    )
    sandbox = await case.provider.provision(spec)
    assert text(await bash(sandbox, f"cat {' '.join(paths)}")) == "numbers\nnumbers"
    await bash(sandbox, "rm /workspace/report.txt")
    await sandbox.close()
    again = await case.provider.provision(spec)
    assert (await bash(again, "cat /workspace/report.txt")).is_error
    await again.close()


async def test_a_sandbox_that_runs_sees_files_come_change_and_go(
    case: Case, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    new.write_text("new")
    places = "/mnt/session/uploads/deep/report.txt", "/workspace/report.txt"

    def mounted(*sources: Path) -> tuple[FileMount, ...]:
        return tuple(
            FileMount(path=path, source=source) for path in places for source in sources
        )

    spec = spec_of(case.image)
    sandbox = await case.provider.provision(spec)
    for source in (old, new):
        again = await case.provider.provision(replace(spec, files=mounted(source)))
        await again.close()
        shown = text(await bash(sandbox, f"cat {' '.join(places)}"))
        assert shown == source.name * 2
    await (await case.provider.provision(spec)).close()
    for path in places:
        assert (await bash(sandbox, f"cat {path}")).is_error
    await sandbox.close()


@pytest.mark.docker
async def test_a_script_that_is_mounted_can_be_run(
    docker_provider: Provider, base_image: str, tmp_path: Path
) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho ran")
    path = "/workspace/skills/s/run.sh"
    files = (FileMount(path=path, source=script, executable=True),)
    sandbox = await docker_provider.provision(spec_of(base_image, files=files))
    assert text(await bash(sandbox, path)) == "ran"
    await sandbox.close()


@pytest.mark.docker
async def test_an_upload_cannot_be_changed_in_the_sandbox(
    docker_provider: Provider, base_image: str, tmp_path: Path
) -> None:
    source = tmp_path / "report.txt"
    source.write_text("numbers")
    path = "/mnt/session/uploads/report.txt"
    files = (FileMount(path=path, source=source),)
    sandbox = await docker_provider.provision(spec_of(base_image, files=files))
    told = await bash(sandbox, f"echo mine > {path}; rm -f {path}; cat {path}")
    assert "Read-only file system" in text(told)
    assert text(told).endswith("numbers")
    await sandbox.close()


async def test_it_lists_plain_files_below_a_folder_with_marks(sandbox: Sandbox) -> None:
    out = "/mnt/session/outputs"
    assert (await sandbox.files_below(out, 10)).files == ()
    await sandbox.write(f"{out}/a.txt", b"one")
    await sandbox.write(f"{out}/deep/b.txt", b"three")
    first = await sandbox.files_below(out, 10)
    assert {each.path: each.size for each in first.files} == {
        "a.txt": 3,
        "deep/b.txt": 5,
    }
    assert not first.more
    await sandbox.write(f"{out}/a.txt", b"two")
    again = {each.path: each.mark for each in (await sandbox.files_below(out, 9)).files}
    changed = {each.path for each in first.files if again[each.path] != each.mark}
    assert changed == {"a.txt"}
    few = await sandbox.files_below(out, 1)
    assert (len(few.files), few.more) == (1, True)


async def test_a_folder_that_is_not_there_has_no_files(sandbox: Sandbox) -> None:
    assert (await sandbox.files_below("/workspace/nothing", 10)).files == ()


async def test_a_file_comes_in_pieces(sandbox: Sandbox) -> None:
    data = b"0123456789" * 300_000
    await sandbox.write("/workspace/large", data)
    assert (
        b"".join([piece async for piece in sandbox.pieces("/workspace/large")]) == data
    )
    with pytest.raises(FileUnavailable):
        await anext(aiter(sandbox.pieces("/workspace/nothing")))


@pytest.mark.docker
async def test_links_pipes_and_devices_are_no_outputs(
    docker_provider: Provider, base_image: str
) -> None:
    sandbox = await docker_provider.provision(spec_of(base_image))
    await bash(
        sandbox,
        "cd /mnt/session/outputs && ln -s /etc/passwd link && ln -s / root"
        " && mkfifo pipe && echo real > real && touch $'new\\nline' $'\\xff'",
    )
    found = await sandbox.files_below("/mnt/session/outputs", 10)
    labels = {each.label for each in found.files}
    assert labels == {"real", "new\nline", "?"}
    pieces = {each.label: each for each in found.files}
    odd = f"/mnt/session/outputs/{pieces['?'].path}"
    assert [piece async for piece in sandbox.pieces(odd)] == [b""]
    await sandbox.close()


async def test_a_provider_finds_what_runs_and_starts_nothing(case: Case) -> None:
    spec = spec_of(case.image)
    assert await case.provider.find(spec.session_id) is None
    sandbox = await case.provider.provision(spec)
    found = await case.provider.find(spec.session_id)
    assert found is not None
    await found.write("/workspace/a", b"a")
    assert await sandbox.read("/workspace/a") == b"a"
    await sandbox.close()
    await found.close()
    await case.provider.destroy(spec.session_id, keep_workspace=True)
    assert await case.provider.find(spec.session_id) is None


async def test_a_file_that_is_removed_is_gone_and_removed_twice_is_no_matter(
    sandbox: Sandbox,
) -> None:
    await sandbox.write("/workspace/a", b"a")
    await sandbox.remove("/workspace/a")
    await sandbox.remove("/workspace/a")
    with pytest.raises(FileUnavailable):
        await sandbox.read("/workspace/a")


@pytest.mark.parametrize("path", ["report.txt", "/mnt/session/uploads/../x", "/"])
async def test_it_refuses_a_file_at_no_place(
    case: Case, tmp_path: Path, path: str
) -> None:
    mount = FileMount(path=path, source=tmp_path / "report.txt")
    with pytest.raises(ProvisionFailed, match="absolute"):
        await case.sandbox(files=(mount,))


async def test_write_makes_parents_and_read_returns_text(sandbox: Sandbox) -> None:
    wrote = await run(sandbox, "write", file_path="new/a.txt", content="one\ntwo\n")
    assert text(wrote) == "Wrote 8 bytes to /workspace/new/a.txt."
    assert text(await run(sandbox, "read", file_path="new/a.txt")) == "one\ntwo\n"
    part = await run(sandbox, "read", file_path="new/a.txt", view_range=[2, -1])
    assert text(part) == "two\n"


async def test_read_returns_images_as_blocks(sandbox: Sandbox) -> None:
    await sandbox.write("/workspace/dot.png", b"\x89PNG\r\n\x1a\n....")
    [block] = (await run(sandbox, "read", file_path="dot.png")).content
    assert block["type"] == "image"
    assert block["source"]["media_type"] == "image/png"


async def test_read_says_what_is_not_there(sandbox: Sandbox) -> None:
    outcome = await run(sandbox, "read", file_path="nothing")
    assert outcome.is_error
    assert text(outcome) == "/workspace/nothing does not exist."


async def test_edit_replaces_one_text(sandbox: Sandbox) -> None:
    await sandbox.write("/workspace/a", b"one two two\n")
    found = {"file_path": "a", "old_string": "one", "new_string": "1"}
    assert text(await run(sandbox, "edit", **found)).startswith("Replaced 1 time in")
    assert await sandbox.read("/workspace/a") == b"1 two two\n"


async def test_edit_wants_to_know_which_of_two(sandbox: Sandbox) -> None:
    await sandbox.write("/workspace/a", b"two\ntwo\n")
    found = {"file_path": "a", "old_string": "two", "new_string": "2"}
    outcome = await run(sandbox, "edit", **found)
    assert outcome.is_error
    assert "2 times in /workspace/a (lines 1, 2)" in text(outcome)
    assert not (await run(sandbox, "edit", **found, replace_all=True)).is_error
    assert await sandbox.read("/workspace/a") == b"2\n2\n"


async def test_glob_lists_the_newest_first(sandbox: Sandbox) -> None:
    for path in ("src/old.py", "src/deep/new.py", "src/notes.txt"):
        await sandbox.write(f"/workspace/{path}", b"x")
        await bash(sandbox, "sleep 0.02")
    found = text(await run(sandbox, "glob", pattern="**/*.py")).splitlines()
    assert found == ["/workspace/src/deep/new.py", "/workspace/src/old.py"]
    none = await run(sandbox, "glob", pattern="*.py")
    assert text(none) == "No files match."


async def test_grep_names_file_and_line(sandbox: Sandbox) -> None:
    await sandbox.write("/workspace/a/b.txt", b"first\nsecond 42\n")
    found = await run(sandbox, "grep", pattern="second [0-9]+")
    assert text(found) == "/workspace/a/b.txt:2:second 42"
    assert text(await run(sandbox, "grep", pattern="third")) == "No lines match."
    assert (await run(sandbox, "grep", pattern="(")).is_error


@pytest.mark.parametrize(
    ("tool", "input", "sentence"),
    [
        ("paint", {}, "There is no tool 'paint'"),
        ("read", {}, "read needs 'file_path'."),
        ("read", {"file_path": 3}, "'file_path' must be text"),
        ("read", {"file_path": "a", "lines": 3}, "it has no 'lines'"),
        ("bash", {}, "bash needs 'command'"),
        ("bash", {"command": "x", "timeout_ms": 0}, "'timeout_ms' must be from 1"),
        ("edit", {"file_path": "a", "old_string": "", "new_string": ""}, "is empty"),
        ("read", {"file_path": "a", "view_range": [3, 1]}, "ends before it begins"),
    ],
)
async def test_it_says_what_is_wrong_with_a_call(
    sandbox: Sandbox, tool: str, input: dict[str, Any], sentence: str
) -> None:
    outcome = await run(sandbox, tool, **input)
    assert outcome.is_error
    assert sentence in text(outcome)
