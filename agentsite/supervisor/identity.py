"""Who the children run as, and what that user can see."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentsite import engine
from agentsite.conf import ROOT, Conf


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user to become; none (`uid` is None) where the supervisor is no root."""

    uid: int | None = None
    gid: int = 0
    groups: tuple[int, ...] = ()
    veils: dict[str, list[str]] = field(default_factory=dict)

    def order(self) -> dict[str, Any]:
        """What `launch` is told about the user."""
        if self.uid is None:
            return {}
        groups = list(self.groups)
        return {"uid": self.uid, "gid": self.gid, "groups": groups, "veils": self.veils}

    def own(self, path: Path, mode: int | None = None) -> None:
        """Give a file or folder to the user."""
        if self.uid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        if mode is not None:
            path.chmod(mode)

    def own_all(self, folder: Path, *, besides: Path | None = None) -> None:
        """Give the user what root has left in a folder, `besides` one in it."""
        if self.uid is None:
            return
        if folder.lstat().st_uid == 0:
            self.own(folder)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path != besides:
                self.own_all(path, besides=besides)
            elif path != besides and path.lstat().st_uid == 0:
                self.own(path)


class NoOwnUser(Exception):
    """The children cannot run as a user of their own; says why."""


def own_user(conf: Conf) -> Identity:
    """Return the site's own user, made where it is missing. Raises NoOwnUser."""
    if os.geteuid() != 0:
        return Identity()
    user = _find_or_make(conf)
    groups = (user.pw_gid, *_engine_group(conf))
    needed = (ROOT, conf.home, Path(sys.base_prefix))
    me = Identity(uid=user.pw_uid, gid=user.pw_gid, groups=groups)
    return Identity(
        uid=me.uid, gid=me.gid, groups=groups, veils=veils(needed, user.pw_uid, groups)
    )


def _find_or_make(conf: Conf) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(conf.user)
    except KeyError:
        _make(conf)
    return pwd.getpwnam(conf.user)


def _make(conf: Conf) -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not useradd:
        raise NoOwnUser(f"there is no useradd here to make the user {conf.user}")
    extras = ["--no-create-home", "--home-dir", str(conf.home)]
    command = [useradd, "--system", "--user-group", *extras, conf.user]
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise NoOwnUser(f"useradd said: {made.stderr.strip()}")


def _engine_group(conf: Conf) -> tuple[int, ...]:
    """The group that may talk to the engine."""
    if conf.sandbox == "bubblewrap":
        return ()  # that one listens to the user's own group
    socket = engine.socket_path()
    if socket is None or not socket.exists():
        return tuple(
            group.gr_gid for group in grp.getgrall() if group.gr_name == "docker"
        )
    found = socket.stat()
    if found.st_gid == 0 and not found.st_mode & stat.S_IWOTH:
        raise NoOwnUser(f"only root may use the engine at {socket}")
    return (found.st_gid,)


def veils(
    needed: Iterable[Path], uid: int, groups: Iterable[int]
) -> dict[str, list[str]]:
    """Return which folders hide something needed from the user, and what."""
    member = frozenset(groups)
    covers: dict[str, list[str]] = {}
    for path in sorted(set(needed)):
        closed = next((p for p in _above(path) if not _may_enter(p, uid, member)), None)
        if closed is not None:
            covers.setdefault(str(closed), []).append(str(path))
    return {cover: _outermost(kept) for cover, kept in covers.items()}


def _above(path: Path) -> Iterator[Path]:
    yield from reversed(path.parents)


def _may_enter(folder: Path, uid: int, groups: frozenset[int]) -> bool:
    found = folder.stat()
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in groups:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _outermost(paths: list[str]) -> list[str]:
    """Leave out what lies inside another one: it comes along."""
    inner = {
        one
        for one in paths
        for other in paths
        if one != other and Path(one).is_relative_to(other)
    }
    return [path for path in paths if path not in inner]
