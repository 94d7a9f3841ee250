"""The timeline under a reader's hands: following, finding, keys, widths, lost lines."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture, script, text

LONG = {"say": "word " * 900, "chunks": 120, "delay_ms": 40}


def scrolled(page):
    return page.evaluate("document.getElementById('transcript').scrollTop")


def distance(page):
    return page.evaluate(
        "(box => box.scrollHeight - box.scrollTop - box.clientHeight)"
        "(document.getElementById('transcript'))"
    )


def send(page, *steps):
    page.get_by_label("Message the agent").fill(script(*steps))
    page.keyboard.press("Enter")


def test_the_page_follows_the_end_and_never_moves_under_a_reader(open_page, start):
    page = open_page(start({"say": "line\n\n" * 60}), height=600)
    is_idle(page)
    send(page, LONG)
    expect(page.locator(".streaming")).to_be_visible()
    assert distance(page) < 80
    page.locator("#transcript").hover()
    page.mouse.wheel(0, -500)
    expect(page.locator("#jump")).to_be_visible()
    before = scrolled(page)
    is_idle(page)
    assert scrolled(page) == before
    expect(page.locator("#jump")).to_contain_text("new")
    page.keyboard.press("Escape")
    page.locator("#transcript").focus()
    page.keyboard.press("G")
    expect(page.locator("#jump")).to_be_hidden()
    assert distance(page) < 80


def test_a_page_that_comes_in_the_middle_shows_the_rest_as_it_is_written(
    open_page, start
):
    path = start(LONG)
    first = open_page(path)
    expect(first.locator(".streaming")).to_be_visible()
    second = open_page(path)
    expect(second.locator(".streaming")).to_contain_text("…")
    is_idle(second)
    expect(second.locator(".streaming")).to_have_count(0)
    expect(second.locator("#transcript .prose")).to_have_count(1)


class Cable:
    """The page's websocket, which can be cut and mended."""

    def __init__(self, page):
        self.whole, self.lines = True, []
        page.route_web_socket(re.compile("/ws/"), self.plug)

    def plug(self, line):
        self.lines.append(line)
        if self.whole:
            line.connect_to_server()
        else:
            line.close(code=1011)

    def cut(self):
        self.whole = False
        self.lines[-1].close(code=1011)

    def mend(self):
        self.whole = True


def test_a_lost_line_is_said_and_nothing_is_lost(open_page, start, client):
    path = start()
    page = open_page()
    cable = Cable(page)
    page.goto(path)
    send(page, {"say": "Before."})
    expect(page.locator(".prose")).to_have_text("Before.")
    is_idle(page)
    cable.cut()
    expect(page.locator("#offline")).to_be_visible()
    message = {"type": "user.message", "content": text(script({"say": "Meanwhile."}))}
    client.beta.sessions.events.send(path.split("/")[-1], events=[message])
    picture(page, "offline")
    cable.mend()
    expect(page.locator(".prose")).to_have_text(["Before.", "Meanwhile."])
    expect(page.locator("#offline")).to_be_hidden()


def test_filters_finding_and_keys(open_page, start):
    page = open_page(
        start(
            {
                "say": "The needle is here.",
                "tools": [bash("echo thread"), bash("exit 2")],
            },
            {"say": "No more."},
        )
    )
    is_idle(page)
    rows = page.locator(".row:visible")
    page.get_by_role("button", name="Tools").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Errors").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("exit 2")
    page.get_by_role("button", name="All").click()

    page.locator("#transcript").focus()
    page.keyboard.press("/")
    page.keyboard.type("needle")
    page.keyboard.press("Enter")
    expect(page.locator(".found")).to_contain_text("of")
    page.keyboard.press("Escape")

    page.keyboard.press("E")
    expect(page.locator(".row.here")).to_contain_text("exit 2")
    page.keyboard.press("Enter")
    expect(page.locator(".row.here details")).to_have_attribute("open", "")
    page.keyboard.press("k")
    expect(page.locator(".row.here")).to_contain_text("echo thread")
    page.keyboard.press("i")
    expect(page.locator("#inspector")).to_be_hidden()
    page.keyboard.press("i")
    page.get_by_role("tab", name="Raw").click()
    expect(page.locator("#raw")).to_contain_text("session.status_idle")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()


def test_a_link_to_an_event_opens_at_it(open_page, start):
    page = open_page(
        start({"say": "Hm.", "tools": [bash("echo found me")]}, {"say": "x"})
    )
    is_idle(page)
    wanted = page.locator(".row-tool").get_attribute("id")
    page.goto(f"{page.url}?event={wanted}")
    expect(page.locator(".row.linked .output")).to_contain_text("found me")


def test_a_hostile_reply_runs_nothing(open_page, start):
    words = '<img src=x onerror="document.title=1"> <script>document.title=1</script>'
    path = start({"say": words, "tools": [bash(f"echo '{words}'")]}, {"say": words})
    page = open_page(path)
    is_idle(page)
    page.locator(".row-tool summary").click()
    expect(page.locator(".output")).to_contain_text("onerror")
    assert page.locator("#transcript img").count() == 0
    assert page.title() != "1"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_every_page_fits_every_width_and_theme(open_page, start, width, theme):
    path = start(
        {"say": "A `very_long_word_" + "x" * 200 + "`", "tools": [bash("ls -la /")]}
    )
    page = open_page(path, width=width, height=844, theme=theme)
    is_idle(page)
    picture(page, f"session-{width}-{theme}")
    for other in (
        "/",
        "/sessions",
        "/sessions/new",
        "/agents",
        "/agents/new",
        "/environments",
        "/environments/new",
        "/keys",
        "/_ui/",
    ):
        page.goto(other)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{other} is {wide} px wide"


def test_a_chosen_theme_is_kept(open_page):
    page = open_page(theme="light")
    page.get_by_role("button", name="You, workspace and settings").click()
    page.get_by_role("radio", name="Dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_without_workers_the_page_says_so_and_goes_on_when_they_come(
    open_page, start, site
):
    path = start()
    page = open_page(path)
    site.stop_workers()
    try:
        send(page, {"say": "At last."})
        expect(page.locator("#no-worker")).to_be_visible()
        picture(page, "no-worker")
    finally:
        site.start_workers()
    expect(page.locator(".prose")).to_have_text("At last.")
    is_idle(page)
    expect(page.locator("#no-worker")).to_be_hidden()
