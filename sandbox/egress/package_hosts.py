"""The hosts that `allow_package_managers` opens: public registries, and this machine's."""

from __future__ import annotations

from urllib.parse import urlsplit

PUBLIC = (
    # apt
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "*.archive.ubuntu.com",
    "security.ubuntu.com",
    "ports.ubuntu.com",
    # cargo
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "static.rust-lang.org",
    # gem
    "rubygems.org",
    "*.rubygems.org",
    # go
    "proxy.golang.org",
    "sum.golang.org",
    # npm; nodejs.org has the headers that native modules are built with
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "nodejs.org",
    # pip
    "pypi.org",
    "files.pythonhosted.org",
)


def package_hosts(own: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the hosts of package registries; `own` are addresses of this machine's."""
    hosts = (urlsplit(address).hostname for address in own)
    return tuple(dict.fromkeys([*PUBLIC, *(host for host in hosts if host)]))
