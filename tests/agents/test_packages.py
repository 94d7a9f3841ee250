"""Names of packages: what each manager can install, and nothing a shell could obey."""

from __future__ import annotations

import pytest

from agents.packages import check_packages


@pytest.mark.parametrize(
    ("manager", "packages"),
    [
        (
            "apt",
            ["jq", "libc6-dev", "g++", "tree=1.6-2.1+deb12u1", "libssl3:amd64=3.0~1"],
        ),
        ("apt", ["git=1:2.39.5-0+deb12u2"]),
        ("cargo", ["ripgrep", "fd-find@10.1.0", "bat@^0.24"]),
        ("gem", ["rails", "rails_admin:3.1.0", "rake:~>13"]),
        ("go", ["golang.org/x/tools/cmd/goimports@latest", "github.com/a/b.c@v1.2.3"]),
        ("go", ["golang.org/x/example/hello"]),
        ("npm", ["express", "express-session@4.18.0", "@scope/name@^1", "JSONStream"]),
        ("pip", ["pandas", "pandas-stubs==2.2.0", "uvicorn[standard] >= 0.30, <1"]),
        ("pip", ["zope.interface~=6.0", "a!=1.*"]),
    ],
)
def test_what_a_manager_can_install_is_taken(manager, packages):
    assert check_packages(manager, packages) == packages


def test_apt_removes_nothing():
    with pytest.raises(ValueError, match="is no apt package"):
        check_packages("apt", ["bash-"])


@pytest.mark.parametrize("manager", ["apt", "cargo", "gem", "go", "npm", "pip"])
@pytest.mark.parametrize(
    "package",
    [
        "",
        " ",
        "a; rm -rf /",
        "$(id)",
        "`id`",
        "a\nb",
        "a && b",
        "a|b",
        "--index-url=https://evil.example",
        "-r",
        "../../etc/passwd",
        "/etc/passwd",
        "./here",
        "file:///etc/passwd",
        "git+https://evil.example/x.git",
        "https://evil.example/x.tgz",
        "a@https://evil.example",
        "a @ https://evil.example",
        "a" * 301,
        "ä",
        "a\0",
    ],
)
def test_what_a_shell_or_an_option_could_be_is_refused(manager, package):
    with pytest.raises(ValueError, match=rf"is no {manager} package: write "):
        check_packages(manager, [package])


def test_a_package_is_listed_once():
    with pytest.raises(ValueError, match="pandas is listed twice"):
        check_packages("pip", ["pandas", "pandas==2.2.0"])


def test_a_list_ends():
    with pytest.raises(ValueError, match="at most 200"):
        check_packages("pip", [f"a{n}" for n in range(201)])
