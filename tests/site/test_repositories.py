"""Repositories of sessions: from a real Git server over https into real sandboxes."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import anthropic
import pytest

from tests.plugins.site import running_site
from tests.site.conftest import bash, follow, results, script
from tests.site.git_host import git_host

pytestmark = [pytest.mark.site, pytest.mark.docker]

SKILL = "---\nname: release\ndescription: Makes a release.\n---\nTag it.\n"


@pytest.fixture(scope="module")
def host():
    with tempfile.TemporaryDirectory(prefix="agentsite-git-") as folder:
        Path(folder).chmod(0o755)  # the site runs as a user of its own
        with git_host(Path(folder)) as host:
            yield host


@pytest.fixture(scope="module")
def own_site(host):
    """A site whose operator knows the Git server."""
    with running_site(
        AGENTSITE_PRIVATE_HOSTS=host.name, AGENTSITE_EXTRA_CA=str(host.ca)
    ) as site:
        site.wait_for_image()
        yield site


@pytest.fixture(scope="module")
def client(own_site):
    with anthropic.Anthropic(base_url=own_site.url, api_key=own_site.api_key) as client:
        yield client


@pytest.fixture(scope="module")
def agent(client):
    return client.beta.agents.create(
        name="Worker",
        model="scripted-demo",
        tools=[{"type": "agent_toolset_20260401"}],
    )


@pytest.fixture
def work(client, agent):
    """Runs commands in a session with these repositories; returns it and its events."""

    def done(*repositories, commands=("true",), networking=None):
        config = {"type": "cloud", "networking": networking or {"type": "unrestricted"}}
        environment = client.beta.environments.create(
            name=uuid.uuid4().hex, config=config
        )
        session = client.beta.sessions.create(
            agent=agent.id,
            environment_id=environment.id,
            resources=[{"type": "github_repository", **each} for each in repositories],
            initial_events=[
                script(
                    *({"tools": [bash(each)]} for each in commands), {"say": "Done."}
                )
            ],
        )
        return session, follow(client, session.id)

    return done


def clones(client, session):
    path = f"/v1/sessions/{session.id}/repositories"
    return client.get(path, cast_to=object)["data"]


def test_branches_and_commits_are_there_before_the_first_call(client, host, work):
    commit = host.make(
        "books", **{"a.txt": "numbers", ".claude/skills/r/SKILL.md": SKILL}
    )
    session, seen = work(
        {"url": host.url("books")},
        {
            "url": host.url("books"),
            "checkout": {"type": "branch", "name": "other"},
            "mount_path": "/workspace/deep/other",
        },
        {
            "url": host.url("books"),
            "checkout": {"type": "commit", "sha": commit},
            "mount_path": "/workspace/pinned",
        },
        commands=(
            "cat books/a.txt; git -C deep/other branch --show-current;"
            " git -C pinned rev-parse HEAD",
            "cd books && echo more >> a.txt && git -c user.name=A -c user.email=a@b.c"
            " commit -qam More && git push -q origin HEAD:new && git ls-remote --heads"
            " origin new | wc -l",
        ),
    )
    assert [each.mount_path for each in session.resources] == [
        "/workspace/books",
        "/workspace/deep/other",
        "/workspace/pinned",
    ]
    assert results(seen) == [f"numbersother\n{commit}", "1"]
    told = clones(client, session)
    assert [(each["state"], each["commit"]) for each in told] == [("ready", commit)] * 3
    (skill,) = told[0]["skills"]
    assert skill == {
        "name": "release",
        "description": "Makes a release.",
        "path": "/workspace/books/.claude/skills/r/SKILL.md",
    }


def test_each_failure_is_typed_and_the_session_goes_on(client, host, work):
    host.make("private", **{"a.txt": "secret"})
    host.make("public", **{"a.txt": "open"})
    gone = f"https://127.0.0.3:{host.port}/x.git"
    session, seen = work(
        {"url": host.url("missing")},
        {"url": host.url("private")},
        {
            "url": host.url("public"),
            "checkout": {"type": "branch", "name": "none"},
        },
        {"url": gone},
        commands=("ls /workspace",),
    )
    assert results(seen) == ["(no output)"]
    errors = [each["error"]["type"] for each in clones(client, session)]
    assert errors == [
        "repository_not_found",
        "repository_forbidden",
        "repository_ref_not_found",
        "repository_host_refused",
    ]


def test_a_network_without_the_host_refuses_the_clone(client, host, work):
    host.make("walled", **{"a.txt": "x"})
    session, _ = work(
        {"url": host.url("walled")},
        networking={"type": "limited", "allowed_hosts": ["example.com"]},
    )
    (told,) = clones(client, session)
    assert told["error"]["type"] == "repository_host_refused"
    assert "does not allow its host" in told["error"]["message"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"url": "git@github.com:a/b.git"}, "https://"),
        ({"url": "http://example.com/a"}, "https://"),
        ({"url": "https://token@example.com/a"}, "a user or a token"),
        ({"url": "https://example.com/"}, "path of the repository"),
        ({"url": "https://example.com/a", "mount_path": "/tmp/a"}, "below /workspace"),
        ({"url": "https://example.com/a", "authorization_token": "x"}, "not supported"),
        (
            {
                "url": "https://example.com/a",
                "checkout": {"type": "branch", "name": "--upload-pack=x"},
            },
            "none that git allows",
        ),
    ],
)
def test_what_is_no_repository_is_refused_at_once(work, said, why):
    with pytest.raises(anthropic.BadRequestError, match=why):
        work(said)
