"""How a repository is cloned inside a sandbox, and what went wrong when it was not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

CLONED = "cloned "
GIT = "/usr/bin/git"


class CloneError(StrEnum):
    """Why there is no clone."""

    NOT_FOUND = "repository_not_found"
    FORBIDDEN = "repository_forbidden"
    HOST_REFUSED = "repository_host_refused"
    UNREACHABLE = "repository_unreachable"
    REF_NOT_FOUND = "repository_ref_not_found"
    TOO_LARGE = "repository_too_large"
    TIMEOUT = "repository_timeout"
    PATH_TAKEN = "repository_path_taken"
    UNKNOWN = "repository_clone_failed"


SENTENCES: Mapping[CloneError, str] = {
    CloneError.NOT_FOUND: "there is no such repository",
    CloneError.FORBIDDEN: "it does not exist, or it may not be read without a token",
    CloneError.HOST_REFUSED: "the environment's network does not allow its host",
    CloneError.UNREACHABLE: "its host does not answer as a Git server does",
    CloneError.REF_NOT_FOUND: "it has no such branch or commit",
    CloneError.TOO_LARGE: "it is too large",
    CloneError.TIMEOUT: "cloning took too long",
    CloneError.PATH_TAKEN: "something else is at its place already",
    CloneError.UNKNOWN: "git could not clone it",
}

SIGNS: tuple[tuple[CloneError, str], ...] = (
    (CloneError.PATH_TAKEN, r"agentsite: the place is taken"),
    (CloneError.HOST_REFUSED, r"(?:CONNECT tunnel failed, response|HTTP code) 403"),
    (CloneError.REF_NOT_FOUND, r"Remote branch .* not found|not our ref"),
    (CloneError.REF_NOT_FOUND, r"couldn't find remote ref|reference is not a tree"),
    (CloneError.REF_NOT_FOUND, r"pathspec .* did not match|unable to read tree"),
    (CloneError.NOT_FOUND, r"repository '.*' not found|returned error: 404"),
    (CloneError.FORBIDDEN, r"Authentication failed|could not read Username"),
    (CloneError.FORBIDDEN, r"returned error: 40[13]"),
    (CloneError.TOO_LARGE, r"File too large|No space left"),
    (CloneError.UNREACHABLE, r"Could not resolve|Failed to connect|unable to access"),
    (CloneError.UNREACHABLE, r"valid .*repository|early EOF|hung up"),
    (CloneError.TIMEOUT, r"^Timed out after"),
)


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A repository, what of it is wanted, and where it goes."""

    url: str
    path: str
    branch: str | None = None
    commit: str | None = None
    most_bytes: int = 4 * 1024**3


def clone_command(clone: Clone) -> str:
    """Return a script that clones whole or leaves nothing, and repeats without harm.

    It runs in a subshell: the agent's shell keeps its place and its variables. The
    limit is on each file git writes, and what it fetches is one pack.
    """
    branch = f"--branch {shlex.quote(clone.branch)}" if clone.branch else ""
    return COMMAND.format(
        git=GIT,
        path=shlex.quote(clone.path),
        url=shlex.quote(clone.url),
        branch=branch,
        commit=shlex.quote(clone.commit or ""),
        blocks=max(1, clone.most_bytes // 1024),
        cloned=CLONED,
    )


COMMAND = """(
set -e
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
place={path} commit={commit} draft={path}.cloning
if [ ! -d "$place/.git" ]; then
    if [ -e "$place" ] && [ -n "$(ls -A "$place")" ]; then
        echo "agentsite: the place is taken" >&2
        exit 1
    fi
    rm -rf "$draft"
    mkdir -p "$(dirname "$place")"
    trap 'rm -rf "$draft"' EXIT
    trap '' XFSZ  # a write beyond the limit fails with a word for it
    ulimit -f {blocks}
    {git} clone --quiet {branch} -- {url} "$draft"
    if [ -n "$commit" ]; then
        {git} -C "$draft" cat-file -e "$commit^{{commit}}" 2>/dev/null ||
            {git} -C "$draft" fetch --quiet origin "$commit"
        {git} -C "$draft" checkout --quiet --detach "$commit"
    fi
    rmdir "$place" 2>/dev/null || true
    mv "$draft" "$place"
fi
echo "{cloned}$({git} -C "$place" rev-parse --verify --quiet HEAD || echo nothing)"
)"""


def cloned_commit(said: str) -> str:
    """The commit that is checked out, from what the script said; empty for none."""
    last = said.strip().rsplit("\n", 1)[-1]
    found = re.fullmatch(rf"{CLONED}([0-9a-f]{{40}}|[0-9a-f]{{64}})", last)
    return found[1] if found else ""


def why_not(said: str) -> CloneError:
    """What kept git from it, from what it said."""
    for error, sign in SIGNS:
        if re.search(sign, said, re.MULTILINE):
            return error
    return CloneError.UNKNOWN
