"""Programs that run as processes of a site, with its settings: `Stage.inside` starts them."""

from __future__ import annotations

import os
import signal
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "agentsite.settings"
django.setup(set_prefix=False)

from django.db import transaction  # noqa: E402

from agents.actors import Actor  # noqa: E402
from agents.models import Agent, ApiKey, Environment  # noqa: E402
from sessions import actions, bus, leases  # noqa: E402
from sessions.events import Draft, UserMessage  # noqa: E402
from sessions.liveness import place  # noqa: E402
from sessions.models import Session  # noqa: E402


def send_and_die(session_id, text):
    """Store a message, and be killed before anybody hears of it."""
    _die_instead_of_telling()
    session = Session.objects.get(pk=session_id)
    actions.send_events(_actor(), session, [_message(text)])


def rename_and_die(session_id, title):
    """The same with what no host has anything to do for."""
    _die_instead_of_telling()
    session = Session.objects.get(pk=session_id)
    actions.update_session(_actor(), session, {"title": title})


def wake(session_id, times):
    """Wake hosts and readers, again and again."""
    newest = Session.objects.get(pk=session_id).next_seq - 1
    for _ in range(int(times)):
        bus.wake_hosts(session_id)
        bus.nudge(session_id, newest)


def begin_many(agent_id, environment_id, count, text):
    """Have sessions begin in one and the same moment; print their ids."""
    agent = Agent.objects.get(pk=agent_id)
    with transaction.atomic():
        for _ in range(int(count)):
            session = actions.create_session(
                _actor(),
                agent=agent.latest,
                environment=Environment.objects.get(pk=environment_id),
                initial_events=[_message(text)],
            )
            say(session.pk)


def claim(name, session_id, most):
    """Claim a session and give it back, until its fence is at `most`; print each fence."""
    host, fence = f"{leases.boot_id()}:{place()}:{name}", 0
    while fence < int(most):
        for claimed in leases.claim(host, 1):
            say(claimed.fence)
            leases.hand_back(host)
        fence = Session.objects.get(pk=session_id).fence


def _die_instead_of_telling():
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    bus.nudge = bus.wake_hosts = die


def _actor():
    return Actor.of_key(ApiKey.objects.first())


def _message(text):
    payload = UserMessage(content=[{"type": "text", "text": text}])
    return Draft(payload=payload, queued=True)


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


PROGRAMS = (send_and_die, rename_and_die, wake, begin_many, claim)

if __name__ == "__main__":
    _, name, *arguments = sys.argv
    {program.__name__: program for program in PROGRAMS}[name](*arguments)
