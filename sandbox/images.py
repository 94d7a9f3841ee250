"""The base image of every sandbox: built here, from what this machine has."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from docker import APIClient
from docker.errors import DockerException
from docker.errors import ImageNotFound as NoSuchImage
from requests.exceptions import RequestException

from sandbox import bootstrap, overlay, registries
from sandbox.errors import EngineUnavailable, ImageBuildFailed

RECIPE = Path(__file__).parent / "image"
REPOSITORY = "agentsite-base"
FROM = "debian:bookworm-slim"
BUILD_SECONDS = 1800
LEFTOVER = "agentsite-image-"

Progress = Callable[[str], None]


def ensure_base_image(
    progress: Progress,
    *,
    work_dir: Path | None = None,
    engine_url: str = "unix:///var/run/docker.sock",
) -> str:
    """Return the base image's tag; build it first where this engine has none.

    The tag is a hash of the recipe. Two callers at once build it once. Blocking, and a
    matter of a minute: call it in a job or a thread.
    """
    tag = base_image_tag()
    engine = connected(engine_url)
    try:
        if not present(engine, tag):
            with alone(work_dir or Path(tempfile.gettempdir())) as folder:
                if not present(engine, tag):
                    build(engine, tag, folder, progress)
    except (DockerException, RequestException) as error:
        raise ImageBuildFailed(f"Image {tag} could not be built: {error}.") from error
    finally:
        engine.close()
    return tag


def connected(engine_url: str) -> APIClient:
    try:
        return APIClient(engine_url, version="auto", timeout=BUILD_SECONDS)
    except (DockerException, RequestException) as error:
        raise EngineUnavailable(
            f"No Docker engine answers at {engine_url}: {error}."
        ) from error


def base_image_tag() -> str:
    """Return the tag that the base image has, or will have, on this machine."""
    return f"{REPOSITORY}:{recipe_hash()}"


def recipe_hash() -> str:
    """Hash what makes the image: our recipe, Node's version, the machine's CAs."""
    digest = hashlib.sha256(overlay.NODE.encode())
    files = sorted(path for path in RECIPE.rglob("*") if path.is_file())
    for path in [*files, *overlay.certificates()]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(repr(registries.settings()).encode())
    return digest.hexdigest()[:12]


def present(engine: APIClient, tag: str) -> bool:
    try:
        engine.inspect_image(tag)
    except NoSuchImage:
        return False
    return True


@contextmanager
def alone(work_dir: Path) -> Iterator[Path]:
    """Hold the build lock, and a folder that is gone afterwards.

    Whoever holds the lock also removes what a killed build left behind.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / f"{LEFTOVER}lock").open("w") as lock:
        flock(lock, LOCK_EX)
        for leftover in work_dir.glob(f"{LEFTOVER}*/"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = tempfile.mkdtemp(prefix=LEFTOVER, dir=work_dir)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def build(engine: APIClient, tag: str, folder: Path, progress: Progress) -> None:
    progress("Fetching Node")
    overlay.make(folder)
    if registry_answers(engine):
        progress(f"Building {tag} from {FROM}")
        build_from_registry(engine, tag, folder, progress)
    else:
        progress(f"Building {tag} from this machine's apt sources (about a minute)")
        build_from_apt(engine, tag, folder)
    progress(f"Built {tag}")


def registry_answers(engine: APIClient) -> bool:
    """Ask the engine, which is what would pull; present counts as an answer."""
    if present(engine, FROM):
        return True
    try:
        engine.timeout = 10
        engine.inspect_distribution(FROM)
    except (DockerException, RequestException):
        return False
    finally:
        engine.timeout = BUILD_SECONDS
    return True


def build_from_registry(
    engine: APIClient, tag: str, folder: Path, progress: Progress
) -> None:
    (folder / "Dockerfile").write_text(dockerfile())
    shutil.copy(RECIPE / "setup.sh", folder)
    steps = engine.build(path=str(folder), tag=tag, rm=True, pull=False, decode=True)
    for step in steps:
        if "error" in step:
            raise ImageBuildFailed(f"Image {tag} was not built: {step['error']}")
        if str(step.get("stream", "")).startswith("Step "):
            progress(step["stream"].strip())


def dockerfile() -> str:
    packages = " ".join(bootstrap.packages(RECIPE))
    lines = [
        f"FROM {FROM}",
        "RUN apt-get update && apt-get install -y --no-install-recommends " + packages,
        "ADD overlay.tar /",
        "COPY setup.sh /tmp/setup.sh",
        "RUN sh /tmp/setup.sh",
        *overlay.settings(),
    ]
    return "\n".join(lines) + "\n"


def build_from_apt(engine: APIClient, tag: str, folder: Path) -> None:
    """Import the tree as it is written, under a name that nobody looks for yet.

    A build that fails half-way is noticed only at the end of the stream.
    """
    unfinished = f"{REPOSITORY}:unfinished"
    with bootstrap.tree(RECIPE, folder) as stream:
        engine.import_image_from_stream(
            stream,
            repository=REPOSITORY,
            tag="unfinished",
            changes=overlay.settings(),
        )
    engine.tag(unfinished, REPOSITORY, tag.partition(":")[2])
    engine.remove_image(unfinished, noprune=True)
