"""What may be reached, address by address."""

from __future__ import annotations

import json
import re
from random import Random

import pytest

from sandbox.egress import policy as policies
from sandbox.egress.addresses import refusal
from sandbox.egress.hosts import checked_host, checked_pattern, matches
from sandbox.egress.policy import (
    Target,
    Verdict,
    judge_addresses,
    judge_name,
    split_host,
)
from sandbox.spec import AllowedHost, NetworkPolicy

OPEN = NetworkPolicy()
NAMES = ("a", "b", "example", "xn--caf-dma", "git", "com")


def judge(policy: NetworkPolicy, target: Target, addresses: tuple[str, ...]) -> Verdict:
    by_name = judge_name(policy, target)
    if not by_name.allowed:
        return by_name
    return judge_addresses(policy, target, by_name, addresses)


def limited(*patterns: str, private: tuple[str, ...] = ()) -> NetworkPolicy:
    return NetworkPolicy(
        mode="limited",
        allowed=tuple(
            AllowedHost(pattern=one, rule="allowed_hosts") for one in patterns
        ),
        private_hosts=private,
    )


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
        "::ffff:0:127.0.0.1",
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
    assert verdict.rule == "address"
    assert verdict.reason == "10.0.0.1 is in 10.0.0.0/8 (private)"


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


@pytest.mark.parametrize("text", ["[::1", "[::1]80", "[a.example"])
def test_an_address_in_brackets_is_whole(text: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        split_host(text)


def test_a_policy_survives_its_file() -> None:
    policy = limited("*.example.com", private=("git.example:443",))
    stored = json.loads(json.dumps(policies.as_json(policy)))
    assert policies.from_json(stored) == policy


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mode": "open", "allowed": [], "private_hosts": []},
        {"mode": "limited", "allowed": "*", "private_hosts": []},
        {
            "mode": "limited",
            "allowed": [{"pattern": "a", "rule": "x"}],
            "private_hosts": [],
        },
    ],
)
def test_a_policy_that_cannot_be_obeyed_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not know the"):
        policies.from_json(fields)


@pytest.mark.parametrize(
    ("pattern", "host", "named"),
    [
        ("pypi.org", "pypi.org", True),
        ("pypi.org", "evilpypi.org", False),
        ("pypi.org", "a.pypi.org", False),
        ("pypi.org", "pypi.org.evil.example", False),
        ("*.pypi.org", "a.pypi.org", True),
        ("*.pypi.org", "a.b.pypi.org", True),
        ("*.pypi.org", "pypi.org", False),
        ("*.pypi.org", ".pypi.org", False),
        ("*.pypi.org", "evilpypi.org", False),
    ],
)
def test_a_wildcard_names_what_is_below_and_not_the_apex(
    pattern: str, host: str, named: bool
) -> None:
    assert matches(pattern, host) is named


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("PyPI.org.", "pypi.org"),
        (" *.Example.com ", "*.example.com"),
        ("192.0.2.7", "192.0.2.7"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
    ],
)
def test_an_entry_is_kept_in_its_plain_form(text: str, plain: str) -> None:
    assert checked_pattern(text) == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("*", "unrestricted"),
        ("https://pypi.org", "without a scheme"),
        ("pypi.org/simple", "without a path"),
        ("pypi.org:443", "without a port"),
        ("::1", "IPv6"),
        ("[::1]", "IPv6"),
        ("a.*.example", "wildcard"),
        ("*example.com", "wildcard"),
        ("*.*.example", "wildcard"),
        ("*.", "every host"),
        ("a..example", "no name"),
        ("-a.example", "no name"),
        ("a b.example", "no name"),
        ("a" * 64 + ".example", "no name"),
        ("büch.example", "xn--"),
        ("127.1", "no IPv4"),
        ("2130706433", "no IPv4"),
        ("1.2.3.0x4", "no IPv4"),
        ("*.0.0.1", "no IPv4"),
    ],
)
def test_an_entry_that_is_no_host_is_refused_with_a_sentence(
    text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        checked_pattern(text)


@pytest.mark.parametrize(
    "text", ["a.example\0.evil", "a.example@evil", "a example", "%2e", "a/b", ""]
)
def test_a_target_that_can_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no name of a host"):
        checked_host(text)


def test_an_address_has_one_form_and_no_zone() -> None:
    assert checked_host("2606:4700:0:0::1111") == "2606:4700::1111"
    with pytest.raises(ValueError, match="a zone"):
        checked_host("2606:4700::1111%" + "a" * 900)


def test_a_name_that_is_not_allowed_is_refused_before_it_is_looked_up() -> None:
    verdict = judge_name(
        limited("pypi.org"), Target(host="secret.evil.example", port=443)
    )
    assert (verdict.allowed, verdict.rule) == (False, "not_allowed")
    assert "secret.evil.example" in verdict.reason
    assert "allow secret.evil.example" in verdict.advice


def test_an_address_that_nobody_can_allow_is_refused_as_such() -> None:
    metadata = Target(host="169.254.169.254", port=80)
    assert judge_name(limited(), metadata).rule == "address"
    named = limited(private=("169.254.169.254",))
    assert judge_name(named, metadata).rule == "not_allowed"
    assert judge_name(limited(), Target(host="1.1.1.1", port=80)).rule == "not_allowed"


def test_a_private_host_of_the_operator_s_still_needs_to_be_allowed() -> None:
    target = Target(host="git.example", port=443)
    named = limited("pypi.org", private=("git.example",))
    assert judge(named, target, ("10.0.0.1",)).rule == "not_allowed"
    both = limited("git.example", private=("git.example",))
    assert judge(both, target, ("10.0.0.1",)).addresses == ("10.0.0.1",)


def test_an_allowed_name_does_not_open_a_private_address() -> None:
    target = Target(host="inner.example", port=443)
    verdict = judge(limited("*.example"), target, ("10.0.0.1", "::1"))
    assert (verdict.allowed, verdict.rule) == (False, "address")


def random_host(random: Random) -> str:
    return ".".join(random.choices(NAMES, k=random.randint(1, 4)))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_policy_only_judged_addresses_are_dialled(seed: int) -> None:
    """Of any names, lists and answers of DNS: what is reached is allowed and open."""
    random = Random(seed)
    pool = (
        "10.0.0.1",
        "1.1.1.1",
        "169.254.169.254",
        "::1",
        "2606:4700::1",
        "127.0.0.1",
    )
    for _ in range(200):
        patterns = [
            random.choice(("", "*.")) + random_host(random)
            for _ in range(random.randint(0, 3))
        ]
        private = tuple(random_host(random) for _ in range(random.randint(0, 1)))
        policy = random.choice(
            (limited(*patterns, private=private), NetworkPolicy(private_hosts=private))
        )
        target = Target(host=random_host(random), port=443)
        answer = tuple(random.sample(pool, random.randint(1, 4)))
        verdict = judge(policy, target, answer)
        assert set(verdict.addresses) <= set(answer)
        assert verdict.allowed is bool(verdict.addresses)
        if verdict.allowed and policy.mode == "limited":
            assert any(is_named(one, target.host) for one in patterns)
        if target.host not in private:
            assert not any(refusal(one) for one in verdict.addresses)


def is_named(pattern: str, host: str) -> bool:
    """The same rule as `matches`, label by label."""
    wanted, found = pattern.split("."), host.split(".")
    if wanted[0] != "*":
        return wanted == found
    below = len(found) - (len(wanted) - 1)
    return below > 0 and found[below:] == wanted[1:]
