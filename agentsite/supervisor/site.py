"""The supervisor: starts the parts of a site in order, keeps them, ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from agentsite import boxes, engine
from agentsite.conf import Conf
from agentsite.supervisor import lock, roles, welcome
from agentsite.supervisor.child import Child, Command
from agentsite.supervisor.identity import Identity, NoOwnUser, own_user
from agentsite.supervisor.leftovers import Leftovers

STOP_SANDBOXES_SECONDS = 30.0
STILL_SECONDS = 20.0


class CannotStart(Exception):
    """Says in one sentence why the site does not start, and what to do."""


class Site:
    def __init__(self, conf: Conf, wanted: Sequence[str]) -> None:
        self.conf = conf
        self.wanted = [role for role in roles.ROLES if role in wanted]
        self.user = Identity()
        self.children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._leftovers = Leftovers(conf.runtime_dir / "children")
        self._one_shots: set[Child] = set()
        self._own_engine: Child | None = None

    async def run(self) -> None:
        """Bring the site up and keep it until a signal says stop."""
        self.conf.home.mkdir(parents=True, exist_ok=True)
        try:
            alone = lock.take(self.conf.home, self.wanted, self.conf.public_url)
        except lock.AlreadyRunning as running:
            raise CannotStart(str(running)) from None
        with alone:
            self._listen_to_signals()
            try:
                await self._start()
                await self._stop.wait()
            finally:
                await self._end()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._hear)

    def _hear(self) -> None:
        if not self._stop.is_set():
            say("Stopping; a second signal kills at once")
            self._stop.set()
            return
        for child in (*self.children, *self._one_shots):
            child.kill()

    # Start.

    async def _start(self) -> None:
        if "web" in self.wanted:
            _refuse_taken_port(self.conf)
        self._leftovers.end(["engine", "prepare", *self.wanted])
        await self._start_engine()
        self.user = self._who()
        self._make_folders()
        self._start_boxes()
        await self._start_roles(["bus"])
        await self._prepare()
        await self._wait_for_engine()
        await self._need_runtime()
        await self._start_roles([role for role in self.wanted if role != "bus"])
        if not self._stop.is_set():
            self._keepers.append(asyncio.create_task(self._welcome()))

    async def _start_engine(self) -> None:
        if not self._has_sandboxes:
            return
        if self.conf.sandbox == "bubblewrap":
            await self._need_boxes("")
            return
        try:
            argv = await asyncio.to_thread(
                engine.ensure, may_install=self.conf.install, say=say
            )
        except engine.NoEngine as error:
            await self._do_without_engine(str(error))
        else:
            if argv is not None:
                self._own_engine = self._keep(roles.engine_command(argv))

    @property
    def _has_sandboxes(self) -> bool:
        return bool({"worker", "image"} & {*self.wanted})

    async def _wait_for_engine(self) -> None:
        if not self._own_engine or await asyncio.to_thread(engine.wait):
            return
        await self._own_engine.stop()
        await self._do_without_engine(
            "The container engine was started and does not answer: see its words "
            "above, mend that, then run `make up` again."
        )
        self._start_boxes()

    async def _need_runtime(self) -> None:
        """Refuse to start where each sandbox would fail for want of its runtime."""
        asked = "sandbox_runtime" in self.conf.model_fields_set
        if not asked or not self._has_sandboxes or self.conf.sandbox != "docker":
            return
        try:
            await asyncio.to_thread(engine.need_runtime, self.conf.sandbox_runtime)
        except engine.NoEngine as error:
            raise CannotStart(str(error)) from None

    async def _do_without_engine(self, why: str) -> None:
        """Take bubblewrap, unless somebody has said that it must be Docker."""
        if {"sandbox", "sandbox_runtime"} & self.conf.model_fields_set:
            raise CannotStart(why)
        await self._need_boxes(f"{why} Nor can bubblewrap take its place: ")
        say(f"{why} Until then sandboxes are made by bubblewrap instead.")
        os.environ["AGENTSITE_SANDBOX"] = self.conf.sandbox = "bubblewrap"

    async def _need_boxes(self, before: str) -> None:
        try:
            await asyncio.to_thread(
                boxes.ensure, may_install=self.conf.install, say=say
            )
        except engine.NoEngine as error:
            raise CannotStart(f"{before}{error}") from None

    def _start_boxes(self) -> None:
        if "worker" in self.wanted and self.conf.sandbox == "bubblewrap":
            self._keep(roles.boxes_command(self.conf, self.user))

    def _who(self) -> Identity:
        try:
            return own_user(self.conf)
        except NoOwnUser as reason:
            say(f"Warning: the site runs as root, since {reason}.")
            return Identity()

    def _make_folders(self) -> None:
        runtime = self.conf.runtime_dir
        for folder in (runtime, runtime / "hosts", runtime / "queues"):
            folder.mkdir(parents=True, exist_ok=True)
            self.user.own(folder, 0o2770)
        if "bus" in self.wanted:
            roles.bus_socket(self.conf).unlink(missing_ok=True)
        self.user.own_all(runtime)
        self.user.own_all(self.conf.home, besides=self.conf.boxes_folder)
        self._copy_tls_files()

    def _copy_tls_files(self) -> None:
        """The own user cannot read a key that only root may read."""
        if self.user.uid is None or not self.conf.tls_key:
            return
        for name, source in (
            ("AGENTSITE_TLS_CERTIFICATE", self.conf.tls_certificate),
            ("AGENTSITE_TLS_KEY", self.conf.tls_key),
        ):
            target = self.conf.runtime_dir / name.lower()
            shutil.copyfile(str(source), target)
            self.user.own(target, 0o600)
            os.environ[name] = str(target)

    async def _prepare(self) -> None:
        """Migrations and the first rows; also shows that the own user can work here."""
        code = await self._once(roles.one_shot("prepare", "prepare", user=self.user))
        if code and self.user.veils and not self._stop.is_set():
            say("Warning: the site runs as root, since its own user cannot work here.")
            self.user = Identity()
            code = await self._once(
                roles.one_shot("prepare", "prepare", user=self.user)
            )
        if code and not self._stop.is_set():
            raise CannotStart(f"Preparing the database ended with code {code}.")

    async def _once(self, command: Command) -> int:
        child = Child(command, show, self._leftovers)
        self._one_shots.add(child)
        try:
            return await child.run_once()
        finally:
            self._one_shots.discard(child)

    async def _start_roles(self, names: Sequence[str]) -> None:
        for role in names:
            command = roles.command_of(role, self.conf, self.user)
            if command is None or self._stop.is_set() or role not in self.wanted:
                continue
            if role == "image":
                self._keepers.append(asyncio.create_task(self._build(command)))
            else:
                self._keep(command)

    def _keep(self, command: Command) -> Child:
        child = Child(command, show, self._leftovers)
        self.children.append(child)
        self._keepers.append(asyncio.create_task(child.keep()))
        return child

    async def _build(self, command: Command) -> None:
        """Build the base image; a minute without a word would look like a hang."""
        building = asyncio.create_task(self._once(command))
        began = time.monotonic()
        while not (await asyncio.wait({building}, timeout=STILL_SECONDS))[0]:
            show("image", f"still at it ({time.monotonic() - began:.0f} s)")

    async def _welcome(self) -> None:
        if "web" in self.wanted:
            await welcome.when_healthy(self.conf, say)
        else:
            say(f"Running: {', '.join(self.wanted)}. Ctrl-C ends it.")

    # End.

    async def _end(self) -> None:
        """Workers first, while what they need still lives; the engine last."""
        await asyncio.gather(*(child.stop() for child in self._one_shots))
        last = [c for c in self.children if c.command.name in {"bus", "egress"}]
        engines = [c for c in self.children if c.command.name == "engine"]
        first = [c for c in self.children if c not in last and c not in engines]
        await asyncio.gather(*(child.stop() for child in first))
        await self._stop_sandboxes()
        await asyncio.gather(*(child.stop() for child in last))
        await asyncio.gather(*(child.stop() for child in engines))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        say("Stopped")

    async def _stop_sandboxes(self) -> None:
        hosted = any(child.command.name == "worker" for child in self.children)
        bubblewrap = self.conf.sandbox == "bubblewrap"
        if not hosted or not (bubblewrap or engine.answers(1.0)):
            return
        command = roles.one_shot("stop", "stop_sandboxes", user=self.user)
        child = Child(replace(command, grace=1.0), show, self._leftovers)
        try:
            async with asyncio.timeout(STOP_SANDBOXES_SECONDS):
                await child.run_once()
        except TimeoutError:
            say("Warning: the engine did not end every sandbox in time.")


def _refuse_taken_port(conf: Conf) -> None:
    kind = socket.AF_INET6 if ":" in conf.bind else socket.AF_INET
    with socket.socket(kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((conf.bind, conf.port))
        except OSError as error:
            raise CannotStart(
                f"The site cannot listen on {conf.bind} port {conf.port} "
                f"({error.strerror}): set AGENTSITE_BIND or AGENTSITE_PORT."
            ) from None


def show(name: str, line: str) -> None:
    say(f"{name:<7}| {line}")


def say(line: str) -> None:
    # Whoever read our output may have gone: that is no reason to end the site.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
