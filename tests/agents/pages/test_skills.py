"""Pages on skills."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agents.models import Skill
from agents.views.skills import MOST_LINES


def archive(said="Closes a month.", **files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        head = f"---\nname: month-end\ndescription: {said}\n---\n<b>How</b>\n"
        zipped.writestr("month-end/SKILL.md", head)
        for name, text in files.items():
            zipped.writestr(f"month-end/{name}.txt", text)
    return SimpleUploadedFile("month-end.zip", packed.getvalue())


@pytest.fixture
def skill(as_alice):
    as_alice.post(
        "/skills/new", {"zip": archive(a="one\ntwo"), "display_name": "Close"}
    )
    return Skill.objects.get()


def page(browser, path):
    return browser.get(path).content.decode()


def test_an_uploaded_skill_is_listed_and_shown(as_alice, skill):
    assert "Close" in page(as_alice, "/skills")
    shown = page(as_alice, f"/skills/{skill.pk}")
    assert "/workspace/skills/month-end/" in shown
    assert "&lt;b&gt;How" in shown
    assert "No agent in use has it" in shown


def test_a_wrong_archive_is_refused_in_a_sentence(as_alice):
    wrong = SimpleUploadedFile("x.zip", b"PK and nothing")
    answer = as_alice.post("/skills/new", {"zip": wrong}, follow=True)
    assert "cannot be read" in answer.content.decode()
    assert not Skill.objects.exists()


def test_versions_are_compared_file_by_file(as_alice, skill):
    old = skill.latest
    as_alice.post(f"/skills/{skill.pk}/versions", {"zip": archive(a="one\n2", b="new")})
    shown = page(as_alice, f"/skills/{skill.pk}")
    for seen in ("a.txt", "b.txt", ">two<", ">2<", "added"):
        assert seen in shown
    assert ">two<" not in page(as_alice, f"/skills/{skill.pk}?to={old.pk}")


def test_more_lines_than_there_is_room_for_are_not_compared(as_alice, skill):
    long = "\n".join("x" for _ in range(MOST_LINES))
    as_alice.post(f"/skills/{skill.pk}/versions", {"zip": archive(a=long)})
    shown = page(as_alice, f"/skills/{skill.pk}")
    assert "a.txt" in shown
    assert "there are too many" in shown
    assert ">two<" not in shown


def test_an_agent_is_given_a_skill_in_the_editor(as_alice, skill, agent, definition):
    said = {**definition, "skills": [skill.pk]}
    answer = as_alice.post("/agents/new", said)
    made = answer["location"]
    assert "Close" in page(as_alice, made)
    assert "Auditor" in page(as_alice, f"/skills/{skill.pk}")
    as_alice.post(f"/skills/{skill.pk}/versions", {"zip": archive(a="x")})
    editor = page(as_alice, f"{made}/edit")
    assert "Close (a newer version)" in editor
    refused = as_alice.post("/agents/new", {**said, "tools": ["bash"]})
    assert "needs the tool read" in refused.content.decode()


def test_a_download_is_one_folder(as_alice, skill):
    path = f"/skills/{skill.pk}/versions/{skill.latest.pk}/download"
    names = zipfile.ZipFile(io.BytesIO(as_alice.get(path).content)).namelist()
    assert sorted(names) == ["month-end/SKILL.md", "month-end/a.txt"]


def test_only_builders_upload_and_strangers_see_nothing(as_bob, as_charlie, skill):
    assert as_bob.post("/skills/new", {"zip": archive()}).status_code == 403
    assert as_bob.post(f"/skills/{skill.pk}/delete").status_code == 403
    assert 'name="zip"' not in page(as_bob, f"/skills/{skill.pk}")
    here = f"/skills/{skill.pk}"
    assert as_charlie.get(here).status_code == 404
    download = f"{here}/versions/{skill.latest.pk}/download"
    assert as_charlie.get(download).status_code == 404
    assert as_charlie.post(f"{here}/delete").status_code == 404
    sent = as_charlie.post(f"{here}/versions", {"zip": archive()})
    assert sent.status_code == 404
    assert skill.versions.count() == 1


def test_a_skill_that_nobody_uses_can_be_deleted(as_alice, skill):
    as_alice.post(f"/skills/{skill.pk}/delete")
    assert not Skill.objects.exists()
