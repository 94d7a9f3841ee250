"""The host folder of a build: our scripts, settings and certificates, mounted read-only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import overlay
from sandbox.build_settings import BuildSettings
from sandbox.contents import SCRIPTS, Layer
from sandbox.places import Places, readable

WRAPPERS = Path(__file__).parent / "image" / "bin"
BUILD_ID = "build"  # stands where a sandbox's folders have its session's id


@dataclass(frozen=True, kw_only=True)
class BuildFolder:
    """Gone when the build ends; one that a killed build left goes before the next."""

    path: Path

    @classmethod
    @contextmanager
    def made(cls, places: Places, settings: BuildSettings) -> Iterator[BuildFolder]:
        cls.remove_leftover(places)
        folder = cls(path=places.state_dir / BUILD_ID / "context")
        readable(folder.path)
        places.share(places.egress(BUILD_ID).parent)
        places.share(places.egress(BUILD_ID))
        places.renew(BUILD_ID)
        for script in SCRIPTS.glob("*.sh"):
            shutil.copy(script, folder.path)
        shutil.copytree(WRAPPERS, folder.path / "wrappers")
        readable(folder.path / "certificates")
        for certificate in overlay.certificates():
            shutil.copy(certificate, folder.path / "certificates")
        for name, text in settings.files.items():
            folder._write(name, text)
        try:
            yield folder
        finally:
            cls.remove_leftover(places)

    def put_text(self, layer: Layer) -> None:
        self._write("text", layer.text)

    def _write(self, name: str, text: str) -> None:
        """Write a file that may hold a password: root in the build reads it all the same."""
        path = self.path / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)

    @staticmethod
    def remove_leftover(places: Places) -> None:
        places.remove(BUILD_ID)
