"""Runs inside a sandbox and answers tool calls, as JSON lines on a unix socket.

One file, standard library only, Python 3.11 or newer: it is mounted into images that
have nothing else of ours. Its functions on text are used by the fake sandbox as well.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

KIB = 1024
MIB = 1024 * KIB

OUTPUT_TAIL = 100 * KIB  # bytes of a command's output that stay in memory
SPILL_ABOVE = 100_000  # characters; more goes to a file
SPILL_PREVIEW = 20_000  # characters of the end that the model still sees
SPILL_BYTES = 16 * MIB  # the most that file holds
TEXT_BYTES = 256 * KIB
EDIT_BYTES = 16 * MIB
IMAGE_BYTES = 5 * MIB
PDF_BYTES = 20 * MIB
GLOB_RESULTS = 200
GREP_BYTES = 100 * KIB
GREP_LINE = 2_000
ENTRIES_WALKED = 50_000
TIMEOUT_MS_MAX = 24 * 3600 * 1000
SEARCH_SECONDS = 120
LINE_BYTES = 48 * MIB
CHUNK_BYTES = 4 * MIB
REMEMBERED_BYTES = 64 * MIB
NO_OUTPUT = "(no output)"

Block = dict[str, Any]
Reply = dict[str, Any]


class ToolError(Exception):
    """A sentence for the model."""


@dataclass(kw_only=True)
class Outcome:
    """How a call ended. Its content is never empty."""

    content: list[Block]
    is_error: bool = False
    spilled: str | None = None
    seconds: float = 0.0


def outcome_of_text(text: str, *, is_error: bool = False) -> Outcome:
    block = {"type": "text", "text": text if text.strip() else NO_OUTPUT}
    return Outcome(content=[block], is_error=is_error)


# --- What a call may ask -------------------------------------------------------------

FIELDS: dict[str, dict[str, type]] = {
    "bash": {"command": str, "restart": bool, "timeout_ms": int},
    "read": {"file_path": str, "view_range": list},
    "write": {"file_path": str, "content": str},
    "edit": {
        "file_path": str,
        "old_string": str,
        "new_string": str,
        "replace_all": bool,
    },
    "glob": {"pattern": str, "path": str},
    "grep": {"pattern": str, "path": str},
}
REQUIRED: dict[str, tuple[str, ...]] = {
    "bash": (),
    "read": ("file_path",),
    "write": ("file_path", "content"),
    "edit": ("file_path", "old_string", "new_string"),
    "glob": ("pattern",),
    "grep": ("pattern",),
}
WORDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list"}


def checked(tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input without nulls, or say what is wrong with it."""
    fields = FIELDS.get(tool)
    if fields is None:
        raise ToolError(f"There is no tool {tool!r}; there are {', '.join(FIELDS)}.")
    input = {name: value for name, value in given.items() if value is not None}
    for name, value in input.items():
        check_field(tool, name, value)
    for name in REQUIRED[tool]:
        if name not in input:
            raise ToolError(f"{tool} needs {name!r}.")
    check_rules(tool, input)
    return input


def check_field(tool: str, name: str, value: Any) -> None:
    fields = FIELDS[tool]
    if name not in fields:
        raise ToolError(f"{tool} takes {', '.join(fields)}; it has no {name!r}.")
    wanted = fields[name]
    if type(value) is not wanted:
        raise ToolError(f"{tool}: {name!r} must be {WORDS[wanted]}.")


def check_rules(tool: str, input: Mapping[str, Any]) -> None:
    if tool == "bash":
        check_bash(input)
    if tool == "read" and "view_range" in input:
        check_view_range(input["view_range"])
    if tool == "edit" and not input["old_string"]:
        raise ToolError("edit: 'old_string' is empty; use write to make a new file.")
    for name in ("file_path", "path", "pattern"):
        if name in input and (not input[name] or "\0" in input[name]):
            raise ToolError(f"{tool}: {name!r} must not be empty or hold a NUL.")


def check_bash(input: Mapping[str, Any]) -> None:
    if not input.get("command", "").strip() and not input.get("restart"):
        raise ToolError("bash needs 'command', or 'restart' set to true.")
    if "\0" in input.get("command", ""):
        raise ToolError("bash: 'command' must not hold a NUL character.")
    if not 1 <= input.get("timeout_ms", 1) <= TIMEOUT_MS_MAX:
        raise ToolError(f"bash: 'timeout_ms' must be from 1 to {TIMEOUT_MS_MAX}.")


def check_view_range(view_range: list[Any]) -> None:
    fits = len(view_range) == 2 and all(type(n) is int for n in view_range)
    if not fits or view_range[0] < 1:
        raise ToolError("read: 'view_range' must be [first line, last line], from 1.")
    if view_range[1] != -1 and view_range[1] < view_range[0]:
        raise ToolError("read: 'view_range' ends before it begins; -1 means the end.")


# --- Text ----------------------------------------------------------------------------

ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|[ -/]*[0-~])"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(output: bytes) -> str:
    """Return output as a reader of a terminal would see it in the end."""
    text = ESCAPES.sub("", output.decode("utf-8", "replace"))
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(last_written(line) for line in text.split("\n"))
    return CONTROLS.sub("", text)


def last_written(line: str) -> str:
    """Return what a progress line showed last: carriage returns overwrite."""
    parts = [part for part in line.split("\r") if part]
    return parts[-1] if parts else ""


def edited(text: str, old: str, new: str, *, replace_all: bool, path: str) -> str:
    if old == new:
        raise ToolError("edit: 'old_string' and 'new_string' are the same.")
    count = text.count(old)
    if count == 0:
        raise ToolError(f"'old_string' is not in {path}.{hint(text, old)}")
    if count > 1 and not replace_all:
        lines = ", ".join(str(n) for n in lines_of(text, old, 5))
        raise ToolError(
            f"'old_string' is {count} times in {path} (lines {lines}"
            f"{', …' if count > 5 else ''}): add lines around it, or set 'replace_all'."
        )
    return text.replace(old, new)


def lines_of(text: str, old: str, most: int) -> Iterator[int]:
    at = text.find(old)
    while at != -1 and most > 0:
        yield text.count("\n", 0, at) + 1
        at, most = text.find(old, at + len(old)), most - 1


def hint(text: str, old: str) -> str:
    """Say why a text that looks right may not match."""
    if "\r\n" in text and old.replace("\n", "\r\n") in text:
        return " The file ends its lines with CRLF."
    wanted = [line.strip() for line in old.strip().splitlines()]
    have = [line.strip() for line in text.splitlines()]
    for at in range(len(have) - len(wanted) + 1):
        if wanted and have[at : at + len(wanted)] == wanted:
            return f" Line {at + 1} differs from it only in white space."
    return " Read the file again: it may have changed."


def viewed(lines: Iterator[str], view_range: list[int] | None, path: str) -> str:
    """Return the lines asked for, cut where the model would be flooded."""
    first, last = view_range or [1, -1]
    chosen: list[str] = []
    size = 0
    number = 0
    for number, line in enumerate(lines, 1):
        if number < first:
            continue
        if last != -1 and number > last:
            break
        room = min(SPILL_ABOVE, TEXT_BYTES) - size
        chosen.append(line[:room])
        size += len(line)
        if len(line) >= room:
            note = f"\n[Cut in line {number} of {path}: use view_range for the rest.]"
            return "".join(chosen) + note
    if not chosen and number and first > number:
        raise ToolError(f"{path} has {number} lines; 'view_range' begins at {first}.")
    return "".join(chosen) or "(empty file)"


def glob_regex(pattern: str) -> re.Pattern[str]:
    """Translate a pattern with *, **, ?, [a-z] and {a,b}; * never crosses a slash."""
    return re.compile(f"(?s:{''.join(glob_parts(pattern))})\\Z")


GLOB_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|\{[^{}/]*\}|.", re.DOTALL)


def glob_parts(pattern: str) -> Iterator[str]:
    plain = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for token in GLOB_TOKEN.findall(pattern):
        if token in plain:
            yield plain[token]
        elif token[0] == "[" and len(token) > 2:
            inner = token[1:-1].replace("\\", "\\\\")
            yield f"[{'^' + inner[1:] if inner[0] == '!' else inner}]"
        elif token[0] == "{" and len(token) > 2:
            choices = ("".join(glob_parts(part)) for part in token[1:-1].split(","))
            yield f"(?:{'|'.join(choices)})"
        else:
            yield re.escape(token)


def image_type(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None


# --- Files ---------------------------------------------------------------------------


def regular(path: str, flags: int, mode: int = 0o644) -> BinaryIO:
    """Open a plain file; never wait on a pipe or touch a device."""
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        raise ToolError(why(path, error)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        kind = "a folder; use glob" if Path(path).is_dir() else "not a plain file"
        os.close(fd)
        raise ToolError(f"{path} is {kind}.")
    return os.fdopen(fd, "wb" if flags & os.O_WRONLY else "rb")


def why(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist."
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder."
    return f"{path}: {error.strerror or error}."


class Files:
    """The tools that read and write files. Every method blocks: call it in a thread."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, path: str) -> str:
        return str(self.root / Path(path).expanduser())

    def read(self, input: Mapping[str, Any]) -> Outcome:
        path = self.place(input["file_path"])
        with regular(path, os.O_RDONLY) as file:
            head = file.read(8 * KIB)
            file.seek(0)
            kind = image_type(head)
            if kind:
                return self.picture(path, file, kind)
            if head.startswith(b"%PDF-"):
                return self.document(path, file)
            if b"\0" in head:
                size = os.fstat(file.fileno()).st_size
                raise ToolError(f"{path} is a binary file of {size} bytes; use bash.")
            lines = (line.decode("utf-8", "replace") for line in pieces(file))
            return outcome_of_text(viewed(lines, input.get("view_range"), path))

    def picture(self, path: str, file: BinaryIO, kind: str) -> Outcome:
        return Outcome(content=[encoded("image", path, file, kind, IMAGE_BYTES)])

    def document(self, path: str, file: BinaryIO) -> Outcome:
        block = encoded("document", path, file, "application/pdf", PDF_BYTES)
        return Outcome(content=[block])

    def write(self, input: Mapping[str, Any]) -> Outcome:
        path = self.place(input["file_path"])
        data = input["content"].encode("utf-8", "surrogatepass")
        self.replace(path, data)
        return outcome_of_text(f"Wrote {len(data)} bytes to {path}.")

    def replace(self, path: str, data: bytes) -> None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                file.write(data)
        except OSError as error:
            raise ToolError(why(path, error)) from error

    def edit(self, input: Mapping[str, Any]) -> Outcome:
        path = self.place(input["file_path"])
        with regular(path, os.O_RDONLY) as file:
            data = file.read(EDIT_BYTES + 1)
        if len(data) > EDIT_BYTES:
            raise ToolError(f"{path} is larger than {EDIT_BYTES} bytes; use bash.")
        text = data.decode("utf-8", "surrogateescape")
        everywhere = input.get("replace_all", False)
        old, new = input["old_string"], input["new_string"]
        after = edited(text, old, new, replace_all=everywhere, path=path)
        self.replace(path, after.encode("utf-8", "surrogateescape"))
        count = text.count(old) if everywhere else 1
        return outcome_of_text(f"Replaced {count} time{'s'[: count != 1]} in {path}.")

    def glob(self, input: Mapping[str, Any], stopped: threading.Event) -> Outcome:
        root, pattern = self.search_root(input)
        wanted = glob_regex(pattern)
        found: list[tuple[float, str]] = []
        walk = Walk(root, stopped)
        for entry in walk:
            if wanted.match(os.path.relpath(entry.path, root)):
                with contextlib.suppress(OSError):
                    changed = entry.stat(follow_symlinks=False).st_mtime
                    found.append((changed, entry.path))
        found.sort(key=lambda one: (-one[0], one[1]))
        return outcome_of_text(listing([path for _, path in found], walk.cut))

    def search_root(self, input: Mapping[str, Any]) -> tuple[str, str]:
        root = self.place(input.get("path", "."))
        pattern = input["pattern"]
        if pattern.startswith(("/", "~")):
            pattern = str(Path(pattern).expanduser())
            fixed = re.split(r"[*?\[{]", pattern, maxsplit=1)[0]
            root = str(Path(fixed + "x").parent)
            pattern = os.path.relpath(pattern, root)
        root = os.path.normpath(root)
        if not Path(root).is_dir():
            raise ToolError(f"{root} is not a folder.")
        return root, pattern.removeprefix("./")

    def search_path(self, input: Mapping[str, Any]) -> str:
        path = os.path.normpath(self.place(input.get("path", ".")))
        if not Path(path).exists():
            raise ToolError(f"{path} does not exist.")
        return path

    def chunk(self, path: str, offset: int, length: int) -> tuple[bytes, bool]:
        """Return a piece of a file for the host, and whether it was the last."""
        with regular(self.place(path), os.O_RDONLY) as file:
            file.seek(offset)
            data = file.read(min(length, CHUNK_BYTES))
            return data, not file.read(1)

    def put(
        self, path: str, offset: int, data: bytes, *, last: bool, mode: int
    ) -> None:
        """Take a piece of a file from the host; the file appears whole."""
        path = self.place(path)
        part = f"{path}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with regular(part, flags | (0 if offset else os.O_TRUNC)) as file:
                file.seek(offset)
                file.write(data)
            if last:
                Path(part).chmod(mode)
                Path(part).replace(path)
        except OSError as error:
            raise ToolError(why(path, error)) from error

    def below(self, path: str, most: int) -> tuple[list[dict[str, Any]], bool]:
        """Return plain files below a folder for the host, and whether there are more."""
        root = self.place(path)
        walk = Walk(root)
        found: list[dict[str, Any]] = []
        for entry in walk:
            try:
                seen = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISREG(seen.st_mode):
                continue
            if len(found) == most:
                return found, True
            name = os.path.relpath(entry.path, root)
            mark = f"{seen.st_mtime_ns}-{seen.st_size}-{seen.st_ino}"
            found.append({"path": name, "size": seen.st_size, "mark": mark})
        return found, walk.cut

    def remove(self, path: str) -> None:
        """Remove a file for the host; one that is gone already is no matter."""
        path = self.place(path)
        try:
            os.unlink(path)  # noqa: PTH108 - never what a link leads to
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise ToolError(why(path, error)) from error


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; one endless line comes cut in two."""
    while line := file.readline(TEXT_BYTES):
        yield line


def encoded(kind: str, path: str, file: BinaryIO, media: str, most: int) -> Block:
    data = file.read(most + 1)
    if len(data) > most:
        raise ToolError(f"{path} is larger than the {most} bytes a {kind} may have.")
    source = {
        "type": "base64",
        "media_type": media,
        "data": base64.b64encode(data).decode(),
    }
    return {"type": kind, "source": source}


def listing(paths: list[str], cut: bool) -> str:
    lines = paths[:GLOB_RESULTS]
    if len(paths) > GLOB_RESULTS:
        lines.append(f"[The {GLOB_RESULTS} newest of {len(paths)} files.]")
    if cut:
        lines.append(f"[Stopped after {ENTRIES_WALKED} entries: name a narrower path.]")
    return "\n".join(lines) or "No files match."


class Walk:
    """Every file below a folder, without .git and without following links."""

    def __init__(self, root: str, stopped: threading.Event | None = None) -> None:
        self.root = root
        self.stopped = stopped or threading.Event()
        self.cut = False
        self.left = ENTRIES_WALKED

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        folders = [self.root]
        while folders and not self.cut and not self.stopped.is_set():
            entries = sorted(scan(folders.pop()), key=lambda entry: entry.name)
            for entry in entries:
                self.left -= 1
                if self.left < 0:
                    self.cut = True
                    return
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif entry.name != ".git":
                    folders.append(entry.path)


def scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


# --- Searching in files --------------------------------------------------------------


def grep_command(pattern: str, path: str) -> list[str]:
    """Search in another process: it can be ended, whatever the expression does."""
    found = shutil.which("rg")
    if not found:
        return [sys.executable, "-I", "-S", __file__, "--grep", pattern, path]
    limits = ["--max-columns", str(GREP_LINE), "--max-columns-preview"]
    shape = ["--no-heading", "--line-number", "--with-filename", "--color", "never"]
    where = ["--hidden", "--glob", "!.git", "--sort", "path", "--no-messages"]
    return [found, "--no-config", *limits, *shape, *where, "-e", pattern, "--", path]


def grep_here(pattern: str, path: str) -> int:
    """Search without ripgrep: print path:line:text, and end as grep does."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        sys.stderr.write(f"regex parse error: {error}\n")
        return 2
    walk = Walk(path)
    found = 1
    for one in [path] if Path(path).is_file() else (entry.path for entry in walk):
        for number, line in matching(one, wanted):
            found = 0
            sys.stdout.write(f"{one}:{number}:{line[:GREP_LINE]}\n")
    if walk.cut:
        sys.stdout.write(f"[Stopped after {ENTRIES_WALKED} entries.]\n")
    return found


def matching(path: str, wanted: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    with contextlib.suppress(ToolError, OSError), regular(path, os.O_RDONLY) as file:
        if b"\0" in file.read(KIB):
            return
        file.seek(0)
        for number, line in enumerate(pieces(file), 1):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if wanted.search(text):
                yield number, text


# --- Processes -----------------------------------------------------------------------

MARK = "AGENTSITE_CALL"


@dataclass(frozen=True, kw_only=True)
class Process:
    pid: int
    parent: int
    started: int  # clock ticks since boot
    state: str


def processes() -> dict[int, Process]:
    found = (process(int(one.name)) for one in scan("/proc") if one.name.isdigit())
    return {one.pid: one for one in found if one}


def process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent, *rest = text[text.rindex(")") + 2 :].split()
    return Process(pid=pid, parent=int(parent), started=int(rest[17]), state=state)


def ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def mark_of(pid: int) -> str | None:
    """Return the call that a process was started by, as its environment says."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for pair in environment.split(b"\0"):
        name, _, value = pair.partition(b"=")
        if name == MARK.encode():
            return value.decode(errors="replace")
    return None


def belongs(
    one: Process, known: dict[int, Process], mark: str, since: int, ours: set[int]
) -> bool:
    """Tell whether a process was started by this call, even if it left the tree.

    A process that hides its mark is still new, and has no older process above it
    except the shell; one that an earlier call left running does have one, or says so.
    """
    if one.pid in ours or one.started < since or one.state == "Z":
        return False
    said = mark_of(one.pid)
    if said is not None:
        return said == mark
    above = known.get(one.parent)
    while above and above.pid not in ours:
        if above.started < since:
            return False
        above = known.get(above.parent)
    return True


def end_call(mark: str, since: int, ours: set[int]) -> None:
    """Stop, then kill everything a call started. A stopped process cannot fork."""
    deadline = time.monotonic() + 5
    stopped: set[int] = set()
    while time.monotonic() < deadline:
        known = processes()
        members = {
            one.pid for one in known.values() if belongs(one, known, mark, since, ours)
        }
        if not members - stopped:
            send(members, signal.SIGKILL)
            return
        send(members - stopped, signal.SIGSTOP)
        stopped |= members
    end_everything()


def send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_everything() -> None:
    """Kill all but this process and PID 1, in one step that no fork outruns."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)


async def all_reaped(seconds: float = 5) -> None:
    """Wait for PID 1 to reap what was killed: until then it counts as a process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not {1, os.getpid()} >= {*processes()}:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)


class Child:
    """A process started here, awaited without a thread."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.popen = subprocess.Popen(  # noqa: S603 - running commands is its work
            command, start_new_session=True, **options
        )
        self.pid = self.popen.pid
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.pidfd = os.pidfd_open(self.pid)
        loop.add_reader(self.pidfd, self.reap)
        # The engine should end a command before the tool server when memory is short.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text("500")

    def reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        os.close(self.pidfd)
        code = self.popen.wait()
        if not self.ended.done():
            self.ended.set_result(code if code >= 0 else 128 - code)

    def kill(self) -> None:
        if self.popen.returncode is None:
            self.popen.kill()


# --- Output --------------------------------------------------------------------------


class Output:
    """What a command prints: all of it, or its end with the rest in a bounded file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = 0
        self.kept = 0
        self.tail = bytearray()
        self.file: BinaryIO | None = None
        self.closed = False

    def add(self, data: bytes) -> None:
        if self.closed:
            return
        self.total += len(data)
        self.tail += data
        if self.file is None and self.total > SPILL_ABOVE:
            self.spill()
        elif self.file:
            self.keep(data)
        if len(self.tail) > 2 * OUTPUT_TAIL:
            del self.tail[:-OUTPUT_TAIL]

    def spill(self) -> None:
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("wb")
            self.keep(bytes(self.tail))

    def keep(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            assert self.file is not None
            self.kept += self.file.write(data[: SPILL_BYTES - self.kept])

    def close(self) -> None:
        self.closed = True
        if self.file:
            with contextlib.suppress(OSError):
                self.file.close()

    @property
    def spilled(self) -> str | None:
        return str(self.path) if self.kept else None

    def text(self) -> str:
        if self.total <= SPILL_ABOVE:
            return clean(bytes(self.tail)).rstrip("\n")
        end = clean(bytes(self.tail[-OUTPUT_TAIL:]))[-SPILL_PREVIEW:]
        return f"{self.notice()}\n{end}".rstrip("\n")

    def notice(self) -> str:
        if not self.kept:
            return f"[{self.total} bytes of output; only its end is kept:]"
        dropped = self.total - self.kept
        where = f"in {self.path}"
        if dropped:
            where = f"{where}: its first {self.kept} bytes, {dropped} bytes dropped"
        return f"[{self.total} bytes of output, {where}. Its end:]"


class Tap:
    """Reads a named pipe into an output for as long as anybody writes to it.

    A background process keeps writing after its call ended: the pipe stays open, so
    that it does not fail, and what it prints then is dropped.
    """

    def __init__(self, path: Path, output: Output) -> None:
        os.mkfifo(path, 0o600)
        self.output = output
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.writer = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.path = path
        asyncio.get_running_loop().add_reader(self.reader, self.pump)

    def pump(self) -> bool:
        """Take what is there; tell whether there may be more."""
        try:
            data = os.read(self.reader, 64 * KIB)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self.reader)
            os.close(self.reader)
            self.reader = -1
            return False
        self.output.add(data)
        return True

    def end(self) -> None:
        """The foreground ended: take what it wrote last, and no more."""
        for _ in range(32):
            if not self.pump():
                break
        self.output.close()
        os.close(self.writer)
        self.path.unlink(missing_ok=True)


# --- The shell -----------------------------------------------------------------------

# A call's line names its script, its pipe and its mark. The shell's own descriptors are
# closed for the script. `exit`, or an error under `set -e`, ends the shell as it would
# a terminal's; what it had exported is kept for the next one.
LOOP = """
AGENTSITE_STATE={state}
[ -f "$AGENTSITE_STATE" ] && . "$AGENTSITE_STATE" 2>/dev/null
rm -f "$AGENTSITE_STATE"
trap '{{ declare -px; printf "cd -- %q\\n" "$PWD"; }} >"$AGENTSITE_STATE"' EXIT
export -n AGENTSITE_STATE
while IFS=' ' read -r -u {commands} AGENTSITE_SCRIPT AGENTSITE_PIPE {mark}; do
    export {mark}
    IFS= read -r -d '' AGENTSITE_SCRIPT <"$AGENTSITE_SCRIPT" || :
    eval "$AGENTSITE_SCRIPT" </dev/null >"$AGENTSITE_PIPE" 2>&1 \\
        {commands}<&- {answers}>&-
    printf '%s %s\\0' "$?" "$PWD" >&{answers} || :
done
"""


@dataclass(kw_only=True)
class Ending:
    """How the foreground of a command ended."""

    code: int | None = None
    exited: bool = False


class Shell:
    """One bash that keeps its folder and environment from call to call."""

    def __init__(self, cwd: Path, folder: Path) -> None:
        self.cwd = str(cwd)
        self.folder = folder
        self.child: Child | None = None
        self.commands = -1
        self.answers = -1

    def start(self) -> Child:
        script_end, self.commands = os.pipe()
        self.answers, answer_end = os.pipe()
        os.set_blocking(self.answers, False)
        loop = LOOP.format(
            state=self.folder / "state",
            commands=script_end,
            answers=answer_end,
            mark=MARK,
        )
        self.child = Child(
            ["/bin/bash", "--noprofile", "--norc", "-c", loop, "bash"],
            cwd=self.cwd if Path(self.cwd).is_dir() else "/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(script_end, answer_end),
        )
        os.close(script_end)
        os.close(answer_end)
        return self.child

    async def run(self, script: str, pipe: Path, mark: str) -> Ending:
        child = self.child or self.start()
        path = self.folder / f"{mark}.sh"
        path.write_text(script, errors="surrogateescape")
        try:
            os.write(self.commands, f"{path} {pipe} {mark}\n".encode())
            return await self.ending(child)
        finally:
            path.unlink(missing_ok=True)

    async def ending(self, child: Child) -> Ending:
        answer = asyncio.ensure_future(self.answer())
        waiting: set[asyncio.Future[Any]] = {answer, child.ended}
        try:
            await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
            if answer.done():
                code, _, self.cwd = answer.result().partition(" ")
                return Ending(code=int(code))
        finally:
            answer.cancel()
        self.forget()
        return Ending(code=child.ended.result(), exited=True)

    async def answer(self) -> str:
        loop = asyncio.get_running_loop()
        data = b""
        while not data.endswith(b"\0"):
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self.answers, settle, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self.answers)
            piece = os.read(self.answers, 64 * KIB)
            if not piece:
                await loop.create_future()  # the shell ended: its own future says so
            data += piece
        return data[:-1].decode(errors="surrogateescape")

    def kill(self) -> None:
        if self.child:
            self.child.kill()
            self.forget()

    def forget(self) -> None:
        self.child = None
        os.close(self.commands)
        os.close(self.answers)


def settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Bash:
    """The bash tool: one command after the other, in one shell."""

    def __init__(self, cwd: Path, seconds: int, outputs: Path, scratch: Path) -> None:
        self.folder = scratch
        self.shell = Shell(cwd, scratch)
        self.seconds = seconds
        self.outputs = outputs
        self.turn = asyncio.Lock()
        self.helpers: set[int] = set()

    async def run(
        self, mark: str, input: Mapping[str, Any], stop: asyncio.Event
    ) -> Outcome:
        async with self.turn:
            if stop.is_set():
                return outcome_of_text("Cancelled before it started.", is_error=True)
            if input.get("restart"):
                await self.restart()
            if not input.get("command", "").strip():
                return outcome_of_text("The shell was restarted; every process ended.")
            seconds = input.get("timeout_ms", self.seconds * 1000) / 1000
            return await self.command(mark, input["command"], seconds, stop)

    async def restart(self) -> None:
        self.shell.kill()
        end_everything()
        await all_reaped()
        (self.folder / "state").unlink(missing_ok=True)

    async def command(
        self, mark: str, script: str, seconds: float, stop: asyncio.Event
    ) -> Outcome:
        output = Output(self.outputs / f"{mark}.txt")
        tap = Tap(self.folder / f"{mark}.pipe", output)
        since = ticks()
        try:
            running = self.shell.run(script, tap.path, mark)
            ending = await first(running, seconds, stop)
            if ending.code is None:
                await self.end(mark, since)
        finally:
            tap.end()
        outcome = described(ending, output.text(), seconds, stopped=stop.is_set())
        outcome.spilled = output.spilled
        return outcome

    async def end(self, mark: str, since: int) -> None:
        shell = self.shell.child.pid if self.shell.child else 0
        ours = {1, os.getpid(), shell, *self.helpers}
        self.shell.kill()
        (self.folder / "state").unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, end_call, mark, since, ours)


async def first(
    run: Coroutine[Any, Any, Ending], seconds: float, stop: asyncio.Event
) -> Ending:
    """Wait for the command, its time or a stop, whichever comes first."""
    command = asyncio.ensure_future(run)
    stopped = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {command, stopped}
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when="FIRST_COMPLETED")
        return command.result() if command.done() else Ending()
    finally:
        stopped.cancel()
        command.cancel()
        await asyncio.wait({command})


def described(ending: Ending, text: str, seconds: float, *, stopped: bool) -> Outcome:
    notes = []
    if ending.code is None:
        what = "Cancelled" if stopped else f"Timed out after {seconds:g} s"
        notes.append(
            f"{what}: the command and everything it started were ended. The shell was "
            "restarted in the same folder; variables set before are lost."
        )
    elif ending.code:
        notes.append(f"Exit code {ending.code}")
    if ending.exited:
        notes.append(
            "The shell ended; the next call gets a new one, in the same folder and "
            "with the same exported variables."
        )
    text = "\n".join(part for part in (text, *notes) if part)
    return outcome_of_text(text, is_error=ending.code != 0)


# --- Calls ---------------------------------------------------------------------------


@dataclass(kw_only=True)
class Call:
    """A call that runs now."""

    task: asyncio.Task[Outcome]
    stop: asyncio.Event
    began: float = field(default_factory=time.monotonic)


class Memory:
    """Outcomes by call id; the oldest are forgotten when they grow too large."""

    def __init__(self, most: int = REMEMBERED_BYTES) -> None:
        self.most = most
        self.size = 0
        self.outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def keep(self, call_id: str, outcome: Outcome) -> None:
        self.outcomes[call_id] = outcome
        self.size += weight(outcome)
        while self.size > self.most and len(self.outcomes) > 1:
            _, oldest = self.outcomes.popitem(last=False)
            self.size -= weight(oldest)

    def get(self, call_id: str) -> Outcome | None:
        return self.outcomes.get(call_id)


def weight(outcome: Outcome) -> int:
    return KIB + sum(len(json.dumps(block)) for block in outcome.content)


class Tools:
    """Runs each call once, whoever asks for it and however often."""

    def __init__(self, bash: Bash, files: Files) -> None:
        self.bash = bash
        self.files = files
        self.running: dict[str, Call] = {}
        self.memory = Memory()

    async def execute(
        self, call_id: str, tool: str, input: Mapping[str, Any]
    ) -> Outcome:
        known = self.memory.get(call_id)
        if known:
            return known
        call = self.running.get(call_id)
        if call is None:
            stop = asyncio.Event()
            work = self.finish(call_id, tool, input, stop)
            call = Call(task=asyncio.ensure_future(work), stop=stop)
            self.running[call_id] = call
        return await asyncio.shield(call.task)

    async def finish(
        self, call_id: str, tool: str, input: Mapping[str, Any], stop: asyncio.Event
    ) -> Outcome:
        began = time.monotonic()
        try:
            outcome = await self.run(call_id, tool, checked(tool, input), stop)
        except ToolError as error:
            outcome = outcome_of_text(str(error), is_error=True)
        except Exception as error:  # noqa: BLE001 - a call always gets an answer
            text = f"{tool} failed in the tool server: {error!r}"
            outcome = outcome_of_text(text, is_error=True)
        outcome.seconds = round(time.monotonic() - began, 3)
        self.memory.keep(call_id, outcome)
        self.running.pop(call_id, None)
        return outcome

    async def run(
        self, call_id: str, tool: str, input: Mapping[str, Any], stop: asyncio.Event
    ) -> Outcome:
        if tool == "bash":
            mark = hashlib.sha256(call_id.encode()).hexdigest()[:16]
            return await self.bash.run(mark, input, stop)
        if tool == "grep":
            return await self.grep(input, stop)
        if tool == "glob":
            return await self.glob(input, stop)
        work: Callable[[Mapping[str, Any]], Outcome] = getattr(self.files, tool)
        return await asyncio.get_running_loop().run_in_executor(None, work, input)

    async def glob(self, input: Mapping[str, Any], stop: asyncio.Event) -> Outcome:
        halt = threading.Event()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, self.files.glob, input, halt)
        return await until(work, stop, halt.set)

    async def grep(self, input: Mapping[str, Any], stop: asyncio.Event) -> Outcome:
        path = self.files.search_path(input)
        command = grep_command(input["pattern"], path)
        child = Child(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.bash.helpers.add(child.pid)
        try:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(None, searched, child)
            return await until(work, stop, child.kill)
        finally:
            child.kill()
            self.bash.helpers.discard(child.pid)

    async def cancel(self, call_id: str) -> None:
        call = self.running.get(call_id)
        if call:
            call.stop.set()
            await asyncio.wait({call.task})

    def outcome(self, call_id: str) -> Reply | None:
        known = self.memory.get(call_id)
        if known:
            return {"outcome": asdict(known)}
        call = self.running.get(call_id)
        if call:
            return {"running": time.monotonic() - call.began}
        return None


async def until(
    work: Awaitable[Outcome], stop: asyncio.Event, halt: Callable[[], object]
) -> Outcome:
    """Wait for work in a thread; at a stop, or after its time, halt it first."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {task, stopped}
    await asyncio.wait(waiting, timeout=SEARCH_SECONDS, return_when="FIRST_COMPLETED")
    stopped.cancel()
    if task.done():
        return task.result()
    halt()
    with contextlib.suppress(ToolError):
        await task
    what = "Cancelled" if stop.is_set() else f"Timed out after {SEARCH_SECONDS} s"
    return outcome_of_text(f"{what}: name a narrower path.", is_error=True)


def searched(child: Child) -> Outcome:
    assert child.popen.stdout
    assert child.popen.stderr
    found = child.popen.stdout.read(GREP_BYTES + 1)
    if len(found) > GREP_BYTES:
        child.popen.kill()
        cut = clean(found[:GREP_BYTES]).rpartition("\n")[0][:SPILL_ABOVE]
        note = f"[Cut after {GREP_BYTES} bytes: use a narrower pattern or path.]"
        return outcome_of_text(f"{cut}\n{note}")
    trouble = clean(child.popen.stderr.read(4 * KIB)).strip()
    if not found and trouble:
        raise ToolError(f"grep: {trouble}")
    return outcome_of_text(clean(found).rstrip("\n") or "No lines match.")


# --- The socket ----------------------------------------------------------------------


class Server:
    """Answers requests, many at a time, on any number of connections."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while line := await reader.readline():
                task = asyncio.ensure_future(self.answer(line, writer))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        except (ValueError, ConnectionError):
            pass  # a line without end, or a host that left
        finally:
            writer.close()

    async def answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(line)
            reply = {"id": request["id"], **await self.reply(request)}
        except ToolError as error:
            reply = {"id": request["id"], "error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            reply = {"id": None, "error": f"The request is malformed: {error!r}."}
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()

    async def reply(self, request: Mapping[str, Any]) -> Reply:
        match request["op"]:
            case "ping":
                return {"ok": True}
            case "execute":
                wanted = request["call_id"], request["tool"], request["input"]
                return {"outcome": asdict(await self.tools.execute(*wanted))}
            case "outcome":
                return self.tools.outcome(request["call_id"]) or {"unknown": True}
            case "cancel":
                await self.tools.cancel(request["call_id"])
                return {"ok": True}
            case "variables":
                os.environ.update(request["variables"])
                return {"ok": True}
            case "read":
                return await self.read(request)
            case "write":
                return await self.write(request)
            case "list":
                return await self.list(request["path"], request["most"])
            case "remove":
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(
                    None, self.tools.files.remove, request["path"]
                )
                return {"ok": True}
        raise ToolError(f"There is no operation {request['op']!r}.")

    async def list(self, path: str, most: int) -> Reply:
        loop = asyncio.get_running_loop()
        below = self.tools.files.below
        found, more = await loop.run_in_executor(None, below, path, most)
        return {"files": found, "more": more}

    async def read(self, request: Mapping[str, Any]) -> Reply:
        wanted = request["path"], request["offset"], request["length"]
        loop = asyncio.get_running_loop()
        data, last = await loop.run_in_executor(None, self.tools.files.chunk, *wanted)
        return {"data": base64.b64encode(data).decode(), "last": last}

    async def write(self, request: Mapping[str, Any]) -> Reply:
        data = base64.b64decode(request["data"])
        path, offset = request["path"], request["offset"]
        last, mode = request["last"], request["mode"] & 0o755
        files = self.tools.files
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            None, lambda: files.put(path, offset, data, last=last, mode=mode)
        )
        return {"ok": True}


# --- The way out ---------------------------------------------------------------------


async def forward(
    egress: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Join a local connection to the egress proxy's socket, the only way out."""
    try:
        far_reader, far_writer = await asyncio.open_unix_connection(egress)
    except OSError:
        body = b"The egress proxy of this sandbox does not answer.\n"
        head = (
            b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: %d\r\n"
        )
        writer.write(head % len(body) + b"\r\n" + body)
        writer.close()
        return
    try:
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
    finally:
        far_writer.close()
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(64 * KIB):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


# --- Start ---------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket")
    parser.add_argument("--egress")
    parser.add_argument("--port", type=int, default=3128)
    parser.add_argument("--root", type=Path, default=Path("/workspace"))
    parser.add_argument("--outputs", type=Path, default=Path.home() / ".outputs")
    parser.add_argument("--scratch", type=Path, help="default: a new folder")
    parser.add_argument("--command-seconds", type=int, default=120)
    parser.add_argument("--grep", nargs=2, metavar=("PATTERN", "PATH"))
    return parser.parse_args()


def warm(threads: int = 4) -> ThreadPoolExecutor:
    """Start the threads now: at the limit of processes none could be started."""
    pool = ThreadPoolExecutor(threads)
    together = threading.Barrier(threads)
    for done in [pool.submit(together.wait) for _ in range(threads)]:
        done.result()
    return pool


async def run(options: argparse.Namespace) -> None:
    asyncio.get_running_loop().set_default_executor(warm())
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="agentsite-"))
    bash = Bash(options.root, options.command_seconds, options.outputs, scratch)
    server = Server(Tools(bash, Files(options.root)))
    if options.egress:
        join = lambda reader, writer: forward(options.egress, reader, writer)  # noqa: E731
        await asyncio.start_server(join, "127.0.0.1", options.port)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(options.socket)  # noqa: PTH108 - in a coroutine, and quick
    os.umask(0o007)
    listening = await asyncio.start_unix_server(
        server.serve, options.socket, limit=LINE_BYTES
    )
    os.umask(0o022)
    await listening.serve_forever()


def main() -> int:
    options = arguments()
    if options.grep:
        return grep_here(*options.grep)
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
