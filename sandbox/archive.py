"""Snapshots: a session's files as a tar archive, in which nothing can do harm."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path, PurePosixPath

from sandbox.errors import SnapshotFailed
from sandbox.spec import HOME, OUTPUTS, WORKSPACE

UID = 1000
KEPT = (WORKSPACE, HOME, OUTPUTS)
PIECE = 1024 * 1024
MOST = 16 * 1024 * PIECE
"""Bytes that the files of a snapshot may have together."""

Source = tuple[str, Iterable[bytes]]
"""A tar stream, and the folder that its names lie in."""


class Tar(tarfile.TarFile):
    members: list[tarfile.TarInfo]  # what it has read or written so far


def write(path: Path, sources: Iterable[Source], *, most: int = MOST) -> None:
    """Write tar streams as one archive, without what does not belong there.

    Raises:
        SnapshotFailed: one ends early, or together they have more than `most` bytes.
    """
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Tar.open(part, mode="w|", bufsize=PIECE) as target:
            for folder, stream in sources:
                most = pour(stream, target, folder=folder, room=most)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def pour(stream: Iterable[bytes], target: Tar, *, folder: str, room: int) -> int:
    """Copy what is harmless; return how many bytes are left of the room."""
    closed: set[PurePosixPath] = set()
    try:
        with Tar.open(fileobj=Stream(stream), mode="r|", bufsize=PIECE) as source:
            for entry in source:
                source.members.clear()  # or a million files would fill the memory
                target.members.clear()
                kept = harmless(entry, folder, closed)
                if kept is None:
                    continue
                room -= kept.size
                if room < 0:
                    raise SnapshotFailed("The files are larger than a snapshot may be.")
                target.addfile(kept, source.extractfile(entry) if kept.size else None)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise SnapshotFailed(
            f"The archive of files cannot be read: {error}."
        ) from error
    return room


def harmless(
    entry: tarfile.TarInfo, folder: str, closed: set[PurePosixPath]
) -> tarfile.TarInfo | None:
    """Return an entry as it may be unpacked; None for what must not be.

    Its place is below a folder that is kept, and not beyond a link of the archive. It
    belongs to the sandbox's user, raises no rights, and is no device or pipe. `closed`
    are the places where the archive has such things, for nothing may lead there.
    """
    place = placed(entry.name, folder)
    if place is None or is_beyond(place, closed):
        return None
    kept = copy(entry)
    kept.name = str(place)
    if entry.islnk():
        original = placed(entry.linkname, folder)
        if original is None or is_beyond(original, closed):
            return None
        kept.linkname = str(original)
    elif entry.isreg():
        kept.type = tarfile.REGTYPE  # a sparse one is written out
    elif not entry.isdir():
        closed.add(place)
        if not entry.issym():
            return None
    kept.uid = kept.gid = UID
    kept.uname = kept.gname = ""
    kept.mode = entry.mode & 0o777
    kept.pax_headers = {}
    return kept


def is_beyond(place: PurePosixPath, closed: set[PurePosixPath]) -> bool:
    return any(parent in closed for parent in (place, *place.parents))


def placed(name: str, folder: str) -> PurePosixPath | None:
    """Return a name's place, from the root, where it is in a folder that is kept."""
    path = PurePosixPath(folder) / name.lstrip("/")
    if ".." in path.parts or "\0" in name:
        return None
    inside = any(PurePosixPath("/", path).is_relative_to(kept) for kept in KEPT)
    return path if inside else None


class Stream(io.RawIOBase):
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None:
                return b""
            self.rest = piece
        size = len(self.rest) if size < 0 else size
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken
