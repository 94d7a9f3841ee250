"""What a build is told of this machine, and what must not be seen of it."""

from __future__ import annotations

import pytest

from sandbox import build_settings


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_settings, "said", lambda command: "")
    monkeypatch.setattr(build_settings, "text_of", lambda path: "")
    for name in (*build_settings.PROXY_NAMES, *build_settings.TAKEN_OVER):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_an_index_with_a_password_is_given_to_the_build_and_not_to_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "global.index-url='https://me:s3cret@m.example/simple'\n"
    monkeypatch.setattr(
        build_settings, "said", lambda command: said if "pip" in command else ""
    )
    found = build_settings.of_this_machine(through_egress=True)
    index = "export PIP_INDEX_URL=https://me:s3cret@m.example/simple"
    assert index in found.files["settings.sh"].splitlines()
    assert (
        found.scrub("GET https://me:s3cret@m.example") == "GET https://me:***@m.example"
    )


def test_tokens_of_npm_and_passwords_of_apt_become_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {
        ".npmrc": "fund=false\nregistry=https://m.example/\n//m.example/:_authToken=t0ken-1\n",
        "auth.conf": "machine m.example login me password pa55word\n",
    }
    monkeypatch.setattr(
        build_settings,
        "text_of",
        lambda path: next((t for end, t in texts.items() if path.endswith(end)), ""),
    )
    found = build_settings.of_this_machine(through_egress=True)
    assert found.files["npmrc"].splitlines() == texts[".npmrc"].splitlines()[1:]
    assert found.files["auth.conf"] == texts["auth.conf"]
    assert "NPM_CONFIG_USERCONFIG" in found.files["settings.sh"]
    assert "APT_CONFIG" in found.files["settings.sh"]
    assert set(found.secrets) == {"t0ken-1", "pa55word"}


def test_the_machine_s_proxy_counts_where_no_other_is_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128")
    direct = build_settings.of_this_machine(through_egress=False)
    assert "proxy.example" in direct.files["settings.sh"]
    assert direct.secrets == ("s3cret",)
    ours = build_settings.of_this_machine(through_egress=True)
    assert "proxy.example" not in ours.files["settings.sh"]
    assert "https_proxy=http://127.0.0.1:3128" in ours.files["settings.sh"]
