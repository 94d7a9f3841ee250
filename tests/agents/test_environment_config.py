"""Configs of environments spelled out and changed; without a database."""

from __future__ import annotations

import pytest

from agents.environment_config import changed_environment, resolve_environment
from agents.environment_params import Cloud, EnvironmentCreate
from agents.errors import InvalidRequest
from agents.http.validation import validate

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")


def cloud(**said):
    return validate(Cloud, {"type": "cloud", **said})


def test_every_list_of_packages_is_spelled_out():
    packages = resolve_environment(cloud(packages={"pip": ["six"]}))["packages"]
    lists = {name: [] for name in MANAGERS} | {"pip": ["six"]}
    assert packages == {"type": "packages", **lists}


def test_our_own_fields_are_there_only_where_somebody_set_them():
    assert set(resolve_environment(cloud())) == {"type", "networking", "packages"}
    config = resolve_environment(cloud(root=False, variables={}, limits={}))
    assert set(config) == {"type", "networking", "packages"}
    said = {"variables": {"TEAM": "books"}, "limits": {"memory_mb": 512}, "root": True}
    config = resolve_environment(cloud(**said))
    assert {name: config[name] for name in said} == said


def test_what_an_update_leaves_out_stays_and_null_resets():
    before = resolve_environment(cloud(packages={"pip": ["six"]}, root=True))
    assert changed_environment(before, None) == before
    assert changed_environment(before, cloud()) == before
    assert "root" not in changed_environment(before, cloud(root=None))
    other = changed_environment(before, cloud(packages={"npm": ["is-odd"]}))
    assert (other["packages"]["pip"], other["packages"]["npm"]) == ([], ["is-odd"])


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (
            {"packages": {"pip": ["six; id"]}},
            "config.packages.pip: 'six; id' is no pip",
        ),
        ({"packages": {"brew": ["six"]}}, "config.packages.brew: unknown field"),
        ({"packages": {"pip": "six"}}, "config.packages.pip: "),
        (
            {"base_image": "Debian; id"},
            "config.base_image: must be the name of an image",
        ),
        ({"base_image": "agentsite-env:other-1"}, "config.base_image: an image that"),
        ({"variables": {"A-B": "1"}}, "config.variables: 'A-B' cannot be the name"),
        ({"variables": {"PATH": "/"}}, "config.variables: PATH is set by the sandbox"),
        (
            {"variables": {"https_proxy": "x"}},
            "config.variables: https_proxy is set by",
        ),
        ({"variables": {"A": "\0"}}, "config.variables: A must be text"),
        ({"limits": {"memory_mb": 1}}, "config.limits.memory_mb: "),
        ({"limits": {"disk_mb": 100}}, "config.limits.disk_mb: not supported yet"),
        ({"setup_script": "x" * 64_001}, "config.setup_script: "),
    ],
)
def test_a_refusal_names_the_field(said, refusal):
    with pytest.raises(InvalidRequest) as refused:
        validate(EnvironmentCreate, {"name": "x", "config": {"type": "cloud", **said}})
    assert refused.value.message.startswith(refusal)


@pytest.mark.parametrize(
    "name",
    [
        "debian:bookworm-slim",
        "python",
        "registry.example:5000/team/tools:1.2",
        "ghcr.io/a/b@sha256:" + "0" * 64,
    ],
)
def test_images_are_named_as_engines_name_them(name):
    assert cloud(base_image=name).base_image == name


def test_a_limited_network_lets_the_managers_of_its_packages_out():
    limited = {"type": "limited"}
    with pytest.raises(
        InvalidRequest, match=r"config\.packages: a limited network needs"
    ):
        resolve_environment(cloud(packages={"pip": ["six"]}, networking=limited))
    open_to = {**limited, "allow_package_managers": True}
    before = resolve_environment(cloud(packages={"pip": ["six"]}, networking=open_to))
    closed = cloud(networking={**limited, "allow_package_managers": False})
    with pytest.raises(InvalidRequest, match="allow_package_managers: true"):
        changed_environment(before, closed)
