"""The custom tools of the agent form: a row for each, and an empty one to fill in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.datastructures import MultiValueDict

from agents.errors import InvalidRequest
from agents.http.body import parse_object

Sent = MultiValueDict[str, Any]

FIELDS = ("name", "description", "input_schema")
NO_INPUT = {"type": "object", "properties": {}}


class CustomToolForm(forms.Form):
    """One tool. Its fields are named alike in every row, and sent as lists."""

    tool_name = forms.CharField(
        label="Name",
        required=False,
        widget=forms.TextInput(
            attrs={"class": "mono", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    tool_description = forms.CharField(
        label="What it does",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The model goes by this when it chooses a tool.",
    )
    tool_input_schema = forms.CharField(
        label="Input, as a JSON schema",
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 4, "class": "mono", "spellcheck": "false"}
        ),
        help_text="Of an object. Empty: it takes no input.",
    )

    @property
    def is_blank(self) -> bool:
        return not any(str(self.data.get(name) or "").strip() for name in self.fields)

    def clean_tool_input_schema(self) -> Any:
        text = self.cleaned_data["tool_input_schema"].strip()
        try:
            return parse_object(text.encode(), "It") if text else NO_INPUT
        except InvalidRequest as error:
            raise forms.ValidationError(f"{error.message}.") from error

    def wire(self) -> dict[str, Any]:
        said = {name: self.cleaned_data[f"tool_{name}"] for name in FIELDS}
        words = said["description"].replace("\r\n", "\n")
        return {"type": "custom", **said, "description": words}


class CustomTools:
    """The rows of one form. What is left blank is no tool."""

    def __init__(self, rows: Sequence[Mapping[str, str]], *, sent: bool) -> None:
        self._sent = sent
        rows = [*rows, {}] if not rows or any(rows[-1].values()) else rows
        self.rows = [
            CustomToolForm(row, auto_id=f"id_tool_{number}_%s")
            for number, row in enumerate(rows, start=1)
        ]

    @classmethod
    def sent(cls, data: Sent) -> CustomTools:
        columns = [data.getlist(f"tool_{name}") for name in FIELDS]
        names = [f"tool_{name}" for name in FIELDS]
        rows = [
            dict(zip(names, row, strict=True)) for row in zip(*columns, strict=False)
        ]
        return cls(rows, sent=True)

    @classmethod
    def of(cls, tools: Sequence[Mapping[str, Any]]) -> CustomTools:
        return cls(
            [_row(tool) for tool in tools if tool["type"] == "custom"], sent=False
        )

    @property
    def said(self) -> list[CustomToolForm]:
        return [row for row in self.rows if not row.is_blank]

    def __iter__(self) -> Iterator[CustomToolForm]:
        return iter(self.rows)

    def is_valid(self) -> bool:
        return not any(row.errors for row in self.said)

    @property
    def has_errors(self) -> bool:
        return self._sent and any(row.errors for row in self.said)

    def wire(self) -> list[dict[str, Any]]:
        return [row.wire() for row in self.said]

    def refuse(self, number: int, field: str, sentence: str) -> bool:
        """Show a refusal of the API at its row; false where there is no such place."""
        if not 0 <= number < len(self.said) or field not in FIELDS:
            return False
        self.said[number].add_error(f"tool_{field}", sentence)
        return True


def _row(tool: Mapping[str, Any]) -> dict[str, str]:
    schema = {
        name: value for name, value in tool["input_schema"].items() if value is not None
    }
    return {
        "tool_name": tool["name"],
        "tool_description": tool["description"],
        "tool_input_schema": json.dumps(schema, indent=2, ensure_ascii=False),
    }
