"""Calls with unknown outcome, afterwards: what the model and the log are told; pure."""

from __future__ import annotations

from sessions.events import (
    Draft,
    Record,
    ToolLateResult,
    ToolLook,
    ToolLooked,
    ToolMarkedDone,
    ToolRerun,
)

STOPPED = (
    "The turn was stopped before that came to its end. The outcome of the call is still "
    "unknown."
)


def heading(late: ToolLateResult) -> str:
    """What stands before the result of a call that the model had given up."""
    if late.outcome == "collected":
        found = f"{late.sender} looked what became of your call {late.call}"
        return f"{found}, whose outcome was unknown: it has ended. {_ending(late)}"
    again = f"{late.sender} had your call {late.call} run again"
    if late.outcome == "unknown":
        return f"{again}, since its outcome was unknown."
    return f"{again}, since its outcome was unknown. {_ending(late)}"


def _ending(late: ToolLateResult) -> str:
    return "It failed:" if late.is_error else "Its result:"


def marked(mark: ToolMarkedDone) -> str:
    return (
        f"{mark.sender} says that your call {mark.call}, whose outcome was unknown, did"
        " happen: take it as done."
    )


def stopped_errand(errand: Record) -> Draft:
    """Return what closes an errand that a stop has cut."""
    asked = errand.payload
    if isinstance(asked, ToolRerun):
        return Draft(payload=lost_again(errand, asked, STOPPED))
    assert isinstance(asked, ToolLook)
    looked = ToolLooked(
        tool_use_id=asked.tool_use_id, errand_id=errand.id, found="stopped"
    )
    return Draft(payload=looked)


def lost_again(errand: Record, rerun: ToolRerun, why: str) -> ToolLateResult:
    """The result of a call whose outcome is unknown once more."""
    return ToolLateResult(
        tool_use_id=rerun.tool_use_id,
        errand_id=errand.id,
        attempt=rerun.attempt,
        outcome="unknown",
        call=rerun.call,
        sender=rerun.sender,
        content=[{"type": "text", "text": why}],
        is_error=True,
    )
