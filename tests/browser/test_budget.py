"""A budget on the session's page: seen, used up, raised."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture


def budget(amount):
    money = {"amount": amount, "currency": "USD"}
    return {"type": "limit", "max_list_cost": money}


def test_a_session_that_used_its_budget_up_goes_on_when_it_is_raised(open_page, start):
    steps = [{"tools": [bash("true")]} for _ in range(40)]
    page = open_page(start(*steps, {"say": "Done."}, budget=budget("2")))
    expect(page.locator("#status")).to_have_text("Budget reached")
    expect(page.locator("#cost-meter")).to_contain_text("of $0.02")
    expect(page.locator("#transcript")).to_contain_text("The budget is used up")
    picture(page, "budget-reached")
    page.get_by_label("New budget in US dollars").fill("50")
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#cost-meter")).to_contain_text("of $50.00")
    is_idle(page)
    expect(page.locator("#transcript")).to_contain_text("The budget is now $50.00")
    expect(page.locator("#transcript")).to_contain_text("Done.")
    picture(page, "budget-raised")
