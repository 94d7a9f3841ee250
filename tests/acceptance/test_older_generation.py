"""The older generation of headers, as curl and older SDKs send them."""

from __future__ import annotations

TOOLSET = {"type": "agent_toolset_20260401"}
BETA = {"anthropic-beta": "managed-agents-2026-04-01"}


def test_a_session_is_made_with_x_api_key_and_beta_urls(http, environment):
    body = {"name": "Clerk", "model": "opus", "tools": [TOOLSET]}
    agent = http.post("/v1/agents?beta=true", json=body, headers=BETA).json()
    again = http.get(f"/v1/agents/{agent['id']}?beta=true", headers=BETA)
    assert again.json() == agent
    session = http.post(
        "/v1/sessions?beta=true",
        json={"agent": agent["id"], "environment_id": environment.id},
        headers=BETA,
    ).json()
    hello = {"type": "user.message", "content": [{"type": "text", "text": "Hi"}]}
    url = f"/v1/sessions/{session['id']}/events?beta=true"
    sent = http.post(url, json={"events": [hello]}, headers=BETA)
    assert sent.json()["data"][0]["type"] == "user.message"
    assert "has_more" not in http.get(url, headers=BETA).json()


def test_files_are_paged_by_ids_where_the_older_header_is_sent(http):
    ids = []
    for name in "abc":
        upload = http.post("/v1/files", files={"file": (name, b"1")})
        ids.append(upload.json()["id"])
    older = {"anthropic-beta": "files-api-2025-04-14"}

    def page(**query):
        query = {"limit": 2, **query}
        return http.get("/v1/files?beta=true", params=query, headers=older).json()

    first = page()
    assert [each["id"] for each in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"] is True
    assert (first["first_id"], first["last_id"]) == (ids[2], ids[1])
    assert "next_page" not in first
    second = page(after_id=first["last_id"])
    assert second["data"][0]["id"] == ids[0]
    before = page(before_id=ids[0])
    assert [each["id"] for each in before["data"]] == [ids[2], ids[1]]


def test_archiving_needs_no_body(http):
    agent = http.post("/v1/agents", json={"name": "Clerk", "model": "opus"}).json()
    archived = http.post(f"/v1/agents/{agent['id']}/archive")
    assert archived.json()["archived_at"]


def test_a_json_body_needs_no_content_type(http):
    response = http.post("/v1/agents", content=b'{"name": "Clerk", "model": "opus"}')
    assert response.status_code == 200
