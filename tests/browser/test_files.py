"""The files of a session in a real browser, as the agent hands them back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import bash, is_idle, picture, script

DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
MAKE = (
    "cd /mnt/session/outputs && mkdir report"
    " && printf 'month,sum\\nNovember,3\\n' > report/books.csv"
    " && printf '# Books\\n\\nAll is **closed**.\\n' > summary.md"
    f" && echo {DOT} | base64 -d > dot.png"
    " && echo '<script>document.title = \"owned\"</script>' > page.html"
)


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (390, "light")])
def test_what_is_handed_back_appears_by_itself_and_can_be_looked_at(
    start, open_page, width, theme
):
    path = start()
    page = open_page(path, width=width, theme=theme)
    message = script({"tools": [bash(MAKE)]}, {"say": "Done."})
    page.locator("#composer textarea").fill(message)
    page.get_by_role("button", name="Send", exact=True).click()
    is_idle(page)
    row = page.locator("[data-type='agentsite.outputs_captured']")
    expect(row).to_contain_text("report/books.csv")
    if width < 1000:
        page.locator("#inspector-toggle").click()
    page.get_by_role("tab", name="Files").click()
    panel = page.locator("[data-name=files]")
    expect(panel.get_by_role("link")).to_have_count(4)
    picture(page, f"files-panel-{width}-{theme}")
    for name, shown in (
        ("report/books.csv", "November"),
        ("summary.md", "closed"),
        ("dot.png", ""),
        ("page.html", "<script>"),
    ):
        page.goto(path)
        row.get_by_role("link", name=name).click()
        content = page.locator("main.content")
        expect(content).to_contain_text(shown)
        expect(page).not_to_have_title("owned")
        picture(page, f"file-{name.replace('/', '-')}-{width}-{theme}")
    page.goto(path)
    row.get_by_role("link", name="dot.png").click()
    image = page.locator(".preview-image")
    expect(image).to_be_visible()
    assert image.evaluate("each => each.naturalWidth") == 1
