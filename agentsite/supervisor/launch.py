"""Become the right user in the right place, then the child. Standard library only.

Runs between fork and the child's own program, in a process of its own, since none of
this is safe in a forked copy of the supervisor. Its one argument is JSON:
`argv`, `parent`, `death_signal`, and as root also `uid`, `gid`, `groups`, `veils`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
MS_NOSUID, MS_NODEV = 0x2, 0x4

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    order = json.loads(sys.argv[1])
    os.umask(0o022)
    if order.get("veils"):
        enter_own_view(order["veils"])
    os.umask(0o007)
    if "uid" in order:
        become(order["uid"], order["gid"], order["groups"])
    end_with(order["parent"], order["death_signal"])
    os.execvp(order["argv"][0], order["argv"])  # noqa: S606


def enter_own_view(veils: dict[str, list[str]]) -> None:
    """Show only some folders below a folder that the user may not enter.

    A checkout below /root (mode 0700) is the common case: in a mount namespace of the
    child's own, an empty folder covers /root and the checkout appears in it again,
    under the same path.
    """
    answer(libc.unshare(CLONE_NEWNS), "unshare")
    # Without this, the covers would appear in the machine's own view too.
    mount("none", "/", "", MS_REC | MS_SLAVE)
    for cover, kept in veils.items():
        handles = {path: os.open(path, os.O_PATH) for path in kept}
        mount("tmpfs", cover, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
        for path, handle in handles.items():
            Path(path).mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{handle}", path, "", MS_BIND | MS_REC)
            os.close(handle)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    texts = [text.encode() for text in (source, target, kind)]
    answer(libc.mount(*texts, flags, data.encode()), f"mount {target}")


def become(uid: int, gid: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)


def end_with(parent: int, signal: int) -> None:
    """Have the kernel end this process when its parent dies, however it dies."""
    # After setuid, which clears it.
    answer(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("The supervisor died before its child began.")


def answer(code: int, what: str) -> None:
    if code:
        error: Any = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


if __name__ == "__main__":
    main()
