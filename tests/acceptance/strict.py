"""Holding an answer to the SDK's own types: required fields, literals, nothing else."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError


def problems(kind: type, raw: bytes) -> list[str]:
    """Return what in this JSON is not as the SDK's type says."""
    try:
        value = TypeAdapter(kind).validate_json(raw, strict=True)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors()
        ]
    return [f"{path}: not in the SDK's type" for path in _extras(value, "")]


def _extras(value: Any, path: str):
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _extras(item, f"{path}.{index}")
