"""What every page has: its policy, its workspace, its refusals, its sign-in."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from agents.models import Member, Workspace
from tests.conftest import browser_of


def test_only_scripts_of_the_site_or_with_its_nonce_run(as_alice):
    answer = as_alice.get("/agents")
    policy = answer["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    nonce = re.fullmatch(r"'self' 'nonce-(.+)'", rules["script-src"])[1]
    assert f'nonce="{nonce}"' in answer.content.decode()
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert as_alice.get("/agents")["content-security-policy"] != policy


def test_no_page_has_inline_styles_or_handlers(as_alice, agent, environment):
    at = f"/environments/{environment.pk}"
    environments = ("/environments", at, f"{at}/edit", f"{at}/check")
    agents = ("/agents", "/agents/new", f"/agents/{agent.pk}/edit", "/skills")
    for path in ("/", "/keys", "/sessions/new", *agents, *environments):
        page = as_alice.get(path).content.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page), path


def test_only_the_admin_may_use_inline_styles(as_alice, alice):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    assert "unsafe-inline" in as_alice.get("/admin/")["content-security-policy"]
    assert "unsafe" not in as_alice.get("/keys")["content-security-policy"]


def test_every_list_of_the_admin_opens(as_alice, alice, agent, environment):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    lists = set(re.findall(r'href="(/admin/\w+/\w+/)"', page_of(as_alice, "/admin/")))
    assert {"/admin/agents/skill/", "/admin/agents/environmentimage/"} <= lists
    for path in sorted(lists):
        assert as_alice.get(path).status_code == 200, path


def page_of(browser, path):
    return browser.get(path).content.decode()


def test_signing_up_is_closed(client, db):
    assert "closed" in client.get("/accounts/signup/").content.decode().lower()
    client.post(
        "/accounts/signup/",
        {
            "email": "m@example.org",
            "password1": "longenough1",
            "password2": "longenough1",
        },
    )
    assert not User.objects.exists()


def test_signing_in_says_the_same_for_a_wrong_email_and_a_wrong_password(client, alice):
    def said(login):
        sent = {"login": login, "password": "wrong"}
        page = client.post("/accounts/login/", sent).content.decode()
        return re.search(r'role="alert">.*?<p>(.*?)</p>', page, re.DOTALL)[1]

    assert said("alice@example.org") == said("nobody@example.org")


def test_signing_in_goes_where_one_wanted(client, alice):
    sent = {"login": "alice@example.org", "password": "password", "next": "/agents"}
    assert client.post("/accounts/login/", sent)["location"] == "/agents"


def test_signing_out_needs_a_post(as_alice):
    assert "Sign out?" in as_alice.get("/accounts/logout/").content.decode()
    as_alice.post("/accounts/logout/")
    assert as_alice.get("/agents").status_code == 302


def test_who_belongs_to_no_workspace_is_told_so(db):
    lonely = browser_of(User.objects.create_user("dora"))
    answer = lonely.get("/")
    assert answer.status_code == 403
    assert "You belong to no workspace yet" in answer.content.decode()


def test_a_member_of_two_workspaces_chooses_one(as_alice, alice, agent):
    other = Workspace.objects.create(name="Second")
    Member.objects.create(workspace=other, user=alice, role="viewer")
    assert "Bookkeeper" in as_alice.get("/agents").content.decode()
    as_alice.post("/workspace", {"workspace": other.pk})
    assert "Bookkeeper" not in as_alice.get("/agents").content.decode()
    assert as_alice.get("/agents/new").status_code == 403


def test_a_stranger_s_workspace_cannot_be_chosen(as_alice, other_workspace):
    sent = {"workspace": other_workspace.pk}
    assert as_alice.post("/workspace", sent).status_code == 404


@pytest.mark.parametrize("path", ["/nothing", "/agents/agent_nope", "/keys/x/revoke"])
def test_what_is_not_there_is_said_in_the_look_of_the_site(as_alice, path):
    method = as_alice.post if path.endswith("revoke") else as_alice.get
    answer = method(path)
    assert answer.status_code == 404
    assert "Nothing is here" in answer.content.decode()


def test_the_gallery_is_for_staff(as_alice, alice):
    assert as_alice.get("/_ui/").status_code == 404
    alice.is_staff = True
    alice.save()
    assert "Reconnecting" in as_alice.get("/_ui/").content.decode()
