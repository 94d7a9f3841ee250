"""Files going into a real sandbox and coming out of it, by the official SDK."""

from __future__ import annotations

import pytest

from tests.site.conftest import bash, follow, results, script

pytestmark = [pytest.mark.site, pytest.mark.docker]


def test_an_upload_is_read_only_and_what_is_handed_back_can_be_downloaded(
    client, agent, environment
):
    file = client.beta.files.upload(file=("books.csv", b"month,sum\nNov,3\n"))
    path = "/mnt/session/uploads/books.csv"
    session = client.beta.sessions.create(
        agent=agent.id,
        environment_id=environment.id,
        resources=[{"type": "file", "file_id": file.id, "mount_path": path}],
        initial_events=[
            script(
                {"tools": [bash(f"echo mine > {path}; cat {path}")]},
                {
                    "tools": [
                        bash(
                            f"cd /mnt/session/outputs && sed s/Nov/Dec/ {path} > next.csv"
                            " && ln -s /etc/shadow trick && truncate -s 900M huge"
                        )
                    ]
                },
                {"say": "Done."},
            )
        ],
    )
    seen = follow(client, session.id)
    assert "Read-only file system" in results(seen)[0]
    assert "Nov,3" in results(seen)[0]
    listed = client.beta.files.list(scope_id=session.id).data
    (output,) = [each for each in listed if each.downloadable]
    assert (output.filename, output.scope.id) == ("next.csv", session.id)
    assert client.beta.files.download(output.id).read() == b"month,sum\nDec,3\n"


def test_a_session_that_runs_sees_a_file_come_and_go(client, agent, environment):
    file = client.beta.files.upload(file=("late.csv", b"1,2\n"))
    path = "/mnt/session/uploads/late.csv"
    session = client.beta.sessions.create(
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[
            script(
                {
                    "tools": [
                        bash(
                            f"until [ -e {path} ]; do sleep 0.1; done; cat {path};"
                            f" cp {path} /mnt/session/outputs/seen.csv"
                        )
                    ]
                },
                {
                    "tools": [
                        bash(f"until [ ! -e {path} ]; do sleep 0.1; done; echo gone")
                    ]
                },
                {"say": "Done."},
            )
        ],
    )
    wait_for(client, session.id, "agent.tool_use")
    added = client.beta.sessions.resources.add(
        session.id, type="file", file_id=file.id, mount_path=path
    )
    wait_for(client, session.id, "agent.tool_result")
    client.beta.sessions.resources.delete(added.id, session_id=session.id)
    assert results(follow(client, session.id)) == ["1,2", "gone"]


def wait_for(client, session_id, kind):
    with client.beta.sessions.events.stream(
        session_id, extra_headers={"Last-Event-ID": "0"}, timeout=120
    ) as stream:
        for event in stream:
            if event.type == kind:
                return
