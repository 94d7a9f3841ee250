"""Build the base image of sandboxes where this engine has none."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agentsite.conf import Conf
from sandbox import registries
from sandbox.bubblewrap.images import ensure_base_tree
from sandbox.bubblewrap.trees import Trees
from sandbox.errors import SandboxError
from sandbox.image_status import write
from sandbox.images import ensure_base_image


class Command(BaseCommand):
    help = "Build the base image; say how far it is, here and in the state directory."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self._registries = registries.addresses()
        self._note("building", "looking whether the engine has it")
        try:
            image = self._ensure(settings.AGENTSITE)
        except SandboxError as error:
            self._note("failed", str(error))
            raise CommandError(str(error)) from error
        self._note("ready", "", image=image)

    def _ensure(self, conf: Conf) -> str:
        if conf.sandbox == "docker":
            return ensure_base_image(self._tell, engine_url=conf.engine_url)
        conf.boxes_folder.mkdir(exist_ok=True)
        return ensure_base_tree(
            self._tell,
            trees=Trees(folder=conf.boxes_folder / "images"),
            work_dir=conf.boxes_folder,
            engine_url=conf.engine_url,
        )

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
        self._note("building", line)

    def _note(self, state: str, detail: str, *, image: str = "") -> None:
        home = settings.AGENTSITE.home
        write(home, state, detail, image=image, registries=self._registries)
