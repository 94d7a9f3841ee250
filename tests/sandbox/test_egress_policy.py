"""What may be reached, address by address."""

from __future__ import annotations

import pytest

from sandbox.egress import policy as policies
from sandbox.egress.addresses import refusal
from sandbox.egress.policy import Target, judge, split_host
from sandbox.spec import NetworkPolicy

OPEN = NetworkPolicy()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.9.9.9",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "172.32.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.9",
        "2001:db8::1",
        "2606:4700::1111",
        "64:ff9b::1.1.1.1",
    ],
)
def test_public_and_documentation_addresses_are_allowed(address: str) -> None:
    assert refusal(address) is None


def test_only_addresses_that_were_judged_open_are_dialled() -> None:
    target = Target(host="mixed.example", port=443)
    verdict = judge(OPEN, target, ("10.0.0.1", "1.1.1.1", "::1"))
    assert verdict.addresses == ("1.1.1.1",)


def test_a_refusal_names_the_range() -> None:
    target = Target(host="inner.example", port=443)
    verdict = judge(OPEN, target, ("10.0.0.1",))
    assert not verdict.allowed
    assert verdict.rule == "10.0.0.1 is in 10.0.0.0/8 (private)"


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ("git.example", True),
        ("GIT.example.", True),
        ("git.example:443", True),
        ("git.example:80", False),
        ("other.example", False),
        ("example", False),
    ],
)
def test_an_operator_names_private_hosts(named: str, allowed: bool) -> None:
    policy = NetworkPolicy(private_hosts=(named,))
    target = Target(host="git.example", port=443)
    assert judge(policy, target, ("10.0.0.1",)).allowed is allowed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.example", ("a.example", None)),
        ("A.example.:80", ("a.example", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_hosts_are_split_from_ports(text: str, parts: tuple[str, int | None]) -> None:
    assert split_host(text) == parts


@pytest.mark.parametrize("text", ["", ":80", "a:0", "a:70000", "a:x", "[]:1"])
def test_what_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        split_host(text)


def test_a_policy_survives_its_file() -> None:
    policy = NetworkPolicy(private_hosts=("git.example:443",))
    stored = {**policies.as_json(policy), "private_hosts": ["git.example:443"]}
    assert policies.from_json(stored) == policy


@pytest.mark.parametrize("fields", [{}, {"mode": "limited", "private_hosts": []}])
def test_a_policy_that_cannot_be_obeyed_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not know the policy"):
        policies.from_json(fields)
