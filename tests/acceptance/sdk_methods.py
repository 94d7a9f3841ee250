"""Every managed-agents method of the installed SDK, and a real call of each."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import anthropic
from anthropic._resource import SyncAPIResource

from tests.acceptance.strict import problems

BETA = (
    "agents",
    "environments",
    "sessions",
    "vaults",
    "deployments",
    "deployment_runs",
    "memory_stores",
    "files",
    "skills",
    "dreams",
    "tunnels",
    "models",
)
PLAIN = ("files", "skills", "models")
ID = re.compile(r"\b[a-z]+_01\w{22}\b")


@dataclass(frozen=True, kw_only=True)
class Method:
    name: str
    resource: SyncAPIResource
    function: Callable[..., Any]

    @property
    def short(self) -> str:
        return self.function.__name__

    @property
    def returns(self) -> Any:
        return get_type_hints(self.function)["return"]

    @property
    def is_list(self) -> bool:
        return "Page" in getattr(self.returns, "__name__", "")

    @property
    def item(self) -> Any:
        metadata = self.returns.__pydantic_generic_metadata__
        return metadata["args"][0]


def methods(client: anthropic.Anthropic) -> Iterator[Method]:
    for name in BETA:
        yield from _of(getattr(client.beta, name), f"beta.{name}")
    for name in PLAIN:
        yield from _of(getattr(client, name), name)


def _of(resource: SyncAPIResource, path: str) -> Iterator[Method]:
    for name in sorted(dir(type(resource))):
        if name.startswith(("_", "with_")):
            continue
        found = inspect.getattr_static(type(resource), name)
        if inspect.isfunction(found):
            if "extra_headers" in inspect.signature(found).parameters:
                yield Method(name=f"{path}.{name}", resource=resource, function=found)
        elif isinstance(getattr(resource, name), SyncAPIResource):
            yield from _of(getattr(resource, name), f"{path}.{name}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    method: str
    request: str
    answer: str
    wrong: list[str]


GAP = ".scope: not in the SDK's type"
"""One request, two types: `client.beta.files` knows the scope, `client.files` not."""
AS_TYPED = "as typed"
UNBUILT = "not supported yet"


def call(method: Method, arguments: dict[str, Any] | None) -> Verdict:
    """Call it for real and judge the answer by the SDK's own types."""
    raw = getattr(method.resource.with_raw_response, method.short)
    given = _guessed(method) if arguments is None else arguments
    try:
        response = raw(**given).http_response
    except anthropic.APIStatusError as error:
        return _refused(method, error)
    wrong = [
        each
        for each in _wrong(method, response.read())
        if not (method.name.startswith("files.") and each.endswith(GAP))
    ]
    return _verdict(method, response, AS_TYPED, wrong)


def call_stream(method: Method, arguments: dict[str, Any]) -> Verdict:
    """Open a stream, cause an event, and judge the first one."""
    cause = arguments.pop("cause")
    with getattr(method.resource, method.short)(**arguments) as stream:
        cause()
        first = next(iter(stream)).to_json(exclude_unset=True, indent=None)
    wrong = problems(get_args(method.returns)[0], first.encode())
    return _verdict(method, stream.response, AS_TYPED, wrong)


def _wrong(method: Method, body: bytes) -> list[str]:
    if method.short == "download":
        return [] if body else ["an empty file"]
    if method.is_list:
        return problems(method.returns, body) + problems(list[method.item], _data(body))
    return problems(method.returns, body)


def _data(body: bytes) -> bytes:
    data = json.loads(body)["data"]
    assert data, "an empty list proves nothing"
    return json.dumps(data).encode()


def _refused(method: Method, error: anthropic.APIStatusError) -> Verdict:
    said = error.body["error"]["message"] if isinstance(error.body, dict) else ""
    fine = error.status_code == 400 and said.endswith(UNBUILT)
    wrong = [] if fine else [f"{error.status_code}: {error}"]
    return _verdict(method, error.response, UNBUILT, wrong)


def _verdict(method: Method, response: Any, answer: str, wrong: list[str]) -> Verdict:
    request = response.request
    path = ID.sub("{id}", request.url.path)
    path = re.sub(r"/(x|opus)\b", "/{id}", path)
    return Verdict(
        method=method.name,
        request=f"{request.method} {path}",
        answer=answer,
        wrong=[f"{method.name}: {each}" for each in wrong],
    )


def _guessed(method: Method) -> dict[str, Any]:
    """Anything for each required argument: what is not built reads none of it."""
    parameters = inspect.signature(method.function).parameters.values()
    required = [
        each
        for each in parameters
        if each.name != "self" and each.default is inspect.Parameter.empty
    ]
    files = {"files": [("x/SKILL.md", b"x")]}
    return {each.name: files.get(each.name, "x") for each in required}
