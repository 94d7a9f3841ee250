"""The config of an environment in full: what was said, over what holds otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents import networking
from agents.environment_params import Cloud, SelfHosted
from agents.errors import InvalidRequest
from sandbox.contents import MANAGERS

Config = dict[str, Any]
Said = Cloud | SelfHosted | None

OWN_FIELDS = ("base_image", "setup_script", "variables", "limits", "root")
"""Our extensions: in a config, and in its answers, only where somebody set them."""


def resolve_environment(said: Said = None) -> Config:
    """Return the whole config of a new environment, as the API answers it."""
    plain = {
        "type": "cloud",
        "networking": networking.UNRESTRICTED,
        "packages": _packages({}),
    }
    return changed_environment(plain, said)


def changed_environment(before: Mapping[str, Any], said: Said) -> Config:
    """Return the config after an update: what is left out stays, null resets ours.

    Raises:
        InvalidRequest: what is said does not go together.
    """
    changed = dict(before)
    if not isinstance(said, Cloud):  # the other kind was refused when it was read
        return changed
    given = said.given()
    changed["networking"] = networking.resolved(said.networking, before["networking"])
    if said.packages is not None:
        changed["packages"] = _packages(given["packages"])
    for name in OWN_FIELDS:
        if name in given:
            changed.pop(name, None)
            if value := _kept(given[name]):
                changed[name] = value
    _refuse_unreachable_packages(changed)
    return changed


def _refuse_unreachable_packages(config: Config) -> None:
    """The wire's rule: who lists packages lets their managers out."""
    network = config["networking"]
    closed = network["type"] == "limited" and not network["allow_package_managers"]
    if closed and any(config["packages"][name] for name in MANAGERS):
        raise InvalidRequest(
            "config.packages: a limited network needs allow_package_managers: true"
        )


def _packages(said: Mapping[str, Any]) -> Config:
    return {"type": "packages", **{name: said.get(name) or [] for name in MANAGERS}}


def _kept(value: Any) -> Any:
    """Leave out what says nothing: null, empty, false."""
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if each is not None}
    return value
