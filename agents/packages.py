"""How packages are named in an environment, manager by manager."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Manager = Literal["apt", "cargo", "gem", "go", "npm", "pip"]

MOST = 200
LONGEST = 300
VERSION = r"[A-Za-z0-9][A-Za-z0-9.+~_-]*"
RANGE = r"[A-Za-z0-9.^~<>=*+_-]+"

# A name never begins with a dash: no manager takes one for an option. Addresses, paths
# and files are no names: what is installed comes from the manager's registry.
NAMES: dict[Manager, re.Pattern[str]] = {
    "apt": re.compile(
        rf"([a-z0-9][a-z0-9.+-]*[a-z0-9+])(?::[a-z0-9]+)?(?:=(?:\d+:)?{VERSION})?"
    ),
    "cargo": re.compile(rf"([A-Za-z][A-Za-z0-9_-]*)(?:@{RANGE})?"),
    "gem": re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]*)(?::{RANGE})?"),
    "go": re.compile(
        rf"([a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+(?:/[A-Za-z0-9._~][A-Za-z0-9._~+-]*)+)(?:@{VERSION})?"
    ),
    "npm": re.compile(
        rf"((?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*)(?:@{RANGE})?",
        re.IGNORECASE,
    ),
    "pip": re.compile(
        r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\[[A-Za-z0-9._, -]+\])?"
        r"(?: *(?:===|[~=!<>]=|[<>]) *[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
        r"(?: *, *(?:===|[~=!<>]=|[<>]) *[A-Za-z0-9][A-Za-z0-9.*+!_-]*)*)?"
    ),
}
EXAMPLES: dict[Manager, tuple[str, ...]] = {
    "apt": ("jq", "jq=1.6-2.1"),
    "cargo": ("ripgrep", "ripgrep@14.1.0"),
    "gem": ("rails", "rails:7.1.0"),
    "go": ("rsc.io/fortune", "golang.org/x/tools/cmd/goimports@v0.28.0"),
    "npm": ("express", "express@4.18.0", "@scope/name@1"),
    "pip": ("pandas", "pandas==2.2.0", "uvicorn[standard]>=0.30,<1"),
}


def check_packages(manager: Manager, packages: Sequence[str]) -> list[str]:
    """Hold a list to what its manager can install.

    Raises:
        ValueError: with the package, and how one is written.
    """
    if len(packages) > MOST:
        raise ValueError(f"may list at most {MOST} packages")
    named: set[str] = set()
    for package in packages:
        name = name_of(manager, package)
        if name in named:
            raise ValueError(f"{name} is listed twice")
        named.add(name)
    return list(packages)


def name_of(manager: Manager, package: str) -> str:
    """The package's name without its version.

    Raises:
        ValueError: it cannot be one.
    """
    found = NAMES[manager].fullmatch(package) if len(package) <= LONGEST else None
    if found is None:
        raise ValueError(
            f"{package[:100]!r} is no {manager} package: write"
            f" {' or '.join(EXAMPLES[manager])}"
        )
    return found[1]
