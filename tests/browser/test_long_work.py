"""A message behind a long command, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import is_idle, picture, script

HOURS = {"name": "bash", "input": {"command": "sleep 7200", "timeout_ms": 7_300_000}}


def queue(page, words):
    page.get_by_label("Message the agent").fill(words)
    page.keyboard.press("Enter")


def test_a_message_says_what_it_waits_behind_and_for_how_long(page, start):
    page.goto(start({"tools": [HOURS]}, {"say": "Done."}))
    expect(page.locator(".row-tool")).to_have_attribute("data-state", "running")
    queue(page, "How far are you?")
    behind = page.locator("#queue .behind")
    expect(behind).to_contain_text("bash sleep 7200, which has run since")
    first = page.locator("#queue .for").inner_text()
    expect(page.locator("#queue .for")).not_to_have_text(first)  # it counts
    picture(page, "behind-dark")
    page.get_by_role("button", name="Stop", exact=True).click()
    is_idle(page)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_interrupt_and_send_has_a_message_read_at_once(open_page, start, width, theme):
    steps = [{"tools": [HOURS]}, {"say": "Never."}]
    page = open_page(start(*steps), width=width, theme=theme)
    expect(page.locator(".row-tool")).to_have_attribute("data-state", "running")
    page.get_by_label("Message the agent").fill(script({"say": "As you wish."}))
    picture(page, f"interrupt-{width}-{theme}")
    page.get_by_role("button", name="Interrupt and send").click()
    expect(page.locator(".prose")).to_have_text("As you wish.")
    is_idle(page)
    expect(page.get_by_role("button", name="Interrupt and send")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_message_before_the_command_learns_of_it_live(page, start):
    page.goto(
        start({"say": "word " * 40, "chunks": 40, "delay_ms": 60, "tools": [HOURS]})
    )
    expect(page.locator(".streaming")).to_be_visible()
    queue(page, "Wait for me.")
    expect(page.locator("#queue .behind")).to_contain_text("sleep 7200")
    page.get_by_role("button", name="Stop", exact=True).click()
    is_idle(page)
