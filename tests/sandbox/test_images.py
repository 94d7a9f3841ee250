"""How the base image is put together, without an engine."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from sandbox import bootstrap, images, overlay, registries


def test_the_tag_follows_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = images.recipe_hash()
    assert images.recipe_hash() == before
    monkeypatch.setattr(overlay, "NODE", "another version")
    assert images.recipe_hash() != before


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / f"{images.LEFTOVER}killed"
    leftover.mkdir()
    with images.alone(tmp_path) as folder:
        assert folder.is_dir()
        assert not leftover.exists()
    assert not folder.exists()


def test_only_one_builds_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with images.alone(tmp_path):
            order.append("second")

    with images.alone(tmp_path):
        thread = Thread(target=second)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_sources_of_the_own_release_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "codename", lambda: "bookworm")
    own = bootstrap.stanza_of("deb [arch=amd64] http://m.example/d bookworm main")
    assert bootstrap.is_own(own)
    assert not bootstrap.is_own("Suites: trixie\n")
    assert not bootstrap.is_own("Suites: bookworm\nEnabled: no\n")
    assert not bootstrap.is_own(bootstrap.stanza_of("# a comment"))


def test_passwords_and_keys_of_the_machine_stay_out() -> None:
    stanza = (
        "Types: deb\nURIs: https://me:secret@m.example/d\nSuites: bookworm\n"
        "Signed-By:\n -----BEGIN-----\n .\n abc\nComponents: main"
    )
    kept = bootstrap.without_secrets(stanza)
    assert kept == (
        "Types: deb\nURIs: https://m.example/d\nSuites: bookworm\nComponents: main"
    )


@pytest.mark.parametrize(
    ("said", "file"),
    [
        ("global.index-url='https://m.example/simple'\n", "index-url = https://m.ex"),
        ("global.index-url='https://me:secret@m.example/simple'\n", None),
        ("global.extra-index-url='file:///opt/simple'\n", None),
        ("global.timeout='60'\n", None),
    ],
)
def test_only_an_index_without_a_password_is_taken_over(
    monkeypatch: pytest.MonkeyPatch, said: str, file: str | None
) -> None:
    monkeypatch.setattr(
        registries, "said", lambda command: said if "pip" in command else ""
    )
    found = registries.settings().get("/etc/pip.conf")
    assert file in found if file and found else found is None
    assert registries.addresses() == (["https://m.example/simple"] if file else [])
