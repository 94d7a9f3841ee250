"""The container engine of this machine: does it answer, and if not, can it be made to?"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

Say = Callable[[str], None]
DEFAULT = "unix:///var/run/docker.sock"
PATIENCE = 30.0
WHAT_TO_DO = (
    "No container engine answers at {address}, and agents run their tools in one: "
    "{remedy}, then run `make up` again."
)


class NoEngine(Exception):
    """Nothing here can run containers; says what to do."""


def address() -> str:
    return os.environ.get("DOCKER_HOST") or DEFAULT


def socket_path() -> Path | None:
    """Return the engine's socket where it has one on this machine."""
    parts = urlsplit(address())
    return Path(parts.path) if parts.scheme == "unix" else None


def answers(timeout: float = 5.0) -> bool:
    """Ask the engine for a sign of life."""
    try:
        with _connect(timeout) as line:
            line.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return b" 200 " in line.recv(64)
    except OSError:
        return False


def need_runtime(name: str) -> None:
    """Raise NoEngine where the engine cannot run containers by this runtime."""
    try:
        known = _runtimes()
    except (OSError, ValueError):
        raise NoEngine(_sentence("see why it answers no more")) from None
    if name not in known:
        raise NoEngine(
            f"AGENTSITE_SANDBOX_RUNTIME is {name}, and the container engine at"
            f" {address()} has no such runtime, only {', '.join(sorted(known))}: install"
            " it and name it in the engine's daemon.json, or unset the setting."
        )


def _runtimes() -> set[str]:
    with _connect(5.0) as line, line.makefile("rb") as answer:
        line.sendall(b"GET /info HTTP/1.0\r\nHost: engine\r\n\r\n")
        body = answer.read().partition(b"\r\n\r\n")[2]
    return set(json.loads(body)["Runtimes"])


def _connect(timeout: float) -> socket.socket:
    path = socket_path()
    if path is None:
        parts = urlsplit(address())
        return socket.create_connection(
            (parts.hostname or "127.0.0.1", parts.port or 2375), timeout
        )
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(timeout)
    try:
        line.connect(str(path))
    except OSError:
        line.close()
        raise
    return line


def ensure(*, may_install: bool, say: Say) -> tuple[str, ...] | None:
    """Have an engine answer. Raises NoEngine.

    Returns the command of an engine that must run as a child of ours, or None where
    one answers already or the system has started it.
    """
    if socket_path() is None:
        raise NoEngine(
            f"The container engine at {address()} is on another machine, and sandboxes"
            " speak to this one by sockets: unset DOCKER_HOST to use an engine here."
        )
    if answers():
        return None
    if "DOCKER_HOST" in os.environ:
        raise NoEngine(_sentence("start the engine that DOCKER_HOST names"))
    if not shutil.which("dockerd"):
        _install(may_install=may_install, say=say)
    if answers():
        return None
    if os.geteuid() != 0:
        raise NoEngine(_sentence("start it (`sudo service docker start`)"))
    say("Starting the container engine")
    if _start_as_service() and wait():
        return None
    return (shutil.which("dockerd") or "dockerd", "--log-level", "fatal")


def _install(*, may_install: bool, say: Say) -> None:
    if not may_install:
        raise NoEngine(
            _sentence("AGENTSITE_INSTALL=0 forbids installing it; install it")
        )
    if os.geteuid() != 0:
        raise NoEngine(_sentence("install Docker, or run `make up` as root once"))
    if not shutil.which("apt-get"):
        raise NoEngine(_sentence("install Docker with this system's package manager"))
    say("Installing the container engine (Debian's docker.io); this takes a minute")
    if words := apt_install("docker.io"):
        sys.stderr.write(words)
        raise NoEngine(_sentence("`apt-get install docker.io` failed; mend that"))


def apt_install(*packages: str) -> str:
    """Install Debian packages; return what was said where that failed."""
    apt = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["-qq", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"]
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", *quiet, *packages],
    ):
        done = subprocess.run(  # noqa: S603
            command, env=apt, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            return done.stderr.decode(errors="replace")[-2000:] or "it said nothing"
    return ""


def _start_as_service() -> bool:
    if Path("/run/systemd/system").is_dir():
        return _quietly("systemctl", "start", "docker")
    if Path("/etc/init.d/docker").exists() and shutil.which("service"):
        return _quietly("service", "docker", "start")
    return False


def _quietly(*command: str) -> bool:
    done = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0


def wait(patience: float = PATIENCE) -> bool:
    """Wait until the engine answers."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if answers():
            return True
        time.sleep(0.2)
    return False


def _sentence(remedy: str) -> str:
    return WHAT_TO_DO.format(address=address(), remedy=remedy)
