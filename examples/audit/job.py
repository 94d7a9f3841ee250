"""A real job against a running site, with the official SDK: find and fix a bug.

    python examples/audit/job.py [--url URL] [--key KEY] [--model MODEL]

Without a model key on the site, the built-in scripted model does the same work with
real tool calls: then the script travels with the task.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
from pathlib import Path

from anthropic import Anthropic

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("AGENTSITE_HOME", HERE.parent.parent / "var"))
SCRIPTED = "scripted-demo"
UPLOAD = "/mnt/session/uploads/invoices.tar.gz"


def main() -> None:
    options = arguments()
    client = Anthropic(base_url=options.url, api_key=options.key)
    model = options.model or offered_model(client)

    agent = client.beta.agents.create(
        name="Auditor",
        model=model,
        system="You repair small services. You test before and after every change.",
        tools=[{"type": "agent_toolset_20260401"}],
    )
    environment = client.beta.environments.create(
        name=f"audit {agent.id[-6:]}",
        config={"type": "cloud", "networking": {"type": "unrestricted"}},
    )
    archive = client.beta.files.upload(file=("invoices.tar.gz", packed()))
    session = client.beta.sessions.create(
        agent=agent.id,
        environment_id=environment.id,
        title="Invoices are a cent short",
        resources=[{"type": "file", "file_id": archive.id, "mount_path": UPLOAD}],
    )
    say(f"{model} · {options.url}/sessions/{session.id}\n")
    watch(client, session.id, task(model))
    report(client, session.id)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    address = os.environ.get("AGENTSITE_URL") or "http://127.0.0.1:8400"
    parser.add_argument("--url", default=address)
    parser.add_argument("--key", default=None, help="default: the site's own key")
    parser.add_argument("--model", default=None)
    options = parser.parse_args()
    options.key = options.key or (STATE / "api_key").read_text().strip()
    return options


def offered_model(client: Anthropic) -> str:
    """The scripted model where the site offers it (it has no key), else Claude."""
    offered = [model.id for model in client.models.list()]
    return SCRIPTED if SCRIPTED in offered else "opus"


def packed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted((HERE / "invoices").rglob("*")):
            if path.is_file():
                archive.add(path, arcname=path.relative_to(HERE / "invoices"))
    return buffer.getvalue()


def task(model: str) -> str:
    text = (HERE / "task.md").read_text()
    if model.startswith("scripted"):
        text += f"\n```script\n{(HERE / 'script.json').read_text()}```\n"
    return text


def watch(client: Anthropic, session_id: str, text: str) -> None:
    """Open the stream first, then send: so nothing is missed."""
    with client.beta.sessions.events.stream(
        session_id, event_deltas=["agent.message"]
    ) as stream:
        client.beta.sessions.events.send(
            session_id,
            events=[
                {"type": "user.message", "content": [{"type": "text", "text": text}]}
            ],
        )
        for event in stream:
            show(event)
            if event.type == "session.status_idle":
                return


def show(event: object) -> None:
    match event.type:
        case "event_delta":
            say(event.delta.content.text)
        case "agent.message":
            say("\n")
        case "agent.tool_use":
            said = event.input.get("command") or event.input.get("file_path") or ""
            say(f"  ▸ {event.name} {said or event.input.get('pattern', '')}\n")
        case "agent.tool_result":
            say("".join(f"    │ {line}\n" for line in lines_of(event)[-12:]))
        case "session.error":
            say(f"  ! {event.error.message}\n")


def lines_of(event: object) -> list[str]:
    texts = [block.text for block in event.content or [] if block.type == "text"]
    return "\n".join(texts).splitlines()


def report(client: Anthropic, session_id: str) -> None:
    events = list(client.beta.sessions.events.list(session_id))
    results = ["\n".join(lines_of(e)) for e in events if e.type == "agent.tool_result"]
    section("Tests", next((r for r in reversed(results) if "pass " in r), "not run"))
    section("Diff", next((r for r in reversed(results) if "+++ b/" in r), "none"))
    history = "\n".join(f"{event.processed_at} {event.type}" for event in events)
    section(f"History: {len(events)} events", history)


def section(title: str, text: str) -> None:
    say(f"\n── {title}\n{text}\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
