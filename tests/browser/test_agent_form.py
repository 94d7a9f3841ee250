"""Custom tools in the agent form, in a real browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import picture


def test_a_tool_is_refused_in_its_row_and_then_taken(open_page, complaints):
    page = open_page("/agents/new", theme="light")
    page.get_by_role("textbox", name="Name", exact=True).first.fill("With tools")
    rows = page.locator("[data-tool]")
    rows.first.get_by_label("Name").fill("lookup")
    rows.first.get_by_label("What it does").fill("Looks a customer up.")
    page.get_by_role("button", name="Another tool").click()
    expect(rows).to_have_count(2)
    rows.last.get_by_label("Name").fill("refund it")
    rows.last.get_by_label("What it does").fill("Pays back.")
    page.get_by_role("button", name="Create agent").click()
    expect(rows.nth(1)).to_contain_text("should match pattern")
    rows.nth(1).scroll_into_view_if_needed()
    picture(page, "tools-refused-light")
    assert "422" in complaints.pop()  # Chromium's word for the refused form
    rows.nth(1).get_by_label("Name").fill("refund")
    page.get_by_role("button", name="Create agent").click()
    expect(page.get_by_text("lookup, refund")).to_be_visible()
    page.goto(f"{page.url}/edit")
    expect(rows).to_have_count(3)
    phone = open_page(page.url, width=390)
    phone.locator("#custom-tools").scroll_into_view_if_needed()
    picture(phone, "tools-phone-dark")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
