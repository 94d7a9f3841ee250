"""What the README and the docs promise is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from agentsite.conf import Conf
from sessions.events import EventType

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def settings_of(conf):
    for field in conf.model_fields.values():
        yield field.validation_alias.choices[0]


@pytest.mark.parametrize("name", [*settings_of(Conf)])
def test_each_setting_is_in_the_readme(name):
    assert f"`{name}`" in README


def test_the_readme_names_no_setting_that_is_not_there():
    known = {*settings_of(Conf), "AGENTSITE_RUNTIME_DIR"}
    named = set(re.findall(r"\b(?:AGENTSITE|ANTHROPIC|DATABASE|REDIS)_[A-Z_]+", README))
    assert named == known


@pytest.mark.parametrize(
    "name", sorted(name for name, app in get_commands().items() if app == "agentsite")
)
def test_each_command_is_in_the_readme(name):
    assert re.search(rf"[` ]{name}[` ,]", README)


@pytest.mark.parametrize("target", sorted({*re.findall(r"make ([a-z-]+)", README)}))
def test_each_make_target_of_the_readme_exists(target):
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("kind", [*EventType])
def test_each_event_type_is_documented(kind):
    assert f"`{kind.value}`" in (ROOT / "docs/events.md").read_text()


@pytest.mark.parametrize(
    "link", sorted({*re.findall(r"\]\((?!http)([^)#]+)\)", README)})
)
def test_each_link_of_the_readme_leads_somewhere(link):
    assert (ROOT / link).exists()


BEHAVIOUR = (ROOT / "docs/behaviour.md").read_text()


@pytest.mark.parametrize(
    "reference", sorted({*re.findall(r"`(tests/[^`]+::[^`]+)`", BEHAVIOUR)})
)
def test_each_test_that_the_rules_name_exists(reference):
    path, _, name = reference.partition("::")
    assert re.search(
        rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE
    )


def test_each_rule_that_holds_names_its_test():
    rows = [row for row in BEHAVIOUR.splitlines() if row.startswith("| ")]
    untested = [row for row in rows if "| holds" in row and "::" not in row]
    assert not untested
