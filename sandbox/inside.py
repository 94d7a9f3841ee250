"""What a sandbox looks like from inside: its paths and its environment."""

from __future__ import annotations

import math

from sandbox import trust
from sandbox.spec import HOME, WORKSPACE, SandboxSpec

TOOL_SERVER = "/opt/agentsite/toolserver.py"
TOOL_FOLDER = "/run/agentsite/tools"
TOOL_SOCKET = f"{TOOL_FOLDER}/tools.sock"
EGRESS_FOLDER = "/run/agentsite/egress"
EGRESS_SOCKET = f"{EGRESS_FOLDER}/egress.sock"
SCRATCH = "/run/agentsite/scratch"  # of the tool server: a full /tmp stops no call
PROXY_PORT = 3128
PROXY = f"http://127.0.0.1:{PROXY_PORT}"
LOCAL = "localhost,127.0.0.1,::1"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(spec: SandboxSpec) -> dict[str, str]:
    """Return a sandbox's variables; those of the spec win."""
    who = {"USER": "root" if spec.root else "agent"}
    own = {**BASE, **who, **INSTALLS, **PROXIES, **trust.VARIABLES, **threads(spec)}
    return {**own, **spec.environment}


BASE = {
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONUNBUFFERED": "1",
}

# Installs at run time go to $HOME, which is writable and kept.
INSTALLS = {
    "PATH": f"{HOME}/.local/bin:{HOME}/.cargo/bin:{HOME}/.gem/bin:{SYSTEM_PATH}",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "NPM_CONFIG_PREFIX": f"{HOME}/.local",
    "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    "CARGO_INSTALL_ROOT": f"{HOME}/.local",
    "GEM_HOME": f"{HOME}/.gem",
    "GOPATH": f"{HOME}/go",
    "GOBIN": f"{HOME}/.local/bin",
}

PROXIES = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), PROXY),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), PROXY),
    "NO_PROXY": LOCAL,
    "no_proxy": LOCAL,
    "NODE_USE_ENV_PROXY": "1",
}

RESERVED = frozenset({"HOME", "USER", "PATH", *PROXIES})
"""Variables that no environment may change: the sandbox would not work."""


def threads(spec: SandboxSpec) -> dict[str, str]:
    """Say how many processors there are: /proc shows those of the host."""
    count = str(max(1, math.ceil(spec.limits.cpus)))
    return {"OMP_NUM_THREADS": count, "GOMAXPROCS": count, "CARGO_BUILD_JOBS": count}


def tool_server(spec: SandboxSpec) -> list[str]:
    """Return the arguments of the tool server."""
    return [
        f"--socket={TOOL_SOCKET}",
        f"--egress={EGRESS_SOCKET}",
        f"--port={PROXY_PORT}",
        f"--root={WORKSPACE}",
        f"--scratch={SCRATCH}",
        f"--command-seconds={spec.limits.command_seconds}",
    ]
