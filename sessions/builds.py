"""Builds of environments' images: one at a time on a machine, in a job."""

from __future__ import annotations

import fcntl
import logging
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from agents import images
from agents.models import EnvironmentImage
from sandbox import image_status
from sandbox.build import BuildLimits
from sandbox.contents import Contents
from sandbox.egress.client import EgressClient
from sandbox.errors import (
    EgressUnavailable,
    EngineUnavailable,
    ImageBuildFailed,
    LayerFailed,
)
from sandbox.image_builder import ImageBuilder
from sandbox.images import base_image_tag
from sandbox.places import Places, shared_group
from sandbox.spec import NetworkPolicy
from sessions import queue
from sessions.liveness import place
from sessions.models import Session

logger = logging.getLogger(__name__)

JOB = "sessions.tasks.build_images"
BASE_PATIENCE = 900.0
"""How long a build waits for the base image."""
LOOK_SECONDS = 1.0
LOG_CHARACTERS = 300_000
LAST_LINES = 40


class Stopped(Exception):
    """Somebody stopped the build, or another worker has it."""


class BaseMissing(Exception):
    """There is no base image to build on."""


def builder() -> ImageBuilder:
    """The builder of this site, as the settings say."""
    conf = settings.AGENTSITE
    return ImageBuilder(
        site=conf.site_name,
        places=Places(
            runtime_dir=conf.runtime_dir,
            state_dir=conf.home / "sandboxes",
            gid=shared_group(conf.user),
        ),
        egress=EgressClient(runtime_dir=conf.runtime_dir),
        engine_url=conf.engine_url,
        network=conf.build_network,
        policy=NetworkPolicy(private_hosts=conf.private_hosts),
        limits=BuildLimits(seconds=conf.build_seconds, written_mb=conf.build_mb),
    )


def ask_for_a_builder() -> None:
    """Have a worker look for queued builds."""
    queue.enqueue(JOB)


def build_next(builder: ImageBuilder) -> None:
    """Build what has waited longest, unless a build runs here already."""
    with _alone() as alone:
        if not alone:
            return  # whoever builds asks for another look at its end
        images.put_back_interrupted(place())
        row = images.claim(f"{place()}:{uuid.uuid4().hex[:8]}")
        if row is not None:
            _build(row, builder)
    if row is not None and images.any_queued():
        ask_for_a_builder()


@contextmanager
def _alone() -> Iterator[bool]:
    """Hold this machine's build lock; the kernel takes it back from a killed worker."""
    path = settings.AGENTSITE.runtime_dir / "build.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _build(row: EnvironmentImage, builder: ImageBuilder) -> None:
    """Build one image, and say how it ended. Every ending is somebody's to read."""
    log = BuildLog(row)
    try:
        _refuse_without_engine()
        base = _base(builder, log)
        contents = Contents.of_json(row.contents)
        built = builder.build(contents, base, log, fresh=row.fresh)
        log.end(f"== done: {built.tag}")
        images.succeed(row, built.tag, built.size_bytes)
    except Stopped:
        logger.info("the build of %s was stopped", row.pk)
    except LayerFailed as error:
        log.end(f"== {error}")
        images.fail(row, str(error), layer=error.layer, package=error.package or "")
    except (
        EngineUnavailable,
        EgressUnavailable,
        BaseMissing,
        ImageBuildFailed,
    ) as error:
        log.end(f"== {error}")
        images.put_back(row, f"It is tried again soon. {error}")
    except Exception as error:
        logger.exception("the build of %s failed", row.pk)
        log.end(f"== {error!r}")
        images.fail(row, f"An internal error: look for {row.pk} in the log.")


def _refuse_without_engine() -> None:
    if settings.AGENTSITE.sandbox != "docker":
        raise LayerFailed(
            "This site runs sandboxes by bubblewrap, which has no images: packages, a"
            " setup script and a base image need a container engine.",
            layer="",
            package=None,
        )


def _base(builder: ImageBuilder, log: BuildLog) -> str:
    """Return the base image once it is there."""
    tag, until = base_image_tag(), time.monotonic() + BASE_PATIENCE
    while not builder.is_here(tag):
        found = image_status.read(settings.AGENTSITE.home)
        if found["state"] == "failed" or time.monotonic() > until:
            raise BaseMissing(f"The base image is not there: {found['detail']}")
        log.once(f"== waiting for the base image: {found['detail']}")
        log.beat()
        time.sleep(LOOK_SECONDS)
    return tag


class BuildLog:
    """Keeps what a build says in its row, and hears there when it is to stop."""

    def __init__(self, row: EnvironmentImage) -> None:
        self._row = row
        self._new: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._length = 0
        self._said = ""
        self._due = 0.0

    def say(self, line: str) -> None:
        if self._length > LOG_CHARACTERS:
            self._last.append(line)
            return
        self._new.append(line)
        self._length += len(line) + 1
        if self._length > LOG_CHARACTERS:
            self._new.append("… (the middle of a long log is left out)")

    def once(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self.say(line)

    def beat(self) -> None:
        """Write about once a second. Raises Stopped."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LOOK_SECONDS
            self._write()

    def end(self, line: str) -> None:
        """Write everything that is left."""
        self._new += [*self._last, line]
        self._last.clear()
        try:
            self._write()
        except Stopped:
            pass  # whoever stopped it has the last word

    def _write(self) -> None:
        text = "".join(f"{line}\n" for line in self._new)
        self._new.clear()
        if not images.beat(self._row, text):
            raise Stopped


def prune(builder: ImageBuilder) -> list[str]:
    """Remove rows and images that nobody uses any more."""
    base = base_image_tag()
    kept: set[str] = set()
    for row in images.forget_unused(_in_sessions()):
        named = Contents.of_json(row.contents).named(builder.site, base)
        kept.update({row.image, *(name for _, name in named)})
    return builder.prune(frozenset(kept))


def _in_sessions() -> set[str]:
    """The contents of sessions that may still want a sandbox."""
    configs = Session.objects.filter(archived_at=None).values_list(
        "environment_config", flat=True
    )
    return {images.content_hash(config) for config in configs.iterator()}
