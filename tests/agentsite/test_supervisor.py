"""The supervisor's parts: children, locks, leftovers, users and last words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from agentsite import boxes, engine
from agentsite.conf import ROOT, Conf
from agentsite.supervisor import identity, lock, site, welcome
from agentsite.supervisor.child import Child, Command
from agentsite.supervisor.leftovers import Leftovers
from agentsite.supervisor.roles import ROLES, command_of
from sandbox.bubblewrap import machine
from sandbox.errors import EngineUnavailable

SOON = 20


class Terminal:
    """What children said, and a way to wait for it."""

    def __init__(self):
        self.lines = []
        self._news = asyncio.Event()

    def __call__(self, name, line):
        self.lines.append(line)
        self._news.set()

    async def hears(self, wanted, times=1):
        async with asyncio.timeout(SOON):
            while sum(wanted in line for line in self.lines) < times:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
async def start(terminal, tmp_path):
    """Starts supervised children, and ends what a test leaves."""
    children, keepers = [], []

    def begin(script, **options):
        command = Command(name="test", argv=("sh", "-c", script), **options)
        child = Child(command, terminal, Leftovers(tmp_path / "children"))
        children.append(child)
        keepers.append(asyncio.create_task(child.keep()))
        return child

    yield begin
    for child in children:
        child.kill()
    await asyncio.gather(*keepers)


async def gone(pid):
    async with asyncio.timeout(SOON):
        while os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            await asyncio.sleep(0.01)


async def test_a_child_that_ends_is_started_again(start, terminal):
    start("echo began; exit 3")
    await terminal.hears("began", times=2)
    assert "ended with code 3; it starts again in 0.25 s" in terminal.lines


async def test_a_killed_child_is_started_again(start, terminal):
    child = start("echo began; exec sleep 100")
    await terminal.hears("began")
    os.kill(child.pid, signal.SIGKILL)
    await terminal.hears("began", times=2)
    assert any("was ended by SIGKILL" in line for line in terminal.lines)


async def test_a_killed_child_is_missed_while_what_it_started_holds_its_output(
    start, terminal
):
    child = start("sleep 100 & echo began; wait")
    await terminal.hears("began")
    os.kill(child.pid, signal.SIGKILL)
    await terminal.hears("began", times=2)


async def test_a_stopped_child_stays_away(start, terminal):
    child = start(
        "trap 'echo bye; exit 0' TERM; echo began; while :; do sleep 0.05; done"
    )
    await terminal.hears("began")
    await child.stop()
    assert child.pid is None
    assert terminal.lines == ["began", "bye"]


async def test_a_child_that_does_not_listen_is_killed_after_its_grace(start, terminal):
    child = start("trap '' TERM; echo began; while :; do sleep 0.05; done", grace=0.2)
    await terminal.hears("began")
    await child.stop()
    assert child.pid is None
    assert "did not end within 0.2 s and is killed" in terminal.lines


async def test_what_a_child_started_ends_with_it(start, terminal):
    child = start("sleep 100 & echo $!; wait")
    await terminal.hears("")
    grandchild = int(terminal.lines[0])
    await child.stop()
    await gone(grandchild)
    assert terminal.lines == [str(grandchild)]  # not a word of a grace that ran out


async def test_a_line_without_end_is_shown_in_parts(start, terminal):
    start("head -c 50000 /dev/zero | tr '\\0' x; exec sleep 100")
    await terminal.hears("x" * 20_000)


def test_a_second_supervisor_of_a_role_is_refused(tmp_path):
    with lock.take(tmp_path, ["web", "bus"], "http://here"):
        with pytest.raises(lock.AlreadyRunning, match="already running at http://here"):
            lock.take(tmp_path, ["worker", "web"], "http://here")
        with lock.take(tmp_path, ["worker"], "http://here"):
            pass


def test_a_role_is_free_again_once_its_supervisor_is_gone(tmp_path):
    lock.take(tmp_path, ["web"], "http://here").close()
    lock.take(tmp_path, ["web"], "http://here").close()


def test_a_leftover_is_ended_with_its_group(tmp_path):
    leftovers = Leftovers(tmp_path)
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    leftovers.remember("web", process.pid)
    Leftovers(tmp_path).end(["web"])
    assert process.wait(SOON) == -signal.SIGKILL


def test_a_process_that_took_over_the_number_is_left_alone(tmp_path):
    leftovers = Leftovers(tmp_path)
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    (tmp_path / "web").write_text(f"{process.pid} 1")
    leftovers.end(["web"])
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_folder_only_root_may_enter_is_covered_and_the_checkout_shown(tmp_path):
    home = tmp_path / "root"
    checkout = home / "src" / "agentsite"
    (checkout / "var").mkdir(parents=True)
    home.chmod(0o700)
    tmp_path.chmod(0o755)
    nobody = 65_534
    found = identity.veils([checkout, checkout / "var"], nobody, [nobody])
    assert found[_first_closed(found, home)] == [str(checkout)]


def _first_closed(found, home):
    """The outermost cover: pytest's own folder may be closed already."""
    covers = [cover for cover in found if home.is_relative_to(cover)]
    assert len(covers) == 1
    return covers[0]


def test_what_everybody_may_enter_is_not_covered():
    assert identity.veils([ROOT / "agentsite"], os.getuid(), os.getgroups()) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_a_child_sees_its_checkout_below_a_closed_folder(
    start, tmp_path, terminal
):
    closed = tmp_path / "closed"
    shown = closed / "checkout"
    shown.mkdir(parents=True)
    (shown / "file").write_text("seen")
    (closed / "secret").write_text("hidden")
    closed.chmod(0o700)
    nobody = 65_534
    shown.chmod(0o755)
    me = identity.Identity(
        uid=nobody,
        gid=nobody,
        groups=(nobody,),
        veils=identity.veils([shown], nobody, [nobody]),
    )
    start(f"cat {shown}/file; echo; ls {closed}; id -u; exec sleep 100", identity=me)
    await terminal.hears(str(nobody))
    assert terminal.lines[:3] == ["seen", "checkout", str(nobody)]
    assert (closed / "secret").read_text() == "hidden"  # not covered for us


def test_up_refuses_a_role_it_does_not_know():
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="and not wrker"):
        call_command("up", roles="web,wrker")


def test_every_role_has_a_command(settings):
    conf = settings.AGENTSITE
    commands = [command_of(role, conf, identity.Identity()) for role in ROLES]
    assert [command.name for command in commands] == list(ROLES)


def test_a_shared_bus_needs_no_own_one(settings):
    from pydantic import SecretStr

    conf = settings.AGENTSITE.model_copy(
        update={"redis_url": SecretStr("redis://elsewhere:6379/0")}
    )
    assert command_of("bus", conf, identity.Identity()) is None


def test_under_ssh_the_last_lines_say_how_to_get_there(settings, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.1 22")
    said = "\n".join(welcome.lines(settings.AGENTSITE))
    assert "ssh -L 8400:127.0.0.1:8400" in said
    assert "@10.0.0.1" in said


def test_without_ssh_they_do_not(settings, monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert "ssh" not in "\n".join(welcome.lines(settings.AGENTSITE))


def test_a_reader_that_left_does_not_end_the_site(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        site.say("nobody hears this")
        with contextlib.suppress(BrokenPipeError):
            closed.close()


@pytest.fixture
def no_engine(monkeypatch):
    """A machine on which no container engine can be had."""

    def refuse(**_):
        raise engine.NoEngine("No container engine answers here.")

    monkeypatch.setattr(engine, "ensure", refuse)
    monkeypatch.setenv("AGENTSITE_SANDBOX", "")
    monkeypatch.delenv("AGENTSITE_SANDBOX")


async def test_without_an_engine_bubblewrap_is_taken_and_said(
    no_engine, monkeypatch, capsys
):
    monkeypatch.setattr(boxes, "ensure", lambda **_: None)
    up = site.Site(Conf(), ["worker"])
    await up._start_engine()
    assert up.conf.sandbox == "bubblewrap"
    assert os.environ["AGENTSITE_SANDBOX"] == "bubblewrap"
    said = capsys.readouterr().out
    assert "No container engine answers here. Until then" in said
    assert "made by bubblewrap" in said


async def test_who_asks_for_docker_gets_nothing_else(no_engine, monkeypatch):
    monkeypatch.setenv("AGENTSITE_SANDBOX", "docker")
    up = site.Site(Conf(), ["worker"])
    with pytest.raises(site.CannotStart, match="No container engine answers here"):
        await up._start_engine()


async def test_who_asks_for_a_runtime_gets_nothing_weaker(no_engine, monkeypatch):
    monkeypatch.setenv("AGENTSITE_SANDBOX_RUNTIME", "runsc")
    up = site.Site(Conf(), ["worker"])
    with pytest.raises(site.CannotStart, match="No container engine answers here"):
        await up._start_engine()


@pytest.mark.docker
async def test_a_runtime_that_the_engine_has_not_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("AGENTSITE_SANDBOX_RUNTIME", "runsc-of-nobody")
    up = site.Site(Conf(), ["worker"])
    with pytest.raises(site.CannotStart, match=r"has no such runtime, only .*\brunc\b"):
        await up._need_runtime()
    monkeypatch.setenv("AGENTSITE_SANDBOX_RUNTIME", "runc")
    await site.Site(Conf(), ["worker"])._need_runtime()


async def test_without_both_it_says_what_to_install(no_engine, monkeypatch):
    monkeypatch.setattr(machine, "program", lambda: unusable())
    up = site.Site(Conf(), ["worker"])
    with pytest.raises(site.CannotStart, match=r"answers here.* no namespaces"):
        await up._start_engine()


def unusable():
    raise EngineUnavailable("This machine gives users no namespaces.")
