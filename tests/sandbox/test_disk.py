"""What a sandbox's files take: where it is looked for, and how it is read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox.bubblewrap.boxes import Boxes
from sandbox.disk import existing, measured
from sandbox.docker_provider import DockerProvider
from sandbox.errors import EngineUnavailable, SnapshotFailed
from sandbox.places import Places
from tests.sandbox.fixtures import Place
from tests.sandbox.places import spec_of


def test_a_folder_that_cannot_be_looked_at_is_looked_for_above(tmp_path: Path) -> None:
    assert existing(tmp_path / "gone" / "too") == tmp_path
    assert existing(tmp_path / ("x" * 300)) == tmp_path  # Path.exists() would raise


def test_the_last_line_is_the_sum() -> None:
    assert measured(b"4\t/workspace\n8\t/home/agent\n12\ttotal\n") == 12 * 1024


@pytest.mark.parametrize("said", [b"", b"\n", b"du: unrecognized option\n"])
def test_what_is_no_measure_is_an_error_that_names_it(said: bytes) -> None:
    with pytest.raises(EngineUnavailable, match="could not be measured"):
        measured(said)


def test_files_that_go_while_they_are_measured_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = SimpleNamespace(communicate=lambda: (b"7\ttotal\n", b""))

    @contextmanager
    def beside(*_: object) -> Iterator[object]:
        yield work
        raise SnapshotFailed("du: cannot access 'gone'")

    places = Places(runtime_dir=tmp_path, state_dir=tmp_path, gid=1000)
    boxes = Boxes(site="test", places=places, folder=tmp_path)
    monkeypatch.setattr(boxes, "_beside_files", beside)
    assert boxes.used("sesn_1") == 7 * 1024


NOSY_DU = """#!/bin/sh
sed -n 's/CapEff:[^0-9]*/0x/p' /proc/self/status | xargs printf '%d total'
"""
DAC_OVERRIDE = 1 << 1


@pytest.fixture
def nosy_image(docker_provider: DockerProvider, base_image: str) -> Iterator[str]:
    """What somebody may have made of an environment's image, as root in its build."""
    api = docker_provider.engine.api
    made = api.create_container(base_image, command="true")["Id"]
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w") as target:
            entry = tarfile.TarInfo("usr/bin/du")
            entry.size, entry.mode = len(NOSY_DU), 0o755
            target.addfile(entry, io.BytesIO(NOSY_DU.encode()))
        api.put_archive(made, "/", packed.getvalue())
    image = api.commit(made)["Id"]
    api.remove_container(made)
    yield image
    api.remove_image(image, force=True)


@pytest.mark.docker
async def test_what_measures_has_no_right_that_reaches_the_host(
    docker_provider: DockerProvider, nosy_image: str
) -> None:
    spec = spec_of(nosy_image)
    await (await docker_provider.provision(spec)).close()
    seen = docker_provider.engine.used(spec.session_id) // 1024
    await docker_provider.destroy(spec.session_id, keep_workspace=False)
    assert seen == DAC_OVERRIDE


@pytest.mark.docker
async def test_what_a_killed_worker_measured_with_stops_no_other(
    docker_provider: DockerProvider, base_image: str
) -> None:
    spec = spec_of(base_image)
    sandbox = await docker_provider.provision(spec)
    engine = docker_provider.engine
    left = engine.helper(spec.session_id)
    engine.api.create_container(base_image, command="true", name=left)
    assert engine.used(spec.session_id) > 0
    await sandbox.close()


async def test_a_place_is_free_again_where_the_disk_is_not_known(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise EngineUnavailable("The engine is away.")

    spec = spec_of(place.image)
    monkeypatch.setattr(place.provider.engine, "host_folder", fail)
    with pytest.raises(EngineUnavailable) as raised:
        await place.provider.provision(spec)
    async with place.provider.alone(spec.session_id) as alone:
        assert alone, raised
