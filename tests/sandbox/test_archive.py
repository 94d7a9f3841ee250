"""Snapshots: what is kept of an archive, and what is left out."""

from __future__ import annotations

import gc
import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import archive
from sandbox.errors import SnapshotFailed


def tar(*entries: tuple[str, dict[str, object], bytes]) -> bytes:
    with io.BytesIO() as made:
        with tarfile.open(fileobj=made, mode="w") as target:
            for name, fields, data in entries:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                for field, value in fields.items():
                    setattr(entry, field, value)
                target.addfile(entry, io.BytesIO(data))
        return made.getvalue()


def file(name: str, data: bytes = b"x", **fields: object):
    return name, fields, data


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE):
    return name, {"type": kind, "linkname": to}, b""


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., dict[str, tarfile.TarInfo]]:
    """Writes a snapshot of an archive; gives what it holds."""

    def write(*entries: tuple[str, dict[str, object], bytes], folder: str = ""):
        path = tmp_path / "snapshot.tar"
        archive.write(path, [(folder, [tar(*entries)])])
        with tarfile.open(path) as found:
            return {entry.name: entry for entry in found}

    return write


def test_files_folders_and_links_are_kept(kept) -> None:
    found = kept(
        file("workspace", b"", type=tarfile.DIRTYPE, mode=0o700),
        file("workspace/run.sh", mode=0o755),
        link("workspace/latest", "run.sh"),
        link("workspace/same", "workspace/run.sh", tarfile.LNKTYPE),
    )
    assert list(found) == [
        "workspace",
        "workspace/run.sh",
        "workspace/latest",
        "workspace/same",
    ]
    assert found["workspace/run.sh"].mode == 0o755
    assert found["workspace/same"].linkname == "workspace/run.sh"


def test_everything_belongs_to_the_sandboxes_user_and_raises_no_rights(kept) -> None:
    found = kept(file("workspace/su", uid=0, gid=0, uname="root", mode=0o6777))
    entry = found["workspace/su"]
    assert (entry.uid, entry.gid, entry.uname, entry.mode) == (1000, 1000, "", 0o777)


@pytest.mark.parametrize(
    "entry",
    [
        file("../etc/passwd"),
        file("workspace/../../etc/passwd"),
        file("/etc/passwd"),
        file("etc/passwd"),
        file("workspaces/x"),
        file("workspace/tty", b"", type=tarfile.CHRTYPE),
        file("workspace/disk", b"", type=tarfile.BLKTYPE),
        file("workspace/pipe", b"", type=tarfile.FIFOTYPE),
        link("workspace/passwd", "/etc/passwd", tarfile.LNKTYPE),
        link("workspace/passwd", "workspace/../etc/passwd", tarfile.LNKTYPE),
    ],
)
def test_what_does_not_belong_there_is_left_out(kept, entry) -> None:
    assert list(kept(entry, file("workspace/good"))) == ["workspace/good"]


def test_nothing_is_put_beyond_a_link(kept) -> None:
    found = kept(
        link("workspace/out", "/etc"),
        file("workspace/out/passwd"),
        link("workspace/hard", "workspace/out/shadow", tarfile.LNKTYPE),
        link("workspace/twice", "workspace/out", tarfile.LNKTYPE),
    )
    assert list(found) == ["workspace/out"]


def test_names_get_the_folder_that_they_lie_in(kept) -> None:
    found = kept(file("agent/.profile"), file("other/x"), folder="home")
    assert list(found) == ["home/agent/.profile"]


def test_a_file_with_holes_is_kept_whole(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    folder.mkdir()
    with (folder / "holes").open("wb") as made:
        made.write(b"begin")
        made.seek(1_000_000)
        made.write(b"end")
    words = ["tar", "--sparse", "--create", "--file=-", "-C", tmp_path, "workspace"]
    packed = subprocess.run(words, capture_output=True, check=True).stdout
    assert len(packed) < 100_000  # or this test shows nothing
    archive.write(tmp_path / "s.tar", [("", [packed])])
    with tarfile.open(tmp_path / "s.tar") as found:
        holes = found.extractfile("workspace/holes")
        assert holes
        assert holes.read() == (folder / "holes").read_bytes()


def test_a_second_name_of_what_is_left_out_is_left_out_too(kept) -> None:
    found = kept(
        file("workspace/pipe", b"", type=tarfile.FIFOTYPE),
        link("workspace/same", "workspace/pipe", tarfile.LNKTYPE),
        file("workspace/after"),
    )
    assert list(found) == ["workspace/after"]


def test_entries_are_forgotten_once_they_are_copied(tmp_path: Path) -> None:
    alive = []

    def stream() -> Iterator[bytes]:
        for number in range(1000):
            yield tarfile.TarInfo(f"workspace/{number}").tobuf()
        alive.extend(one for one in gc.get_objects() if type(one) is tarfile.TarInfo)
        yield bytes(tarfile.RECORDSIZE)

    archive.write(tmp_path / "s.tar", [("", stream())])
    assert len(alive) < 10


def test_a_snapshot_has_its_limit(tmp_path: Path) -> None:
    big = tar(file("workspace/big", b"x" * 5000))
    with pytest.raises(SnapshotFailed, match="larger than"):
        archive.write(tmp_path / "s.tar", [("", [big])], most=4999)
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_of_a_sparse_file_is_refused_by_its_size(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("workspace/bomb")
    entry.size = 1 << 50
    with pytest.raises(SnapshotFailed, match="larger than"):
        archive.write(tmp_path / "s.tar", [("", [entry.tobuf()])])


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b""])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SnapshotFailed, match="cannot be read"):
        archive.write(tmp_path / "s.tar", [("", [data])])


def test_the_last_snapshot_stays_where_a_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(b"of yesterday")
    with pytest.raises(SnapshotFailed):
        archive.write(path, [("", [tar(file("workspace/a", b"x" * 9000))[:2000]])])
    assert path.read_bytes() == b"of yesterday"
