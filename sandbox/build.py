"""One build of one image, while it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from docker import APIClient
from docker.errors import APIError
from docker.types import Mount

from sandbox import inside
from sandbox.blame import blame, last_mentioned
from sandbox.build_folder import BUILD_ID, BuildFolder
from sandbox.build_settings import FOLDER, BuildSettings
from sandbox.containers import ROOT_CAPABILITIES, remove_container
from sandbox.contents import Contents, Layer
from sandbox.errors import EngineUnavailable, LayerFailed
from sandbox.following import follow, lines_of
from sandbox.images import present
from sandbox.overlay import settings as image_settings
from sandbox.places import Places

LABEL = "agentsite.image"
MB = 1024 * 1024
TAIL_LINES = 60
LOOK_SECONDS = 2.0  # between two looks at how much a layer has written
READY_SECONDS = 30.0
OUT_OF_MEMORY = 137


class Progress(Protocol):
    """Who hears of a build."""

    def say(self, line: str) -> None: ...

    def beat(self) -> None:
        """Called about twice a second. Raises what is to stop the build."""


@dataclass(frozen=True, kw_only=True)
class BuildLimits:
    """What one build may use."""

    seconds: int = 1800
    written_mb: int = 8192
    memory_mb: int = 4096
    pids: int = 4096


@dataclass(frozen=True, kw_only=True)
class Built:
    tag: str
    size_bytes: int


@dataclass(kw_only=True)
class Build:
    """Makes layer upon layer, each in a container that is committed and removed."""

    api: APIClient
    site: str
    places: Places
    folder: BuildFolder
    settings: BuildSettings
    limits: BuildLimits
    progress: Progress
    network: str  # egress, bridge or host
    began: float = field(default_factory=time.monotonic)
    replaced: list[str] = field(default_factory=list)

    def run(self, contents: Contents, base: str, *, fresh: bool) -> Built:
        below = self._ground(contents, base, fresh=fresh)
        with self._way_out(base) as network:
            for layer, name in contents.named(self.site, base):
                if fresh or not present(self.api, name):
                    self._say(f"== {layer.words}")
                    self._make(layer, below, name, network)
                else:
                    self._say(f"== {layer.words} (kept from an earlier build)")
                below = name
        for image in reversed(self.replaced):
            remove_image(self.api, image)
        return Built(tag=below, size_bytes=self.api.inspect_image(below)["Size"])

    # The image below.

    def _ground(self, contents: Contents, base: str, *, fresh: bool) -> str:
        """Return what the first layer stands on; fetch it where it is somebody else's."""
        wanted = contents.base_image
        if wanted is None:
            return base
        if present(self.api, wanted) and not fresh:
            return wanted
        self._say(f"== fetching {wanted}")
        try:
            heard = deque[str](maxlen=TAIL_LINES)
            self._follow(_fetching(wanted), _pulled(self.api, wanted), heard)
        except (APIError, FetchFailed) as error:
            if present(self.api, wanted):
                self._say("It cannot be fetched now: the one that is here is used.")
                return wanted
            raise LayerFailed(
                f"The base image {wanted} could not be fetched: {_said(error)}",
                layer="base image",
                package=wanted,
            ) from error
        return wanted

    # The way out.

    @contextmanager
    def _way_out(self, base: str) -> Iterator[str]:
        """Give the network of the layers' containers.

        A container of the base image holds the forwarder to the egress proxy, and the
        layers share its network, which has nothing else: so any image can be built on.
        """
        if self.network != "egress":
            yield self.network
            return
        name = container_name(self.site, "way-out")
        self._create_way_out(name, base)
        try:
            self.api.start(name)
            self._await_way_out()
            yield f"container:{name}"
        finally:
            remove_container(self.api, name)

    def _await_way_out(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self.places.socket(BUILD_ID).exists():
            if time.monotonic() > until:
                raise EngineUnavailable("The network of a build did not come up.")
            time.sleep(0.02)

    def _create_way_out(self, name: str, base: str) -> None:
        places = self.places
        self.api.create_container(
            base,
            name=name,
            entrypoint=["/usr/bin/python3", "-I", "-S", inside.TOOL_SERVER],
            command=[
                f"--socket={inside.TOOL_SOCKET}",
                f"--egress={inside.EGRESS_SOCKET}",
                f"--port={inside.PROXY_PORT}",
            ],
            user="1000:1000",
            host_config=self.api.create_host_config(
                network_mode="none",
                init=True,
                group_add=[str(places.gid)],
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                read_only=True,
                tmpfs={"/tmp": "rw,size=16m"},  # noqa: S108 - of the container
                mem_limit=256 * MB,
                pids_limit=64,
                mounts=[
                    _bind(inside.TOOL_SERVER, places.tool_server(BUILD_ID)),
                    _bind(inside.TOOL_FOLDER, places.tools(BUILD_ID), writable=True),
                    _bind(inside.EGRESS_FOLDER, places.egress(BUILD_ID)),
                ],
            ),
        )

    # A layer.

    def _make(self, layer: Layer, below: str, name: str, network: str) -> None:
        container = container_name(self.site, "layer")
        self.folder.put_text(layer)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        try:
            self._create(container, layer, below, network)
            self.api.start(container)
            output = self.api.logs(container, stream=True, follow=True)
            self._follow(layer, lines_of(output), tail, container)
            self._refuse_failed(layer, container, tail)
            self._commit(container, layer, name)
        finally:
            remove_container(self.api, container)

    def _create(self, name: str, layer: Layer, below: str, network: str) -> None:
        self.api.create_container(
            below,
            name=name,
            # The entrypoint of somebody else's image is not for us.
            entrypoint=["/bin/sh", f"{FOLDER}/layer.sh"],
            command=[layer.script, *layer.arguments],
            user="0:0",
            working_dir="/",
            host_config=self.api.create_host_config(
                network_mode=network,
                init=True,
                cap_drop=["ALL"],
                cap_add=ROOT_CAPABILITIES,
                security_opt=["no-new-privileges:true"],
                mem_limit=self.limits.memory_mb * MB,
                memswap_limit=self.limits.memory_mb * MB,
                pids_limit=self.limits.pids,
                cpu_shares=256,  # sandboxes go first
                mounts=[_bind(FOLDER, self.folder.path)],
                log_config={"Type": "json-file", "Config": {"max-size": "1m"}},
            ),
        )

    def _refuse_failed(self, layer: Layer, container: str, tail: deque[str]) -> None:
        code = self.api.wait(container)["StatusCode"]
        if code == 0:
            return
        found = blame(layer, tail)
        what = (
            f"The package {found.package} ({layer.name})"
            if found.package
            else (
                f"One of the {layer.name} packages {', '.join(layer.arguments)}"
                if layer.arguments
                else f"The {layer.name}"
            )
        )
        why = found.reason
        if code == OUT_OF_MEMORY:
            why = f"it used more than {self.limits.memory_mb} MB of memory"
        verb = (
            "could not be installed" if layer.arguments else f"ended with code {code}"
        )
        raise LayerFailed(
            f"{what} {verb}: {why}", layer=layer.name, package=found.package
        )

    def _commit(self, container: str, layer: Layer, name: str) -> None:
        before = self._id_of(name)
        repository, _, tag = name.partition(":")
        self.api.commit(
            container,
            repository=repository,
            tag=tag,
            # Given, or the image would take over those of the container.
            conf={"Labels": {LABEL: self.site}, "Cmd": ["bash"], "Entrypoint": []},
            changes=image_settings(),
        )
        if before:
            self.replaced.append(before)

    def _id_of(self, name: str) -> str | None:
        return self.api.inspect_image(name)["Id"] if present(self.api, name) else None

    # Following it.

    def _follow(
        self,
        layer: Layer,
        lines: Iterator[str],
        heard: deque[str],
        container: str = "",
    ) -> None:
        look = time.monotonic()

        def say(line: str) -> None:
            heard.append(self._say(line))

        def attend() -> None:
            nonlocal look
            self.progress.beat()
            self._refuse_late(layer, heard)
            if time.monotonic() >= look:
                look = time.monotonic() + LOOK_SECONDS
                self._refuse_large(layer, heard)

        def end() -> None:
            """Kill it, or its log has no end; one that ended by itself has one."""
            kill(self.api, container)

        follow(lines, say, attend, end if container else None)

    def _say(self, line: str) -> str:
        line = self.settings.scrub(line)
        self.progress.say(line)
        return line

    def _refuse_late(self, layer: Layer, heard: deque[str]) -> None:
        if time.monotonic() - self.began > self.limits.seconds:
            limit = f"the time limit of a build, {self.limits.seconds} s,"
            raise self._stopped(layer, heard, f"{limit} was reached")

    def _refuse_large(self, layer: Layer, heard: deque[str]) -> None:
        written = written_bytes(self.api, container_name(self.site, "layer"))
        if written > self.limits.written_mb * MB:
            limit = f"it wrote more than the {self.limits.written_mb} MB"
            raise self._stopped(layer, heard, f"{limit} that a layer may have")

    def _stopped(self, layer: Layer, heard: deque[str], why: str) -> LayerFailed:
        package = last_mentioned(layer, heard)
        at = (
            f"at the package {package} ({layer.name})"
            if package
            else f"at: {layer.words}"
        )
        last = f" Its last words: {heard[-1][:200]}" if heard else ""
        return LayerFailed(
            f"The build was stopped {at}, since {why}.{last}",
            layer=layer.name,
            package=package,
        )


class FetchFailed(Exception):
    """An image could not be pulled."""


def container_name(site: str, part: str) -> str:
    """One build runs at a time, so its containers have the same names each time."""
    return f"agentsite-{site}-build-{part}"


def kill(api: APIClient, name: str) -> None:
    try:
        api.kill(name)
    except APIError as error:
        if error.status_code not in (404, 409):  # 409: it does not run
            raise


def remove_image(api: APIClient, name: str) -> bool:
    """Remove an image unless something still stands on it or runs in it."""
    try:
        api.remove_image(name)
    except APIError as error:
        if error.status_code not in (404, 409):
            raise
        return False
    return True


def written_bytes(api: APIClient, name: str) -> int:
    found = api.containers(all=True, size=True, filters={"name": f"^/{name}$"})
    return int(found[0].get("SizeRw", 0)) if found else 0


def _pulled(api: APIClient, image: str) -> Iterator[str]:
    for step in api.pull(image, stream=True, decode=True):
        if "error" in step:
            raise FetchFailed(str(step["error"]))
        if "progressDetail" not in step or not step["progressDetail"]:
            yield " ".join(str(step[part]) for part in ("id", "status") if part in step)


def _fetching(image: str) -> Layer:
    return Layer(name="base image", script="", arguments=(image,))


def _said(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)


def _bind(target: str, source: Any, *, writable: bool = False) -> Mount:
    return Mount(target, str(source), type="bind", read_only=not writable)
