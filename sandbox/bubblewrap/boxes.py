"""The engine of bubblewrap sandboxes: starts, finds and ends them. Blocking.

As root it gives each sandbox a user of its own, control groups and the tree of its
image. As anybody else it shows this machine's /usr and limits each process by itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path

from sandbox import archive, disk, inside
from sandbox.bubblewrap import processes
from sandbox.bubblewrap.cgroups import Cgroups
from sandbox.bubblewrap.command import HOST, WRITABLE, arguments, files_only
from sandbox.bubblewrap.files import KeptFiles
from sandbox.bubblewrap.launcher import Launch, Launcher, memory
from sandbox.bubblewrap.machine import (
    NO_CGROUPS,
    NO_ROOT,
    is_root,
    program,
    system_call_filter,
)
from sandbox.bubblewrap.trees import Trees
from sandbox.errors import ImageMissing, ProvisionFailed, SnapshotFailed
from sandbox.places import Places
from sandbox.spec import Limits, SandboxSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
MB = 1024 * 1024


class Boxes:
    """The sandboxes of one site."""

    def __init__(self, *, site: str, places: Places, folder: Path) -> None:
        self.site = site
        self.places = places
        self.trees = Trees(folder=folder / "images")
        self.files = KeptFiles(folder / "files")
        self.cgroups = Cgroups(site=f"agentsite-{site}")
        self.launcher = Launcher(stage=places.runtime_dir / "stage", gid=places.gid)
        self._words: dict[str, int] = {}

    # What every engine does.

    def ping(self) -> None:
        """Raise EngineUnavailable, with a sentence, when nothing can run here."""
        program()
        system_call_filter()

    def state(self, session_id: str) -> str | None:
        return "running" if session_id in self.running() else None

    def start(self, spec: SandboxSpec) -> None:
        name = checked(spec.name)
        if not self._has_image(spec.image):
            raise ImageMissing(
                f"Image {spec.image} of session {spec.session_id} is not unpacked here: build its"
                " environment again."
            )
        self.files.make(name)
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
        self.files.remove(checked(session_id))

    def has_files(self, session_id: str) -> bool:
        return self.files.has(checked(session_id))

    def running(self) -> frozenset[str]:
        return frozenset(processes.running(self.site))

    def sandboxes(self) -> frozenset[str]:
        return self.running() | frozenset(self.files.names())

    def close(self) -> None:
        self.cgroups.close()
        for name in list(self._words):
            self._forget_words(name)

    # Archives of files.

    def pack(self, session_id: str) -> Iterator[archive.Source]:
        places = [place[1:] for place in WRITABLE.values()]
        words = ["tar", "--sparse", "--create", "--file=-", *places]
        with self._beside_files(checked(session_id), words) as work:
            assert work.stdout
            yield "", iter(partial(work.stdout.read, archive.PIECE), b"")

    def used(self, session_id: str) -> int:
        words, said = [*disk.MEASURE, *WRITABLE.values()], b""
        beside = self._beside_files(checked(session_id), words)
        # So it ends where a file went meanwhile.
        with suppress(SnapshotFailed), beside as work:
            said, _ = work.communicate()
        return disk.measured(said)

    def host_folder(self) -> Path:
        return self.files.folder

    def unpack(self, spec: SandboxSpec, pieces: Iterable[bytes]) -> None:
        name = checked(spec.name)
        self.files.make(name)
        words = ["tar", "--extract", "--no-same-owner", "--preserve-permissions"]
        with self._beside_files(name, [*words, "--file=-"]) as work:
            assert work.stdin
            with suppress(BrokenPipeError):  # its own words say why
                for piece in pieces:
                    work.stdin.write(piece)

    @contextmanager
    def _beside_files(
        self, name: str, command: list[str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program that sees a sandbox's files, and nothing else of this machine."""
        shown = {**self._tree(self._any_image()), **self.files.parts(name)}
        launch = Launch(
            uid=self.files.uid(name),
            shown=shown,
            arguments=files_only(self.launcher.seen(shown)),
            command=command,
            stays=True,
        )
        pipe = subprocess.PIPE
        with tempfile.TemporaryFile() as said:
            with self.launcher.start(
                launch, stdin=pipe, stdout=pipe, stderr=said
            ) as work:
                try:
                    yield work
                except BaseException:
                    work.kill()
                    raise
            if work.returncode:
                said.seek(0)
                words = said.read()[-500:].decode(errors="replace").strip()
                raise SnapshotFailed(f"Files of session {name}: {words}")

    def _any_image(self) -> str:
        """Return an image that has the programs of every one of ours."""
        if not is_root():
            return HOST
        names = self.trees.names()
        if not names:
            raise ImageMissing("No image is unpacked here.")
        return names[0]

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

    # Starting.

    def _launch(self, spec: SandboxSpec) -> None:
        name = spec.name
        shown = self._parts(spec)
        groups = self.cgroups.make(name, spec.limits)
        with memory(system_call_filter()) as seccomp:
            launch = Launch(
                uid=self.files.uid(name),
                shown=shown,
                arguments=arguments(
                    self.launcher.seen(shown),
                    self._environment(spec),
                    spec.limits,
                    seccomp=seccomp,
                ),
                command=command(spec),
                label=f"{self.site}/{name}",
                cgroups=groups,
                limits=limits(spec.limits, counted=bool(groups)),
            )
            with self._listening(name) as said:
                work = self.launcher.start(
                    launch, handles=[seccomp], stdout=said, stderr=said
                )
        if work.wait():
            raise ProvisionFailed(
                f"The sandbox of session {name} could not be started:"
                f" {self.last_words(name)}."
            )

    @contextmanager
    def _listening(self, name: str) -> Iterator[int]:
        """Give what a sandbox may say to us: as much as fits into a pipe."""
        self._forget_words(name)
        words, said = os.pipe()
        os.set_blocking(words, False)
        self._words[name] = words
        try:
            yield said
        finally:
            os.close(said)

    def _parts(self, spec: SandboxSpec) -> dict[str, str]:
        """What a sandbox is made of on this machine, by name."""
        session_id, places = checked(spec.session_id), self.places
        return {
            **self._tree(spec.image),
            **self.files.parts(spec.name),
            "uploads": str(places.uploads(session_id)),
            "tools": str(places.tools(session_id)),
            "egress": str(places.egress(session_id)),
            "trust": str(places.trust(session_id)),
            "tool_server": str(places.tool_server(session_id)),
        }

    def _tree(self, image: str) -> dict[str, str]:
        return {} if image == HOST else {"tree": str(self.trees.path(image))}

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


def limits(wanted: Limits, *, counted: bool) -> dict[str, int]:
    """The limits of each process; memory only where no control group counts it."""
    memory = {} if counted else {"memory": wanted.memory_mb * MB}
    return {"files": 8192, "core": 0, "file": wanted.disk_mb * MB, **memory}


def checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ProvisionFailed(f"{name!r} cannot name a sandbox.")
    return name
