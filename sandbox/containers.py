"""The containers and volumes of one installation. Blocking: called from threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Concatenate, ParamSpec, TypeVar

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import Mount, Ulimit
from requests.exceptions import RequestException

from sandbox import archive, disk, inside, trust
from sandbox.errors import EngineUnavailable, ImageMissing, ProvisionFailed
from sandbox.places import Places
from sandbox.spec import HOME, OUTPUTS, UPLOADS, WORKSPACE, SandboxSpec

MB = 1024 * 1024
UID = 1000
VOLUMES = {"workspace": WORKSPACE, "home": HOME, "outputs": OUTPUTS}
# What package managers need of root, and nothing that reaches beyond the container.
ROOT_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"]
SITE = "agentsite.site"
SESSION = "agentsite.session"
IMAGE = "agentsite.image"
# An image is somebody's own, and so is its program: DAC_READ_SEARCH, the lesser right,
# would open any file of this machine by its handle.
MEASURING = {
    "cap_add": ["DAC_OVERRIDE"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": 512 * MB,
    "memswap_limit": 512 * MB,
    "pids_limit": 32,
}

CONNECTIONS = 8
ANSWER_SECONDS = 60

P = ParamSpec("P")
T = TypeVar("T")


def asking(
    work: Callable[Concatenate[Containers, P], T],
) -> Callable[Concatenate[Containers, P], T]:
    """Say in our own words that the engine could not be asked."""

    @functools.wraps(work)
    def asked(self: Containers, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.asked():
            return work(self, *args, **kwargs)

    return asked


class Containers:
    """Speaks to the engine, and touches nothing that another site made there."""

    def __init__(
        self, *, site: str, places: Places, runtime: str | None, engine_url: str
    ) -> None:
        self.site = site
        self.places = places
        self.runtime = runtime
        self.engine_url = engine_url
        self._api: APIClient | None = None
        self._root: Path | None = None

    @property
    def api(self) -> APIClient:
        """The client, made when it is first needed: the engine may come later."""
        if self._api is None:
            self._api = APIClient(
                self.engine_url,
                version="auto",
                timeout=ANSWER_SECONDS,
                max_pool_size=CONNECTIONS,
            )
        return self._api

    @contextmanager
    def asked(self) -> Iterator[None]:
        try:
            yield
        except (DockerException, RequestException) as error:
            raise EngineUnavailable(
                f"The Docker engine at {self.engine_url} cannot do it: {error}."
            ) from error

    def close(self) -> None:
        if self._api:
            self._api.close()

    @asking
    def ping(self) -> None:
        self.api.ping()

    def name(self, session_id: str) -> str:
        return f"agentsite-{self.site}-{session_id}"

    def labels(self, session_id: str) -> dict[str, str]:
        return {SITE: self.site, SESSION: session_id}

    @asking
    def state(self, session_id: str) -> str | None:
        """Return the engine's word for the container's state; None without one."""
        try:
            found = self.api.inspect_container(self.name(session_id))
        except NotFound:
            return None
        return str(found["State"]["Status"])

    @asking
    def start(self, spec: SandboxSpec) -> None:
        """Make a container on the session's volumes and start it."""
        self.make_volumes(spec)
        try:
            self.create(spec)
            self.api.start(self.name(spec.name))
        except ImageNotFound as error:
            raise ImageMissing(
                f"Image {spec.image} of session {spec.session_id} is not on this "
                "engine: build its environment again."
            ) from error
        except APIError as error:
            if error.status_code == 409:
                return  # another process is making it; whoever waits will find it
            raise ProvisionFailed(
                f"The sandbox of session {spec.session_id} could not be started: "
                f"{error.explanation or error}."
            ) from error

    def make_volumes(self, spec: SandboxSpec) -> None:
        labels = {**self.labels(spec.name), IMAGE: spec.image}
        for volume in VOLUMES:
            self.api.create_volume(self.volume(spec.name, volume), labels=labels)

    def create(self, spec: SandboxSpec) -> None:
        self.api.create_container(
            spec.image,
            command=inside.tool_server(spec),
            entrypoint=["/usr/bin/python3", "-I", "-S", inside.TOOL_SERVER],
            name=self.name(spec.name),
            hostname="sandbox",
            user="0:0" if spec.root else f"{UID}:{UID}",
            working_dir=WORKSPACE,
            environment=inside.environment(spec),
            labels=self.labels(spec.name),
            host_config=self.host_config(spec),
        )

    def host_config(self, spec: SandboxSpec) -> dict[str, Any]:
        limits = spec.limits
        config: dict[str, Any] = self.api.create_host_config(
            network_mode="none",
            init=True,
            group_add=[str(self.places.gid)],
            cap_drop=["ALL"],
            cap_add=ROOT_CAPABILITIES if spec.root else None,
            security_opt=["no-new-privileges:true"],
            read_only=not spec.root,
            tmpfs=tmpfs(limits.tmp_mb),
            mounts=self.mounts(spec),
            pids_limit=limits.pids,
            mem_limit=limits.memory_mb * MB,
            memswap_limit=limits.memory_mb * MB,
            nano_cpus=int(limits.cpus * 1_000_000_000),
            ulimits=[
                Ulimit(name="nofile", soft=8192, hard=8192),
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(
                    name="fsize", soft=limits.disk_mb * MB, hard=limits.disk_mb * MB
                ),
            ],
            ipc_mode="private",
            log_config={"Type": "json-file", "Config": {"max-size": "1m"}},
            runtime=self.runtime,
        )
        return config

    def mounts(self, spec: SandboxSpec) -> list[Mount]:
        places, session_id = self.places, spec.session_id
        return [
            *self.volumes(spec.name),
            bind(inside.TOOL_SERVER, str(places.tool_server(session_id))),
            bind(UPLOADS, str(places.uploads(session_id))),
            bind(inside.TOOL_FOLDER, str(places.tools(session_id)), writable=True),
            bind(inside.EGRESS_FOLDER, str(places.egress(session_id))),
            bind(trust.FOLDER, str(places.trust(session_id))),
        ]

    def volumes(self, session_id: str) -> list[Mount]:
        return [
            Mount(target, self.volume(session_id, volume), type="volume")
            for volume, target in VOLUMES.items()
        ]

    def volume(self, session_id: str, volume: str) -> str:
        return f"{self.name(session_id)}-{volume}"

    @asking
    def last_words(self, session_id: str) -> str:
        try:
            log: bytes = self.api.logs(self.name(session_id), tail=5)
        except APIError:
            return "it left no log"
        return log.decode(errors="replace").strip()[-500:] or "it left no log"

    @asking
    def remove(self, session_id: str) -> None:
        for name in (self.name(session_id), self.helper(session_id)):
            remove_container(self.api, name)

    @asking
    def remove_files(self, session_id: str) -> None:
        for volume in VOLUMES:
            try:
                self.api.remove_volume(self.volume(session_id, volume), force=True)
            except NotFound:
                pass

    @asking
    def has_files(self, session_id: str) -> bool:
        try:
            self.api.inspect_volume(self.volume(session_id, "workspace"))
        except NotFound:
            return False
        return True

    def pack(self, session_id: str) -> Iterator[archive.Source]:
        with self.asked(), self.files_only(session_id) as helper:
            for place in archive.KEPT:
                stream, _ = self.api.get_archive(helper, place, chunk_size=MB)
                yield str(PurePosixPath(place).parent.relative_to("/")), stream

    @asking
    def used(self, session_id: str) -> int:
        """Measured beside the sandbox, by a program of the image that may read all."""
        words = [*disk.MEASURE, *archive.KEPT]
        with self.files_only(session_id, words, **MEASURING) as helper:
            self.api.start(helper)
            self.api.wait(helper)
            said: bytes = self.api.logs(helper, stderr=False)
        return disk.measured(said)

    @asking
    def host_folder(self) -> Path:
        if self._root is None:
            self._root = Path(self.api.info()["DockerRootDir"])
        return self._root

    @asking
    def unpack(self, spec: SandboxSpec, pieces: Iterable[bytes]) -> None:
        self.make_volumes(spec)
        with self.files_only(spec.name) as helper:
            self.api.put_archive(helper, "/", pieces)

    @contextmanager
    def files_only(
        self, session_id: str, command: Sequence[str] = ("true",), **config: Any
    ) -> Iterator[str]:
        """Give a container that is not started: the engine's way to volumes' files.

        What is unpacked beside them, or beyond them, is gone with it. One that is
        there already was left by a worker that died.
        """
        remove_container(self.api, self.helper(session_id))
        found = self.api.inspect_volume(self.volume(session_id, "workspace"))
        self.api.create_container(
            found["Labels"][IMAGE],
            command=list(command),
            entrypoint=[],
            user="0:0",
            name=self.helper(session_id),
            host_config=self.api.create_host_config(
                network_mode="none",
                cap_drop=["ALL"],
                mounts=self.volumes(session_id),
                **config,
            ),
        )
        try:
            yield self.helper(session_id)
        finally:
            remove_container(self.api, self.helper(session_id))

    def helper(self, session_id: str) -> str:
        return f"{self.name(session_id)}-files"

    def notes(self) -> list[str]:
        return []

    @asking
    def running(self) -> frozenset[str]:
        wanted = {"label": f"{SITE}={self.site}"}
        return frozenset(
            found["Labels"][SESSION] for found in self.api.containers(filters=wanted)
        )

    @asking
    def sandboxes(self) -> frozenset[str]:
        wanted = {"label": f"{SITE}={self.site}"}
        containers = self.api.containers(all=True, filters=wanted)
        volumes = self.api.volumes(filters=wanted)["Volumes"] or []
        return frozenset(found["Labels"][SESSION] for found in [*containers, *volumes])


def remove_container(api: APIClient, name: str) -> None:
    try:
        api.remove_container(name, force=True, v=True)
    except APIError as error:
        if error.status_code not in (404, 409):  # 409: its removal goes on already
            raise


def tmpfs(tmp_mb: int) -> dict[str, str]:
    options = "rw,exec,nosuid,nodev"
    return {
        "/tmp": f"{options},size={tmp_mb}m,mode=1777",  # noqa: S108 - of the sandbox
        "/var/tmp": f"{options},size={tmp_mb}m,mode=1777",  # noqa: S108
        "/run": "rw,noexec,nosuid,nodev,size=16m,mode=755",
        inside.SCRATCH: f"rw,noexec,nosuid,nodev,size=64m,mode=700,uid={UID},gid={UID}",
    }


def bind(target: str, source: str, *, writable: bool = False) -> Mount:
    return Mount(target, source, type="bind", read_only=not writable)
