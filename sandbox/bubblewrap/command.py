"""What bubblewrap is told: how a sandbox looks, and what runs in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sandbox import inside, trust
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


def arguments(
    seen: Mapping[str, str],
    environment: Mapping[str, str],
    limits: Limits,
    *,
    seccomp: int,
) -> list[str]:
    """Return bubblewrap's arguments up to the command.

    `seen` is where the parts of the sandbox are for the user who starts it.
    """
    return [
        *NAMESPACES,
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *("--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"),
        *("--seccomp", str(seccomp)),
        "--clearenv",
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        *system(seen),
        *("--proc", "/proc", "--dev", "/dev"),
        *tmpfs("/dev/shm", 64, "1777"),  # noqa: S108 - of the sandbox
        *("--remount-ro", "/dev"),
        *tmpfs("/tmp", limits.tmp_mb, "1777"),  # noqa: S108
        *tmpfs("/var/tmp", limits.tmp_mb, "1777"),  # noqa: S108
        *tmpfs("/run", 16, "0755"),
        *tmpfs(inside.SCRATCH, 64, "0700"),
        *writable(seen),
        *("--ro-bind", seen["uploads"], UPLOADS),
        *("--bind", seen["tools"], inside.TOOL_FOLDER),
        *("--ro-bind", seen["egress"], inside.EGRESS_FOLDER),
        *("--ro-bind", seen["trust"], trust.FOLDER),
        *("--ro-bind", seen["tool_server"], inside.TOOL_SERVER),
        *("--chdir", WORKSPACE),
    ]


def files_only(seen: Mapping[str, str]) -> list[str]:
    """Return the arguments for a look at a sandbox's files, and nothing else.

    Inside, its user is root over these files, whatever their modes: in a namespace of
    users in which nobody else is.
    """
    return [
        *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv"),
        *("--uid", "0", "--gid", "0", "--cap-add", "CAP_DAC_OVERRIDE"),
        *("--cap-add", "CAP_FOWNER"),
        *system(seen),
        *("--dev", "/dev"),
        *writable(seen),
        *("--chdir", "/"),
    ]


def writable(seen: Mapping[str, str]) -> Iterator[str]:
    for name, place in WRITABLE.items():
        yield from ("--bind", seen[name], place)


def system(seen: Mapping[str, str]) -> Iterator[str]:
    """The tree of an image, or where there is none this machine's programs."""
    if "tree" in seen:
        yield from ("--ro-bind", seen["tree"], "/")
    else:
        yield from host_system()


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
