"""bubblewrap in place of a container engine: is it here, and can it be had?"""

from __future__ import annotations

import os
import shutil

from agentsite import engine
from agentsite.engine import NoEngine, Say
from sandbox.bubblewrap import machine
from sandbox.errors import EngineUnavailable

PACKAGES = ("bubblewrap", "libseccomp2")


def ensure(*, may_install: bool, say: Say) -> None:
    """Have bubblewrap work on this machine. Raises NoEngine."""
    if not shutil.which("bwrap", path=machine.PATH):
        _install(may_install=may_install, say=say)
    try:
        machine.program()
        machine.system_call_filter()
    except EngineUnavailable as error:
        raise NoEngine(str(error)) from None


def _install(*, may_install: bool, say: Say) -> None:
    wanted = " ".join(PACKAGES)
    if not may_install or os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine(f"bubblewrap is not installed: install it (packages {wanted}).")
    say("Installing bubblewrap")
    if words := engine.apt_install(*PACKAGES):
        raise NoEngine(f"`apt-get install {wanted}` failed: {words}")
