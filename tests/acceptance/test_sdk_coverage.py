"""Every method of the SDK is either answered as typed or plainly refused."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from tests.acceptance.sdk_methods import AS_TYPED, call, call_stream, methods

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api-coverage.md"
REGENERATE = (
    "UPDATE_API_COVERAGE=1 .venv/bin/python -m pytest"
    " tests/acceptance/test_sdk_coverage.py"
)
TOOLS = [{"type": "agent_toolset_20260401"}]
SKILL = ("month-end/SKILL.md", b"---\nname: month-end\ndescription: x\n---\n")
HELLO = {"type": "user.message", "content": [{"type": "text", "text": "Hello"}]}


def test_every_sdk_method_is_answered_as_typed_or_not_supported_yet(client, site):
    verdicts = []
    for method in methods(client):
        arguments = _arguments(client, site, method.name)
        judge = call_stream if arguments and "cause" in arguments else call
        verdicts.append(judge(method, arguments))
    wrong = [wrong for each in verdicts for wrong in each.wrong]
    assert not wrong, "\n".join(wrong)
    _compare(_document(verdicts))


def test_it_notices_an_answer_that_is_not_as_typed(client):
    from anthropic.types.beta import BetaEnvironment

    from tests.acceptance.strict import problems

    raw = client.beta.environments.with_raw_response.create(name="strict")
    good = raw.http_response.read()
    assert problems(BetaEnvironment, good) == []
    assert problems(BetaEnvironment, good.replace(b'"cloud"', b'"clod"'))
    assert problems(BetaEnvironment, good.replace(b'"created_at"', b'"made_at"'))
    assert problems(BetaEnvironment, good.replace(b'{"type"', b'{"more": 1, "type"', 1))


def _arguments(client, site, name):
    """What to call a built method with; None for what is not built."""
    made = _Rows(client, site)
    name = name.removeprefix("beta.")
    return made.arguments(name) if name in _Rows.BUILT else None


class _Rows:
    """Fresh rows for each call, so that no call depends on another one."""

    BUILT = frozenset(
        [
            "agents.archive",
            "agents.create",
            "agents.list",
            "agents.retrieve",
            "agents.update",
            "agents.versions.list",
            "environments.archive",
            "environments.create",
            "environments.delete",
            "environments.list",
            "environments.retrieve",
            "environments.update",
            "sessions.archive",
            "sessions.create",
            "sessions.delete",
            "sessions.list",
            "sessions.retrieve",
            "sessions.update",
            "sessions.events.list",
            "sessions.events.send",
            "sessions.events.stream",
            "sessions.threads.list",
            "sessions.threads.retrieve",
            "sessions.threads.archive",
            "sessions.threads.events.list",
            "sessions.threads.events.stream",
            "sessions.resources.list",
            "sessions.resources.retrieve",
            "sessions.resources.add",
            "sessions.resources.update",
            "sessions.resources.delete",
            "files.delete",
            "files.download",
            "files.list",
            "files.retrieve_metadata",
            "files.upload",
            "skills.create",
            "skills.delete",
            "skills.list",
            "skills.retrieve",
            "skills.versions.create",
            "skills.versions.delete",
            "skills.versions.download",
            "skills.versions.list",
            "skills.versions.retrieve",
            "models.list",
            "models.retrieve",
        ]
    )

    def __init__(self, client, site):
        self.beta, self.site = client.beta, site

    def arguments(self, name):
        resource, _, verb = name.rpartition(".")
        make = getattr(self, resource.replace(".", "_"))
        return make(verb)

    def agents(self, verb):
        new = {"name": "Bookkeeper", "model": "opus", "tools": TOOLS}
        if verb == "create":
            return new
        agent = self.beta.agents.create(**new)
        if verb == "list":
            return {}
        if verb == "update":
            return {"agent_id": agent.id, "version": 1, "system": "Count."}
        return {"agent_id": agent.id}

    def agents_versions(self, verb):
        return self.agents("retrieve")

    def environments(self, verb):
        if verb == "create":
            return {"name": "created", "description": "by the SDK"}
        environment = self.beta.environments.create(name=f"for {verb}")
        return {} if verb == "list" else {"environment_id": environment.id}

    def sessions(self, verb):
        new = self._session()
        if verb == "create":
            return {**new, "initial_events": [HELLO]}
        session = self.beta.sessions.create(**new)
        if verb == "list":
            return {"limit": 1}  # the newest: others have extensions of ours
        if verb == "update":
            return {"session_id": session.id, "title": "A new title"}
        return {"session_id": session.id}

    def sessions_events(self, verb):
        session = self.beta.sessions.create(**self._session())
        given = {"session_id": session.id}
        send = self.beta.sessions.events.send
        if verb == "send":
            return {**given, "events": [HELLO]}
        if verb == "stream":
            return {**given, "cause": lambda: send(session.id, events=[HELLO])}
        send(session.id, events=[HELLO])
        return given

    def sessions_threads(self, verb):
        given = {"session_id": self.site.session}
        return given if verb == "list" else {**given, "thread_id": self.site.child}

    def sessions_threads_events(self, verb):
        given = self.sessions_events(verb)
        (thread,) = self.beta.sessions.threads.list(given["session_id"]).data
        return {**given, "thread_id": thread.id}

    def sessions_resources(self, verb):
        session = self.beta.sessions.create(**self._session())
        resource = session.resources[0]
        if verb == "list":
            return {"session_id": session.id}
        if verb == "add":
            file_id = resource.file_id
            return {"session_id": session.id, "type": "file", "file_id": file_id}
        given = {"session_id": session.id, "resource_id": resource.id}
        return {**given, "authorization_token": "x"} if verb == "update" else given

    def files(self, verb):
        if verb == "upload":
            return {"file": ("books.csv", b"a,b\n"), "expires_in_seconds": 3600}
        if verb == "download":
            return {"file_id": self.site.report}
        file = self._file()
        return {} if verb == "list" else {"file_id": file.id}

    def skills(self, verb):
        if verb == "create":
            return {"files": [SKILL], "display_name": "Month end"}
        skill = self.beta.skills.create(files=[SKILL])
        return {} if verb == "list" else {"skill_id": skill.id}

    def skills_versions(self, verb):
        skill = self.beta.skills.create(files=[SKILL])
        if verb == "create":
            return {"skill_id": skill.id, "files": [SKILL]}
        if verb == "list":
            return {"skill_id": skill.id}
        self.beta.skills.versions.create(skill.id, files=[SKILL])
        return {"skill_id": skill.id, "version": skill.latest_version_id}

    def models(self, verb):
        return {} if verb == "list" else {"model_id": "opus"}

    def _file(self):
        return self.beta.files.upload(file=("books.csv", b"a,b\n"))

    def _session(self):
        agent = self.beta.agents.create(name="A", model="opus", tools=TOOLS)
        listed = self.beta.environments.list(limit=1).data
        environment = listed[0] if listed else self.beta.environments.create(name="e")
        resources = [{"type": "file", "file_id": self._file().id}]
        return {
            "agent": agent.id,
            "environment_id": environment.id,
            "resources": resources,
        }


def _document(verdicts):
    answered = sum(each.answer == AS_TYPED for each in verdicts)
    lines = [
        "# API coverage",
        "",
        f"Every managed-agents method of `anthropic` {version('anthropic')}, called over"
        " HTTP. *As typed*: the",
        "answer holds strictly to the SDK's own response type, with nothing added."
        " *Not supported yet*: a",
        "400 whose message ends in these words. A test writes this page and fails"
        " where it is out of date:",
        f"`{REGENERATE}`.",
        "",
        f"{answered} of {len(verdicts)} are answered as typed.",
        "",
        "| SDK method | Request | Answer |",
        "|---|---|---|",
        *(
            f"| `{each.method}` | `{each.request}` | {each.answer} |"
            for each in verdicts
        ),
    ]
    return "\n".join(lines) + "\n"


def _compare(text):
    if os.environ.get("UPDATE_API_COVERAGE"):
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
    written = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    assert written == text, f"docs/api-coverage.md is out of date: run {REGENERATE}"
