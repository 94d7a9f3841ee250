"""What bubblewrap is told: how a sandbox looks, and what runs in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sandbox import inside
from sandbox.spec import HOME, OUTPUTS, UPLOADS, WORKSPACE, Limits

UID = 1000
WRITABLE = {"workspace": WORKSPACE, "home": HOME, "outputs": OUTPUTS}
"""What is kept, by the name of its folder."""

HOST = "host"
"""Names this machine's own /usr as an image, where nobody may unpack another."""

NAMESPACES = (
    *("--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-net"),
    *("--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
)
# Of this machine's /etc: what programs need to start, and to trust whom it trusts.
HOST_ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "localtime", "magic", "mime.types", "ssl"),
)


@dataclass(frozen=True, kw_only=True)
class View:
    """Where the parts of a sandbox are for the user who starts it."""

    tree: str  # HOST, or the folder of an unpacked image
    folders: Mapping[str, str]  # of WRITABLE
    uploads: str
    tools: str
    egress: str
    tool_server: str


def arguments(
    view: View, environment: Mapping[str, str], limits: Limits, *, seccomp: int
) -> list[str]:
    """Return bubblewrap's arguments up to the command."""
    return [
        *NAMESPACES,
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *("--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"),
        *("--seccomp", str(seccomp)),
        "--clearenv",
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        *(host_system() if view.tree == HOST else ("--ro-bind", view.tree, "/")),
        *("--proc", "/proc", "--dev", "/dev"),
        *tmpfs("/dev/shm", 64, "1777"),  # noqa: S108 - of the sandbox
        *("--remount-ro", "/dev"),
        *tmpfs("/tmp", limits.tmp_mb, "1777"),  # noqa: S108
        *tmpfs("/var/tmp", limits.tmp_mb, "1777"),  # noqa: S108
        *tmpfs("/run", 16, "0755"),
        *tmpfs(inside.SCRATCH, 64, "0700"),
        *(
            word
            for name, place in WRITABLE.items()
            for word in ("--bind", view.folders[name], place)
        ),
        *("--ro-bind", view.uploads, UPLOADS),
        *("--bind", view.tools, inside.TOOL_FOLDER),
        *("--ro-bind", view.egress, inside.EGRESS_FOLDER),
        *("--ro-bind", view.tool_server, inside.TOOL_SERVER),
        *("--chdir", WORKSPACE),
    ]


def tmpfs(path: str, mb: int, mode: str) -> Iterator[str]:
    yield from ("--perms", mode, "--size", str(mb * 1024 * 1024), "--tmpfs", path)


def host_system() -> Iterator[str]:
    """This machine's programs, read-only, and nothing of its state."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        yield from ("--ro-bind-try", f"/{name}", f"/{name}")
    for name in HOST_ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for folder in ("/home", "/mnt/memory", "/var", "/opt/agentsite"):
        yield from ("--dir", folder)
