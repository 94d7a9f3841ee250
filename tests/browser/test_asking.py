"""A person answers what the agent asks, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture

CAREFUL = {
    "type": "agent_toolset_20260401",
    "default_config": {"permission_policy": {"type": "always_ask"}},
}
LOOKUP = {
    "type": "custom",
    "name": "lookup",
    "description": "Looks a customer up.",
    "input_schema": {"type": "object", "properties": {"name": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def agent(client):
    return client.beta.agents.create(
        name="Careful", model="scripted-demo", tools=[CAREFUL, LOOKUP]
    )


def row(page, words):
    return page.locator(".row-tool", has_text=words)


def waits(page):
    expect(page.locator("#status")).to_have_text("Waits for you")


def test_a_call_is_allowed_with_the_button_and_another_denied_with_words(page, start):
    path = start(
        {"tools": [bash("echo first one")]},
        {"tools": [bash("rm -r /workspace")]},
        {"say": "As you wish."},
        title="Tidy up",
    )
    page.goto(path)
    waits(page)
    first = row(page, "echo first one")
    expect(first.locator(".command")).to_be_visible()
    picture(page, "asking-dark")
    first.get_by_role("button", name="Allow").click()
    expect(first.locator(".output")).to_have_text("first one")
    expect(first.locator(".decided")).to_contain_text("Allowed by")

    second = row(page, "rm -r /workspace")
    expect(second.get_by_role("button", name="Deny")).to_be_visible()
    field = second.get_by_label("What to tell the agent if you deny")
    field.fill("Keep the workspace.")
    field.press("Enter")  # decides nothing
    expect(second.get_by_role("button", name="Deny")).to_be_visible()
    second.get_by_role("button", name="Deny").click()
    expect(second.locator(".decided")).to_contain_text("Keep the workspace.")
    expect(second.locator(".output")).to_contain_text("Keep the workspace.")
    is_idle(page)
    page.reload()
    expect(row(page, "echo first one").locator(".decided")).to_contain_text(
        "Allowed by"
    )
    expect(page.locator(".ask")).to_have_count(0)
    picture(page, "answered-dark")


def test_y_allows_the_one_call_that_waits(page, start):
    page.goto(start({"tools": [bash("echo by key")]}, {"say": "Done."}))
    waits(page)
    page.locator("#transcript").press("y")
    expect(row(page, "echo by key").locator(".output")).to_have_text("by key")
    is_idle(page)


def test_a_custom_tool_can_be_answered_by_hand_on_a_phone(open_page, start):
    call = {"name": "lookup", "input": {"name": "Ada"}}
    page = open_page(start({"tools": [call]}, {"say": "Ok."}), width=390, theme="light")
    waits(page)
    picture(page, "asking-phone-light")
    asked = row(page, "lookup")
    asked.get_by_label("The result").fill("Ada lives in London.")
    asked.get_by_role("button", name="Answer").click()
    expect(asked.locator(".output")).to_have_text("Ada lives in London.")
    is_idle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_stop_answers_what_waits(page, start):
    page.goto(start({"tools": [bash("echo never")]}, {"say": "Done."}))
    waits(page)
    page.get_by_role("button", name="Stop").click()
    is_idle(page)
    expect(page.locator(".ask")).to_have_count(0)
    expect(row(page, "echo never").locator(".output")).to_contain_text("interrupted")
