"""A person at work: from signing in to a finished job, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture, script

ANSWER = "The **sum** was wrong.\n\n- `a.py` is mended\n\n" + "All is well now. " * 40

JOB = [
    {
        "say": "I look at the workspace first.",
        "tools": [
            bash("sleep 1; echo looked"),
            {
                "name": "write",
                "input": {"file_path": "/workspace/a.py", "content": "a = 1\n"},
            },
        ],
    },
    {
        "say": "Now I change it.",
        "tools": [
            {
                "name": "edit",
                "input": {
                    "file_path": "/workspace/a.py",
                    "old_string": "a = 1",
                    "new_string": "a = 2",
                },
            },
            bash("cat /workspace/a.py; exit 3"),
        ],
    },
    {"say": ANSWER, "chunks": 60, "delay_ms": 40},
]


def tool(page, words):
    return page.locator(".row-tool", has_text=words)


def test_from_nothing_to_a_finished_job(page):
    page.goto("/agents/new")
    page.locator("#id_name").fill("Fixer of sums")
    page.get_by_label(re.compile("^System prompt")).fill("You mend sums.")
    page.get_by_role("button", name="Create agent").click()
    expect(page.get_by_role("heading", name="Fixer of sums")).to_be_visible()

    page.goto("/environments/new")
    page.get_by_role("textbox", name="Name").fill("made in a browser")
    page.get_by_role("button", name="Create environment").click()
    page.get_by_role("link", name="Run").click()

    page.get_by_role("combobox", name="Agent").select_option(label="Fixer of sums v1")
    page.get_by_label(re.compile("^Title")).fill("Mend the sum")
    page.get_by_label(re.compile("^First message")).fill(script(*JOB))
    page.get_by_label(re.compile("^Files")).set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Carry the one."}
    )
    page.get_by_role("button", name="Start session").click()
    expect(page.locator("#title")).to_have_text("Mend the sum")

    expect(tool(page, "echo looked")).to_have_attribute("data-state", "running")
    picture(page, "running")
    expect(page.locator(".streaming")).to_contain_text("All is well")
    picture(page, "streaming")
    is_idle(page)

    expect(tool(page, "echo looked")).to_have_attribute("data-state", "done")
    failed = tool(page, "exit 3")
    expect(failed).to_have_attribute("data-state", "failed")
    failed.locator("summary").click()
    expect(failed.locator(".output")).to_contain_text("a = 2")
    expect(page.locator(".prose strong")).to_have_text("sum")
    expect(page.locator(".rule")).to_have_count(3)
    expect(page.locator(".rule").first).to_contain_text(re.compile(r"in · \d+ out"))
    expect(page.locator("#stop-form")).to_be_hidden()
    picture(page, "done")

    seen = page.locator("#transcript").inner_text()
    page.reload()
    expect(page.locator("#status")).to_have_text("Idle")
    page.locator(".row-tool", has_text="exit 3").locator("summary").click()
    expect(page.locator("#transcript")).to_have_text(
        re.compile("All is well now"), use_inner_text=True
    )
    assert page.locator("#transcript").inner_text() == seen


def test_stopping_ends_a_hanging_command_and_what_was_queued_goes_on(open_page, start):
    page = open_page(start({"say": "I wait.", "tools": [bash("sleep 600")]}))
    expect(tool(page, "sleep 600")).to_have_attribute("data-state", "running")
    page.get_by_label("Message the agent").fill("And then this.")
    page.keyboard.press("Enter")
    queued = page.locator("[data-queued]")
    expect(queued).to_contain_text("Queued")
    expect(page.get_by_label("Message the agent")).to_have_value("")
    picture(page, "queued")
    page.keyboard.press("Shift+Escape")
    expect(tool(page, "sleep 600")).to_have_attribute("data-state", "failed")
    expect(page.get_by_text("Stopped by owner")).to_be_visible()
    expect(queued).to_have_count(0)
    is_idle(page)
    order = page.locator("#transcript").inner_text()
    assert order.index("Stopped by owner") < order.index("And then this.")


def test_what_could_not_be_sent_is_kept(open_page, start, complaints):
    page = open_page(start())
    page.route(
        "**/messages",
        lambda route: route.fulfill(status=409, json={"message": "It is archived."}),
    )
    box = page.get_by_label("Message the agent")
    box.fill("Do not lose me.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("It is archived.")
    expect(box).to_have_value("Do not lose me.")
    page.reload()
    expect(box).to_have_value("Do not lose me.")
    assert "409" in complaints.pop()


def test_who_was_signed_out_meanwhile_loses_no_text(open_page, start):
    page = open_page(start())
    box = page.get_by_label("Message the agent")
    box.fill("Do not lose me.")
    page.context.clear_cookies(name="agentsite")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("signed out")
    expect(box).to_have_value("Do not lose me.")
