"""Which package made a layer fail, from the last words of its manager."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.contents import Layer

# What each manager says of a package it cannot have, the more telling ones first.
SAYINGS = {
    "apt": (
        r"E: Unable to locate package (\S+)",
        r"E: Version '[^']*' for '([^']+)' was not found",
        r"E: Package '([^']+)' has no installation candidate",
        r"E: Couldn't find any package by (?:glob|regex) '([^']+)'",
        r"dpkg: error processing package (\S+)",
    ),
    "npm": (
        r"npm error 404\s[^']*'((?:@[^/']+/)?[^@']+)@",
        r"npm error notarget No matching version found for ((?:@[^/\s]+/)?[^@\s]+)@",
        r"npm error path \S*/node_modules/((?:@[^/\s]+/)?[^/\s]+)",
    ),
    "pip": (
        r"No matching distribution found for ([A-Za-z0-9._-]+)",
        r"satisfies the requirement ([A-Za-z0-9._-]+)",
        r"Failed building wheel for ([A-Za-z0-9._-]+)",
        r"Failed to build '?([A-Za-z0-9._-]+)",
        r"Invalid requirement: '?([A-Za-z0-9._-]+)",
    ),
    "cargo": (r"^failed package: (\S+)",),
    "gem": (r"^failed package: (\S+)",),
    "go": (r"^failed package: (\S+)",),
}
# Lines that say why, for people; and what npm says around them.
REASON = re.compile(
    r"^(?:E: |W: Failed|ERROR: |error: |npm error |go: |dpkg: error|fatal|the image)",
    re.IGNORECASE,
)
MARK = re.compile(r"^(?:E|ERROR|error|npm error(?: 404| notarget)?):? +")
NOISE = re.compile(
    r"^npm error (?:code|404 ?$|404 Note|404 tarball|A complete log|notarget In most)"
)
TOLD_CHARACTERS = 400


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What a failed layer is told as."""

    package: str | None  # as the environment lists it
    reason: str


def blame(layer: Layer, lines: Iterable[str]) -> Blame:
    """Name the package of a layer that ended badly, and why, from its last lines."""
    lines = list(lines)
    text = "\n".join(lines)
    reasons = [
        MARK.sub("", line)
        for line in lines
        if REASON.match(line) and not NOISE.match(line)
    ]
    reason = " ".join(reasons[:2] if layer.name == "npm" else reasons[-2:])
    return Blame(
        package=named(layer, text),
        reason=(reason or " ".join(lines[-2:]) or "it said nothing")[:TOLD_CHARACTERS],
    )


def named(layer: Layer, text: str) -> str | None:
    for saying in SAYINGS.get(layer.name, ()):
        for name in re.findall(saying, text, re.MULTILINE):
            if found := listed(layer, name):
                return found
    return layer.arguments[0] if len(layer.arguments) == 1 else None


def last_mentioned(layer: Layer, lines: Sequence[str]) -> str | None:
    """The listed package that a layer spoke of last, when it was stopped."""
    for line in reversed(lines):
        words = {bare(word) for word in re.split(r"[^A-Za-z0-9._@/-]+", line) if word}
        for package in layer.arguments:
            if bare(package) in words:
                return package
    return layer.arguments[0] if len(layer.arguments) == 1 else None


def listed(layer: Layer, name: str) -> str | None:
    """The environment's own spelling of a name; managers spell it in their way."""
    wanted = bare(name)
    return next((each for each in layer.arguments if bare(each) == wanted), None)


def bare(package: str) -> str:
    """A package's name without its version, and in one spelling."""
    found = re.match(r"@?[^@=<>~!:\[;\s]+", package)
    return re.sub(r"[-_.]+", "-", found[0].lower()) if found else package
