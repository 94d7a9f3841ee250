"""/v1/openapi.json: written from the very models that check requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, URLResolver, get_resolver
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from agents.http.endpoint import Endpoint, Methods, Nothing

REF = "#/components/schemas/{model}"
ERROR = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
        },
        "request_id": {"type": "string"},
    },
}


def openapi(request: HttpRequest) -> JsonResponse:
    """The description is open to everyone: it says nothing about anyone."""
    return JsonResponse(description())


@cache
def description() -> dict[str, Any]:
    paths = dict(_paths(get_resolver().url_patterns, ""))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Agentsite", "version": "1"},
        "security": [{"bearer": []}, {"key": []}],
        "paths": {path: _operations(path, methods) for path, methods in paths.items()},
        "components": {
            "schemas": {**_schemas(paths), "Error": ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _paths(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Methods]]:
    for pattern in patterns:
        whole = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern.url_patterns, whole)
        elif _is_described(pattern, whole):
            yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", whole), pattern.callback


def _is_described(pattern: Any, whole: str) -> bool:
    # What is not built yet is matched by expressions, and left out.
    ours = isinstance(pattern, URLPattern) and isinstance(pattern.callback, Methods)
    return ours and "^" not in whole


def _operations(path: str, methods: Methods) -> dict[str, Any]:
    return {
        method.lower(): _operation(path, found)
        for method, found in methods.endpoints.items()
    }


def _operation(path: str, found: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{found.module}.{found.name}",
        "parameters": [*_path_parameters(path), *_query_parameters(found.query)],
        "responses": {
            "200": {"description": "Done.", **_json({"type": "object"})},
            "4XX": {"description": "Refused.", **_json({"$ref": _ref("Error")})},
        },
    }
    if found.body not in {None, Nothing}:
        operation["requestBody"] = _json({"$ref": _ref(found.body.__name__)})
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    fields = query.model_json_schema(by_alias=True).get("properties", {})
    return [
        {
            "name": f"{name}[]" if "items" in str(schema) else name,
            "in": "query",
            "schema": schema,
        }
        for name, schema in fields.items()
    ]


def _schemas(paths: dict[str, Methods]) -> dict[str, Any]:
    models = {
        found.body
        for methods in paths.values()
        for found in methods.endpoints.values()
        if found.body not in {None, Nothing}
    }
    wanted: Any = [
        (model, "validation")
        for model in sorted(models, key=lambda each: each.__name__)
    ]
    _, schema = models_json_schema(wanted, ref_template=REF)
    found: dict[str, Any] = schema.get("$defs", {})
    return found


def _ref(name: str) -> str:
    return REF.format(model=name)


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
