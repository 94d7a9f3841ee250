"""bubblewrap on this machine: found missing, and what is said then."""

from __future__ import annotations

import pytest

from agentsite import boxes
from agentsite.engine import NoEngine


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(boxes.shutil, "which", lambda name, path=None: None)


def test_without_permission_it_is_not_installed(missing):
    with pytest.raises(NoEngine, match="packages bubblewrap libseccomp2"):
        boxes.ensure(may_install=False, say=lambda line: None)


def test_who_is_not_root_is_told_what_to_install(missing, monkeypatch):
    monkeypatch.setattr(boxes.os, "geteuid", lambda: 1000)
    with pytest.raises(NoEngine, match="packages bubblewrap libseccomp2"):
        boxes.ensure(may_install=True, say=lambda line: None)
