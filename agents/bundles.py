"""A skill as it is uploaded: files of one folder with a SKILL.md, checked one by one.

Nothing is written here, and nothing is unpacked by a library that follows what an
archive says: entries are read one after the other, up to a limit, and refused by name.
"""

from __future__ import annotations

import io
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from agents.errors import InvalidRequest

MANIFEST = "SKILL.md"
MOST_FILES = 500
MOST_BYTES = 30 * 1024 * 1024
LONGEST_PATH = 240
LONGEST_PART = 255
"""In bytes: what file systems take."""
LONGEST_HEAD = 16 * 1024
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
LONGEST_NAME, LONGEST_DESCRIPTION = 64, 1024
FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
ENTRY_MARK = b"PK\x01\x02"
"""What each entry of an archive's directory begins with: counted before it is read."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What the library unpacks piece by piece; of others it unpacks all that it has read."""
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,  # needs a version of the format that the library does not know
    ValueError,
)
LITTER = re.compile(r"(?:^|/)(?:__MACOSX/|\.DS_Store$)")
"""What the archiver of a Mac adds."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file as it was sent: its name with folders, its bytes, and if it can be run."""

    name: str
    data: bytes
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A skill that passed: its files by their paths below its folder."""

    name: str
    description: str
    files: Mapping[str, Part]

    @property
    def size(self) -> int:
        return sum(len(part.data) for part in self.files.values())


def read_bundle(sent: Sequence[Part]) -> Bundle:
    """Check what was sent: the files themselves, or one zip archive of them.

    Raises:
        InvalidRequest: the sentence names the file that is wrong.
    """
    parts = _unpacked(sent[0].data) if _is_archive(sent) else sent
    top, files = _below_one_folder(parts)
    if MANIFEST not in files:
        raise InvalidRequest(f"files: there is no {top}/{MANIFEST}")
    name, description = read_manifest(files[MANIFEST].data, folder=top)
    return Bundle(name=name, description=description, files=files)


def _is_archive(sent: Sequence[Part]) -> bool:
    return len(sent) == 1 and sent[0].data.startswith(b"PK")


def _unpacked(data: bytes) -> Iterator[Part]:
    _refuse_many(data.count(ENTRY_MARK))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            entries = [each for each in listed if not each.filename.endswith("/")]
            _refuse_many(len(entries))
            room = MOST_BYTES
            for entry in entries:
                part = _entry(archive, entry, room)
                room -= len(part.data)
                yield part
    except BROKEN as error:
        raise InvalidRequest(f"files: the archive cannot be read: {error}") from None


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int) -> Part:
    name = shown(entry.filename)
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise InvalidRequest(f"files: {name} is a link or a device, and not a file")
    if entry.flag_bits & 1:
        raise InvalidRequest(f"files: {name} is encrypted")
    if entry.compress_type not in PACKINGS:
        raise InvalidRequest(f"files: {name} is packed otherwise than by deflate")
    try:
        with archive.open(entry) as source:
            data = source.read(room + 1)  # never more, whatever the entry declares
    except BROKEN as error:
        raise InvalidRequest(f"files: {name} cannot be unpacked: {error}") from None
    if len(data) > room:
        raise InvalidRequest(
            f"files: with {name} the skill is larger than {MOST_BYTES >> 20} MB unpacked"
        )
    # What a zip says is cut at a NUL by the library; the raw name is what was meant.
    return Part(
        name=entry.orig_filename, data=data, executable=bool(mode & stat.S_IXUSR)
    )


def _below_one_folder(parts: Iterable[Part]) -> tuple[str, dict[str, Part]]:
    """The folder that all have in common, and the files by their paths in it."""
    files: dict[str, Part] = {}
    tops: set[str] = set()
    size = 0
    for part in parts:
        if LITTER.search(part.name):
            continue
        top, path = _checked(part.name)
        tops.add(top)
        if len(tops) > 1:
            both = " and ".join(sorted(map(shown, tops)))
            raise InvalidRequest(f"files: all must be in one folder, not in {both}")
        if path in files:
            raise InvalidRequest(f"files: {shown(part.name)} was sent twice")
        size += len(part.data)
        if size > MOST_BYTES:
            raise InvalidRequest(f"files: together they are over {MOST_BYTES >> 20} MB")
        files[path] = part
        _refuse_files(files)
    if not files:
        raise InvalidRequest(f"files: send a folder with a {MANIFEST}, or a zip of one")
    _refuse_clashes(files)
    return tops.pop(), files


def _checked(name: str) -> tuple[str, str]:
    """A name as folder and path in it; only what is the same on every system."""
    if name.startswith(("/", "~")) or re.match(r"[A-Za-z]:", name):
        raise InvalidRequest(f"files: {shown(name)} is an absolute path")
    parts = name.split("/")
    if ".." in parts:
        raise InvalidRequest(f"files: {shown(name)} leaves its folder")
    wrong = not name.isprintable() or "\\" in name or {"", "."} & {*parts}
    if wrong or len(name) > LONGEST_PATH or not all(map(_is_plain, parts)):
        raise InvalidRequest(f"files: {shown(name)} is not a plain path")
    top, slash, path = name.partition("/")
    if not slash:
        raise InvalidRequest(
            f"files: {shown(name)} is in no folder: send names such as"
            f" my-skill/{MANIFEST}"
        )
    return top, path


def _is_plain(part: str) -> bool:
    return not part.endswith(" ") and len(part.encode()) <= LONGEST_PART


def _refuse_clashes(files: Mapping[str, Part]) -> None:
    """Refuse what would be in one place where case is not told apart."""
    spelled: dict[str, str] = {}
    for path in files:
        other = spelled.setdefault(_folded(path), path)
        if other != path:
            raise InvalidRequest(
                f"files: {other} and {path} are one name on some systems"
            )
    for folded in spelled:
        above = folded.rpartition("/")[0]
        while above:
            if above in spelled:
                raise InvalidRequest(f"files: {spelled[above]} is a file and a folder")
            above = above.rpartition("/")[0]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _refuse_many(count: int) -> None:
    if count > 2 * MOST_FILES:  # folders, and what a Mac adds, do not count
        raise InvalidRequest(f"files: a skill has {MOST_FILES} files at most")


def _refuse_files(files: Mapping[str, Part]) -> None:
    if len(files) > MOST_FILES:
        raise InvalidRequest(f"files: a skill has {MOST_FILES} files at most")


def read_manifest(data: bytes, *, folder: str) -> tuple[str, str]:
    """The name and the description that a SKILL.md begins with.

    Raises:
        InvalidRequest: it says neither, or not so that anybody can use it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{MANIFEST} is not UTF-8 text") from None
    found = FRONT_MATTER.match(text)
    if found is None or len(found[1]) > LONGEST_HEAD:
        raise InvalidRequest(
            f"{MANIFEST} must begin with a block between two lines of ---, in which"
            " name: and description: stand"
        )
    said = _mapping(found[1])
    return _name(said.get("name", folder)), _description(said.get("description"))


class _Plain(yaml.SafeLoader):
    """Without aliases: a few lines of them stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it may hold no aliases")
        return super().compose_node(parent, index)


def _mapping(head: str) -> Mapping[str, Any]:
    try:
        said = yaml.load(head, Loader=_Plain)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InvalidRequest(f"{MANIFEST} begins with no valid YAML: {why}") from None
    if not isinstance(said, dict):
        raise InvalidRequest(f"{MANIFEST} begins with no keys and values")
    return said


def _name(name: object) -> str:
    text = name if isinstance(name, str) else ""
    if len(text) > LONGEST_NAME or not NAME.fullmatch(text):
        instead = f", not {shown(text)}" if text else ""
        raise InvalidRequest(
            f"{MANIFEST}: name: must be text of a-z, 0-9 and single hyphens, and at most"
            f" {LONGEST_NAME} long{instead}"
        )
    return text


def _description(description: object) -> str:
    text = " ".join(description.split()) if isinstance(description, str) else ""
    if not 1 <= len(text) <= LONGEST_DESCRIPTION:
        raise InvalidRequest(
            f"{MANIFEST}: description: must say in 1 to {LONGEST_DESCRIPTION} characters"
            " what the skill is for"
        )
    return text


def shown(name: str) -> str:
    """A name that may hold anything, as a sentence can quote it."""
    return repr(name[:200])
