"""Whom a sandbox's programs trust."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox import overlay, trust


def test_a_python_that_knows_no_authorities_hides_none_of_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine.crt"
    machine.write_text("-- the machine's --\n")
    monkeypatch.setattr(overlay, "BUNDLE", str(machine))
    unknown = SimpleNamespace(cafile=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: unknown)
    assert trust.machine_bundle() == "-- the machine's --\n"
