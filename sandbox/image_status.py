"""How far the base image is, as a small file that every part of the site can read."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "base-image.json"


def write(
    home: Path,
    state: str,
    detail: str,
    *,
    image: str = "",
    registries: Sequence[str] = (),
) -> None:
    """`state` is building, ready or failed; `image` is the tag of what is ready.

    `registries` are the addresses of this machine's that the image's clients are set to.
    """
    path = home / FILE
    part = path.with_suffix(".part")
    said = {"state": state, "detail": detail, "image": image, "at": time.time()}
    part.write_text(json.dumps({**said, "registries": [*registries]}))
    # Root builds, and everybody else of the site only looks.
    part.chmod(0o644)
    part.replace(path)


def read(home: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((home / FILE).read_text())
    except (OSError, ValueError):
        return {"state": "unknown", "detail": "nobody has looked for it yet", "at": 0.0}
    return found
