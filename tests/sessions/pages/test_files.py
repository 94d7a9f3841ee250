"""The files of a session as a browser sees them: nothing of an agent's may run."""

from __future__ import annotations

import pytest

from agents import files
from sessions.models import SessionResource

PNG = bytes.fromhex("89504e470d0a1a0a") + b"...."


@pytest.fixture
def output(actor, session):
    def make(name, data):
        return files.store(
            actor.workspace,
            filename=name,
            chunks=[data],
            scope_id=session.pk,
            downloadable=True,
        )

    return make


@pytest.fixture
def look(as_alice, session):
    def got(file, rest=""):
        return as_alice.get(f"/sessions/{session.pk}/files/{file.pk}{rest}")

    return got


def page_of(answer):
    return answer.content.decode()


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("a.md", b"# Books\n\n*closed*", "<em>closed</em>"),
        ("a.csv", b'month,sum\n"Nov, 26",3\n', "<td>Nov, 26</td>"),
        ("a.tsv", b"month\tsum\n", "<td>sum</td>"),
        ("a.py", b"print(1 < 2)", "print(1 &lt; 2)"),
        ("none", "žluť".encode(), "žluť"),
        ("a.png", PNG, "preview-image"),
        ("a.pdf", b"%PDF-1.7 ...", "Open it"),
        ("a.bin", b"\0\1\2", "cannot be shown"),
        ("empty", b"", "preview-text"),
    ],
)
def test_each_kind_is_shown_as_what_it_is(look, output, name, data, shown):
    assert shown in page_of(look(output(name, data)))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.html", b"<script>alert(1)</script>"),
        ("a.svg", b"<svg onload=alert(1)>"),
        ("a.md", b"<script>alert(1)</script> <img src=x onerror=alert(1)>"),
        ("a.csv", b"<script>alert(1)</script>,2"),
        ("a.png", b"<script>alert(1)</script>"),
    ],
)
def test_active_content_is_text(look, output, name, data):
    file = output(name, data)
    page = page_of(look(file))
    for active in ("<script>alert", "<svg onload", "<img src=x"):
        assert active not in page
    assert look(file, "/raw").status_code == 404


@pytest.mark.parametrize(
    ("data", "media_type"), [(PNG, "image/png"), (b"%PDF-1.7", "application/pdf")]
)
def test_an_image_or_a_pdf_goes_out_under_its_own_type_and_runs_nothing(
    look, output, data, media_type
):
    answer = look(output("lie.html", data), "/raw")
    assert answer["content-type"] == media_type
    assert answer["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer["x-content-type-options"] == "nosniff"
    assert b"".join(answer) == data


def test_of_a_large_file_the_beginning_is_shown(look, output):
    page = page_of(look(output("a.txt", ("ž" * 200_000).encode())))
    assert "Only the beginning is shown" in page


def test_a_table_is_cut_in_both_directions(look, output):
    wide = ",".join("x" * 400 for _ in range(60))
    page = page_of(look(output("a.csv", "\n".join([wide] * 150).encode())))
    assert "Only the beginning is shown" in page
    assert "x" * 301 not in page


def test_a_person_mounts_a_file_and_takes_it_away(as_bob, session, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("1,2")
    with path.open("rb") as sent:
        as_bob.post(f"/sessions/{session.pk}/resources", {"file": sent})
    resource = SessionResource.objects.get(session=session)
    assert resource.mount_path == "/mnt/session/uploads/books.csv"
    panel = page_of(as_bob.get(f"/sessions/{session.pk}/files"))
    assert "books.csv" in panel
    as_bob.post(f"/sessions/{session.pk}/resources/{resource.pk}/remove")
    assert not SessionResource.objects.exists()


def test_a_stranger_and_a_viewer_mount_nothing(as_charlie, as_viewer, session):
    url = f"/sessions/{session.pk}/resources"
    assert as_charlie.post(url).status_code == 404
    assert as_viewer.post(url).status_code == 403
    here = f"/sessions/{session.pk}/files"
    panel = as_viewer.get(here, headers={"hx-request": "true"}).content.decode()
    assert "<form" not in panel
    assert "Files of" in as_viewer.get(here).content.decode()
