"""The values that cross the border of a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

UPLOADS = "/mnt/session/uploads"
OUTPUTS = "/mnt/session/outputs"
WORKSPACE = "/workspace"
SKILLS = f"{WORKSPACE}/skills"
HOME = "/home/agent"


class SandboxStatus(StrEnum):
    """Whether a session has a place to run tools in now."""

    ABSENT = "absent"
    RUNNING = "running"
    STOPPED = "stopped"


class Files(StrEnum):
    """What a sandbox found when it began: the files of its session, or none."""

    RUNNING = "running"  # the sandbox itself goes on, with all that runs in it
    NEW = "new"
    KEPT = "kept"  # of a sandbox before, here
    RESTORED = "restored"  # from a snapshot


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made a sandbox, and out of what."""

    provider: str
    files: Files
    notes: tuple[str, ...] = ()  # what sandboxes lack on this machine, in sentences


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one sandbox may use."""

    cpus: float = 1.0
    memory_mb: int = 2048
    pids: int = 512
    tmp_mb: int = 512
    disk_mb: int = 5120  # of the files that are kept; none of them larger by itself
    command_seconds: int = 120


@dataclass(frozen=True, kw_only=True)
class FileMount:
    """A host file, made by us and trusted, and where it appears in the sandbox."""

    path: str
    source: Path
    executable: bool = False  # where it is not among the uploads


@dataclass(frozen=True, kw_only=True)
class AllowedHost:
    """A host, or `*.` and a domain, and which rule allows it."""

    pattern: str
    rule: Literal["allowed_hosts", "package_managers", "mcp_servers", "session"]


@dataclass(frozen=True, kw_only=True)
class NetworkPolicy:
    """What a sandbox may reach.

    A limited one reaches only what is allowed. `private_hosts` (`host` or `host:port`)
    may have addresses that are refused otherwise; they are not thereby allowed.
    """

    mode: Literal["unrestricted", "limited"] = "unrestricted"
    allowed: tuple[AllowedHost, ...] = ()
    private_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BoundCredential:
    """A secret that leaves for its hosts alone, in place of a placeholder.

    The sandbox has the placeholder, in its environment or a file. The proxy puts the
    value in over https: in headers, Basic included, and in bodies where `in_body`.
    """

    name: str  # how records and refusals call it
    placeholder: str
    value: str = field(repr=False)
    hosts: tuple[str, ...]
    in_headers: bool = True
    in_body: bool = False


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """Everything a provider needs to make a session's sandbox."""

    session_id: str
    image: str
    name: str = ""  # of the sandbox to its engine, where it was not made for a session
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FileMount, ...] = ()
    snapshot: Path | None = None  # what its files are made of where none are kept
    limits: Limits = field(default_factory=Limits)
    root: bool = False  # uid 0 inside, and a system that can be written
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    credentials: tuple[BoundCredential, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A plain file in a sandbox. `mark` differs once it was written again."""

    path: str  # below the folder that was asked for, as its tool server spells it
    label: str  # the same as text that can be stored
    size: int
    mark: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The plain files below a folder; `more` where there are too many to list."""

    files: tuple[FoundFile, ...]
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class ToolOutcome:
    """How a call ended: content blocks as in the Messages API, never empty."""

    content: tuple[dict[str, Any], ...]
    is_error: bool = False
    spilled: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A call that has not ended yet."""

    seconds: float
