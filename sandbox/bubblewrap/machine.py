"""What this machine has and lets us do: bubblewrap, namespaces, a filter."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from sandbox.errors import EngineUnavailable

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
FIRST_UID, UIDS = 400_000, 100_000
"""Users of sandboxes: no account has one of these, and no file outside of them."""

NO_CGROUPS = (
    "Control groups cannot be used here: memory is limited for each process of a"
    " sandbox, not for all of them together, and processor time is not."
)
NO_ROOT = (
    "Without root, sandboxes use this machine's programs, and are told apart by"
    " namespaces only, not by users."
)


def is_root() -> bool:
    return os.geteuid() == 0


@cache
def program() -> str:
    """Return bubblewrap's path. Raises EngineUnavailable where it does not work."""
    found = shutil.which("bwrap", path=PATH)
    if not found:
        raise EngineUnavailable(
            "bubblewrap is not installed: install it (apt-get install bubblewrap)."
        )
    user = FIRST_UID if is_root() else None
    namespaces = ["--unshare-user", "--disable-userns", "--unshare-net"]
    done = subprocess.run(  # noqa: S603
        [found, *namespaces, "--ro-bind", "/", "/", "true"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": PATH},
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise EngineUnavailable(
            "bubblewrap cannot make a sandbox here, since it is older than 0.8 or this"
            " machine gives users no namespaces of their own:"
            f" {done.stderr.strip()[-300:]}"
        )
    return found


@cache
def system_call_filter() -> bytes:
    try:
        from sandbox.bubblewrap import seccomp  # loads a library that may be missing
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(
            "libseccomp is not installed, and no sandbox is made without a filter:"
            f" install it (apt-get install libseccomp2): {error}."
        ) from error
    return seccomp.program()
