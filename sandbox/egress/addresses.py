"""Which addresses a sandbox never reaches, unless an operator names the host.

The ranges are spelled out. `is_global` would refuse documentation ranges too, and some
build networks serve package registries from those.
"""

from __future__ import annotations

import socket
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED: dict[Network, str] = {
    ip_network(network): what
    for network, what in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a carrier",
        "127.0.0.0/8": "loopback",
        "168.63.129.16/32": "a cloud's host service",
        "169.254.0.0/16": "link-local, where clouds keep metadata",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved for protocols",
        "192.168.0.0/16": "private",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/127": "unspecified or loopback",
        "64:ff9b:1::/48": "a local translation",
        "100::/64": "discarded",
        "2001::/32": "a Teredo tunnel",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}
TRANSLATED = (
    IPv6Network("64:ff9b::/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("::/96"),
)


def refusal(text: str) -> str | None:
    """Return why an address is refused, or None when it may be dialled."""
    address = unwrapped(ip_address(text.partition("%")[0]))
    for network, what in REFUSED.items():
        if address.version == network.version and address in network:
            return f"{text} is in {network} ({what})"
    if is_own(address):
        return f"{text} is an address of the host itself"
    return None


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, IPv4Address) or int(address) < 2:
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and any(address in network for network in TRANSLATED):
        inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address


def is_own(address: Address) -> bool:
    """Tell whether an address is this host's: it would be reached from itself.

    Connecting a datagram socket only asks the routing table; nothing is sent.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False
