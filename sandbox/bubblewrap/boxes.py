"""The engine of bubblewrap sandboxes: starts, finds and ends them. Blocking.

As root it gives each sandbox a user of its own, control groups and the tree of its
image. As anybody else it shows this machine's /usr and limits each process by itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from sandbox import inside
from sandbox.bubblewrap import processes
from sandbox.bubblewrap.cgroups import Cgroups
from sandbox.bubblewrap.command import HOST, WRITABLE, View, arguments
from sandbox.bubblewrap.machine import (
    FIRST_UID,
    NO_CGROUPS,
    NO_ROOT,
    PATH,
    UIDS,
    is_root,
    program,
    system_call_filter,
)
from sandbox.bubblewrap.trees import Trees
from sandbox.errors import ImageMissing, ProvisionFailed
from sandbox.places import Places
from sandbox.spec import Limits, SandboxSpec

LAUNCH = Path(__file__).with_name("launch.py")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class Boxes:
    """The sandboxes of one site."""

    def __init__(self, *, site: str, places: Places, folder: Path) -> None:
        self.site = site
        self.places = places
        self.trees = Trees(folder=folder / "images")
        self.folder = folder
        self.cgroups = Cgroups(site=f"agentsite-{site}")
        self._words: dict[str, int] = {}
        self._turn = threading.Lock()

    # What every engine does.

    def ping(self) -> None:
        """Raise EngineUnavailable, with a sentence, when nothing can run here."""
        program()
        system_call_filter()

    def state(self, session_id: str) -> str | None:
        return "running" if session_id in processes.running(self.site) else None

    def start(self, spec: SandboxSpec) -> None:
        name = checked(spec.session_id)
        if not self._has_image(spec.image):
            raise ImageMissing(
                f"Image {spec.image} of session {name} is not unpacked here: build its"
                " environment again."
            )
        with self._turn:  # or two sandboxes would get the same free user
            self._make_files(name)
        self._launch(spec)

    def last_words(self, session_id: str) -> str:
        handle = self._words.get(session_id)
        if handle is None:
            return "it left no log"
        with suppress(BlockingIOError):
            said = os.read(handle, 64 * 1024).decode(errors="replace")
            return said.strip()[-500:] or "it left no log"
        return "it left no log"

    def remove(self, session_id: str) -> None:
        name = checked(session_id)
        processes.end(processes.running(self.site).get(name, []))
        self.cgroups.remove(name)
        self._forget_words(name)

    def remove_files(self, session_id: str) -> None:
        folder = self._files(checked(session_id))
        if not is_root():  # who needs nobody's leave
            subprocess.run(["chmod", "-R", "u+rwX", folder], check=False)  # noqa: S603, S607
        # Not in Python: folders may be nested deeper than it can recurse.
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)  # noqa: S603, S607

    def has_files(self, session_id: str) -> bool:
        return self._files(checked(session_id)).is_dir()

    def sessions(self) -> frozenset[str]:
        return frozenset({*self._kept(), *processes.running(self.site)})

    def close(self) -> None:
        self.cgroups.close()
        for name in list(self._words):
            self._forget_words(name)

    # What only this one has to say.

    def notes(self) -> list[str]:
        """What sandboxes lack on this machine."""
        found = [] if is_root() else [NO_ROOT]
        return found if self._has_cgroups else [*found, NO_CGROUPS]

    def base_image(self) -> str:
        """The name of the image that sandboxes are made of here."""
        from sandbox.bubblewrap.images import base_image  # not before it is needed

        return base_image()

    @cached_property
    def _has_cgroups(self) -> bool:
        probe = f"probe-{os.getpid()}"
        made = self.cgroups.make(probe, Limits())
        self.cgroups.remove(probe)
        return bool(made)

    def _has_image(self, image: str) -> bool:
        return self.trees.has(image) if is_root() else image == HOST

    # Files.

    def _files(self, name: str) -> Path:
        return self.folder / "files" / name

    def _kept(self) -> list[str]:
        return [path.name for path in (self.folder / "files").glob("[!.]*")]

    def _make_files(self, name: str) -> None:
        """Make the folders that are kept, owned by the sandbox's user."""
        folder = self._files(name)
        if folder.is_dir():
            return
        part = folder.with_name(f".{name}.part")
        shutil.rmtree(part, ignore_errors=True)
        uid = self._free_uid()
        for kept in WRITABLE:
            (part / kept).mkdir(parents=True)
            os.chown(part / kept, uid, uid)
        part.chmod(0o700)
        part.rename(folder)

    def _free_uid(self) -> int:
        if not is_root():
            return os.geteuid()
        taken = {self._uid(name) for name in self._kept()}
        free = set(range(FIRST_UID, FIRST_UID + len(taken) + 1)) - taken
        if min(free) >= FIRST_UID + UIDS:
            raise ProvisionFailed(f"There are {UIDS} sandboxes here, and no more.")
        return min(free)

    def _uid(self, name: str) -> int:
        try:
            return (self._files(name) / "workspace").stat().st_uid
        except OSError:
            return -1

    # Starting.

    def _launch(self, spec: SandboxSpec) -> None:
        order = self._order(spec)
        self._forget_words(spec.session_id)
        words, said = os.pipe()
        os.set_blocking(words, False)
        self._words[spec.session_id] = words
        view = self._view(spec, staged="uid" in order)
        with memory(system_call_filter()) as seccomp, os.fdopen(said, "wb"):
            told = arguments(
                view, self._environment(spec), spec.limits, seccomp=seccomp
            )
            with memory("\0".join(told).encode()) as listed:
                order["argv"] = [program(), "--args", str(listed), *command(spec)]
                self._run(order, [seccomp, listed], said)

    def _run(self, order: dict[str, Any], handles: list[int], said: int) -> None:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-IS", str(LAUNCH), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=handles,
            check=False,
            cwd="/",
        )
        if done.returncode:
            raise ProvisionFailed(f"{LAUNCH.name} ended with {done.returncode}.")

    def _order(self, spec: SandboxSpec) -> dict[str, Any]:
        name = spec.session_id
        groups = self.cgroups.make(name, spec.limits)
        limits = {"files": 8192, "core": 0}
        if not groups:
            limits["memory"] = spec.limits.memory_mb * 1024 * 1024
        order: dict[str, Any] = {
            "cgroups": [str(group) for group in groups],
            "limits": limits,
            "environment": {
                "PATH": PATH,
                processes.LABEL: f"{self.site}/{name}",
            },
        }
        if is_root():
            order["uid"] = self._uid(name)
            order["groups"] = [self.places.gid]
            order["stage"] = str(self._stage())
            order["shown"] = self._shown(spec)
        return order

    def _stage(self) -> Path:
        stage = self.places.runtime_dir / "stage"
        stage.mkdir(exist_ok=True)
        stage.chmod(0o711)
        return stage

    def _shown(self, spec: SandboxSpec) -> dict[str, str]:
        """The parts of a sandbox by their names on its stage."""
        name, places = spec.session_id, self.places
        tree = {} if spec.image == HOST else {"tree": str(self.trees.path(spec.image))}
        return {
            **tree,
            **{kept: str(self._files(name) / kept) for kept in WRITABLE},
            "uploads": str(places.uploads(name)),
            "tools": str(places.tools(name)),
            "egress": str(places.egress(name)),
            "tool_server": str(places.tool_server(name)),
        }

    def _view(self, spec: SandboxSpec, *, staged: bool) -> View:
        shown = self._shown(spec)
        if staged:
            stage = self._stage()
            shown = {name: str(stage / name) for name in shown}
        return View(
            tree=shown.get("tree", HOST),
            folders={name: shown[name] for name in WRITABLE},
            uploads=shown["uploads"],
            tools=shown["tools"],
            egress=shown["egress"],
            tool_server=shown["tool_server"],
        )

    def _environment(self, spec: SandboxSpec) -> dict[str, str]:
        brought = {} if spec.image == HOST else self.trees.variables(spec.image)
        return {**brought, **inside.environment(spec)}

    def _forget_words(self, name: str) -> None:
        handle = self._words.pop(name, None)
        if handle is not None:
            os.close(handle)


def command(spec: SandboxSpec) -> list[str]:
    """The tool server, behind a limit of processes that counts in the sandbox only."""
    limit = f'ulimit -u {spec.limits.pids}; exec "$@"'
    python = ["/usr/bin/python3", "-I", "-S", inside.TOOL_SERVER]
    return ["/bin/bash", "-c", limit, "sandbox", *python, *inside.tool_server(spec)]


def checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ProvisionFailed(f"{name!r} cannot name a sandbox.")
    return name


@contextmanager
def memory(data: bytes) -> Iterator[int]:
    """Give data as an open file that has no name."""
    handle = os.memfd_create("agentsite")
    try:
        os.write(handle, data)
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)
