"""Which package is named when a layer fails, from what managers really said."""

from __future__ import annotations

import pytest

from sandbox.blame import blame, last_mentioned
from sandbox.contents import Layer


def layer(name: str, *packages: str) -> Layer:
    return Layer(name=name, script=f"{name}.sh", arguments=packages)


@pytest.mark.parametrize(
    ("made", "said", "package"),
    [
        (
            layer("apt", "tree", "nosuch"),
            "E: Unable to locate package nosuch",
            "nosuch",
        ),
        (
            layer("apt", "jq", "tree=99.1"),
            "E: Version '99.1' for 'tree' was not found",
            "tree=99.1",
        ),
        (
            layer("pip", "iniconfig==99.0", "six"),
            "ERROR: Could not find a version that satisfies the requirement "
            "iniconfig==99.0 (from versions: 0.1)\n"
            "ERROR: No matching distribution found for iniconfig==99.0",
            "iniconfig==99.0",
        ),
        (
            layer("pip", "six", "Flask_Login==0.0.1"),
            "ERROR: No matching distribution found for flask-login==0.0.1",
            "Flask_Login==0.0.1",
        ),
        (
            layer("npm", "is-odd", "nosuchpkg-zz@1"),
            "npm error code E404\nnpm error 404 Not Found - GET https://x/nosuchpkg-zz\n"
            "npm error 404  The requested resource 'nosuchpkg-zz@1' could not be found",
            "nosuchpkg-zz@1",
        ),
        (
            layer("npm", "is-odd", "@a/b"),
            "npm error 404  '@a/b@*' is not in this registry.",
            "@a/b",
        ),
        (
            layer("npm", "is-even", "is-odd@99.0.0"),
            "npm error notarget No matching version found for is-odd@99.0.0.",
            "is-odd@99.0.0",
        ),
        (layer("gem", "rake", "nosuch"), "failed package: nosuch", "nosuch"),
        (layer("go", "a.b/c@latest"), "failed package: a.b/c@latest", "a.b/c@latest"),
        (layer("cargo", "only"), "something nobody has seen before", "only"),
        (layer("pip", "one", "two"), "something nobody has seen before", None),
    ],
)
def test_the_package_is_named_as_the_environment_lists_it(
    made: Layer, said: str, package: str | None
) -> None:
    assert blame(made, said.splitlines()).package == package


def test_the_reason_is_what_the_manager_calls_an_error() -> None:
    said = ["Collecting six", "ERROR: No matching distribution found for nosuch", "bye"]
    found = blame(layer("pip", "six", "nosuch"), said)
    assert found.reason == "No matching distribution found for nosuch"


def test_a_dependency_that_fails_is_told_without_blaming_a_listed_one() -> None:
    said = ["ERROR: No matching distribution found for deep-below"]
    found = blame(layer("pip", "one", "two"), said)
    assert found.package is None
    assert "deep-below" in found.reason


def test_a_stopped_layer_names_what_it_spoke_of_last() -> None:
    said = ["Collecting one", "Collecting two>=1", "  Preparing metadata: started"]
    assert last_mentioned(layer("pip", "one", "two", "three"), said) == "two"
