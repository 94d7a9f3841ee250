"""A tiny command language over files in memory. Nothing of it runs anywhere."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from sandbox.spec import HOME, WORKSPACE

Files = dict[str, bytes]  # by absolute path; the newest is last

TOKEN = re.compile(
    r"\s*?(?P<end>&&|\|\||;|\n)"
    r"|\s*(?P<word>>>|>|(?:'[^']*'|\"[^\"]*\"|\\.|[^\s;&|>'\"\\])+)"
)
PIECE = re.compile(r"'([^']*)'|\"([^\"]*)\"|\\(.)|([^'\"\\]+)")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+|\?))")


class Exited(Exception):
    """`exit` was called."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Failed(Exception):
    """A command ended with a message and code 1."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One simple command, and what must be true of the last one for it to run."""

    words: tuple[str, ...]
    after: str


@dataclass(kw_only=True)
class FakeShell:
    """Keeps a folder and variables from command to command."""

    files: Files
    variables: dict[str, str] = field(default_factory=dict)
    cwd: str = WORKSPACE
    last: int = 0
    output: str = ""

    async def run(self, script: str) -> int:
        """Run a script; its output is in `output`, whatever happens to it."""
        self.output = ""
        self.last = 0
        for step in steps(script):
            if wanted(step.after, self.last):
                self.last = await self.step(step)
        return self.last

    async def step(self, step: Step) -> int:
        words, target, append = redirected([self.expand(word) for word in step.words])
        if not words:
            return 0
        code, said = await self.command(words)
        if target is None:
            self.output += said
        else:
            before = self.files.get(self.at(target), b"") if append else b""
            put(self.files, self.at(target), before + said.encode())
        return code

    async def command(self, words: list[str]) -> tuple[int, str]:
        name, *rest = words
        if re.fullmatch(r"\w+=.*", name, re.DOTALL):
            name, rest = "export", words
        command = getattr(self, f"do_{name}", None)
        if command is None:
            return 127, f"bash: {name}: command not found\n"
        work: Callable[[list[str]], Awaitable[str]] = command
        try:
            return 0, await work(rest)
        except Failed as failure:
            return 1, f"{failure}\n" if str(failure) else ""

    def expand(self, word: str) -> str:
        def piece(found: re.Match[str]) -> str:
            single, double, escaped, bare = found.groups()
            if single is not None or escaped is not None:
                return single or escaped or ""
            return VARIABLE.sub(self.value, double if double is not None else bare)

        return PIECE.sub(piece, word)

    def value(self, found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return str(self.last) if name == "?" else self.variables.get(name, "")

    def at(self, path: str) -> str:
        return placed(path, self.cwd)

    async def do_echo(self, words: list[str]) -> str:
        return " ".join(words) + "\n"

    async def do_cat(self, words: list[str]) -> str:
        said = ""
        for word in words:
            data = self.files.get(self.at(word))
            if data is None:
                raise Failed(f"cat: {word}: No such file or directory")
            said += data.decode("utf-8", "replace")
        return said

    async def do_sleep(self, words: list[str]) -> str:
        await asyncio.sleep(float(words[0]))
        return ""

    async def do_exit(self, words: list[str]) -> str:
        raise Exited(int(words[0]) if words else self.last)

    async def do_cd(self, words: list[str]) -> str:
        path = self.at(words[0] if words else HOME)
        known = path in ("/", WORKSPACE, HOME, "/tmp")  # noqa: S108 - of the fake
        if not known and not any(one.startswith(f"{path}/") for one in self.files):
            raise Failed(f"bash: cd: {words[0]}: No such file or directory")
        self.cwd = path
        return ""

    async def do_pwd(self, _: list[str]) -> str:
        return f"{self.cwd}\n"

    async def do_export(self, words: list[str]) -> str:
        for word in words:
            name, _, value = word.partition("=")
            self.variables[name] = value
        return ""

    async def do_env(self, _: list[str]) -> str:
        return "".join(f"{name}={value}\n" for name, value in self.variables.items())

    async def do_ls(self, words: list[str]) -> str:
        folder = self.at(words[0] if words else ".").rstrip("/") + "/"
        below = [one[len(folder) :] for one in self.files if one.startswith(folder)]
        names = {name.partition("/")[0] for name in below}
        return "".join(f"{name}\n" for name in sorted(names))

    async def do_rm(self, words: list[str]) -> str:
        for word in words:
            if not word.startswith("-") and not self.files.pop(self.at(word), None):
                raise Failed(f"rm: cannot remove '{word}': No such file or directory")
        return ""

    async def do_true(self, _: list[str]) -> str:
        return ""

    async def do_false(self, _: list[str]) -> str:
        raise Failed


def steps(script: str) -> Iterator[Step]:
    words: list[str] = []
    after = ";"
    for token in TOKEN.finditer(script):
        if token["word"]:
            words.append(token["word"])
            continue
        if words:
            yield Step(words=tuple(words), after=after)
        words, after = [], token["end"]
    if words:
        yield Step(words=tuple(words), after=after)


def wanted(after: str, last: int) -> bool:
    return {"&&": last == 0, "||": last != 0}.get(after, True)


def redirected(words: list[str]) -> tuple[list[str], str | None, bool]:
    for sign in (">>", ">"):
        if sign in words[:-1]:
            at = words.index(sign)
            return words[:at] + words[at + 2 :], words[at + 1], sign == ">>"
    return words, None, False


def placed(path: str, folder: str = WORKSPACE) -> str:
    if path == "~" or path.startswith("~/"):
        path = HOME + path[1:]
    return posixpath.normpath(posixpath.join(folder, path))


def put(files: Files, path: str, data: bytes) -> None:
    """Write a file and make it the newest."""
    files.pop(path, None)
    files[path] = data
