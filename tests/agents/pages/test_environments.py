"""Pages on environments."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("page", ["", "/edit"])
def test_another_workspace_s_environment_is_not_there(as_charlie, environment, page):
    assert as_charlie.get(f"/environments/{environment.pk}{page}").status_code == 404


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
