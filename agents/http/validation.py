"""Strict request models, and refusals that name the field."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from agents.errors import InvalidRequest

MAX_SAID = 5
UNBUILT = "not_supported_yet"

Model = TypeVar("Model", bound=BaseModel)


class Params(BaseModel):
    """Part of a request. Absent and null differ: ask `model_fields_set`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """Only what the caller sent, as plain values."""
        return self.model_dump(mode="json", exclude_unset=True)


class UnbuiltParams(Params):
    """A shape of the wire that a later version brings: refused whole."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        raise not_yet()


def not_yet() -> PydanticCustomError:
    return PydanticCustomError(UNBUILT, "not supported yet")


def _nothing(value: object) -> None:
    if value is not None and value != [] and value != {}:
        raise not_yet()


Unbuilt = Annotated[
    None, BeforeValidator(_nothing), Field(description="Not supported yet.")
]
"""A field that a later version brings: only null and empty pass."""


def validate(model: type[Model], data: object) -> Model:
    """Return the checked request.

    Raises:
        InvalidRequest: with the path of each field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidRequest(sentence(error, data)) from None
    except RecursionError:
        raise InvalidRequest("something in the request is nested too deeply") from None


def sentence(error: ValidationError, data: object) -> str:
    # What is merely unbuilt comes last, so that the sentence ends in saying so.
    wrong = sorted(error.errors(), key=lambda each: each["type"] == UNBUILT)
    said = [_said(each, data) for each in wrong]
    return "; ".join(said[-MAX_SAID:])


def _said(error: ErrorDetails, data: object) -> str:
    absent = error["type"] == "missing"
    path = _path(error["loc"], data, absent=absent)
    said = {"extra_forbidden": "unknown field", "missing": "required"}.get(
        error["type"], error["msg"].removeprefix("Value error, ")
    )
    return f"{path}: {said}" if path else said


def _path(loc: tuple[int | str, ...], data: object, *, absent: bool) -> str:
    """Spell the path as the caller wrote it, without the tags of tagged unions."""
    spelled: list[str] = []
    here = data
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if _is_step(here, part) or (last and absent):
            spelled.append(str(part))
            here = _step(here, part)
    return ".".join(spelled)


def _is_step(here: object, part: int | str) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int)


def _step(here: Any, part: int | str) -> object:
    try:
        return here[part]
    except (KeyError, IndexError):
        return None
