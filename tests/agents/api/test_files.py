"""Files: names, copies, expiry; rows and bytes go together."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents import files
from agents.actors import Actor
from agents.errors import Forbidden, NotFound


@pytest.fixture
def actor(workspace):
    return Actor(workspace=workspace, name="Bob", role="operator")


def upload(actor, **more):
    given = {"filename": "books.csv", "mime_type": "", "chunks": [b"1,", b"2"]}
    return files.upload(actor, **{**given, **more})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("books.csv", "books.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\b.txt", "b.txt"),
        ("a\x00b\n.txt", "ab.txt"),
        ("", "unnamed"),
        ("..", "unnamed"),
        ("x" * 300 + ".csv", "x" * 251 + ".csv"),
    ],
)
def test_a_name_is_one_printable_component(sent, kept):
    assert files.safe_name(sent) == kept


def test_bytes_lie_under_the_id_with_their_digest(actor):
    file = upload(actor)
    assert file.path.read_bytes() == b"1,2"
    assert (file.size_bytes, file.mime_type) == (3, "text/csv")
    assert file.sha256.startswith("17f8af97")


def test_a_copy_goes_with_its_session_and_leaves_the_original(actor):
    file = upload(actor)
    copy = files.copy_to_session(file, "sesn_1")
    files.delete_session_files("sesn_1")
    assert not copy.path.exists()
    assert file.path.read_bytes() == b"1,2"


def test_an_expired_file_is_gone(actor):
    file = upload(actor, expires_in=3600)
    assert files.find_file(actor, file.pk) == file
    file.expires_at = timezone.now() - timedelta(seconds=1)
    file.save()
    with pytest.raises(NotFound, match="expired") as gone:
        files.find_file(actor, file.pk)
    assert gone.value.details == {"error_code": "file_expired"}
    assert not files.listed(actor).exists()


def test_a_viewer_uploads_nothing(workspace):
    viewer = Actor(workspace=workspace, name="Vera", role="viewer")
    with pytest.raises(Forbidden, match="Vera is viewer here and may not run"):
        upload(viewer)
