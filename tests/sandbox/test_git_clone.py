"""Cloning as a script, run by a real git; and what git says when it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox import git_clone
from sandbox.git_clone import Clone, CloneError, clone_command, cloned_commit, why_not


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for number in (1, 2):
        (folder / "a.txt").write_text(str(number))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", str(number))
    git(folder, "branch", "other", "HEAD~1")
    return folder


def run(clone: Clone) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", clone_command(clone)], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def clone_of(origin: Path, tmp_path: Path, **more: object) -> Clone:
    url, path = f"file://{origin}", str(tmp_path / "deep" / "books")
    return Clone(url=url, path=path, **more)  # type: ignore[arg-type]


def test_the_default_branch_is_cloned_once(origin: Path, tmp_path: Path) -> None:
    clone = clone_of(origin, tmp_path)
    code, said = run(clone)
    assert code == 0, said
    assert cloned_commit(said) == git(origin, "rev-parse", "main")
    Path(clone.path, "a.txt").write_text("mine")
    assert run(clone)[0] == 0
    assert Path(clone.path, "a.txt").read_text() == "mine"


def test_a_branch_or_a_commit_is_checked_out(origin: Path, tmp_path: Path) -> None:
    first = git(origin, "rev-parse", "main~1")
    for number, wanted in enumerate(({"branch": "other"}, {"commit": first})):
        clone = clone_of(origin, tmp_path / str(number), **wanted)
        assert cloned_commit(run(clone)[1]) == first


@pytest.mark.parametrize("wanted", [{"branch": "none"}, {"commit": "ab" * 20}])
def test_a_ref_that_is_not_there_leaves_nothing(
    origin: Path, tmp_path: Path, wanted: dict[str, str]
) -> None:
    clone = clone_of(origin, tmp_path, **wanted)
    code, said = run(clone)
    assert (code != 0, why_not(said)) == (True, CloneError.REF_NOT_FOUND)
    assert not list(Path(clone.path).parent.iterdir())


def test_a_repository_that_is_too_large_leaves_nothing(
    origin: Path, tmp_path: Path
) -> None:
    noise = subprocess.run(
        ["head", "-c", "3000000", "/dev/urandom"], capture_output=True, check=True
    )
    (origin / "large").write_bytes(noise.stdout)
    git(origin, "add", ".")
    git(origin, "commit", "-q", "-m", "large")
    clone = clone_of(origin, tmp_path, most_bytes=1024 * 1024)
    code, said = run(clone)
    assert (code != 0, why_not(said)) == (True, CloneError.TOO_LARGE), said
    assert not list(Path(clone.path).parent.iterdir())


def test_nothing_that_is_there_is_overwritten(origin: Path, tmp_path: Path) -> None:
    clone = clone_of(origin, tmp_path)
    Path(clone.path).mkdir(parents=True)
    Path(clone.path, "mine").write_text("x")
    code, said = run(clone)
    assert (code, why_not(said)) == (1, CloneError.PATH_TAKEN)
    assert [each.name for each in Path(clone.path).iterdir()] == ["mine"]


def test_an_empty_repository_has_no_commit(tmp_path: Path) -> None:
    origin = tmp_path / "empty"
    origin.mkdir()
    git(origin, "init", "-q", "--bare")
    code, said = run(clone_of(origin, tmp_path))
    assert (code, cloned_commit(said)) == (0, "")


def test_words_of_a_caller_are_words_to_the_shell(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    evil = f"x'; touch {trap}; '$(touch {trap})"
    run(Clone(url=f"file://{evil}", path=f"{tmp_path}/{evil}", branch=evil))
    run(Clone(url="file:///none", path=f"{tmp_path}/y", commit=evil))
    assert not trap.exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("fatal: repository 'https://h/x/' not found", CloneError.NOT_FOUND),
        ("The requested URL returned error: 404", CloneError.NOT_FOUND),
        ("could not read Username for 'https://h': t", CloneError.FORBIDDEN),
        ("The requested URL returned error: 403", CloneError.FORBIDDEN),
        (
            "fatal: unable to access 'x': CONNECT tunnel failed, response 403",
            CloneError.HOST_REFUSED,
        ),
        ("unable to access 'x': Could not resolve host: h", CloneError.UNREACHABLE),
        ("Timed out after 900 s: the command", CloneError.TIMEOUT),
        ("fatal: something new", CloneError.UNKNOWN),
    ],
)
def test_each_failure_has_its_type(said: str, error: CloneError) -> None:
    assert why_not(said) is error
    assert git_clone.SENTENCES[error]
