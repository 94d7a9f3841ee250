"""What the image of an environment holds, and the layers it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
"""In the order in which their layers are made."""
REPOSITORY = "agentsite-env"
SCRIPTS = Path(__file__).parent / "layers"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One step of a build: a script of ours with the names it is given."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    text: str = ""  # a file of the environment's own that the script runs

    @property
    def words(self) -> str:
        return f"{self.name}: {', '.join(self.arguments)}".removesuffix(": ")

    def hash(self, below: str) -> str:
        """Hash what the image is after this layer, on the one below."""
        said = json.dumps([below, self.name, *self.arguments, self.text, scripts()])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an environment adds to the base image. Equal contents share an image."""

    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    setup_script: str | None = None
    base_image: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Contents:
        """Read an environment's resolved config."""
        packages = config.get("packages", {})
        listed = {name: packages.get(name) or () for name in MANAGERS}
        return cls(
            packages={
                name: tuple(sorted(names)) for name, names in listed.items() if names
            },
            setup_script=config.get("setup_script"),
            base_image=config.get("base_image"),
        )

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Contents:
        """Read what `as_json` said."""
        packages = {name: tuple(names) for name, names in said["packages"].items()}
        return cls(**{**said, "packages": packages})

    @property
    def is_plain(self) -> bool:
        """Whether the base image is all there is to it."""
        return self == Contents()

    def hash(self) -> str:
        said = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return said

    def layers(self) -> Iterator[Layer]:
        if self.base_image:
            yield Layer(name="base image", script="prepare.sh")
        for manager in MANAGERS:
            if names := self.packages.get(manager):
                yield Layer(name=manager, script=f"{manager}.sh", arguments=names)
        if self.setup_script:
            text = self.setup_script
            yield Layer(name="setup script", script="setup.sh", text=text)

    def named(self, site: str, base: str) -> list[tuple[Layer, str]]:
        """Each layer with the name of the image it makes; the last one is the whole."""
        below, named = f"{base}+{self.base_image or ''}", []
        for layer in self.layers():
            below = layer.hash(below)
            named.append((layer, f"{REPOSITORY}:{site}-{below}"))
        return named

    def image(self, site: str, base: str) -> str:
        """What the image is called on the engine of a site, built or not."""
        named = self.named(site, base)
        return named[-1][1] if named else base


def scripts() -> str:
    """Hash our scripts: another version of them makes other images."""
    digest = hashlib.sha256()
    for path in sorted(SCRIPTS.glob("*.sh")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
