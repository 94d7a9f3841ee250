"""Forms for agents, environments and keys: from fields to what the verbs take."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

from django import forms
from django.conf import settings
from pydantic import BaseModel

from agents.actors import Actor
from agents.custom_tools import CustomTools, Sent
from agents.errors import InvalidRequest
from agents.http.validation import validate
from agents.lookup import rows
from agents.models import ModelAlias, Role, Skill
from agents.models.model_alias import SCRIPTED
from agents.params import (
    EFFORTS,
    SANDBOX_TOOLS,
    TOOLSET,
    AgentCreate,
    AgentUpdate,
)

Params = TypeVar("Params", bound=BaseModel)

OTHER = "other"

ASK = {"type": "always_ask"}

SHOWN = frozenset({TOOLSET, "custom"})
"""The kinds of tools that the form shows; it leaves others as they are."""

PLACES = re.compile(r"; (?=[\w.]+: )")
"""Between two refusals of the API, each of which begins with its place."""

TOOL_WORDS = {
    "bash": "Run commands in a shell that keeps its place",
    "read": "Read files, pictures and PDFs",
    "write": "Make and overwrite files",
    "edit": "Replace text in files",
    "glob": "Find files by name",
    "grep": "Find text in files",
}
TOOL_ICONS = {
    "bash": "terminal",
    "read": "file-text",
    "write": "file-plus",
    "edit": "file-pen",
    "glob": "folder-search",
    "grep": "text-search",
}
EFFORT_WORDS = {
    "low": "Low: quick and cheap",
    "medium": "Medium",
    "high": "High: the default",
    "xhigh": "Very high",
    "max": "Maximum: slow and dear",
}


class MetadataField(forms.CharField):
    """Pairs, one a line: `key: value`."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{key}: {text}" for key, text in value.items())

    def clean(self, value: Any) -> dict[str, str]:
        lines = [line for line in (value or "").splitlines() if line.strip()]
        return dict(self._pair(line) for line in lines)

    def _pair(self, line: str) -> tuple[str, str]:
        key, colon, text = line.partition(":")
        if not colon or not key.strip():
            raise forms.ValidationError(
                f"Write “key: value”. This line does not: {line}"
            )
        return key.strip(), text.strip()


class LinesField(forms.CharField):
    """A list, one entry a line."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else "\n".join(value or ())

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]


class ParamsForm(forms.Form):
    """A form whose last check is the API's own: both refuse the same things."""

    def checked(self, model: type[Params], data: Mapping[str, Any]) -> Params | None:
        """Return the verb's parameters, or put the refusal at its field."""
        try:
            return validate(model, dict(data))
        except InvalidRequest as error:
            self.refuse(error.message)
            return None

    def refuse(self, message: str) -> None:
        """Show each refusal at the field it names, or above the form."""
        for said in PLACES.split(message):
            place, _, sentence = said.partition(": ")
            if not self.refuse_at(place.split("."), sentence):
                self.add_error(None, said)

    def refuse_at(self, place: list[str], sentence: str) -> bool:
        """Show a refusal at its field; false where the form has none of it."""
        names = [name for name in place if name in self.fields]
        if not names or not sentence:
            return False
        self.add_error(names[-1], sentence)
        return True


def model_choices() -> list[tuple[str, str]]:
    aliases = ModelAlias.objects.order_by("alias").values_list("alias", "model")
    choices = [(alias, f"{alias} ({model})") for alias, model in aliases]
    if not settings.AGENTSITE.has_key:
        choices = [(SCRIPTED, f"{SCRIPTED} (works without a key)"), *choices]
    return [*choices, (OTHER, "Another model…")]


def skill_choice(ref: Mapping[str, Any]) -> str:
    """How a pinned skill is named in the form; a newest one by its id alone."""
    return f"{ref['skill_id']}@{ref['version']}"


def skill_ref(choice: str) -> dict[str, Any]:
    skill_id, _, version = choice.partition("@")
    ref = {"type": "custom", "skill_id": skill_id}
    return {**ref, "version": version} if version else ref


def skill_choices(
    actor: Actor, pinned: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Each skill in its newest version; and the version that the agent has, if older."""
    kept = {ref["skill_id"]: ref for ref in pinned}
    choices = []
    for skill in rows(Skill, actor).order_by("display_name", "pk"):
        newest = skill.latest
        ref = kept.get(skill.pk)
        if ref is not None:
            choices.append((skill_choice(ref), skill.display_name))
        if ref is None or ref["version"] != newest.pk:
            newer = " (a newer version)" if ref else ""
            choices.append((skill.pk, f"{skill.display_name}{newer}"))
    return choices


class AgentForm(ParamsForm):
    name = forms.CharField(
        max_length=256, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    description = forms.CharField(
        required=False, max_length=2048, widget=forms.Textarea(attrs={"rows": 2})
    )
    model = forms.ChoiceField(
        help_text="An alias is made concrete when a session is created."
    )
    other_model = forms.CharField(
        label="Id of the model",
        required=False,
        max_length=128,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="As the provider calls it, such as claude-opus-4-8.",
    )
    effort = forms.ChoiceField(
        choices=[(name, EFFORT_WORDS[name]) for name in EFFORTS],
        initial="high",
        help_text="How much the model thinks before it acts.",
    )
    system = forms.CharField(
        label="System prompt",
        required=False,
        max_length=100_000,
        strip=False,
        widget=forms.Textarea(attrs={"class": "prompt", "rows": 14}),
        help_text="Who the agent is and how it works. The task itself comes with each"
        " session.",
    )
    tools = forms.MultipleChoiceField(
        required=False,
        choices=[(name, TOOL_WORDS[name]) for name in SANDBOX_TOOLS],
        initial=list(SANDBOX_TOOLS),
        widget=forms.CheckboxSelectMultiple,
    )
    asks = forms.MultipleChoiceField(
        label="Ask first",
        required=False,
        choices=[(name, name) for name in SANDBOX_TOOLS],
        widget=forms.CheckboxSelectMultiple,
    )
    skills = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="The agent is told of them, and reads one when it needs it.",
    )
    metadata = MetadataField(
        required=False, help_text="For your own programs: one “key: value” a line."
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self,
        actor: Actor,
        *args: Any,
        pinned: Sequence[Mapping[str, Any]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._offer("model", model_choices())
        self._offer("skills", skill_choices(actor, pinned))

        self.custom = (
            CustomTools.sent(cast(Sent, self.data))
            if self.is_bound
            else CustomTools.of(self.initial.get("custom", ()))
        )

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField | forms.MultipleChoiceField)
        field.choices = choices

    @classmethod
    def initial_of(cls, config: Mapping[str, Any], version: int) -> dict[str, Any]:
        """What the form shows of a stored definition."""
        model = config["model"]["id"]
        known = model in {choice for choice, _ in model_choices()}
        return {
            "name": config["name"],
            "description": config["description"] or "",
            "model": model if known else OTHER,
            "other_model": "" if known else model,
            "effort": config["model"]["effort"]["type"],
            "system": config["system"] or "",
            "tools": enabled_tools(config),
            "asks": asking_tools(config),
            "custom": config["tools"],
            "skills": [skill_choice(each) for each in config["skills"]],
            "metadata": config["metadata"],
            "version": version,
        }

    def is_valid(self) -> bool:
        return all([super().is_valid(), self.custom.is_valid()])

    def refuse_at(self, place: list[str], sentence: str) -> bool:
        """Show what is said of a custom tool in its row."""
        match place:
            case ["tools", number, field, *_] if number.isdecimal():
                row = int(number) - len(self._toolset())
                if self.custom.refuse(row, field, sentence):
                    return True
        return super().refuse_at(place, sentence)

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("model") == OTHER and not said.get("other_model", "").strip():
            self.add_error("other_model", "Name the model, or choose one of the list.")
        return said

    def to_create(self) -> AgentCreate | None:
        return self.checked(AgentCreate, self._said())

    def to_update(self, before: Mapping[str, Any]) -> AgentUpdate | None:
        """What changes; metadata is a patch, so what was removed is named as null."""
        said = self._said()
        gone = dict.fromkeys(before["metadata"].keys() - said["metadata"].keys())
        said["metadata"] = {**said["metadata"], **gone}
        said["tools"] += [tool for tool in before["tools"] if tool["type"] not in SHOWN]
        if self.cleaned_data["version"]:
            said["version"] = self.cleaned_data["version"]
        return self.checked(AgentUpdate, said)

    def _said(self) -> dict[str, Any]:
        said = self.cleaned_data
        other = said["model"] == OTHER
        model = said["other_model"].strip() if other else said["model"]
        return {
            "name": said["name"],
            "description": said["description"],
            "model": {"id": model, "effort": said["effort"]},
            "system": said["system"].replace("\r\n", "\n"),
            "tools": [*self._toolset(), *self.custom.wire()],
            "skills": [skill_ref(each) for each in said["skills"]],
            "metadata": said["metadata"],
        }

    def _toolset(self) -> list[dict[str, Any]]:
        return toolset(self.cleaned_data["tools"], self.cleaned_data["asks"])


def toolset(enabled: list[str], asks: Collection[str] = ()) -> list[dict[str, Any]]:
    """The toolset with all but these tools off; none at all where none is on."""
    if not enabled:
        return []
    configs = [
        *(
            {"name": name, "enabled": False}
            for name in SANDBOX_TOOLS
            if name not in enabled
        ),
        *({"name": name, "permission_policy": ASK} for name in enabled if name in asks),
    ]
    return [{"type": TOOLSET, "configs": configs}]


def enabled_tools(config: Mapping[str, Any]) -> list[str]:
    return [tool["name"] for tool in _sandbox_tools(config) if tool["enabled"]]


def asking_tools(config: Mapping[str, Any]) -> list[str]:
    return [
        tool["name"]
        for tool in _sandbox_tools(config)
        if tool["permission_policy"] == ASK
    ]


def custom_tools(config: Mapping[str, Any]) -> list[str]:
    """The names of the tools that a client answers."""
    return [tool["name"] for tool in config["tools"] if tool["type"] == "custom"]


def _sandbox_tools(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        tool
        for toolset in config["tools"]
        for tool in toolset.get("configs", ())
        if tool["name"] in SANDBOX_TOOLS
    ]


class ApiKeyForm(forms.Form):
    name = forms.CharField(
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Which program uses it.",
    )
    role = forms.ChoiceField(
        choices=Role.choices,
        initial=Role.BUILDER,
        help_text="Builder: defines agents and runs them. Operator: runs and steers."
        " Viewer: looks. Owner: everything.",
    )
