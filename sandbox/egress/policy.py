"""What a session may reach: a verdict, with the rule that gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.egress.addresses import refusal
from sandbox.spec import NetworkPolicy


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request goes."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a target may be reached, at which addresses, and by which rule."""

    addresses: tuple[str, ...]
    rule: str

    @property
    def allowed(self) -> bool:
        return bool(self.addresses)


def judge(policy: NetworkPolicy, target: Target, addresses: tuple[str, ...]) -> Verdict:
    """Judge a target by the addresses that will be dialled, and by nothing else."""
    named = private_host(policy, target)
    if named:
        return Verdict(addresses=addresses, rule=f"private_hosts names {named}")
    reasons = {address: refusal(address) for address in addresses}
    open_ones = tuple(address for address, reason in reasons.items() if not reason)
    if open_ones:
        return Verdict(addresses=open_ones, rule=policy.mode)
    return Verdict(addresses=(), rule=str(next(iter(reasons.values()))))


def private_host(policy: NetworkPolicy, target: Target) -> str | None:
    for named in policy.private_hosts:
        host, port = split_host(named)
        if host == target.host and port in (None, target.port):
            return named
    return None


def split_host(text: str) -> tuple[str, int | None]:
    """Split `host`, `host:port`, `[v6]` or `[v6]:port`. Raises ValueError."""
    text = text.strip()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if not host or (port and not valid_port(port)):
        raise ValueError(f"{text!r} names no host and port")
    return plain_host(host), int(port) if port else None


def valid_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536


def plain_host(host: str) -> str:
    return host.lower().removesuffix(".")


def as_json(policy: NetworkPolicy) -> dict[str, Any]:
    return asdict(policy)


def from_json(fields: Mapping[str, Any]) -> NetworkPolicy:
    """Read a policy back. Raises ValueError for what this version cannot obey."""
    mode, hosts = fields.get("mode"), fields.get("private_hosts")
    if mode != "unrestricted" or not isinstance(hosts, list):
        raise ValueError(f"this egress proxy does not know the policy {fields!r}")
    for host in hosts:
        split_host(host)
    return NetworkPolicy(mode="unrestricted", private_hosts=tuple(hosts))
