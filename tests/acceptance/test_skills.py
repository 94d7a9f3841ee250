"""Skills by the official SDK, and by the older generation of headers."""

from __future__ import annotations

import io
import zipfile

import anthropic
import pytest

MANIFEST = b"---\nname: month-end\ndescription: Closes a month.\n---\n# How\n"


def files(**more):
    parts = [("month-end/SKILL.md", MANIFEST)]
    return parts + [(f"month-end/{name}", data) for name, data in more.items()]


@pytest.fixture
def skill(client):
    return client.beta.skills.create(files=files(), display_name="Month end")


def test_a_folder_is_uploaded_versioned_and_downloaded(client, skill):
    versions = client.beta.skills.versions
    second = versions.create(skill.id, files=files(**{"deep/run.py": b"print()"}))
    assert (second.name, second.description) == ("month-end", "Closes a month.")
    assert versions.retrieve("latest", skill_id=skill.id) == second
    assert client.beta.skills.retrieve(skill.id).latest_version_id == second.id
    listed = [each.id for each in versions.list(skill.id)]
    assert listed == [second.id, skill.latest_version_id]
    packed = versions.download(second.id, skill_id=skill.id).read()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert set(archive.namelist()) == {
            "month-end/SKILL.md",
            "month-end/deep/run.py",
        }


def test_a_zip_is_taken_as_well(client, skill):
    packed = client.beta.skills.versions.download(
        skill.latest_version_id, skill_id=skill.id
    ).read()
    again = client.beta.skills.create(files=[("skill.zip", packed)])
    assert again.display_name == "month-end"


def test_path_tricks_are_refused_by_name(client):
    with pytest.raises(anthropic.BadRequestError, match=r"\.\./x.*leaves its folder"):
        client.beta.skills.create(files=[*files(), ("month-end/../../x", b"x")])


def test_latest_is_neither_deleted_nor_downloaded(client, skill):
    versions = client.beta.skills.versions
    for verb in (versions.delete, versions.download):
        with pytest.raises(anthropic.BadRequestError, match="by its id"):
            verb("latest", skill_id=skill.id)


def test_a_skill_of_another_workspace_is_unknown(stranger, skill):
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.skills.retrieve(skill.id)


def test_skills_are_listed_by_where_they_come_from(client, skill):
    assert skill.id in {each.id for each in client.beta.skills.list(source="custom")}
    assert client.beta.skills.list(source="anthropic").data == []


def test_the_older_header_has_older_names_and_numbers(http):
    older = {"anthropic-beta": "skills-2025-10-02"}
    sent = [("files[]", ("month-end/SKILL.md", MANIFEST))]
    made = http.post(
        "/v1/skills?beta=true", files=sent, data={"display_title": "Old"}, headers=older
    ).json()
    assert (made["display_title"], made["source"]) == ("Old", "custom")
    number = made["latest_version"]
    url = f"/v1/skills/{made['id']}/versions/{number}"
    version = http.get(url, headers=older).json()
    assert (version["version"], version["directory"]) == (number, "month-end")


def test_an_agent_answers_its_skills_with_versions(client, skill):
    agent = client.beta.agents.create(
        name="Clerk",
        model="opus",
        tools=[{"type": "agent_toolset_20260401"}],
        skills=[{"type": "custom", "skill_id": skill.id, "version": "latest"}],
    )
    (pinned,) = agent.skills
    assert pinned.version == skill.latest_version_id
    with pytest.raises(anthropic.ConflictError, match="is used by agent"):
        client.beta.skills.delete(skill.id)
