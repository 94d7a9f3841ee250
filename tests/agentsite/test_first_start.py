"""The first rows, the key file, and the commands that print one thing."""

from __future__ import annotations

import stat
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.models import (
    ApiKey,
    Environment,
    LoginToken,
    Member,
    ModelAlias,
    Workspace,
)
from agentsite.first_start import make_first_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def conf(settings, tmp_path):
    settings.AGENTSITE = settings.AGENTSITE.model_copy(update={"home": tmp_path})
    return settings.AGENTSITE


def said(*command, **options):
    out = StringIO()
    call_command(*command, stdout=out, **options)
    return out.getvalue().strip()


def test_a_newcomer_finds_all_that_is_needed_to_begin(conf):
    make_first_rows(conf)
    assert Workspace.objects.count() == 1
    assert Member.objects.get().role == "owner"
    assert Environment.objects.get().config["networking"] == {"type": "unrestricted"}
    assert ModelAlias.resolve("opus").startswith("claude-opus-")
    assert ApiKey.find((conf.home / "api_key").read_text().strip())


def test_only_its_owner_reads_the_key_file(conf):
    make_first_rows(conf)
    assert stat.S_IMODE((conf.home / "api_key").stat().st_mode) == 0o600


def test_a_later_start_adds_and_changes_nothing(conf):
    make_first_rows(conf)
    key = (conf.home / "api_key").read_text()
    ModelAlias.objects.filter(alias="opus").update(model="our-own")
    make_first_rows(conf)
    assert (conf.home / "api_key").read_text() == key
    assert ApiKey.objects.count() == Workspace.objects.count() == 1
    assert ModelAlias.resolve("opus") == "our-own"


def test_create_api_key_prints_only_a_key_that_works(workspace):
    key = said("create_api_key", "nightly", role="operator")
    found = ApiKey.find(key)
    assert (found.name, found.role, found.workspace) == (
        "nightly",
        "operator",
        workspace,
    )


def test_create_api_key_takes_the_workspace_that_is_named(workspace, other_workspace):
    key = said("create_api_key", "x", workspace=other_workspace.name)
    assert ApiKey.find(key).workspace == other_workspace


def test_create_api_key_refuses_an_unknown_workspace(workspace):
    with pytest.raises(CommandError, match="0 workspaces are named 'nowhere'"):
        call_command("create_api_key", "x", workspace="nowhere")


def test_create_api_key_says_what_to_do_before_the_first_start():
    with pytest.raises(CommandError, match="run `make up` first"):
        call_command("create_api_key", "x")


def path_of(link):
    return link.removeprefix("http://127.0.0.1:8400")


def test_a_login_link_signs_alice_in_once(alice, client):
    link = path_of(said("login_link"))
    assert client.get(link).url == "/"
    assert client.session["_auth_user_id"] == str(alice.pk)
    client.logout()
    assert client.get(link).url.startswith("/accounts/login")
    assert "_auth_user_id" not in client.session


def test_a_login_link_is_for_whom_it_names(alice, bob, client):
    client.get(path_of(said("login_link", "BOB@example.org")))
    assert client.session["_auth_user_id"] == str(bob.pk)


def test_a_login_link_for_nobody_is_refused(alice):
    with pytest.raises(CommandError, match="Nobody here has the address"):
        call_command("login_link", "dave@example.org")


def test_looking_at_a_login_link_does_not_spend_it(alice, client):
    link = path_of(said("login_link"))
    assert client.head(link).status_code == 405
    assert client.get(link).url == "/"


def test_an_old_login_link_is_refused(alice, client):
    link = path_of(said("login_link"))
    LoginToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(link).url.startswith("/accounts/login")


def test_a_login_link_of_somebody_who_left_is_refused(alice, client):
    link = path_of(said("login_link"))
    alice.is_active = False
    alice.save()
    assert client.get(link).url.startswith("/accounts/login")


def test_the_database_does_not_hold_the_token_itself(alice):
    token = said("login_link").rpartition("/")[2]
    assert token not in LoginToken.objects.get().digest
