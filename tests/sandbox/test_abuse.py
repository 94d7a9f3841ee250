"""What an agent may try in a sandbox, and what must come of it."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.base import Sandbox
from sandbox.errors import FileUnavailable, SandboxGone
from sandbox.spec import Files, Limits
from tests.sandbox.fixtures import Place
from tests.sandbox.places import bash, run, spec_of, text, until

LIMITS = Limits(memory_mb=512, pids=128, tmp_mb=32)


@pytest_asyncio.fixture
async def sandbox(place: Place) -> AsyncIterator[Sandbox]:
    sandbox = await place.provider.provision(spec_of(place.image, limits=LIMITS))
    yield sandbox
    await sandbox.close()


async def test_it_has_no_rights_beyond_a_user(sandbox: Sandbox) -> None:
    status = text(await bash(sandbox, "cat /proc/self/status"))
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert text(await bash(sandbox, "id -u")) == "1000"


@pytest.mark.parametrize(
    "command",
    [
        "touch /usr/x",
        "touch /mnt/session/uploads/x",
        "mount -t tmpfs none /mnt",
        "unshare -U true",
        "cat /etc/shadow",
        "ls /var/run/docker.sock",
        "echo x > /proc/sysrq-trigger",
        "rm /run/agentsite/egress/egress.sock; touch /run/agentsite/egress/x",
    ],
)
async def test_it_is_denied(sandbox: Sandbox, command: str) -> None:
    assert (await bash(sandbox, command)).is_error


async def test_nothing_in_the_image_raises_rights(sandbox: Sandbox) -> None:
    found = await bash(sandbox, "find / -xdev -perm /6000 -type f 2>/dev/null")
    assert "/" not in text(found).replace("Exit code 1", "")


async def test_it_has_no_network_of_its_own(sandbox: Sandbox) -> None:
    devices = text(await bash(sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1"))
    assert devices.split() == ["lo"]
    direct = "curl -sS --noproxy '*' --max-time 2 http://169.254.169.254/"
    assert (await bash(sandbox, direct)).is_error


async def test_without_an_egress_proxy_it_is_told_so(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "curl -sS http://example.org/")
    assert "egress proxy of this sandbox does not answer" in text(outcome)


async def test_a_fork_bomb_is_contained_and_ended(sandbox: Sandbox) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 600"
    assert "Timed out" in text(await bash(sandbox, bomb, timeout_ms=1000))
    assert text(await bash(sandbox, "echo well")) == "well"


async def test_a_fork_bomb_left_behind_ends_with_a_restart(sandbox: Sandbox) -> None:
    await bash(sandbox, "bomb() { bomb | bomb & }; bomb")
    again = await run(sandbox, "bash", restart=True, command="echo well")
    assert text(again) == "well"


async def test_a_memory_bomb_ends_the_command_and_not_the_sandbox(
    sandbox: Sandbox,
) -> None:
    outcome = await bash(sandbox, "python3 -c 'x = bytearray(2 << 30)'")
    assert outcome.is_error
    assert text(await bash(sandbox, "echo well")) == "well"


async def test_tmp_is_bounded(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "head -c 100000000 /dev/zero > /tmp/big")
    assert "No space left" in text(outcome)
    assert text(await bash(sandbox, "rm -rf /tmp/*; echo well")) == "well"


@pytest_asyncio.fixture
async def small(place: Place) -> AsyncIterator[Sandbox]:
    """A sandbox whose files may take 64 MB."""
    limits = replace(LIMITS, disk_mb=64)
    sandbox = await place.provider.provision(spec_of(place.image, limits=limits))
    yield sandbox
    await sandbox.close()


async def test_no_file_is_larger_than_all_may_be(small: Sandbox) -> None:
    outcome = await bash(small, "head -c 100000000 /dev/zero > big")
    assert "File size limit exceeded" in text(outcome)
    sparse = await bash(small, "truncate -s 1T sparse")
    assert "File size limit exceeded" in text(sparse)
    assert text(await bash(small, "rm big; echo well")) == "well"


async def test_a_command_that_fills_the_disk_is_ended_with_a_sentence(
    small: Sandbox,
) -> None:
    fill = "for i in $(seq 20); do head -c 20000000 /dev/zero > f$i; done; sleep 600"
    outcome = await bash(small, fill)
    assert outcome.is_error
    assert "Cancelled" in text(outcome)
    assert "64 MB are allowed" in outcome.content[-1]["text"]
    still = await bash(small, "echo more")
    assert still.is_error
    assert "64 MB are allowed" in still.content[-1]["text"]
    assert (await bash(small, "rm f*; echo well")).content[0]["text"] == "well"
    well = await bash(small, "echo well")
    assert (text(well), well.is_error, len(well.content)) == ("well", False, 1)


async def test_what_is_hidden_from_its_owner_is_counted(small: Sandbox) -> None:
    hide = (
        "mkdir d; for i in 1 2 3 4 5; do head -c 20000000 /dev/zero > d/$i; done;"
        " chmod 000 d; sleep 600"
    )
    assert "64 MB are allowed" in (await bash(small, hide)).content[-1]["text"]


async def test_endless_output_is_bounded_and_counted(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "head -c 100000000 /dev/zero | tr '\\0' x; echo end")
    said = text(outcome)
    assert said.startswith("[100000004 bytes of output")
    assert f"{100_000_004 - 16 * 1024 * 1024} bytes dropped" in said
    assert said.endswith("end")
    assert len(said) < 30_000


async def test_binary_output_is_text(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "head -c 3000 /dev/urandom")
    assert text(outcome).encode()


@pytest.mark.parametrize(
    "escape",
    [
        "sleep 654 & sleep 600",
        "setsid sleep 654 & sleep 600",
        "env -i setsid sleep 654 & sleep 600",
        "(setsid sh -c 'sleep 654 & sleep 654' &); sleep 600",
        'python3 -c "import os; os.fork() or os.setsid() or os.fork() or '
        "os.execve('/bin/sleep', ['sleep', '654'], {})\"; sleep 600",
    ],
)
async def test_nothing_that_a_call_started_outlives_its_time(
    sandbox: Sandbox, escape: str
) -> None:
    assert "Timed out" in text(await bash(sandbox, escape, timeout_ms=1000))
    assert text(await bash(sandbox, "pgrep -c sleep")).startswith("0")


async def test_a_cancelled_call_takes_its_grandchildren_along(sandbox: Sandbox) -> None:
    call = ("call_1", "bash", {"command": "setsid sleep 654 & sleep 600"})
    running = asyncio.create_task(sandbox.execute(*call))
    await until(lambda: sandbox.outcome("call_1"))
    await sandbox.cancel("call_1")
    assert "Cancelled" in text(await running)
    assert text(await bash(sandbox, "pgrep -c sleep")).startswith("0")


async def test_a_server_left_running_serves_the_next_call(sandbox: Sandbox) -> None:
    await bash(sandbox, "python3 -m http.server 8000 & nohup sleep 987 &")
    fetch = "curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/"
    ask = f"until {fetch} 2>/dev/null; do sleep 0.1; done"
    assert text(await bash(sandbox, ask)).endswith("200")
    assert "Timed out" in text(await bash(sandbox, "sleep 600", timeout_ms=300))
    assert text(await bash(sandbox, ask)).endswith("200")
    assert text(await bash(sandbox, "pgrep -c -f 'sleep 987'")) == "1"


async def test_a_background_process_that_holds_the_pipe_holds_up_nobody(
    sandbox: Sandbox,
) -> None:
    outcome = await bash(sandbox, "sleep 600 & echo done")
    assert text(outcome) == "done"


async def test_a_command_gets_no_input(sandbox: Sandbox) -> None:
    assert text(await bash(sandbox, "cat; echo done")) == "done"


async def test_a_script_of_any_size_and_shape_runs(sandbox: Sandbox) -> None:
    script = f"cat <<'END'\n{'x' * 200_000}\nEND\necho 'it''s' \"done\""
    assert text(await bash(sandbox, script)).endswith("its done")
    assert (await bash(sandbox, "echo 'open")).is_error
    assert text(await bash(sandbox, "set -eu; echo fine")) == "fine"
    assert (await bash(sandbox, "false; echo never")).is_error


async def test_the_host_follows_no_link_out_of_a_sandbox(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    await bash(sandbox, f"ln -s {secret} /workspace/leak; ln -s /proc /workspace/proc")
    with pytest.raises(FileUnavailable, match="does not exist"):
        await sandbox.read("/workspace/leak")
    with pytest.raises(FileUnavailable):
        await sandbox.read("/workspace/proc/kmsg")


async def test_a_pipe_or_device_is_no_file(sandbox: Sandbox) -> None:
    await bash(sandbox, "mkfifo /workspace/pipe")
    for path in ("/workspace/pipe", "/dev/zero"):
        with pytest.raises(FileUnavailable, match=r"not a plain file|No such device"):
            await sandbox.read(path)
    assert (await run(sandbox, "read", file_path="/workspace/pipe")).is_error
    assert (await run(sandbox, "write", file_path="pipe", content="x")).is_error


async def test_a_sandbox_that_ends_its_own_tool_server_gets_a_new_one(
    place: Place,
) -> None:
    spec = spec_of(place.image)
    first = await place.provider.provision(spec)
    call = first.execute("call_1", "bash", {"command": "pkill -9 -f toolserver"})
    with pytest.raises(Exception, match=spec.session_id):
        await call
    await first.close()
    second = await place.provider.provision(spec)
    assert text(await bash(second, "echo well")) == "well"
    await second.close()


async def test_a_sandbox_cannot_lead_the_host_to_another_socket(
    place: Place,
) -> None:
    spec = spec_of(place.image)
    first = await place.provider.provision(spec)
    await bash(
        first, "cd /run/agentsite/tools && ln -sf /var/run/docker.sock tools.sock"
    )
    await first.close()
    with pytest.raises(SandboxGone):
        await first.execute("call_2", "bash", {"command": "echo x"})
    second = await place.provider.provision(spec)
    assert text(await bash(second, "echo well")) == "well"
    await second.close()


async def test_system_packages_belong_to_the_environment(sandbox: Sandbox) -> None:
    outcome = await bash(sandbox, "apt-get install cowsay")
    assert outcome.is_error
    assert "packages.apt" in text(outcome)


async def test_search_is_bounded(sandbox: Sandbox) -> None:
    await bash(sandbox, "mkdir many && cd many && touch $(seq 300) && cd ..")
    listed = text(await run(sandbox, "glob", pattern="many/*")).splitlines()
    assert listed[-1] == "[The 200 newest of 300 files.]"
    await bash(sandbox, "yes 'needle and more' | head -100000 > hay")
    found = text(await run(sandbox, "grep", pattern="needle"))
    assert "Cut after" in found
    assert len(found) <= 101_000


async def test_files_of_any_mode_survive_a_snapshot(
    place: Place, tmp_path: Path
) -> None:
    spec = spec_of(place.image)
    first = await place.provider.provision(spec)
    script = (
        "mkdir -p closed; echo inside > closed/file; ln -s closed/file link;"
        " ln closed/file hard; chmod 751 .; chmod 000 closed/file closed"
    )
    assert not (await bash(first, script)).is_error
    await first.close()
    snapshot = tmp_path / "snapshot.tar"
    await place.provider.destroy(spec.session_id, keep_workspace=True)
    assert await place.provider.snapshot(spec.session_id, snapshot)
    await place.provider.destroy(spec.session_id, keep_workspace=False)
    again = await place.provider.provision(replace(spec, snapshot=snapshot))
    look = "stat -c '%a %U' . closed; chmod 700 closed; chmod 600 hard; cat link hard"
    told = text(await bash(again, look)).splitlines()
    assert told == ["751 agent", "0 agent", "inside", "inside"]
    await again.close()


async def test_a_hostile_snapshot_is_harmless(place: Place, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    snapshot = tmp_path / "snapshot.tar"
    with tarfile.open(snapshot, "w") as made:
        for entry in hostile(tmp_path):
            entry.size = 4 if entry.isreg() else 0
            made.addfile(entry, io.BytesIO(b"evil") if entry.isreg() else None)
    spec = spec_of(place.image, snapshot=snapshot)
    sandbox = await place.provider.provision(spec)
    seen = text(await bash(sandbox, "ls -A /workspace; stat -c %a good; cat good"))
    assert seen.split() == ["good", "out", "755", "evil"]
    assert text(await bash(sandbox, "ls -A /mnt/session/uploads")) == "(no output)"
    await sandbox.close()
    assert canary.read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} <= {
        "canary",
        "snapshot.tar",
        "state",
    }


def hostile(folder: Path) -> Iterator[tarfile.TarInfo]:
    good = tarfile.TarInfo("workspace/good")
    good.mode = 0o6755
    yield good
    for name in (
        f"{folder}/canary",
        f"../../../../../../..{folder}/canary",
        "mnt/session/uploads/planted",
        "run/agentsite/tools/tools.sock",
    ):
        yield tarfile.TarInfo(name)
    out = tarfile.TarInfo("workspace/out")
    out.type, out.linkname = tarfile.SYMTYPE, str(folder)
    yield out
    yield tarfile.TarInfo("workspace/out/canary")
    device = tarfile.TarInfo("workspace/memory")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 1
    yield device


async def test_files_that_were_half_restored_are_restored_again(
    place: Place, tmp_path: Path
) -> None:
    spec = spec_of(place.image)
    first = await place.provider.provision(spec)
    await bash(first, "echo whole > note")
    await first.close()
    snapshot = tmp_path / "snapshot.tar"
    await place.provider.destroy(spec.session_id, keep_workspace=True)
    assert await place.provider.snapshot(spec.session_id, snapshot)
    first = await place.provider.provision(spec)
    await bash(first, "echo half > note; echo more > other")
    await first.close()
    await place.provider.destroy(spec.session_id, keep_workspace=True)
    place.provider.places.restoring(spec.session_id).touch()  # a worker died over it
    again = await place.provider.provision(replace(spec, snapshot=snapshot))
    assert again.origin.files == Files.RESTORED
    assert text(await bash(again, "cat *")) == "whole"
    await again.close()


async def test_two_sessions_share_no_files_processes_or_network(
    place: Place,
) -> None:
    one, other = [
        await place.provider.provision(spec_of(place.image)) for _ in range(2)
    ]
    await bash(one, "echo secret > note; sleep 7654 & python3 -m http.server 8000 &")
    seen = await bash(
        other,
        "cat note; pgrep -f 'sleep 7654'; ls -A /workspace /tmp /mnt/session/uploads"
        " /run/agentsite/tools /run/agentsite/egress;"
        " curl -sS --noproxy '*' -m 2 http://127.0.0.1:8000/;"
        " find / -xdev -name tools.sock 2>/dev/null | wc -l",
    )
    assert "secret" not in text(seen)
    assert "Failed to connect" in text(seen)
    socks = await bash(other, "ls /run/agentsite/tools; ls /run/agentsite/egress")
    assert text(socks).split() == ["tools.sock"]
    for sandbox in (one, other):
        await sandbox.close()


async def test_what_a_terminal_would_obey_is_taken_out(sandbox: Sandbox) -> None:
    hostile = r"printf '\033]0;title\007\033[2J\033[31mred\033[0m\x01\x08 text\n'"
    assert text(await bash(sandbox, hostile)) == "red text"


async def test_a_hundred_thousand_small_files_stop_no_call(sandbox: Sandbox) -> None:
    many = (
        "python3 -c \"import os; os.mkdir('many');"
        " [open(f'many/{n}', 'w').close() for n in range(100_000)]\""
    )
    assert not (await bash(sandbox, many)).is_error
    listed = text(await run(sandbox, "glob", pattern="many/*"))
    assert "[Stopped after 50000 entries" in listed
    assert text(await bash(sandbox, "rm -rf many; echo well")) == "well"


async def test_a_client_that_sends_nothing_holds_up_nobody(sandbox: Sandbox) -> None:
    hold = (
        "import socket, time; "
        "s = [socket.socket(socket.AF_UNIX) for _ in range(50)]; "
        "[c.connect('/run/agentsite/tools/tools.sock') or c.send(b'{') for c in s]; "
        "time.sleep(600)"
    )
    await bash(sandbox, f'python3 -c "{hold}" &')
    assert text(await bash(sandbox, "echo well")) == "well"
