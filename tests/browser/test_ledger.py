"""A call whose outcome is unknown, settled by a person in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture

HANGS_ONCE = "echo x >> runs; [ $(wc -l < runs) -gt 1 ] || sleep 600; cat runs"


def row(page):
    return page.locator(".row-tool")


@pytest.fixture
def unknown(page, start, site):
    """The page of a session whose sandbox was lost in the middle of its call."""
    path = start({"tools": [bash(HANGS_ONCE)]}, {"say": "I cannot tell."})
    page.goto(path)
    expect(row(page)).to_have_attribute("data-state", "running")
    session = path.split("/")[-1]
    (container,) = [each for each in site.containers() if session in str(each.labels)]
    expect(page.locator(".row-tool .took")).to_contain_text("s")
    container.kill()
    is_idle(page)
    return path


def test_it_is_looked_at_and_run_again_from_its_row(page, open_page, unknown):
    expect(row(page)).to_have_attribute("data-state", "unknown")
    picture(page, "unknown-dark")
    row(page).get_by_role("button", name="Look").click()
    expect(row(page)).to_contain_text("the sandbox knows nothing of it")
    row(page).get_by_text("Newest files").click()
    expect(row(page)).to_contain_text("/workspace/runs")
    page.get_by_role("tab", name="Calls").click()
    calls = page.locator("#calls")
    expect(calls.get_by_text("outcome unknown")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("tab", name="Files")).to_be_in_viewport(ratio=1)
    picture(page, "ledger-dark")
    calls.get_by_role("button", name="Run again").click()
    expect(row(page)).to_have_attribute("data-state", "done")
    expect(row(page).locator(".unknown .output")).to_have_text("x\nx")
    expect(calls).to_contain_text("run again for")
    expect(calls.get_by_role("button")).to_have_count(0)
    is_idle(page)
    picture(page, "settled-dark")
    page.reload()
    expect(row(page)).to_have_attribute("data-state", "done")


def test_without_a_script_it_is_marked_as_done_on_a_phone(
    chromium, site, signed_in, unknown
):
    context = chromium.new_context(
        base_url=site.url,
        viewport={"width": 390, "height": 844},
        storage_state=signed_in,
        java_script_enabled=False,
    )
    page = context.new_page()
    page.goto(unknown)
    picture(page, "unknown-phone-light")
    row(page).get_by_role("button", name="Mark as done").click()
    expect(row(page)).to_contain_text("Marked as done by")
    page.goto(f"{unknown}/tool_calls")
    expect(page.locator(".calls")).to_contain_text("marked as done by")
    picture(page, "ledger-phone-light")
    page.goto(unknown)
    page.get_by_role("link", name="files").click()
    expect(page.get_by_role("heading", name="Handed back")).to_be_visible()
    page.goto(unknown)
    page.get_by_role("link", name="network").click()
    expect(page.get_by_text("has left this session's sandbox")).to_be_visible()
    context.close()
