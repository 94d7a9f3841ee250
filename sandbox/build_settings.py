"""What of this machine's settings a build is given, and no image keeps.

Addresses without a password are in the base image already (see registries.py). Those
with one, tokens and proxies are mounted while a layer is made and gone afterwards.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import inside
from sandbox.registries import said

FOLDER = "/run/agentsite/build"
PIP = re.compile(
    r"^[^=]*\.((?:extra-)?index-url)='(https?://[^\s']+@[^\s']+)'$", re.MULTILINE
)
NPM_LINE = re.compile(
    r"^(?://\S+:(?:_auth|_authToken|_password|username)|(?:@[\w.-]+:)?registry)\s*=.*",
    re.MULTILINE,
)
APT_PASSWORD = re.compile(r"(https?)://([^/:@\s]+):([^/@\s]+)@([^/\s]+)")
PASSWORD = re.compile(
    r"(?:_auth|_authToken|_password)\s*=\s*(\S+)|password\s+(\S+)|://[^/:@\s]*:([^/@\s]+)@"
)
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# Of clients that are told where to go by their variables only.
TAKEN_OVER = ("GOPROXY", "GOPRIVATE", "GONOSUMDB", "GOSUMDB")
SHORTEST_SECRET = 4


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """Files for a build by name, and the words that must not be in its log."""

    files: Mapping[str, str]
    secrets: tuple[str, ...]

    def scrub(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def of_this_machine(*, through_egress: bool) -> BuildSettings:
    """Collect them; a build through the egress proxy needs no other proxy."""
    variables = {name: os.environ[name] for name in TAKEN_OVER if name in os.environ}
    variables |= dict(inside.PROXIES) if through_egress else proxies()
    variables |= pip_variables()
    files = {}
    if npm := npm_lines():
        files["npmrc"] = npm
        variables["NPM_CONFIG_USERCONFIG"] = f"{FOLDER}/npmrc"
    if apt := apt_passwords():
        files["auth.conf"] = apt
        files["apt.conf"] = f'Dir::Etc::netrc "{FOLDER}/auth.conf";\n'
        variables["APT_CONFIG"] = f"{FOLDER}/apt.conf"
    exports = (
        f"export {name}={shlex.quote(value)}" for name, value in variables.items()
    )
    files["settings.sh"] = "\n".join([*exports, ""])
    return BuildSettings(files=files, secrets=secrets_in("\n".join(files.values())))


def secrets_in(text: str) -> tuple[str, ...]:
    found = {word.strip("'\"") for words in PASSWORD.findall(text) for word in words}
    return tuple(sorted(word for word in found if len(word) >= SHORTEST_SECRET))


def proxies() -> dict[str, str]:
    found = {}
    for name in PROXY_NAMES:
        value = os.environ.get(name) or os.environ.get(name.lower())
        if value:
            found[name] = found[name.lower()] = value
    return found


def pip_variables() -> dict[str, str]:
    found = PIP.findall(said([sys.executable, "-m", "pip", "config", "list"]))
    return {f"PIP_{name.upper().replace('-', '_')}": address for name, address in found}


def npm_lines() -> str:
    everybody = said(["npm", "config", "get", "globalconfig"]).strip()
    own = os.environ.get("NPM_CONFIG_USERCONFIG") or str(Path.home() / ".npmrc")
    return "".join(
        f"{line}\n"
        for path in (everybody, own)
        for line in NPM_LINE.findall(text_of(path))
    )


def apt_passwords() -> str:
    """Return the machine's apt passwords in the form of a netrc file."""
    folder = Path("/etc/apt")
    netrcs = [folder / "auth.conf", *sorted(folder.glob("auth.conf.d/*.conf"))]
    lines = [text_of(str(path)).strip() for path in netrcs]
    sources = [
        folder / "sources.list",
        *folder.glob("sources.list.d/*.list"),
        *folder.glob("sources.list.d/*.sources"),
    ]
    for path in sources:
        for scheme, user, password, host in APT_PASSWORD.findall(text_of(str(path))):
            lines.append(f"machine {scheme}://{host} login {user} password {password}")
    return "".join(f"{line}\n" for line in lines if line)


def text_of(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
