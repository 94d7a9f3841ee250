"""What a sandbox's files take: where it is looked for, and how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.disk import existing
from sandbox.errors import EngineUnavailable
from tests.sandbox.fixtures import Place
from tests.sandbox.places import spec_of


def test_a_folder_that_cannot_be_looked_at_is_looked_for_above(tmp_path: Path) -> None:
    assert existing(tmp_path / "gone" / "too") == tmp_path
    assert existing(tmp_path / ("x" * 300)) == tmp_path  # Path.exists() would raise


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
