"""The forms of a new session and of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet

from agents.actors import Actor
from agents.errors import InvalidRequest
from agents.lookup import rows
from agents.models import Agent, Environment
from sessions.events import (
    Draft,
    UserCustomToolResult,
    UserInterrupt,
    UserMessage,
    UserToolConfirmation,
)

LONGEST_MESSAGE = 100_000
LONGEST_DENIAL = 10_000


class ManyFiles(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    widget = ManyFiles

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        many = data if isinstance(data, Sequence) else [data] if data else []
        return [super(FilesField, self).clean(each, initial) for each in many]


def dollars_field(**kwargs: Any) -> forms.DecimalField:
    return forms.DecimalField(
        min_value=Decimal("0.01"),
        max_digits=12,
        decimal_places=2,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
        **kwargs,
    )


class SessionForm(forms.Form):
    agent = forms.ModelChoiceField(Agent.objects.none(), empty_label=None)
    version = forms.IntegerField(
        required=False,
        min_value=1,
        widget=forms.NumberInput(attrs={"placeholder": "latest"}),
        help_text="The session keeps this version, whatever is saved later.",
    )
    environment = forms.ModelChoiceField(
        Environment.objects.none(), empty_label=None, help_text="Where its tools run."
    )
    title = forms.CharField(
        required=False,
        max_length=512,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    budget = dollars_field(
        label="Budget in US dollars",
        required=False,
        help_text="At list prices. Once it is reached no model is asked any more; it can"
        " be raised later, and not be added later.",
    )
    message = forms.CharField(
        label="First message",
        required=False,
        max_length=LONGEST_MESSAGE,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="What is to be done. Without it the session waits for you.",
    )
    repository = forms.CharField(
        required=False,
        max_length=2048,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
        help_text="A public one, at any host. It is cloned into /workspace.",
    )
    branch = forms.CharField(
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "default"}),
    )
    uploads = FilesField(
        label="Files",
        required=False,
        help_text="Put into the sandbox under /mnt/session/uploads/, by their names.",
    )

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer("agent", rows(Agent, actor).filter(archived_at=None))
        self._offer("environment", rows(Environment, actor).filter(archived_at=None))

    def _offer(self, name: str, living: QuerySet[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = living.order_by("-updated_at")

    def drafts(self, actor: Actor) -> list[Draft]:
        text = self.cleaned_data["message"]
        return [message_of(actor, text)] if text.strip() else []

    def cents(self) -> int | None:
        dollars = self.cleaned_data["budget"]
        return None if dollars is None else int(dollars * 100)


class BudgetForm(forms.Form):
    budget = dollars_field(error_messages={"required": "How much may it cost?"})

    def cents(self) -> int:
        return int(self.cleaned_data["budget"] * 100)


class MessageForm(forms.Form):
    text = forms.CharField(max_length=LONGEST_MESSAGE, strip=False)

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        if not text.strip():
            raise forms.ValidationError("A message needs some text.")
        return text


def message_of(actor: Actor, text: str) -> Draft:
    """A message of a person, as the log queues it."""
    said = [{"type": "text", "text": text.replace("\r\n", "\n")}]
    return Draft(
        payload=UserMessage(content=said, agentsite_sender=actor.name), queued=True
    )


def stop_of(actor: Actor) -> Draft:
    return Draft(payload=UserInterrupt(agentsite_sender=actor.name), queued=True)


def decision_of(actor: Actor, said: Mapping[str, str]) -> Draft:
    """Return the answer that a button of a waiting call stands for.

    Raises:
        InvalidRequest: no button was pressed.
    """
    if call := said.get("answer"):
        text = said.get(f"answer-{call}", "").strip()
        result = UserCustomToolResult(
            custom_tool_use_id=call,
            content=[{"type": "text", "text": text}] if text else [],
            is_error=f"failed-{call}" in said or None,
            agentsite_sender=actor.name,
        )
        return Draft(payload=result)
    allowed, denied = said.get("allow"), said.get("deny")
    if not (call := allowed or denied):
        raise InvalidRequest("Press Allow, Deny or Answer.")
    words = said.get(f"words-{call}", "").strip()[:LONGEST_DENIAL]
    return Draft(
        payload=UserToolConfirmation(
            tool_use_id=call,
            result="allow" if allowed else "deny",
            deny_message=words or None if denied else None,
            agentsite_sender=actor.name,
        ),
        queued=True,
    )
