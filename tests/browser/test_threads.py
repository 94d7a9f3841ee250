"""Child threads in a real browser: from one to another, and what happens in each."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import is_idle, picture

BEGIN = """
from sessions import log, threads, lifecycle
from sessions.models import Session
session = Session.objects.get(pk={session!r})
primary = lifecycle.find_thread(session.pk)
said = [{{"type": "text", "text": "Look around."}}]
print(threads.create(session.pk, {{"name": "Scout", "model": {{"id": "none"}}}}, said,
                     fence=session.fence, thread_id=primary.pk))
"""
SAY = """
from sessions import log, lifecycle
from sessions.events import Draft, parse
thread = lifecycle.find_thread({session!r}, {thread!r})
said = {{"content": [{{"type": "text", "text": {words!r}}}]}}
log.append({session!r}, [log.placed(thread, Draft(payload=parse("agent.message", said)))])
"""


@pytest.fixture
def family(page, start, site):
    """A session on the page, and a way to have a child begun and speak in it.

    Nothing shipped makes children yet: this does what a harness would. No worker is
    there to work on them.
    """
    path = start({"say": "I am the main thread."})
    page.goto(path)
    is_idle(page)
    session = path.split("/")[-1]
    site.stop_workers()

    def act(script, **more):
        return site.manage("shell", "-c", script.format(session=session, **more))

    yield path, act
    site.start_workers()
    site.wait_until_ready()


def test_a_child_has_a_timeline_of_its_own(page, open_page, family):
    path, act = family
    links = page.locator("#threads a")
    expect(links).to_have_count(0)
    thread = act(BEGIN).splitlines()[-1]
    expect(links).to_have_count(2)
    expect(links.last).to_contain_text("Scout running")
    picture(page, "threads-dark")
    links.last.click()
    expect(page).to_have_url(f"{page.url.split('/sessions')[0]}{path}?thread={thread}")
    act(SAY, thread=thread, words="From the scout.")
    expect(page.locator(".prose")).to_have_text("From the scout.")
    picture(page, "child-dark")

    phone = open_page(f"{path}?thread={thread}", width=390, theme="light")
    expect(phone.locator(".prose")).to_have_text("From the scout.")
    picture(phone, "child-phone-light")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390

    page.locator("#transcript").press("]")
    expect(page.locator(".prose")).to_have_text("I am the main thread.")
    act(SAY, thread=thread, words="Only for me.")
    expect(phone.locator(".prose").last).to_have_text("Only for me.")
    expect(page.locator(".prose")).to_have_count(1)
