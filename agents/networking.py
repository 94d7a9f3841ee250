"""What an environment's sandboxes may reach: checked, and spelled out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from agents.errors import InvalidRequest
from agents.http.validation import Params
from sandbox.egress.hosts import checked_pattern
from sandbox.egress.package_hosts import package_hosts
from sandbox.spec import AllowedHost, NetworkPolicy

MOST_HOSTS = 256


def _each_once(hosts: list[str] | None) -> list[str] | None:
    return None if hosts is None else list(dict.fromkeys(hosts))


Host = Annotated[str, AfterValidator(checked_pattern)]
Hosts = Annotated[list[Host], Field(max_length=MOST_HOSTS)]


class Unrestricted(Params):
    type: Literal["unrestricted"]


class Limited(Params):
    """Null is as good as absent: on an update both keep what was there."""

    type: Literal["limited"]
    allowed_hosts: Annotated[Hosts | None, AfterValidator(_each_once)] = None
    allow_mcp_servers: bool | None = None
    allow_package_managers: bool | None = None


Networking = Annotated[Unrestricted | Limited, Field(discriminator="type")]

UNRESTRICTED: dict[str, Any] = {"type": "unrestricted"}
NOTHING: dict[str, Any] = {
    "type": "limited",
    "allowed_hosts": [],
    "allow_mcp_servers": False,
    "allow_package_managers": False,
}


def resolved(
    said: Unrestricted | Limited | None, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the network in full: what was said, over what there was before."""
    if said is None:
        return dict(before)
    if isinstance(said, Unrestricted):
        return dict(UNRESTRICTED)
    kept = before if before["type"] == "limited" else {}
    return {**NOTHING, **kept, **said.model_dump(exclude_none=True)}


def checked_host(host: str) -> str:
    """Return a host, or a pattern of hosts, in its plain form.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return checked_pattern(host)
    except ValueError as error:
        raise InvalidRequest(f"host: {error}") from None


def with_host(networking: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return a limited network that reaches one more host.

    Raises:
        InvalidRequest: it is not limited, or full.
    """
    if networking["type"] != "limited":
        raise InvalidRequest("the environment's network is not limited any more")
    hosts = [*dict.fromkeys([*networking["allowed_hosts"], host])]
    refuse_too_many(hosts)
    return {**networking, "allowed_hosts": hosts}


def refuse_too_many(hosts: Collection[str]) -> None:
    if len(hosts) > MOST_HOSTS:
        raise InvalidRequest(f"{MOST_HOSTS} hosts are allowed already")


def policy_of(
    networking: Mapping[str, Any],
    *,
    mcp_servers: Sequence[Mapping[str, Any]] = (),
    session_hosts: Sequence[str] = (),
    private_hosts: tuple[str, ...] = (),
    registries: tuple[str, ...] = (),
) -> NetworkPolicy:
    """Return what the egress proxy is told of a session.

    `session_hosts` were allowed for this session alone; `registries` are the addresses
    of this machine's that package managers are set to.
    """
    if networking["type"] == "unrestricted":
        return NetworkPolicy(private_hosts=private_hosts)
    packages = package_hosts(registries) if networking["allow_package_managers"] else ()
    servers = mcp_servers if networking["allow_mcp_servers"] else ()
    return NetworkPolicy(
        mode="limited",
        allowed=(
            *(_allowed(host, "allowed_hosts") for host in networking["allowed_hosts"]),
            *(_allowed(host, "session") for host in session_hosts),
            *(_allowed(host, "mcp_servers") for host in _hosts_of(servers)),
            *(_allowed(host, "package_managers") for host in packages),
        ),
        private_hosts=private_hosts,
    )


def _allowed(pattern: str, rule: Any) -> AllowedHost:
    return AllowedHost(pattern=pattern, rule=rule)


def _hosts_of(servers: Sequence[Mapping[str, Any]]) -> list[str]:
    hosts = (urlsplit(str(server.get("url") or "")).hostname for server in servers)
    return [host for host in hosts if host]
