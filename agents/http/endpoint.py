"""One wrapper around every view of the API: key, rights, request, answer, refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from pydantic import BaseModel

from agents.actors import Actor
from agents.errors import ApiError, MethodNotAllowed
from agents.http import body as bodies
from agents.http.authentication import WORKSPACE_HEADER, authenticate
from agents.http.envelope import refusal, request_id
from agents.http.idempotency import once
from agents.http.query import read_query
from agents.http.validation import Params, validate
from agents.models import Act
from agents.outage import OutOfReach, is_outage

logger = logging.getLogger(__name__)

Body = TypeVar("Body", bound=BaseModel)
Answer = dict[str, Any] | HttpResponseBase


class Nothing(Params):
    """An empty body, or `{}`."""


class NoQuery(BaseModel):
    """Query parameters nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Body]):
    """A request that passed: who asks, and for what."""

    request: HttpRequest
    actor: Actor
    body: Body
    query: Any

    @property
    def betas(self) -> set[str]:
        sent = self.request.headers.get("anthropic-beta", "")
        return {name.strip() for name in sent.split(",")}


class View(Protocol):
    __name__: str

    def __call__(self, call: Any, /, **path: str) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A view with what it demands; `openapi` reads it too."""

    view: View
    act: Act
    body: type[BaseModel] | None
    query: type[BaseModel]

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def module(self) -> str:
        return self.view.__module__.rpartition(".")[2]

    def __call__(self, request: HttpRequest, **path: str) -> HttpResponseBase:
        actor = authenticate(request)
        actor.require(self.act)
        call = Call(
            request=request,
            actor=actor,
            body=self._read_body(request),
            query=read_query(self.query, request.GET),
        )
        response = once(request, actor.workspace, lambda: self._answer(call, path))
        response[WORKSPACE_HEADER] = actor.workspace.id
        return response

    def _read_body(self, request: HttpRequest) -> BaseModel:
        if request.method != "POST":
            return Nothing()
        if self.body is None:
            bodies.read_form(request)
            return Nothing()
        return validate(self.body, bodies.read_json(request))

    def _answer(self, call: Call[Any], path: dict[str, str]) -> HttpResponseBase:
        answer = self.view(call, **path)
        return answer if isinstance(answer, HttpResponseBase) else JsonResponse(answer)


def endpoint(
    act: Act,
    *,
    body: type[BaseModel] | None = Nothing,
    query: type[BaseModel] = NoQuery,
) -> Callable[[Callable[..., Answer]], Endpoint]:
    """Make a view of the API. `body=None` leaves the body to the view."""

    def wrap(view: Callable[..., Answer]) -> Endpoint:
        return Endpoint(view=cast(View, view), act=act, body=body, query=query)

    return wrap


def fault(request: HttpRequest, error: Exception) -> ApiError:
    """What a caller hears of an error that is not theirs: its id leads to the log."""
    id, path = request_id(request), request.path
    if is_outage(error):
        logger.warning("%s %s is out of reach: %s", id, path, error)
        return OutOfReach()
    logger.error("%s %s failed", id, path, exc_info=error)
    return ApiError(f"an internal error: report {id}")


class Methods:
    """One path: an endpoint per method, and a 405 for the others."""

    csrf_exempt = True  # a key is sent on purpose, never by a browser on its own

    def __init__(self, **endpoints: Endpoint) -> None:
        self.endpoints = endpoints

    def __call__(self, request: HttpRequest, **path: str) -> HttpResponseBase:
        try:
            return self._endpoint(request)(request, **path)
        except ApiError as error:
            return refusal(request, error)
        except Exception as error:  # noqa: BLE001 - told to the log and the caller
            return refusal(request, fault(request, error))

    def _endpoint(self, request: HttpRequest) -> Endpoint:
        found = self.endpoints.get(request.method or "")
        if found is None:
            raise MethodNotAllowed(
                f"{request.method} is not possible on {request.path}:"
                f" use {', '.join(self.endpoints)}"
            )
        return found
