"""Bad input: each a clear refusal in the envelope, with a request id."""

from __future__ import annotations

import json

import anthropic
import httpx2
import pytest

AGENT = {"name": "Clerk", "model": "opus"}


def refused(response, status, said):
    body = response.json()
    assert response.status_code == status, body
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    assert said in body["error"]["message"]
    return body["error"]


def test_a_wrong_key_is_refused(site):
    with (
        anthropic.Anthropic(base_url=site.url, api_key="wrong") as client,
        pytest.raises(anthropic.AuthenticationError, match="unknown or revoked") as no,
    ):
        client.beta.agents.list()
    assert no.value.request_id.startswith("req_01")
    assert no.value.body["request_id"] == no.value.request_id


def test_no_key_is_refused(site):
    refused(httpx2.get(f"{site.url}/v1/agents"), 401, "no API key")


def test_another_workspaces_ids_are_unknown(stranger, agent, environment, session):
    beta = stranger.beta
    for ask, id in (
        (beta.agents.retrieve, agent.id),
        (beta.agents.archive, agent.id),
        (beta.agents.update, agent.id),
        (beta.agents.versions.list, agent.id),
        (beta.environments.retrieve, environment.id),
        (beta.environments.delete, environment.id),
        (beta.sessions.retrieve, session.id),
        (beta.sessions.delete, session.id),
        (beta.sessions.events.list, session.id),
        (beta.sessions.resources.list, session.id),
    ):
        with pytest.raises(anthropic.NotFoundError) as foreign:
            ask(id)
        with pytest.raises(anthropic.NotFoundError) as unknown:
            ask("no_such_id")
        said = foreign.value.body["error"]["message"].replace(id, "no_such_id")
        assert said == unknown.value.body["error"]["message"]


def test_a_session_is_not_made_of_another_workspaces_parts(
    client, stranger, agent, environment
):
    with pytest.raises(anthropic.NotFoundError, match=agent.id):
        stranger.beta.sessions.create(agent=agent.id, environment_id=environment.id)
    file = stranger.beta.files.upload(file=("theirs", b"1"))
    with pytest.raises(anthropic.NotFoundError, match=file.id):
        client.beta.sessions.create(
            agent=agent.id,
            environment_id=environment.id,
            resources=[{"type": "file", "file_id": file.id}],
        )


def test_a_key_names_its_own_workspace_or_none(site):
    headers = {"x-api-key": site.alice, "anthropic-workspace-id": site.workspace}
    url = f"{site.url}/v1/agents"
    fine = httpx2.get(url, headers=headers)
    assert fine.headers["anthropic-workspace-id"] == site.workspace
    headers["anthropic-workspace-id"] = "wrkspc_other"
    refused(httpx2.get(url, headers=headers), 403, "wrkspc_other")


@pytest.mark.parametrize(
    ("who", "may"), [("alice", True), ("bob", False), ("viewer", False)]
)
def test_only_owners_and_builders_make_agents(site, who, may):
    headers = {"x-api-key": getattr(site, who)}
    response = httpx2.post(f"{site.url}/v1/agents", json=AGENT, headers=headers)
    if may:
        assert response.status_code == 200
    else:
        refused(response, 403, "may not build")


def test_a_viewer_reads_and_sends_nothing(site, session):
    headers = {"x-api-key": site.viewer}
    url = f"{site.url}/v1/sessions/{session.id}"
    assert httpx2.get(url, headers=headers).status_code == 200
    hello = {"type": "user.message", "content": [{"type": "text", "text": "Hi"}]}
    response = httpx2.post(f"{url}/events", json={"events": [hello]}, headers=headers)
    refused(response, 403, "may not run")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**AGENT, "colour": "red"}, "colour: unknown field"),
        ({"model": "opus"}, "name: required"),
        ({**AGENT, "name": " "}, "name: must not be blank"),
        ({**AGENT, "name": "x" * 257}, "name: "),
        ({**AGENT, "system": "x" * 100_001}, "system: "),
        ({**AGENT, "metadata": {"a": 1}}, "metadata.a: "),
        ({**AGENT, "metadata": {str(n): "" for n in range(17)}}, "at most 16 pairs"),
        ({**AGENT, "metadata": {"k" * 65: ""}}, "1 to 64 characters"),
        ({**AGENT, "metadata": {"k": "v" * 513}}, "at most 512 characters"),
        ({**AGENT, "model": {"id": "opus", "effort": "huge"}}, "model.effort: "),
        ({**AGENT, "tools": [{"type": "nope"}]}, "tools.0: "),
        (
            {
                **AGENT,
                "tools": [
                    {
                        "type": "agent_toolset_20260401",
                        "configs": [{"name": "bash", "colour": 1}],
                    }
                ],
            },
            "tools.0.configs.0.colour: unknown field",
        ),
    ],
)
def test_a_wrong_field_is_named_by_its_path(http, body, said):
    error = refused(http.post("/v1/agents", json=body), 400, said)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "more",
    [
        {"mcp_servers": [{"type": "url", "name": "m", "url": "https://m.example"}]},
        {"skills": [{"type": "anthropic", "skill_id": "xlsx"}]},
        {"multiagent": {"type": "coordinator", "agents": [{"type": "self"}]}},
        {"execution_identity": {"type": "aws_role", "role_arn": "arn"}},
        {"model": {"id": "opus", "speed": "fast"}},
        {"model": {"id": "opus", "inference_geo": "eu"}},
        {"tools": [{"type": "mcp_toolset", "mcp_server_name": "m"}]},
        *(
            {"tools": [{"type": "agent_toolset_20260401", **toolset}]}
            for toolset in (
                {"default_config": {"permission_policy": {"type": "auto"}}},
                {"configs": [{"name": "bash", "permission_policy": {"type": "auto"}}]},
                {"configs": [{"name": "web_search", "enabled": True}]},
                {"configs": [{"name": "web_fetch", "allowed_domains": ["a.example"]}]},
            )
        ),
    ],
)
def test_what_is_not_built_is_not_stored(http, more):
    error = refused(http.post("/v1/agents", json={**AGENT, **more}), 400, "")
    assert error["message"].endswith("not supported yet")


@pytest.mark.parametrize(
    "config",
    [
        {"type": "self_hosted"},
        {"type": "cloud", "limits": {"disk_mb": 100}},
    ],
)
def test_an_environment_that_cannot_be_obeyed_is_refused(http, config):
    body = {"name": "unbuilt", "config": config}
    error = refused(http.post("/v1/environments", json=body), 400, "config")
    assert error["message"].endswith("not supported yet")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"type": "limited", "allowed_hosts": ["https://a.example"]}, "a scheme"),
        ({"type": "limited", "allowed_hosts": ["*"]}, "unrestricted"),
        ({"type": "limited", "allowed_hosts": ["a.example:443"]}, "a port"),
        ({"type": "limited", "allowed_hosts": "a.example"}, "list"),
        ({"type": "limited", "allowed_hosts": ["a"] * 257}, "256"),
        ({"type": "limited", "blocked_hosts": []}, "unknown field"),
        ({"type": "unrestricted", "allowed_hosts": []}, "unknown field"),
        ({"type": "none"}, "unrestricted"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(http, network, said):
    config = {"type": "cloud", "networking": network}
    body = {"name": "odd network", "config": config}
    error = refused(http.post("/v1/environments", json=body), 400, "config.networking")
    assert said in error["message"]


def test_null_and_empty_pass_where_a_thing_is_not_built(http):
    nothing = {"mcp_servers": [], "skills": None, "multiagent": None, "tools": None}
    assert http.post("/v1/agents", json={**AGENT, **nothing}).status_code == 200
    empty = {"type": "cloud", "networking": None, "packages": {"pip": [], "apt": None}}
    body = {"name": "empty packages", "config": empty}
    assert http.post("/v1/environments", json=body).status_code == 200


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"name": ', "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"name": NaN}', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"name": "a\\u0000b", "model": "m"}', "NUL"),
        (b'{"name": "a\\ud800b", "model": "m"}', "surrogate"),
    ],
)
def test_malformed_json_is_refused(http, raw, said):
    refused(http.post("/v1/agents", content=raw), 400, said)


def test_an_escaped_backslash_before_u0000_is_just_text(http):
    raw = json.dumps({**AGENT, "system": "\\u0000"}).encode()
    assert http.post("/v1/agents", content=raw).json()["system"] == "\\u0000"


def test_a_body_of_33_mb_is_refused(http, session):
    large = b'{"title": "' + b"x" * (33 << 20) + b'"}'
    response = http.post(f"/v1/sessions/{session.id}", content=large)
    error = refused(response, 413, "larger than 32 MB")
    assert error["type"] == "request_too_large"


def test_a_body_of_33_mb_in_chunks_is_refused(http, session):
    chunks = (b"x" * (1 << 20) for _ in range(33))
    response = http.post(f"/v1/sessions/{session.id}", content=chunks)
    refused(response, 413, "larger than 32 MB")


@pytest.mark.parametrize("page", ["nonsense", "page_e30", "page_!!", "page_W10"])
@pytest.mark.parametrize("path", ["agents", "environments", "sessions", "files"])
def test_an_invalid_cursor_is_refused(http, path, page):
    refused(http.get(f"/v1/{path}", params={"page": page}), 400, "page: ")


def test_a_cursor_belongs_to_its_list_and_filters(http):
    for _ in range(2):
        http.post("/v1/agents", json=AGENT)
    page = http.get("/v1/agents", params={"limit": 1}).json()["next_page"]
    again = {"limit": 1, "page": page}
    assert http.get("/v1/agents", params=again).status_code == 200
    refused(http.get("/v1/sessions", params=again), 400, "another list")
    again["include_archived"] = "true"
    refused(http.get("/v1/agents", params=again), 400, "another list")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("agents?limit=0", "limit: "),
        ("agents?limit=101", "limit: "),
        ("agents?limit=many", "limit: "),
        ("agents?created_at[gte]=yesterday", "created_at[gte]: "),
        ("sessions?order=sideways", "order: "),
        ("sessions?statuses[]=asleep", "statuses.0: "),
        ("files?limit=1001", "limit: "),
    ],
)
def test_a_wrong_query_parameter_is_named(http, path, said):
    refused(http.get(f"/v1/{path}"), 400, said)


def test_unknown_headers_betas_and_parameters_are_ignored(http):
    headers = {"anthropic-beta": "computer-use-2024-10-22,x", "x-own": "1"}
    response = http.get("/v1/agents?beta=true&after_id=x", headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/agents/", 404),
        ("PUT", "/v1/agents", 405),
        ("DELETE", "/v1/agents/x", 405),
        ("OPTIONS", "/v1/agents", 405),
    ],
)
def test_what_the_framework_refuses_comes_in_the_envelope(http, method, path, status):
    refused(http.request(method, path), status, path)


def test_a_foreign_host_is_refused_in_the_envelope(http):
    refused(http.get("/v1/agents", headers={"host": "evil.example"}), 400, "host")


def test_every_answer_has_a_request_id(http):
    first, second = http.get("/v1/agents"), http.get("/v1/agents")
    ids = {each.headers["request-id"] for each in (first, second)}
    assert len(ids) == 2


def test_the_same_idempotency_key_makes_one_agent(http):
    headers = {"idempotency-key": "one agent"}
    first = http.post("/v1/agents", json=AGENT, headers=headers)
    again = http.post("/v1/agents", json=AGENT, headers=headers)
    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] != first.headers["request-id"]


def test_an_idempotency_key_belongs_to_its_body(http):
    headers = {"idempotency-key": "one body"}
    http.post("/v1/agents", json=AGENT, headers=headers)
    other = {**AGENT, "name": "Other"}
    refused(http.post("/v1/agents", json=other, headers=headers), 409, "one body")


def test_an_idempotency_key_of_a_refusal_can_be_used_again(http):
    headers = {"idempotency-key": "second try"}
    wrong = http.post("/v1/agents", json={"name": "x"}, headers=headers)
    assert wrong.status_code == 400
    right = http.post("/v1/agents", json=AGENT, headers=headers)
    assert right.status_code == 200


def test_twins_under_one_idempotency_key_are_done_once(http):
    from concurrent.futures import ThreadPoolExecutor

    headers = {"idempotency-key": "twins"}
    with ThreadPoolExecutor(6) as pool:
        sent = [
            pool.submit(http.post, "/v1/agents", json=AGENT, headers=headers)
            for _ in range(6)
        ]
    ids = {each.result().json().get("id") for each in sent}
    assert len(ids) == 1
    assert None not in ids


def test_the_same_upload_under_one_idempotency_key_is_kept_once(http):
    headers = {"idempotency-key": "one upload"}

    def upload(content):
        # Each sending has a boundary of its own.
        return http.post("/v1/files", files={"file": ("a", content)}, headers=headers)

    assert upload(b"1").json() == upload(b"1").json()
    refused(upload(b"2"), 409, "one upload")


def test_a_form_without_a_file_is_refused(http):
    refused(http.post("/v1/files", data={"file": "text"}), 400, "file: ")
    short = {"data": {"expires_in_seconds": "60"}, "files": {"file": ("a", b"1")}}
    refused(http.post("/v1/files", **short), 400, "expires_in_seconds: ")


def test_openapi_describes_the_paths_and_the_request_models(http):
    api = http.get("/v1/openapi.json").json()
    assert "/v1/agents/{agent_id}" in api["paths"]
    assert "/v1/sessions/{session_id}/events" in api["paths"]
    body = api["paths"]["/v1/agents"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = api["components"]["schemas"][name]
    assert schema["required"] == ["model", "name"]
    assert schema["additionalProperties"] is False
