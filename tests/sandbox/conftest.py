from __future__ import annotations

from tests.sandbox.fixtures import base_image, docker_provider, runtime_dir

__all__ = ["base_image", "docker_provider", "runtime_dir"]
