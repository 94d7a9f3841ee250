from __future__ import annotations

from tests.sandbox.fixtures import (
    base_image,
    base_tree,
    box_engine,
    bubblewrap_provider,
    docker_provider,
    place,
    runtime_dir,
)

__all__ = [
    "base_image",
    "base_tree",
    "box_engine",
    "bubblewrap_provider",
    "docker_provider",
    "place",
    "runtime_dir",
]
