"""Skills in a real browser: uploaded, given to an agent, compared."""

from __future__ import annotations

import io
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import picture


def archive(how):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        head = "---\nname: month-end\ndescription: Closes the books of a month.\n---\n"
        zipped.writestr("month-end/SKILL.md", f"{head}# How\n\n{how}\n")
        zipped.writestr("month-end/scripts/close.py", "print('closed')\n")
    return {
        "name": "month-end.zip",
        "mimeType": "application/zip",
        "buffer": packed.getvalue(),
    }


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_skill_is_uploaded_and_its_versions_are_compared(open_page, width, theme):
    page = open_page("/skills", width=width, theme=theme)
    name = f"Month end {width}"
    page.locator("input[name=zip]").set_input_files(archive("Round half to even."))
    page.locator("input[name=display_name]").fill(name)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text(name)
    page.locator("input[name=zip]").set_input_files(archive("Never round up."))
    page.get_by_role("button", name="Upload").click()
    changes = page.locator("section", has=page.locator("#changes"))
    expect(changes).to_contain_text("Never round up.")
    expect(changes).to_contain_text("Round half to even.")
    picture(page, f"skill-{width}-{theme}")
    page.goto("/skills")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    picture(page, f"skills-{width}-{theme}")
    page.goto("/agents/new")
    page.get_by_label(name).check()
    page.get_by_label(name).scroll_into_view_if_needed()
    picture(page, f"agent-skills-{width}-{theme}")
