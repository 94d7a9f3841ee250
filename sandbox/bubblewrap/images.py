"""The base image as a tree: taken from an engine that has it, or built here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from sandbox import bootstrap, images, overlay
from sandbox.bubblewrap import machine
from sandbox.bubblewrap.command import HOST
from sandbox.bubblewrap.trees import Trees
from sandbox.errors import EngineUnavailable, ImageBuildFailed
from sandbox.images import Progress

PIECE = 1024 * 1024
NEEDED = ("python3", "bash")
VARIABLES = {**dict.fromkeys(overlay.TRUST, overlay.BUNDLE), "LANG": "C.UTF-8"}


def base_image() -> str:
    """Return the name of the base image; without root that is this machine's /usr."""
    return images.base_image_tag() if machine.is_root() else HOST


def ensure_base_tree(
    progress: Progress, *, trees: Trees, work_dir: Path, engine_url: str
) -> str:
    """Return the base image's name; make its tree first where there is none."""
    image = base_image()
    if image == HOST:
        require_programs()
    elif not trees.has(image):
        with images.alone(work_dir) as folder:
            if trees.has(image) or take(image, trees, engine_url, progress):
                return image
            build(image, trees, folder, progress)
    return image


def require_programs() -> None:
    missing = [name for name in NEEDED if not shutil.which(name, path="/usr/bin:/bin")]
    if missing:
        raise ImageBuildFailed(
            "Without root, sandboxes use this machine's programs, and it lacks"
            f" {' and '.join(missing)}: install that, or start the site as root."
        )


def take(image: str, trees: Trees, engine_url: str, progress: Progress) -> bool:
    """Unpack an image that a container engine has; false where there is none."""
    try:
        engine = images.connected(engine_url)
    except EngineUnavailable:
        return False
    try:
        if not images.present(engine, image):
            return False
        progress(f"Unpacking {image} from the container engine")
        trees.unpack(image, exported(engine, image), variables_of(engine, image))
    except (DockerException, RequestException) as error:
        raise ImageBuildFailed(f"Image {image} was not unpacked: {error}.") from error
    finally:
        engine.close()
    return True


def exported(engine: APIClient, image: str) -> Iterator[bytes]:
    made = engine.create_container(image, command="true")["Id"]
    try:
        yield from engine.export(made, chunk_size=PIECE)
    finally:
        engine.remove_container(made)


def variables_of(engine: APIClient, image: str) -> dict[str, str]:
    pairs = engine.inspect_image(image)["Config"]["Env"] or []
    return dict(pair.split("=", 1) for pair in pairs)


def build(image: str, trees: Trees, folder: Path, progress: Progress) -> None:
    progress("Fetching Node")
    overlay.make(folder)
    progress(f"Building {image} from this machine's apt sources (about a minute)")
    with bootstrap.tree(images.RECIPE, folder) as stream:
        trees.unpack(image, iter(lambda: stream.read(PIECE), b""), VARIABLES)
    progress(f"Built {image}")
