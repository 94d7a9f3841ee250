"""The page of API keys."""

from __future__ import annotations

from agents.models import ApiKey

SAID = {"name": "nightly job", "role": "operator"}


def test_a_key_is_shown_once(as_alice):
    answer = as_alice.post("/keys/new", SAID)
    key = answer.context["new_key"]
    assert key in answer.content.decode()
    assert ApiKey.find(key).role == "operator"
    assert key not in as_alice.get("/keys").content.decode()
    assert "nightly job" in as_alice.get("/keys").content.decode()


def test_a_key_needs_a_name(as_alice):
    assert as_alice.post("/keys/new", SAID | {"name": ""}).status_code == 422
    assert not ApiKey.objects.exists()


def test_a_revoked_key_opens_nothing(as_alice):
    key = as_alice.post("/keys/new", SAID).context["new_key"]
    row = ApiKey.objects.get()
    as_alice.post(f"/keys/{row.pk}/revoke")
    assert ApiKey.find(key) is None


def test_keys_are_for_owners(as_bob, as_charlie, as_alice, workspace):
    row, _ = ApiKey.issue(workspace, "first")
    assert as_bob.get("/keys").status_code == 403
    assert as_bob.post("/keys/new", SAID).status_code == 403
    assert as_charlie.post(f"/keys/{row.pk}/revoke").status_code == 404
    row.refresh_from_db()
    assert row.revoked_at is None
