"""The host folders of sandboxes, without an engine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import ProvisionFailed
from sandbox.places import Places
from sandbox.spec import FileMount, SandboxSpec


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        runtime_dir=tmp_path / "run", state_dir=tmp_path / "state", gid=os.getgid()
    )


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def spec_with(path: str, source: Path) -> SandboxSpec:
    mount = FileMount(path=path, source=source)
    return SandboxSpec(session_id="sesn_1", image="base", files=(mount,))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_uploads_can_be_read_by_the_sandbox_whatever_the_umask(
    places: Places, tmp_path: Path, strict_umask: None
) -> None:
    source = tmp_path / "report.txt"
    source.write_text("numbers")
    places.prepare(spec_with("/mnt/session/uploads/a/b/report.txt", source))
    uploads = places.uploads("sesn_1")
    folders = uploads, uploads / "a", uploads / "a/b"
    assert {mode(folder) for folder in folders} == {0o755}
    assert mode(uploads / "a/b/report.txt") == 0o644


def test_socket_folders_belong_to_the_group_and_nobody_else(
    places: Places, tmp_path: Path, strict_umask: None
) -> None:
    places.prepare(SandboxSpec(session_id="sesn_1", image="base"))
    for folder in (places.tools("sesn_1"), places.egress("sesn_1")):
        assert mode(folder) == 0o2770


def test_a_new_sandbox_finds_an_empty_socket_folder(places: Places) -> None:
    places.prepare(SandboxSpec(session_id="sesn_1", image="base"))
    (places.socket("sesn_1") / "folder").mkdir(parents=True)
    places.renew("sesn_1")
    assert not list(places.tools("sesn_1").iterdir())
    assert "inside a sandbox" in places.tool_server("sesn_1").read_text()[:200]


def test_a_file_outside_its_folder_is_refused(places: Places, tmp_path: Path) -> None:
    with pytest.raises(ProvisionFailed, match="absolute"):
        places.prepare(spec_with("/mnt/session/uploads/../../x", tmp_path / "x"))


def test_removing_a_session_leaves_nothing(places: Places) -> None:
    places.prepare(SandboxSpec(session_id="sesn_1", image="base"))
    places.renew("sesn_1")
    places.remove("sesn_1")
    assert not places.tools("sesn_1").exists()
    assert not list(places.state_dir.iterdir())
