"""The hands of this site: its sandboxes, and the models its agents ask."""

from __future__ import annotations

import asyncio
import grp
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from django.conf import settings

from agents.models import File
from sandbox.base import Provider, Sandbox
from sandbox.docker_provider import DockerProvider
from sandbox.egress import EgressClient
from sandbox.errors import ImageMissing, ProvisionFailed
from sandbox.images import base_image_tag
from sandbox.spec import FileMount, NetworkPolicy, SandboxSpec
from sessions.harness.anthropic_model import AnthropicModel
from sessions.harness.model import Model
from sessions.image_state import ImageState, image_state
from sessions.worker import Opened

LOOK_SECONDS = 1.0
SCRIPTED_PREFIX = "scripted-"


def provider() -> Provider:
    """The provider of sandboxes, as the settings say."""
    conf = settings.AGENTSITE
    return DockerProvider(
        site=conf.runtime_dir.name,
        runtime_dir=conf.runtime_dir,
        state_dir=conf.home / "sandboxes",
        gid=shared_group(),
        egress=EgressClient(conf.runtime_dir),
        runtime=conf.sandbox_runtime,
    )


def shared_group() -> int:
    """The group of worker, egress and sandbox; never root's."""
    if os.getegid():
        return os.getegid()
    try:
        return grp.getgrnam(settings.AGENTSITE.user).gr_gid
    except KeyError:
        return 1000


class SiteHands:
    """What a host offers every turn (`worker.Hands`)."""

    def __init__(self) -> None:
        self._provider = provider()
        self._models: dict[bool, Model] = {}

    async def sandbox(
        self, opened: Opened, waiting: Callable[[str], Awaitable[None]]
    ) -> Sandbox:
        while True:
            try:
                return await self._provider.provision(spec_of(opened))
            except ImageMissing:
                state = image_state()
                if state is ImageState.FAILED:
                    raise ProvisionFailed(state.sentence) from None
                await waiting(state.sentence)
                await asyncio.sleep(LOOK_SECONDS)

    def model(self, agent: Mapping[str, Any]) -> Model:
        scripted = agent["model"]["id"].startswith(SCRIPTED_PREFIX)
        if scripted not in self._models:
            self._models[scripted] = _model(scripted)
        return self._models[scripted]

    async def close(self) -> None:
        await self._provider.close()
