"""What a caller may say about environments: strict models of the wire, and our own fields."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from agents.http.validation import Params, Unbuilt, UnbuiltParams
from agents.networking import Networking
from agents.packages import Manager, check_packages
from agents.params import Description, Metadata, MetadataPatch, Name
from sandbox.inside import RESERVED

MAX_SCRIPT = 64_000
MAX_VARIABLES, MAX_VARIABLE = 100, 8_000
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
IMAGE = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
OWN_IMAGES = "agentsite-"


def _empty_for_null(value: object) -> object:
    return [] if value is None else value


def _of(manager: Manager) -> AfterValidator:
    return AfterValidator(partial(check_packages, manager))


Listed = Annotated[list[str], BeforeValidator(_empty_for_null)]


class Packages(Params):
    type: Literal["packages"] | None = None
    apt: Annotated[Listed, _of("apt")] = []
    cargo: Annotated[Listed, _of("cargo")] = []
    gem: Annotated[Listed, _of("gem")] = []
    go: Annotated[Listed, _of("go")] = []
    npm: Annotated[Listed, _of("npm")] = []
    pip: Annotated[Listed, _of("pip")] = []


class LimitsParams(Params):
    """What one sandbox may use; what is left out is the site's default."""

    cpus: Annotated[float, Field(ge=0.1, le=256, strict=False)] | None = None
    memory_mb: Annotated[int, Field(ge=128, le=1_048_576)] | None = None
    pids: Annotated[int, Field(ge=32, le=32_768)] | None = None
    tmp_mb: Annotated[int, Field(ge=16, le=1_048_576)] | None = None
    disk_mb: Unbuilt = None
    command_seconds: Annotated[int, Field(ge=1, le=600)] | None = None


def _image(value: str) -> str:
    if not IMAGE.fullmatch(value):
        raise ValueError("must be the name of an image, such as debian:bookworm-slim")
    if value.rsplit("/")[-1].startswith(OWN_IMAGES):
        raise ValueError("an image that this site builds cannot be built on by name")
    return value


def _script(value: str) -> str:
    if "\0" in value:
        raise ValueError("must be text")
    return value


def _variables(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MAX_VARIABLES:
        raise ValueError(f"may hold at most {MAX_VARIABLES} variables")
    for name, text in value.items():
        if not VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:80]!r} cannot be the name of a variable")
        if name in RESERVED:
            raise ValueError(f"{name} is set by the sandbox itself")
        if len(text) > MAX_VARIABLE or "\0" in text:
            raise ValueError(
                f"{name} must be text of at most {MAX_VARIABLE} characters"
            )
    return value


Image = Annotated[str, Field(max_length=512), AfterValidator(_image)]
Script = Annotated[str, Field(max_length=MAX_SCRIPT), AfterValidator(_script)]
Variables = Annotated[dict[str, str], AfterValidator(_variables)]


class Cloud(Params):
    """The wire's own fields, and after them ours."""

    type: Literal["cloud"]
    networking: Networking | None = None
    packages: Packages | None = None
    base_image: Image | None = None
    setup_script: Script | None = None
    variables: Variables | None = None
    limits: LimitsParams | None = None
    root: bool | None = None


class SelfHosted(UnbuiltParams):
    type: Literal["self_hosted"]


EnvironmentConfig = Annotated[Cloud | SelfHosted, Field(discriminator="type")]


class Scoped(Params):
    scope: Literal["organization", "account"] | None = None

    @field_validator("scope")
    @classmethod
    def _only_organization(cls, value: str | None) -> str | None:
        if value == "account":
            raise ValueError("a key's environments have the scope organization")
        return value


class EnvironmentCreate(Scoped):
    name: Name
    config: EnvironmentConfig | None = None
    description: Description | None = None
    metadata: Metadata = Field(default_factory=dict)


class EnvironmentUpdate(Scoped):
    name: Name | None = None
    config: EnvironmentConfig | None = None
    description: Description | None = None
    metadata: MetadataPatch | None = None
