"""What bubblewrap sandboxes have that containers have not: an engine of our own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox import socket_provider
from sandbox.base import Sandbox
from sandbox.bubblewrap import processes
from sandbox.bubblewrap.machine import FIRST_UID, NO_CGROUPS, NO_ROOT
from sandbox.bubblewrap.provider import BubblewrapProvider
from sandbox.bubblewrap.trees import Trees
from sandbox.errors import EngineUnavailable, ImageBuildFailed
from sandbox.spec import Limits
from tests.sandbox.fixtures import BoxEngine, running_engine
from tests.sandbox.places import bash, spec_of, text, until

pytestmark = pytest.mark.bubblewrap

SOMEBODY = 47_110
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")


@pytest.fixture
def own_engine(tmp_path: Path, base_tree: tuple[str, Path]) -> Iterator[BoxEngine]:
    """An engine that a test may kill."""
    with running_engine(tmp_path, base_tree[1]) as engine:
        yield engine


async def test_a_call_goes_on_when_the_engine_is_killed(
    own_engine: BoxEngine, base_tree: tuple[str, Path]
) -> None:
    provider = own_engine.provider()
    spec = spec_of(base_tree[0])
    sandbox = await provider.provision(spec)
    call = ("call_1", "bash", {"command": "sleep 1; echo survived"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    own_engine.kill()
    assert text(await running) == "survived"
    with pytest.raises(EngineUnavailable, match=r"boxes\.sock"):
        await provider.check()
    own_engine.start()
    assert await provider.sessions() == {spec.session_id}
    again = await provider.provision(spec)
    assert text(await again.execute(*call)) == "survived"
    await provider.destroy(spec.session_id, keep_workspace=False)
    assert processes.running(own_engine.site) == {}
    for one in (sandbox, again, provider):
        await one.close()


async def test_a_sandbox_without_files_is_found_by_its_label(
    own_engine: BoxEngine, base_tree: tuple[str, Path]
) -> None:
    provider = own_engine.provider()
    spec = spec_of(base_tree[0])
    await (await provider.provision(spec)).close()
    own_engine.boxes().remove_files(spec.session_id)
    assert await provider.sessions() == {spec.session_id}
    await provider.destroy(spec.session_id, keep_workspace=False)
    assert await provider.sessions() == frozenset()
    await provider.close()


async def test_a_sandbox_that_is_being_started_is_not_taken_for_ended(
    bubblewrap_provider: BubblewrapProvider,
    base_tree: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_provider, "ENDED_EVERY", 1)  # ask from the first moment
    for _ in range(5):
        spec = spec_of(base_tree[0])
        await (await bubblewrap_provider.provision(spec)).close()
        await bubblewrap_provider.destroy(spec.session_id, keep_workspace=False)


async def test_a_sandbox_cannot_pass_for_another_ones_process(
    own_engine: BoxEngine, base_tree: tuple[str, Path]
) -> None:
    provider = own_engine.provider()
    sandbox = await provider.provision(spec_of(base_tree[0]))
    label = f"{processes.LABEL}={own_engine.site}/sesn_forged"
    await bash(sandbox, f"env {label} sleep 600 & until pgrep sleep; do :; done")
    assert text(await bash(sandbox, "pgrep -c sleep")) == "1"
    assert await provider.sessions() == {sandbox.session_id}
    await sandbox.close()
    await provider.close()


@pytest_asyncio.fixture
async def sandbox(
    bubblewrap_provider: BubblewrapProvider, base_tree: tuple[str, Path]
) -> AsyncIterator[Sandbox]:
    limits = Limits(memory_mb=512, pids=128, tmp_mb=32)
    sandbox = await bubblewrap_provider.provision(spec_of(base_tree[0], limits=limits))
    yield sandbox
    await sandbox.close()


async def test_nothing_of_the_engines_environment_is_seen(sandbox: Sandbox) -> None:
    seen = text(await bash(sandbox, "tr '\\0' '\\n' </proc/1/environ"))
    assert {line.partition("=")[0] for line in seen.splitlines()} == {
        "PATH",
        processes.LABEL,
    }


@as_root
async def test_each_sandbox_has_a_user_of_its_own(
    bubblewrap_provider: BubblewrapProvider,
    box_engine: BoxEngine,
    base_tree: tuple[str, Path],
) -> None:
    for _ in range(2):
        sandbox = await bubblewrap_provider.provision(spec_of(base_tree[0]))
        await sandbox.close()
    running = processes.running(box_engine.site)
    family = [pid for pids in running.values() for pid in pids]
    family += [child for pid in family for child in processes.children(pid)]
    users = {Path(f"/proc/{pid}").stat().st_uid for pid in family}
    assert len(users) == 2
    assert min(users) >= FIRST_UID


@pytest.mark.parametrize(
    "call",
    [
        "unshare(0x10000000)",  # a user namespace
        "syscall(56, 0x10000011, 0, 0, 0, 0)",  # clone, with one
        "syscall(101, 0, 0, 0, 0)",  # ptrace
        "syscall(425, 1, 0)",  # io_uring_setup
        "mount(b'none', b'/mnt', b'tmpfs', 0, 0)",
    ],
)
async def test_the_filter_refuses(sandbox: Sandbox, call: str) -> None:
    script = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); "
        f"r = c.{call}; print(r, errno.errorcode[ctypes.get_errno()])"
    )
    outcome = await bash(sandbox, f'python3 -c "{script}"')
    assert text(outcome) == "-1 EPERM"


async def test_clone3_is_said_not_to_exist(sandbox: Sandbox) -> None:
    script = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); "
        "c.syscall(435, 0, 0); print(errno.errorcode[ctypes.get_errno()])"
    )
    assert text(await bash(sandbox, f'python3 -c "{script}"')) == "ENOSYS"


@pytest_asyncio.fixture
async def humble(
    base_tree: tuple[str, Path],
) -> AsyncIterator[BubblewrapProvider]:
    """A provider whose engine is not root."""
    state = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    os.chown(state, SOMEBODY, SOMEBODY)
    with running_engine(state, base_tree[1], user=SOMEBODY) as engine:
        provider = engine.provider()
        yield provider
        await provider.close()
    subprocess.run(["rm", "-rf", str(state)], check=True)


@as_root
async def test_without_root_it_runs_on_this_machines_programs(
    humble: BubblewrapProvider,
) -> None:
    assert humble.engine.notes() == [NO_ROOT, NO_CGROUPS]
    limits = Limits(memory_mb=256, pids=64)
    sandbox = await humble.provision(spec_of("host", limits=limits))
    assert text(await bash(sandbox, "echo kept > ~/note; cat ~/note; id -u")) == (
        "kept\n1000"
    )
    bomb = await bash(sandbox, "python3 -c 'x = bytearray(1 << 30)'")
    assert "MemoryError" in text(bomb)
    forks = "bomb() { bomb | bomb & }; bomb; sleep 600"
    assert "Timed out" in text(await bash(sandbox, forks, timeout_ms=500))
    assert (await bash(sandbox, "touch /usr/x")).is_error
    seen = text(await bash(sandbox, "ls -A / /etc /home /var")).splitlines()
    assert not {"root", "srv", "shadow", "passwd", "hostname"} & set(seen)
    await sandbox.close()
    await humble.destroy(sandbox.session_id, keep_workspace=False)
    assert await humble.sessions() == frozenset()


def test_a_tree_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    trees = Trees(folder=tmp_path)
    with pytest.raises(ImageBuildFailed, match="could not be unpacked"):
        trees.unpack("base:1", iter([b"no tar" * 1000]), {})
    assert not trees.has("base:1")
    for name in ("../up", "/etc", "a b", ""):
        assert not trees.has(name)


async def test_a_killed_bubblewrap_takes_everything_along(
    own_engine: BoxEngine, base_tree: tuple[str, Path]
) -> None:
    provider = own_engine.provider()
    sandbox = await provider.provision(spec_of(base_tree[0]))
    await bash(sandbox, "setsid sleep 6543 & disown")
    [first] = processes.running(own_engine.site)[sandbox.session_id]
    family = processes.children(first)
    os.kill(first, signal.SIGKILL)

    async def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in family)

    await until(gone)
    await sandbox.close()
    await provider.close()
