"""/v1/sessions/{id}/tool_calls: what became of each call. An extension of ours."""

from __future__ import annotations

from typing import Any

from agents.http.endpoint import Call, endpoint
from agents.models import Act
from sessions import actions, ledger
from sessions.api import serialise
from sessions.lookup import find_session


@endpoint(Act.LOOK)
def index(call: Call[Any], session_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    found = ledger.calls_of(session.pk)
    return {"data": [serialise.tool_call(each) for each in found]}


@endpoint(Act.RUN)
def look(call: Call[Any], session_id: str, call_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    return actions.look_at_call(call.actor, session, call_id).wire()


@endpoint(Act.RUN)
def run_again(call: Call[Any], session_id: str, call_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    return actions.run_call_again(call.actor, session, call_id).wire()


@endpoint(Act.RUN)
def mark_done(call: Call[Any], session_id: str, call_id: str) -> dict[str, Any]:
    session = find_session(call.actor, session_id)
    return actions.mark_call_done(call.actor, session, call_id).wire()
