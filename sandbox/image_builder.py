"""Builds, finds and removes the images of environments.

Not by `docker build`: a container for each layer can be bounded in time, size and memory
and ended at once, reaches the network through the egress proxy as a sandbox does, and can
be given passwords that no image keeps. Each layer is named by what is in it and below it,
so one that an image has in common with an earlier one is not made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from sandbox import build_settings
from sandbox.build import (
    LABEL,
    Build,
    BuildLimits,
    Built,
    Progress,
    container_name,
    remove_image,
)
from sandbox.build_folder import BUILD_ID, BuildFolder
from sandbox.containers import remove_container
from sandbox.contents import Contents
from sandbox.engine import WayOut
from sandbox.errors import EngineUnavailable
from sandbox.images import connected, present
from sandbox.places import Places
from sandbox.spec import NetworkPolicy


@dataclass(frozen=True, kw_only=True)
class ImageBuilder:
    """Builds one image at a time for one site. Blocking, and a matter of minutes."""

    site: str
    places: Places
    egress: WayOut
    engine_url: str = "unix:///var/run/docker.sock"
    network: str = "egress"  # or bridge, or host
    policy: NetworkPolicy = field(default_factory=NetworkPolicy)
    limits: BuildLimits = field(default_factory=BuildLimits)

    def is_here(self, tag: str) -> bool:
        with self._engine() as api:
            return present(api, tag)

    def build(
        self, contents: Contents, base: str, progress: Progress, *, fresh: bool = False
    ) -> Built:
        """Make what is missing of an image; `fresh` makes every layer anew.

        Whole layers are kept for the next try, and nothing else.
        Raises LayerFailed, EngineUnavailable, EgressUnavailable, or what
        `progress.beat` raises.
        """
        through_egress = self.network == "egress"
        settings = build_settings.of_this_machine(through_egress=through_egress)
        with self._engine() as api, BuildFolder.made(self.places, settings) as folder:
            self._remove_containers(api)
            if through_egress:
                asyncio.run(self.egress.open(BUILD_ID, self.policy))
            build = Build(
                api=api,
                site=self.site,
                places=self.places,
                folder=folder,
                settings=settings,
                limits=self.limits,
                progress=progress,
                network=self.network,
            )
            try:
                return build.run(contents, base, fresh=fresh)
            finally:
                if through_egress:
                    asyncio.run(self.egress.close(BUILD_ID))

    def remove_leftovers(self) -> None:
        """End what a killed build left; only for who knows that none runs."""
        with self._engine() as api:
            self._remove_containers(api)
        BuildFolder.remove_leftover(self.places)

    def prune(self, keep: frozenset[str]) -> list[str]:
        """Remove this site's images but those; return the names that are gone."""
        with self._engine() as api:
            found = api.images(filters={"label": f"{LABEL}={self.site}"})
            found.sort(key=lambda image: image["Created"], reverse=True)
            names = [
                name
                for image in found
                for name in (named(image["RepoTags"]) or [image["Id"]])
                if name not in keep
            ]
            return [name for name in names if remove_image(api, name)]

    def _remove_containers(self, api: APIClient) -> None:
        for part in ("layer", "way-out"):
            remove_container(api, container_name(self.site, part))

    @contextmanager
    def _engine(self) -> Iterator[APIClient]:
        api = connected(self.engine_url)
        try:
            yield api
        except (DockerException, RequestException) as error:
            raise EngineUnavailable(
                f"The Docker engine at {self.engine_url} cannot do it: {error}."
            ) from error
        finally:
            api.close()


def named(tags: list[str] | None) -> list[str]:
    return [tag for tag in tags or () if tag != "<none>:<none>"]
