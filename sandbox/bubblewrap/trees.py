"""Images as folders: a root file system each, that sandboxes see read-only."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import ImageBuildFailed
from sandbox.inside import TOOL_SERVER

IMAGE = re.compile(r"[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._-]+)?")
VARIABLES = "agentsite-image.json"


@dataclass(frozen=True, kw_only=True)
class Trees:
    """The unpacked images of one site."""

    folder: Path

    def path(self, image: str) -> Path:
        """Where an image is, or would be. Raises ValueError for what is no name."""
        if not IMAGE.fullmatch(image) or ".." in image:
            raise ValueError(f"{image!r} is no name of an image")
        return self.folder / image.replace("/", "_").replace(":", "_")

    def has(self, image: str) -> bool:
        try:
            return (self.path(image) / VARIABLES).exists()
        except ValueError:
            return False

    def variables(self, image: str) -> dict[str, str]:
        """The environment that the image brings along."""
        found: dict[str, str] = json.loads((self.path(image) / VARIABLES).read_text())
        return found

    def unpack(
        self, image: str, tree: Iterable[bytes], variables: Mapping[str, str]
    ) -> None:
        """Unpack a tar stream as an image; it appears whole or not at all."""
        target = self.path(image)
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        self.folder.chmod(0o755)
        untar(tree, part)
        server = part / TOOL_SERVER[1:]
        server.parent.mkdir(parents=True, exist_ok=True)
        server.touch()  # what a file is shown over must be there
        (part / VARIABLES).write_text(json.dumps(dict(variables)))
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("[!.]*"))


def untar(tree: Iterable[bytes], folder: Path) -> None:
    """Unpack with owners and modes; devices are left out."""
    work = subprocess.Popen(
        ["tar", "-xpf", "-", "--numeric-owner", "--exclude=./dev/*", "--exclude=dev/*"],  # noqa: S607
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert work.stdin
    try:
        for piece in tree:
            work.stdin.write(piece)
    except BrokenPipeError:
        pass  # its words say why
    _, words = work.communicate()
    if work.returncode:
        raise ImageBuildFailed(
            f"The image could not be unpacked into {folder}: "
            f"{words.decode(errors='replace')[-500:]}"
        )
