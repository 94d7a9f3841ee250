"""An environment with packages in a browser: made, built before one's eyes, mended."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import picture

LOOKS = [(1440, "light"), (390, "dark"), (390, "light")]


@pytest.fixture
def pictures(open_page):
    """Takes a page's picture in the other widths and themes, where they are wanted."""

    def take(page, name):
        picture(page, f"{name}-1440-dark")
        for width, theme in LOOKS:
            other = open_page(page.url.partition("#")[0], width=width, theme=theme)
            fits = "document.documentElement.scrollWidth <= innerWidth"
            assert other.evaluate(fits), f"{name} is wider than {width}"
            picture(other, f"{name}-{width}-{theme}")
            other.context.close()

    return take


def test_a_build_is_followed_and_a_failed_package_is_mended(page, pictures):
    page.goto("/environments/new")
    page.get_by_role("textbox", name="Name").fill("Web tools")
    page.get_by_role("textbox", name="pip").fill("iniconfig==2.0.0\nsix==99.0")
    page.get_by_label("Setup script").fill("echo setting up")
    page.get_by_text("Variables, limits, base image").click()
    page.get_by_label("Variables").fill("TEAM=books")
    page.get_by_label("Memory in MB").fill("1024")
    picture(page, "environment-new-1440-dark")
    page.get_by_role("button", name="Create environment").click()

    image = page.locator("#image")
    failed = "The package six==99.0 (pip) could not be installed"
    expect(image.get_by_role("alert")).to_contain_text(failed)
    expect(image.locator("#build-log")).to_contain_text("No matching distribution")
    pictures(page, "environment-failed")

    page.get_by_role("link", name="Edit").click()
    page.get_by_role("textbox", name="pip").fill("iniconfig==2.0.0\nsix")
    pictures(page, "environment-edit")
    page.get_by_role("button", name="Save").click()
    expect(image).to_contain_text("Stop the build")
    picture(page, "environment-building-1440-dark")
    expect(image).to_contain_text("Build again")
    expect(image.locator("#build-log")).to_contain_text("Successfully installed")
    expect(image.locator("#build-log")).to_contain_text("setting up")
    pictures(page, "environment-ready")

    page.goto("/environments")
    pictures(page, "environments")
