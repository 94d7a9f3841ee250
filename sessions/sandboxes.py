"""The hands of this site: its sandboxes, and the models its agents ask."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from agents.images import lost
from sandbox import image_status
from sandbox.base import Provider, Sandbox
from sandbox.bubblewrap.client import RemoteBoxes
from sandbox.bubblewrap.provider import BubblewrapProvider
from sandbox.contents import Contents
from sandbox.docker_provider import DockerProvider
from sandbox.egress.client import EgressClient
from sandbox.errors import (
    EgressUnavailable,
    EngineUnavailable,
    ImageMissing,
    ProvisionFailed,
    SandboxError,
)
from sandbox.images import base_image_tag
from sandbox.places import shared_group
from sandbox.spec import (
    Limits,
    NetworkPolicy,
    SandboxSpec,
    SandboxStatus,
)
from sessions import images, keeping
from sessions.database import Database
from sessions.harness.contract import Harness
from sessions.harness.loop import run_turn
from sessions.harness.model import Model
from sessions.network import policy_for
from sessions.opened import Opened

if TYPE_CHECKING:
    from sessions.harness.anthropic_model import AnthropicModel

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TEND_SECONDS = 2.0
PATIENCE = 60.0
"""How long a turn waits for an engine or a proxy that may just be starting again."""

SCRIPTED_PREFIX = "scripted-"


def provider() -> Provider:
    """The provider of sandboxes, as the settings say."""
    conf = settings.AGENTSITE
    common: dict[str, Any] = {
        "runtime_dir": conf.runtime_dir,
        "state_dir": conf.home / "sandboxes",
        "gid": shared_group(conf.user),
        "extra_ca": conf.extra_ca,
        "egress": EgressClient(runtime_dir=conf.runtime_dir),
        "made_ahead": conf.sandbox_pool,
    }
    if conf.sandbox == "bubblewrap":
        return BubblewrapProvider(socket=conf.boxes_socket, **common)
    return DockerProvider(
        site=conf.site_name,
        runtime=conf.sandbox_runtime,
        engine_url=conf.engine_url,
        **common,
    )


class SiteHands:
    """What a host offers every turn (`turns.Hands`)."""

    def __init__(self, database: Database) -> None:
        self._provider = provider()
        self._database = database
        self._models: dict[bool, AnthropicModel] = {}
        self._tending: asyncio.Task[None] | None = None

    async def sandbox(
        self, opened: Opened, waiting: Callable[[str], Awaitable[None]]
    ) -> Sandbox:
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend())
        # In a thread: what the image is called takes reading files and asking pip.
        await asyncio.to_thread(base_image)
        until = time.monotonic() + PATIENCE
        while True:
            choice = await self._database(images.choose, opened.session, image_name)
            try:
                if choice.image:
                    return await self._provision(opened, choice, waiting)
                await waiting(choice.waits)
            except ImageMissing:
                await waiting(await self._why_no_image(choice.image))
            except (EngineUnavailable, EgressUnavailable) as error:
                if time.monotonic() > until:
                    raise
                await waiting(f"Waiting for what runs sandboxes: {error}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _provision(
        self,
        opened: Opened,
        choice: images.Choice,
        waiting: Callable[[str], Awaitable[None]],
    ) -> Sandbox:
        if choice.note and not await self._runs(opened.session.pk):
            await waiting(choice.note)
        return await self._provider.provision(spec_of(opened, choice.image))

    async def _runs(self, session_id: str) -> bool:
        status = await self._provider.status(session_id)
        return status == SandboxStatus.RUNNING

    async def _why_no_image(self, image: str) -> str:
        """The sentence a waiting session shows. Raises ProvisionFailed."""
        if image == base_image():
            return await asyncio.to_thread(_why_no_base)
        await self._database(lost, image)
        return (
            f"Waiting for image {image}: this engine has lost it, so it is built anew"
        )

    async def renew_network(self, opened: Opened) -> None:
        await self._provider.renew_network(opened.session.pk, _network_of(opened))

    def model(self, agent: Mapping[str, Any]) -> Model:
        scripted = agent["model"]["id"].startswith(SCRIPTED_PREFIX)
        if scripted not in self._models:
            self._models[scripted] = _model(scripted=scripted)
        return self._models[scripted]

    def harness(self, agent: Mapping[str, Any]) -> Harness:
        return run_turn

    async def _tend(self) -> None:
        """Have sandboxes made ahead for as long as this process lives."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            try:
                await self._provider.tend()
            except (SandboxError, OSError) as error:
                logger.info("making sandboxes ahead: %s", error)

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        await self._provider.close()
        for model in self._models.values():
            await model.close()


def spec_of(opened: Opened, image: str) -> SandboxSpec:
    """What the sandbox of a session is made of."""
    config = opened.session.environment_config
    disk_mb = settings.AGENTSITE.sandbox_disk_mb
    return SandboxSpec(
        session_id=opened.session.pk,
        image=image,
        environment=config.get("variables", {}),
        limits=Limits(disk_mb=disk_mb, **config.get("limits", {})),
        root=config.get("root", False),
        files=opened.mounts,
        snapshot=keeping.snapshot_of(opened.session.pk),
        network=_network_of(opened),
    )


def image_name(contents: Contents) -> str:
    """What an image with these contents is called on this site's engine."""
    return contents.image(settings.AGENTSITE.site_name, base_image())


def _network_of(opened: Opened) -> NetworkPolicy:
    return policy_for(opened.session, opened.session_hosts)


def base_image() -> str:
    """As its builder said: to find out anew, pip and npm take seconds to answer.

    A host that has just begun would keep the first call waiting that it takes over.
    """
    built: str = image_status.read(settings.AGENTSITE.home).get("image", "")
    return built or _asked_base_image()


@cache
def _asked_base_image() -> str:
    conf = settings.AGENTSITE
    if conf.sandbox == "bubblewrap":
        return RemoteBoxes(conf.boxes_socket).base_image()
    return base_image_tag()


def _why_no_base() -> str:
    found = image_status.read(settings.AGENTSITE.home)
    if found["state"] == "failed":
        raise ProvisionFailed(found["detail"])
    return f"Waiting for the base image: {found['detail']}"


def _model(*, scripted: bool) -> AnthropicModel:
    # Only hosts need it: a job that removes a sandbox would take 90 MB more.
    from sessions.harness.anthropic_model import AnthropicModel

    conf = settings.AGENTSITE
    if scripted:
        return AnthropicModel(base_url=conf.scripted_model_url, api_key="none")
    # The model wants a key, even where an endpoint of somebody's own does not.
    keyless = "none" if conf.has_own_endpoint else ""
    key = conf.anthropic_api_key.get_secret_value() or keyless
    return AnthropicModel(base_url=conf.anthropic_base_url, api_key=key)
