"""Pages on environments."""

from __future__ import annotations

import pytest

from agents import images
from agents.models import Environment

SAID = {
    "name": "web",
    "description": "For the web.",
    "networking": "unrestricted",
    "metadata": "team: web",
}


def test_a_builder_makes_and_changes_an_environment(as_alice, workspace):
    as_alice.post("/environments/new", SAID)
    environment = Environment.objects.get()
    assert environment.config["networking"] == {"type": "unrestricted"}
    assert environment.workspace == workspace
    changed = SAID | {"name": "site", "metadata": ""}
    answer = as_alice.post(f"/environments/{environment.pk}/edit", changed)
    assert answer["location"] == f"/environments/{environment.pk}"
    environment.refresh_from_db()
    assert (environment.name, environment.metadata) == ("site", {})


def test_a_name_is_taken_once(as_alice, environment):
    answer = as_alice.post("/environments/new", SAID | {"name": environment.name})
    assert answer.status_code == 422
    assert "exists in this workspace" in answer.content.decode()


def test_a_limited_network_is_made_and_changed_in_the_form(as_alice):
    limited = {
        "networking": "limited",
        "allowed_hosts": "PyPI.org\n\n *.example.com\npypi.org",
        "allow_package_managers": "on",
    }
    as_alice.post("/environments/new", SAID | limited)
    environment = Environment.objects.get()
    assert environment.config["networking"] == {
        "type": "limited",
        "allowed_hosts": ["pypi.org", "*.example.com"],
        "allow_mcp_servers": False,
        "allow_package_managers": True,
    }
    here = f"/environments/{environment.pk}"
    assert "*.example.com" in as_alice.get(here).content.decode()
    assert "*.example.com" in as_alice.get(f"{here}/edit").content.decode()
    as_alice.post(f"{here}/edit", SAID | {"networking": "limited"})
    environment.refresh_from_db()
    assert environment.config["networking"]["allowed_hosts"] == []
    assert environment.config["networking"]["allow_package_managers"] is False
    as_alice.post(f"{here}/edit", SAID)
    environment.refresh_from_db()
    assert environment.config["networking"] == {"type": "unrestricted"}


def test_a_host_that_is_none_is_refused_at_its_field(as_alice):
    limited = {"networking": "limited", "allowed_hosts": "https://pypi.org"}
    answer = as_alice.post("/environments/new", SAID | limited)
    assert answer.status_code == 422
    assert "without a scheme" in answer.context["form"].errors["allowed_hosts"][0]
    assert not Environment.objects.exists()


@pytest.mark.parametrize("page", ["", "/edit", "/image", "/check"])
def test_another_workspace_s_environment_is_not_there(as_charlie, environment, page):
    assert as_charlie.get(f"/environments/{environment.pk}{page}").status_code == 404


@pytest.mark.parametrize(
    "act", ["edit", "image/rebuild", "image/stop", "check", "archive", "delete"]
)
def test_nothing_is_done_to_another_workspace_s_environment(
    as_charlie, environment, act
):
    answer = as_charlie.post(f"/environments/{environment.pk}/{act}", SAID)
    assert answer.status_code == 404


def test_an_operator_may_not_build(as_bob, environment):
    assert as_bob.get("/environments").status_code == 200
    assert as_bob.post("/environments/new", SAID).status_code == 403
    assert as_bob.post(f"/environments/{environment.pk}/delete").status_code == 403


def test_an_unused_environment_is_deleted(as_alice, environment):
    assert as_alice.get(f"/environments/{environment.pk}/delete").status_code == 405
    answer = as_alice.post(f"/environments/{environment.pk}/delete")
    assert answer["location"] == "/environments"
    assert not Environment.objects.exists()


def test_an_archived_environment_is_kept_aside(as_alice, environment):
    as_alice.post(f"/environments/{environment.pk}/archive")
    environment.refresh_from_db()
    assert environment.archived_at
    assert (
        "Archived" in as_alice.get(f"/environments/{environment.pk}").content.decode()
    )


IMAGE = {
    "pip": "six==1.17.0\n\n attrs ",
    "npm": "@scope/name@1",
    "setup_script": "echo one\r\necho two",
    "variables": "TEAM=books\nSUM=1=1",
    "memory_mb": "512",
    "cpus": "0.5",
    "base_image": "debian:bookworm-slim",
    "root": "on",
}


def test_what_an_image_holds_is_listed_and_shown_again(as_alice):
    as_alice.post("/environments/new", SAID | IMAGE)
    environment = Environment.objects.get()
    config = environment.config
    assert config["packages"]["pip"] == ["six==1.17.0", "attrs"]
    assert config["setup_script"] == "echo one\necho two"
    assert config["variables"] == {"TEAM": "books", "SUM": "1=1"}
    assert config["limits"] == {"cpus": 0.5, "memory_mb": 512}
    assert (config["base_image"], config["root"]) == ("debian:bookworm-slim", True)
    form = as_alice.get(f"/environments/{environment.pk}/edit").context["form"]
    shown = {name: form[name].value() for name in IMAGE}
    as_alice.post(f"/environments/{environment.pk}/edit", SAID | browsed(form))
    environment.refresh_from_db()
    assert environment.config == config, shown
    page = as_alice.get(f"/environments/{environment.pk}").content.decode()
    for words in ("six==1.17.0", "@scope/name@1", "echo two", "0.5 processors"):
        assert words in page


def browsed(form):
    """What a browser would send of a form that nobody touched."""
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_what_is_emptied_in_the_form_is_gone(as_alice):
    as_alice.post("/environments/new", SAID | IMAGE)
    environment = Environment.objects.get()
    as_alice.post(f"/environments/{environment.pk}/edit", SAID)
    environment.refresh_from_db()
    assert set(environment.config) == {"type", "networking", "packages"}
    assert not environment.content_hash


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("pip", "six; rm -rf /", "is no pip package"),
        ("go", "nothing", "is no go package"),
        ("variables", "PATH=/tmp", "PATH is set by the sandbox itself"),
        ("variables", "no equals sign", "Write “NAME=text”"),
        ("base_image", "Not An Image", "must be the name of an image"),
        ("memory_mb", "1", "greater than or equal to 128"),
        ("command_seconds", "6000", "less than or equal to 600"),
    ],
)
def test_a_refusal_stands_at_its_field(as_alice, field, text, words):
    answer = as_alice.post("/environments/new", SAID | {field: text})
    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert not Environment.objects.exists()


def test_each_of_several_refusals_stands_at_its_field(as_alice):
    wrong = {"pip": "six; rm -rf /", "base_image": "Not An Image"}
    form = as_alice.post("/environments/new", SAID | wrong).context["form"]
    assert set(form.errors) == set(wrong)
    assert "base_image" not in form.errors["pip"][0]


def test_the_page_follows_a_build(as_alice):
    as_alice.post("/environments/new", SAID | {"pip": "six"})
    here = f"/environments/{Environment.objects.get().pk}"
    assert "A worker takes it up next." in as_alice.get(here).content.decode()
    row = images.claim("here:1")
    images.beat(row, "Collecting six\n")
    part = as_alice.get(f"{here}/image?after=0").json()
    assert (part["text"], part["done"]) == ("Collecting six\n", False)
    images.beat(row, "<b>done</b>\n")
    images.succeed(row, "agentsite-env:x-1", 7)
    part = as_alice.get(f"{here}/image?after=15").json()
    assert (part["text"], part["done"]) == ("<b>done</b>\n", True)
    assert "Ready" in part["head"]
    assert "&lt;b&gt;done" in as_alice.get(here).content.decode()
    assert as_alice.get(f"{here}/image?after={'9' * 20}").json()["text"]
    as_alice.post(f"{here}/image/rebuild")
    images.claim("here:2")
    part = as_alice.get(f"{here}/image?after=27").json()
    assert (part["text"], part["begins"]) == ("", True)


def test_a_failed_package_stands_on_the_page(as_alice):
    as_alice.post("/environments/new", SAID | {"pip": "nosuch"})
    images.fail(images.claim("here:1"), "The package nosuch (pip) could not be …")
    page = as_alice.get(
        f"/environments/{Environment.objects.get().pk}"
    ).content.decode()
    assert "The package nosuch (pip) could not be …" in page
    assert "Build again" in page
    assert "Failed" in as_alice.get("/environments").content.decode()


def test_an_operator_looks_at_builds_and_starts_none(as_alice, as_bob):
    as_alice.post("/environments/new", SAID | {"pip": "six"})
    here = f"/environments/{Environment.objects.get().pk}"
    assert "Stop the build" not in as_bob.get(here).content.decode()
    assert as_bob.post(f"{here}/image/stop").status_code == 403
    assert as_alice.post(f"{here}/image/stop").status_code == 302
    assert "stopped by alice" in as_bob.get(here).content.decode()
