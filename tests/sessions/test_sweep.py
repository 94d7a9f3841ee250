"""The sweep: what nothing speaks of any more goes, and nothing else."""

from __future__ import annotations

import pytest

from agents import files
from agents.models import File
from sessions.models import Session

pytestmark = pytest.mark.django_db


def kept(workspace, scope_id=""):
    return files.store(workspace, filename="a", chunks=[b"a"], scope_id=scope_id)


def test_files_of_a_session_that_is_gone_are_removed(workspace, session):
    left = kept(workspace, "sesn_gone")
    files.delete_left_behind(Session.objects.values("pk"))
    assert not File.objects.filter(pk=left.pk).exists()
    assert not left.path.exists()


def test_files_of_living_sessions_and_of_nobody_stay(workspace, session):
    mine, uploaded = kept(workspace, session.pk), kept(workspace)
    files.delete_left_behind(Session.objects.values("pk"))
    assert {mine.pk, uploaded.pk} == set(File.objects.values_list("pk", flat=True))
    assert mine.path.exists()
