"""Package registries that this machine's clients are set to, for those in an image."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

# An address with a password in it stays out, and so does a folder of this machine.
ADDRESS = r"(https?://[^@\s'\"]+)"
PIP = re.compile(rf"^[^=]*\.((?:extra-)?index-url)='{ADDRESS}'$", re.MULTILINE)
NPM = re.compile(rf'^registry = "{ADDRESS}"', re.MULTILINE)


def settings() -> dict[str, str]:
    """Return files of settings by path; none where the defaults are used."""
    files = {}
    pip = PIP.findall(said([sys.executable, "-m", "pip", "config", "list"]))
    if pip:
        lines = (f"{name} = {address}\n" for name, address in dict(pip).items())
        files["/etc/pip.conf"] = "[global]\n" + "".join(lines)
    npm = NPM.search(said(["npm", "config", "list"]))
    if npm:
        files["/usr/local/lib/node_modules/npm/npmrc"] = f"registry={npm[1]}\n"
    return files


def addresses() -> list[str]:
    """Return where clients in an image go instead of the public registries."""
    return re.findall(ADDRESS, "\n".join(settings().values()))


def said(command: list[str]) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout
