"""Makes a root file system from this machine's own apt sources, with mmdebstrap."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox.errors import ImageBuildFailed

TOOL = "mmdebstrap"
EXCLUDED = ("man", "doc", "locale", "info", "lintian", "bug")
# What of this machine's apt settings a build needs: how to get there, what to believe.
APT_OPTIONS = re.compile(r"Acquire::(Check-|[Hh]ttps?::(Proxy|Timeout)|Retries).*")


@contextmanager
def tree(recipe: Path, folder: Path) -> Iterator[IO[bytes]]:
    """Give the tree as a tar stream; raise ImageBuildFailed when it is not whole."""
    require_tool()
    with (folder / "bootstrap.log").open("w+") as log:
        work = subprocess.Popen(  # noqa: S603 - our own words
            command(recipe, folder),
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert work.stdout
        try:
            yield work.stdout
        finally:
            work.stdout.close()
            code = work.wait()
            if code:  # also when the reader failed: this is why
                log.seek(0)
                words = log.read()[-1500:]
                raise ImageBuildFailed(f"{TOOL} ended with {code}: {words}")


def require_tool() -> None:
    if shutil.which(TOOL):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise ImageBuildFailed(
            f"No container registry answers, and {TOOL} is not installed to build the "
            f"base image without one: install it (apt-get install {TOOL})."
        )
    install = ["apt-get", "install", "--yes", "--no-install-recommends", TOOL]
    for words in (["apt-get", "update"], install):
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ImageBuildFailed(f"{TOOL} cannot be installed: {done.stderr[-500:]}")


def command(recipe: Path, folder: Path) -> list[str]:
    sources = folder / "machine.sources"
    sources.write_text(machine_sources())
    hooks = [
        f"tar-in {folder / 'overlay.tar'} /",
        f"copy-in {recipe / 'setup.sh'} /tmp",
        'chroot "$1" sh /tmp/setup.sh',
    ]
    excluded = [f"path-exclude=/usr/share/{name}/*" for name in EXCLUDED]
    return [
        TOOL,
        "--variant=minbase",
        f"--mode={'unshare' if os.geteuid() else 'root'}",
        "--format=tar",
        f"--include={','.join(packages(recipe))}",
        *(f"--dpkgopt={option}" for option in (*excluded, "force-unsafe-io")),
        *(f"--aptopt={option}" for option in apt_options()),
        *(f"--customize-hook={hook}" for hook in hooks),
        codename(),
        "-",
        str(sources),
    ]


def packages(recipe: Path) -> list[str]:
    return (recipe / "packages.txt").read_text().split()


def codename() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    if not found:
        raise ImageBuildFailed(
            "No container registry answers, and this machine is neither Debian nor "
            "Ubuntu: the base image can only be built from one of them."
        )
    return found[1]


def machine_sources() -> str:
    """Return this machine's sources of its own release, without other vendors'."""
    folder = Path("/etc/apt")
    stanzas = [
        stanza
        for path in sorted(folder.glob("sources.list.d/*.sources"))
        for stanza in re.split(r"\n\s*\n", path.read_text())
    ]
    lines = [
        stanza_of(line)
        for path in [folder / "sources.list", *folder.glob("sources.list.d/*.list")]
        if path.exists()
        for line in path.read_text().splitlines()
    ]
    kept = [stanza.strip() for stanza in [*stanzas, *lines] if is_own(stanza)]
    if not kept:
        raise ImageBuildFailed(f"/etc/apt names no source of {codename()} packages.")
    return "\n\n".join(without_secrets(stanza) for stanza in kept) + "\n"


def stanza_of(line: str) -> str:
    """Turn a one-line source into a stanza; anything else into nothing."""
    found = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
    if not found:
        return ""
    _, uri, suite, components = found.groups()
    return f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}"


def is_own(stanza: str) -> bool:
    suites = re.search(r"^Suites:(.*)$", stanza, re.MULTILINE)
    disabled = re.search(r"^Enabled:\s*no", stanza, re.MULTILINE | re.IGNORECASE)
    own = codename()
    return bool(
        suites
        and not disabled
        and all(re.match(rf"{own}(-|$)", suite) for suite in suites[1].split())
    )


def without_secrets(stanza: str) -> str:
    """Leave out what must not be in an image: passwords, and keys' places."""
    stanza = re.sub(r"^#.*\n?", "", stanza, flags=re.MULTILINE)
    stanza = re.sub(r"^Signed-By:.*\n?([ \t].*\n?)*", "", stanza, flags=re.MULTILINE)
    return re.sub(r"://[^/@\s]+@", "://", stanza).strip()


def apt_options() -> list[str]:
    if not shutil.which("apt-config"):
        return []
    done = subprocess.run(
        ["apt-config", "dump"],  # noqa: S607 - wherever it is
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line for line in done.stdout.splitlines() if APT_OPTIONS.match(line)]
    return [*found, 'Acquire::Languages "none";', 'APT::Install-Recommends "false";']
