"""/v1/skills where the client's library is no help: a request that is sent twice."""

from __future__ import annotations

import pytest

from agents.models import Skill

HEAD = b"---\nname: month-end\ndescription: Closes a month.\n---\n"


def form(**files):
    """A multipart body. Django's own client would leave the folders away."""
    parts = [("month-end/SKILL.md", HEAD)]
    parts += [(f"month-end/{path}", data) for path, data in files.items()]
    head = (
        '--x\r\nContent-Disposition: form-data; name="files[]"; filename="{}"\r\n\r\n'
    )
    said = [head.format(path).encode() + data + b"\r\n" for path, data in parts]
    return b"".join(said) + b"--x--\r\n"


@pytest.fixture
def post(client, api_key):
    def send(data, key="once"):
        return client.generic(
            "POST",
            "/v1/skills",
            data,
            content_type="multipart/form-data; boundary=x",
            headers={"authorization": f"Bearer {api_key}", "idempotency-key": key},
        )

    return send


def test_an_upload_that_is_sent_twice_is_stored_once_and_whole(post):
    first = post(form(run=b"print()"))
    assert first.status_code == 200, first.content
    again = post(form(run=b"print()"))
    assert again.json() == first.json()
    (version,) = Skill.objects.get().versions.all()
    assert (version.folder / "run").read_bytes() == b"print()"


@pytest.mark.parametrize(
    "other",
    [
        {"run": b"print(2)", "walk": b"same"},
        {"ran": b"print()", "walk": b"same"},
        {"deep/run": b"print()", "walk": b"same"},
    ],
)
def test_a_key_is_not_used_for_another_folder(post, other):
    assert post(form(run=b"print()", walk=b"same")).status_code == 200
    assert post(form(**other)).status_code == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/versions"),
        ("GET", "/versions/latest"),
        ("GET", "/versions/{version}"),
        ("GET", "/versions/{version}/content"),
        ("DELETE", "/versions/{version}"),
    ],
)
def test_another_workspace_s_skill_is_not_there(
    client, post, other_api_key, method, path
):
    made = post(form()).json()
    path = path.format(version=made["latest_version_id"])
    headers = {"authorization": f"Bearer {other_api_key}"}
    answer = client.generic(method, f"/v1/skills/{made['id']}{path}", headers=headers)
    assert answer.status_code == 404
    assert Skill.objects.get().versions.count() == 1
