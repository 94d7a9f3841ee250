"""A site to break, with what a session needs; and the killing itself."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import uuid

import anthropic

from agentsite.conf import ROOT
from tests.faults.records import Log
from tests.site.conftest import script
from tests.site.processes import children_of, is_alive, process_of


class Stage:
    """A running site, seen by a client that repeats nothing by itself."""

    def __init__(self, site):
        self.site = site
        self.client = anthropic.Anthropic(
            base_url=site.url, api_key=site.api_key, max_retries=0
        )
        self.agent = self.client.beta.agents.create(
            name="Worker",
            model="scripted-demo",
            tools=[{"type": "agent_toolset_20260401"}],
        )
        self.environment = self.client.beta.environments.create(
            name=f"faults {uuid.uuid4().hex[:8]}"
        )

    def begin(self, *steps):
        """Start a session, which with steps follows them at once; return its log."""
        session = self.client.beta.sessions.create(
            agent=self.agent.id,
            environment_id=self.environment.id,
            initial_events=[script(*steps)] if steps else anthropic.omit,
        )
        return Log(self.site, session.id)

    def send(self, log, *events, key=None):
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.beta.sessions.events.send(
            log.session_id, events=events, extra_headers=headers
        )

    def send_until_taken(self, log, *events):
        """As a careful client does: the same request again, until it is answered."""
        key = uuid.uuid4().hex

        def taken():
            with contextlib.suppress(
                anthropic.APIConnectionError, anthropic.InternalServerError
            ):
                return bool(self.send(log, *events, key=key))
            return False

        self.site.wait(taken)

    def inside(self, program, *arguments):
        """Run one of the programs of `inside` as a process of the site."""
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.faults.inside",
                program,
                *map(str, arguments),
            ],
            cwd=ROOT,
            env=self.site.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def host_of(self, log):
        """The process that holds a session now, once there is one."""
        self.site.wait(log.owner)
        return process_of(self.site, log.owner())

    def kill_host_of(self, log):
        """kill -9 it; return the process that is no more."""
        pid = self.host_of(log)
        os.kill(pid, signal.SIGKILL)
        return pid

    def close(self):
        self.client.close()


def say(measured):
    """For whoever reads along with `pytest -s`; nothing depends on it."""
    sys.stdout.write(f"\n{measured}\n")


class Killer(threading.Thread):
    """Kills processes of a site at random moments for as long as it is asked to."""

    ROLES = ("web", "bus", "egress", "worker")

    def __init__(self, site, *, seconds, seed, pause=1.0):
        super().__init__(daemon=True)
        self.site = site
        self.seconds = seconds
        self.pause = pause
        self.killed = []
        self._random = random.Random(seed)
        self._over = threading.Event()

    def run(self):
        ends = threading.Timer(self.seconds, self._over.set)
        ends.start()
        while not self._over.wait(self._random.uniform(0.3, 1.7) * self.pause):
            self._kill_one()
        ends.cancel()

    def _kill_one(self):
        """Every second time one of those that host turns."""
        kind = self._random.choice(["fork", "fork", "fork", *self.ROLES])
        victims = self._forks() if kind == "fork" else [self.site.pid(kind)]
        victims = [pid for pid in victims if pid and is_alive(pid)]
        if victims:
            victim = self._random.choice(victims)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.killed.append(kind)

    def _forks(self):
        """The hosts, and the sentinel, pusher and monitor beside them."""
        leader = self.site.pid("worker")
        sentinels = children_of(leader) if leader else []
        return [*sentinels, *(pid for each in sentinels for pid in children_of(each))]
