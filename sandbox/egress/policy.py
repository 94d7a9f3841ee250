"""What a session may reach: a verdict, with the rule that gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_type_hints

from sandbox.egress.addresses import refusal
from sandbox.egress.hosts import checked_host, matches, plain_host
from sandbox.spec import AllowedHost, NetworkPolicy

MODES = ("unrestricted", "limited")
RULES = get_args(get_type_hints(AllowedHost)["rule"])

ASK = "Ask whoever runs this session to allow {host}, or do without it."
OPERATOR = "Only the site's operator can open it, in AGENTSITE_PRIVATE_HOSTS."


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
    """Whether a target may be reached, by which rule, why, and what to do about it."""

    allowed: bool
    rule: str
    reason: str
    advice: str = ""
    addresses: tuple[str, ...] = ()


def judge_name(policy: NetworkPolicy, target: Target) -> Verdict:
    """Judge a target by its name alone, before it is looked up.

    The look-up itself tells the owner of a domain something: only names that may be
    reached are looked up.
    """
    if policy.mode == "unrestricted":
        return Verdict(
            allowed=True, rule="unrestricted", reason="the network is unrestricted"
        )
    for host in policy.allowed:
        if matches(host.pattern, target.host):
            return Verdict(allowed=True, rule=host.rule, reason=named(host))
    if (reason := bad_address(target.host)) and not private_host(policy, target):
        return Verdict(allowed=False, rule="address", reason=reason, advice=OPERATOR)
    return Verdict(
        allowed=False,
        rule="not_allowed",
        reason=f"{target.host} is not among the hosts that this session may reach",
        advice=ASK.format(host=target.host),
    )


def bad_address(host: str) -> str | None:
    """Return why a host that is an address could not be reached if it were allowed."""
    try:
        return refusal(host)
    except ValueError:
        return None  # a name


def named(host: AllowedHost) -> str:
    words = {
        "allowed_hosts": "allowed_hosts of the environment",
        "package_managers": "package managers of the environment",
        "mcp_servers": "MCP servers of the agent",
        "session": "what was allowed for this session",
    }
    return f"{host.pattern}, in {words[host.rule]}"


def judge_addresses(
    policy: NetworkPolicy, target: Target, by_name: Verdict, addresses: tuple[str, ...]
) -> Verdict:
    """Judge an allowed target by the addresses that will be dialled, and no others."""
    private = private_host(policy, target)
    if private:
        reason = f"{by_name.reason}; private_hosts has {private}"
        return allowed(by_name.rule, reason, addresses)
    reasons = {address: refusal(address) for address in addresses}
    open_ones = tuple(address for address, reason in reasons.items() if not reason)
    if open_ones:
        return allowed(by_name.rule, by_name.reason, open_ones)
    reason = str(next(iter(reasons.values())))
    return Verdict(allowed=False, rule="address", reason=reason, advice=OPERATOR)


def allowed(rule: str, reason: str, addresses: tuple[str, ...]) -> Verdict:
    return Verdict(allowed=True, rule=rule, reason=reason, addresses=addresses)


def private_host(policy: NetworkPolicy, target: Target) -> str | None:
    for name in policy.private_hosts:
        host, port = split_host(name)
        if host == target.host and port in (None, target.port):
            return name
    return None


def split_host(text: str) -> tuple[str, int | None]:
    """Split `host`, `host:port`, `[v6]` or `[v6]:port`. Raises ValueError."""
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if not bracket or (rest and rest == port):
            raise ValueError(f"{text!r} names no host and port")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if not host or (port and not valid_port(port)):
        raise ValueError(f"{text!r} names no host and port")
    return plain_host(host), int(port) if port else None


def valid_port(port: str) -> bool:
    return port.isascii() and port.isdigit() and 0 < int(port) < 65536


def target_of(host: str, port: int) -> Target:
    """Return a target whose host reads the same to everybody. Raises ValueError."""
    return Target(host=checked_host(host), port=port)


def as_json(policy: NetworkPolicy) -> dict[str, Any]:
    return asdict(policy)


def from_json(fields: Mapping[str, Any]) -> NetworkPolicy:
    """Read a policy back. Raises ValueError for what this version cannot obey."""
    mode, private = fields.get("mode"), fields.get("private_hosts")
    listed = fields.get("allowed")
    if mode not in MODES or not isinstance(private, list) or type(listed) is not list:
        raise ValueError(f"this egress proxy does not know the policy {fields!r}")
    for host in private:
        split_host(host)
    return NetworkPolicy(
        mode=mode,
        allowed=tuple(_allowed_host(one) for one in listed),
        private_hosts=tuple(private),
    )


def _allowed_host(fields: Mapping[str, Any]) -> AllowedHost:
    if fields["rule"] not in RULES:
        raise ValueError(f"this egress proxy does not know the rule {fields!r}")
    return AllowedHost(pattern=fields["pattern"], rule=fields["rule"])
