"""Paths the API knows and a later version answers."""

from __future__ import annotations

from typing import Any, NoReturn

from agents.errors import NotSupportedYet
from agents.http.endpoint import Call, Methods, endpoint
from agents.models import Act


@endpoint(Act.LOOK, body=None)
def _refuse(call: Call[Any], **path: str) -> NoReturn:
    raise NotSupportedYet(call.request.path)


unbuilt = Methods(GET=_refuse, POST=_refuse, DELETE=_refuse)
