"""A whole site: it comes up, its parts come back, and nothing is left of it."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import anthropic
import pytest

from agentsite.conf import ROOT
from tests.plugins.site import RunningSite, clean_environment, new_home
from tests.site.conftest import bash, results, script
from tests.site.processes import children_of, is_alive

pytestmark = pytest.mark.site

ALL = ("bus", "egress", "model", "web", "worker", "jobs", "image")


@pytest.fixture
def own_site():
    """A site that a test may kill."""
    running = RunningSite(new_home())
    running.up(ALL)
    running.wait_until_ready()
    yield running
    running.stop()
    running.wait(lambda: not running.processes())
    running.remove()


def answer(site, path, **headers):
    request = urllib.request.Request(site.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as found:
        return found.status


def test_health_names_every_part(site):
    parts = site.health()["parts"]
    assert set(parts) == {
        "database", "bus", "queue", "scheduler", "engine", "image", "egress", "model",
    }  # fmt: skip
    assert all(part["ok"] for part in parts.values())


def test_the_terminal_ends_with_how_to_go_on(site):
    site.wait_for_image()
    site.wait(lambda: "make demo" in site.logs())
    said = site.logs()
    assert f"Agentsite is ready at {site.url}" in said
    assert f"{site.url}/login/" in said
    assert str(site.home / "api_key") in said


def test_the_first_key_opens_the_api_and_only_its_owner_reads_it(site):
    assert answer(site, "/v1/agents", **{"x-api-key": site.api_key}) == 200
    assert stat.S_IMODE((site.home / "api_key").stat().st_mode) == 0o600


def test_a_new_key_is_all_that_create_api_key_prints(site):
    key = site.manage("create_api_key", "tests")
    assert key.startswith("sk-agentsite-")
    assert len(key.split()) == 1
    assert answer(site, "/v1/agents", **{"x-api-key": key}) == 200


def test_a_wrong_key_is_refused(site):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        answer(site, "/v1/agents", **{"x-api-key": "sk-agentsite-wrong"})
    refusal.value.close()
    assert refusal.value.code == 401


def test_a_login_link_works_once(site):
    link = site.login_link()
    led_to, cookies = sign_in(link)
    assert led_to == "/"
    assert any(cookie.startswith("agentsite=") for cookie in cookies)
    led_to, _ = sign_in(link)
    assert led_to.startswith("/accounts/login")


def test_workers_stop_and_start_by_themselves(site):
    site.stop_workers()
    try:
        site.wait(lambda: not site.health()["parts"]["scheduler"]["ok"])
        assert "--roles worker" in site.health()["parts"]["scheduler"]["detail"]
    finally:
        site.start_workers()
    site.wait_until_ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an own user to give")
def test_no_part_but_the_supervisor_runs_as_root(site):
    for role in ("bus", "egress", "model", "web", "worker", "jobs"):
        assert Path(f"/proc/{site.pid(role)}").stat().st_uid != 0, role


def test_a_second_supervisor_says_that_the_first_one_runs(site):
    second = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT, env=site.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"already running at {site.url}" in second.stderr


def test_a_taken_port_is_said_in_a_sentence(site):
    home = new_home()
    environment = clean_environment(home, site.port)
    other = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(home)
    assert other.returncode == 1
    assert "AGENTSITE_PORT" in other.stderr


@pytest.mark.parametrize("role", ["bus", "egress", "model", "web", "worker", "jobs"])
def test_a_killed_child_comes_back(site, role):
    before = site.pid(role)
    os.kill(before, signal.SIGKILL)
    site.wait(lambda: site.pid(role) not in {None, before})
    site.wait_until_ready()


def test_a_killed_sentinel_takes_its_workers_along_and_all_come_back(site):
    leader = site.pid("worker")
    sentinel = children_of(leader)[0]
    workers = children_of(sentinel)
    os.kill(sentinel, signal.SIGKILL)
    site.wait(lambda: not any(is_alive(pid) for pid in workers))
    site.wait(lambda: site.pid("worker") not in {None, leader})
    site.wait_until_ready()


def test_nothing_is_left_after_sigterm_and_the_second_start_works(own_site):
    api_key = own_site.api_key
    assert own_site.down(ALL) == 0
    assert own_site.processes() == []
    own_site.up(ALL)
    own_site.wait_until_ready()
    assert own_site.api_key == api_key


@pytest.mark.docker
def test_no_container_is_left_and_its_files_are_there_at_the_next_start(own_site, site):
    site.wait_for_image()
    session_id = begin_session(own_site)
    assert run(own_site, session_id, "echo kept > note; cat note") == ["kept"]
    assert own_site.containers() != []
    own_site.down(ALL)
    assert own_site.containers() == []
    own_site.up(ALL)
    own_site.wait_until_ready()
    assert run(own_site, session_id, "cat note") == ["kept"]
    with program(own_site) as client:
        client.beta.sessions.delete(session_id)


def test_nothing_is_left_after_the_supervisor_was_killed(own_site):
    own_site.kill()
    own_site.wait(lambda: own_site.processes() == [])


def sign_in(link):
    """Open a link; return where it sends the browser and what it has it keep."""
    parts = urlsplit(link)
    line = http.client.HTTPConnection(parts.netloc, timeout=20)
    line.request("GET", parts.path)
    answer = line.getresponse()
    line.close()
    return answer.headers["Location"], answer.headers.get_all("Set-Cookie", [])


def program(site):
    return anthropic.Anthropic(base_url=site.url, api_key=site.api_key)


def begin_session(site):
    with program(site) as client:
        agent = client.beta.agents.create(
            name="Keeper",
            model="scripted-demo",
            tools=[{"type": "agent_toolset_20260401"}],
        )
        environment = client.beta.environments.create(name="kept")
        return client.beta.sessions.create(
            agent=agent.id, environment_id=environment.id
        ).id


def run(site, session_id, command):
    """Have the agent run a command; return what it printed."""
    with program(site) as client:
        before = len(printed(client, session_id))
        task = script({"tools": [bash(command)]}, {"say": "Done."})
        client.beta.sessions.events.send(session_id, events=[task])
        site.wait(lambda: len(printed(client, session_id)) > before)
        return [line.strip() for line in printed(client, session_id)[before:]]


def printed(client, session_id):
    return results(client.beta.sessions.events.list(session_id))
