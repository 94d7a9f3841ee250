"""A real Chromium before a whole site; any error in its console fails the test."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import anthropic
import pytest
from playwright.sync_api import expect, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
PATIENCE = 60_000
SCREENSHOTS = os.environ.get("AGENTSITE_SCREENSHOTS", "")
"""A folder for pictures of what was seen; none are made without it."""

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            for name in ("browser", "site", "docker"):
                item.add_marker(name)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(chromium, site):
    """The owner's cookies, got by the link that a newcomer is given."""
    site.wait_for_image()
    context = chromium.new_context()
    page = context.new_page()
    page.goto(site.login_link())
    expect(page).to_have_url(f"{site.url}/")
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def complaints():
    """Errors and warnings of the consoles: none, unless a test takes them out."""
    found = []
    yield found
    assert found == []


@pytest.fixture
def open_page(chromium, site, signed_in, complaints):
    """Opens pages in windows of any size and theme."""
    contexts = []

    def complain(message):
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def opened(path="/", *, width=1440, height=900, theme="dark", cookies=signed_in):
        context = chromium.new_context(
            base_url=site.url,
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=width < 500,
            storage_state=cookies,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page):
    return open_page()


def picture(page, name):
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png")


@pytest.fixture(scope="session")
def client(site):
    with anthropic.Anthropic(base_url=site.url, api_key=site.api_key) as client:
        yield client


@pytest.fixture(scope="session")
def agent(client):
    toolset = {"type": "agent_toolset_20260401"}
    return client.beta.agents.create(
        name="Fixer", model="scripted-demo", tools=[toolset]
    )


@pytest.fixture
def start(client, agent):
    """Starts a session by the API, that follows these steps; returns its path."""

    def started(*steps, title="Mend the sum", **more):
        session = client.beta.sessions.create(
            agent=agent.id,
            environment_id=client.beta.environments.list().data[0].id,
            title=title,
            **more,
        )
        if steps:
            message = {"type": "user.message", "content": text(script(*steps))}
            client.beta.sessions.events.send(session.id, events=[message])
        return f"/sessions/{session.id}"

    return started


def script(*steps):
    return f"Go.\n```script\n{json.dumps(steps)}\n```"


def text(words):
    return [{"type": "text", "text": words}]


def bash(command):
    return {"name": "bash", "input": {"command": command}}


def is_idle(page):
    expect(page.locator("#status")).to_have_text("Idle")
