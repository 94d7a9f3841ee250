"""Files: names, copies, expiry; rows and bytes go together."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents import files
from agents.actors import Actor
from agents.errors import Forbidden, InvalidRequest, NotFound, TooLarge
from agents.models import File


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


@pytest.mark.parametrize(
    "said", ["", "csv", "text/" + "x" * 300, "text/csv\r\nx: y", "text/\N{SNOWMAN}"]
)
def test_a_type_that_is_none_is_told_by_the_name(actor, said):
    assert upload(actor, mime_type=said).mime_type == "text/csv"
    assert upload(actor, mime_type="image/svg+xml").mime_type == "image/svg+xml"


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


@pytest.fixture
def conf(settings):
    """Settings that a test may change for itself."""
    settings.AGENTSITE = settings.AGENTSITE.model_copy()
    return settings.AGENTSITE


def stored_bytes(conf):
    return [each for each in (conf.home / "files").rglob("*") if each.is_file()]


def test_a_file_that_is_too_large_leaves_nothing_behind(actor, conf):
    conf.file_mb = 1
    before = stored_bytes(conf)
    with pytest.raises(TooLarge, match="larger than 1 MB"):
        upload(actor, chunks=[b"x" * 700_000] * 2)
    assert stored_bytes(conf) == before
    assert not File.objects.exists()


def test_the_files_of_a_workspace_have_a_limit_that_mounted_copies_do_not_touch(
    actor, conf
):
    conf.files_gb = 1
    file = upload(actor)
    File.objects.update(size_bytes=2**30 - 3)
    files.copy_to_session(File.objects.get(), "sesn_1")
    assert upload(actor).size_bytes == 3
    with pytest.raises(InvalidRequest, match=r"0\.0 MB are free") as full:
        upload(actor)
    assert full.value.details == {"error_code": "storage_limit_reached"}
    files.delete_file(actor, file.pk)
    assert upload(actor)


def test_a_viewer_uploads_nothing(workspace):
    viewer = Actor(workspace=workspace, name="Vera", role="viewer")
    with pytest.raises(Forbidden, match="Vera is viewer here and may not run"):
        upload(viewer)
