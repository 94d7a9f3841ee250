"""Become the user of a sandbox in a place of its own, then bubblewrap.

Standard library only, and a process of its own: none of this is safe in a fork of the
engine, which has threads. What it starts outlives it, and the engine too. Its one
argument is JSON: `argv`, `environment`, `cgroups`, `limits`, `stays` (a child of whoever
starts it), and as root also `stage`, `shown`, `uid`, `groups`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MS_NOSUID, MS_NODEV = 0x2, 0x4
LIMITS = {
    "files": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "file": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
    "memory": resource.RLIMIT_DATA,
}

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    order = json.loads(sys.argv[1])
    if not order["stays"]:
        if os.fork():
            os._exit(0)  # what goes on has no parent that could take it along
        os.setsid()
    os.umask(0o022)
    for cgroup in order["cgroups"]:
        Path(cgroup, "cgroup.procs").write_text("0")
    if "uid" in order:
        show(order["stage"], order["shown"])
        become(order["uid"], order["groups"])
    for name, most in order["limits"].items():
        resource.setrlimit(LIMITS[name], (most, most))
    os.execve(order["argv"][0], order["argv"], order["environment"])  # noqa: S606


def show(stage: str, shown: dict[str, str]) -> None:
    """Let the user see what the sandbox is made of, below folders it may not enter."""
    answer(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    sources = {name: os.open(path, os.O_PATH) for name, path in shown.items()}
    mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for name, handle in sources.items():
        target = Path(stage, name)
        target.mkdir() if Path(shown[name]).is_dir() else target.touch()
        mount(f"/proc/self/fd/{handle}", str(target), "", MS_BIND | MS_REC)
        os.close(handle)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [text.encode() for text in (source, target, kind)]
    answer(libc.mount(*texts, flags, data.encode()), f"mount {target}")


def become(uid: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def answer(code: int, what: str) -> None:
    if code:
        error: Any = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


if __name__ == "__main__":
    main()
