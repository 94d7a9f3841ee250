"""The cap on what a session may cost: what may be set, and when it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.errors import InvalidRequest
from agents.models import ModelPrice
from agents.models.price import CENT
from sessions.events import Draft, EventType, SessionError
from sessions.harness.contract import BUDGET_REACHED
from sessions.models import Session, Status
from sessions.usage import list_cost

SETTLES = (
    "user.tool_confirmation",
    "user.tool_result",
    "user.custom_tool_result",
    "user.interrupt",
)
"""What is taken while a session is paused at its budget."""


def wire(session: Session) -> dict[str, Any] | None:
    """The budget as the API says it."""
    if session.budget is None:
        return None
    amount = {"amount": str(session.budget), "currency": "USD"}
    return {"type": "limit", "max_list_cost": amount}


def refuse_unpriced(model: str) -> None:
    """A budget cannot measure what has no price.

    Raises:
        InvalidRequest: no line of the price table names the model.
    """
    if ModelPrice.of(model) is None:
        raise _refusal(
            "model_not_budgetable",
            f"model {model} has no list price, so no budget can hold its cost; a price"
            " is added in the admin, under model prices",
        )


def refuse_change(session: Session, cents: int | None) -> None:
    """Hold a new budget against the rules; null takes the budget away.

    Raises:
        InvalidRequest: it was never there, is used up already, or cannot be measured.
    """
    if cents is None:
        return
    if session.budget is None:
        raise _refusal(
            "budget_create_only",
            f"session {session.pk} has no budget, and none can be added to it: a budget"
            " is given when a session is created, and does not return once removed",
        )
    refuse_unpriced(model_of(session))
    _refuse_used_up(session, cents)


def _refuse_used_up(session: Session, cents: int) -> None:
    cost = list_cost(session)
    if cost is None:
        raise _refusal(
            "model_not_budgetable",
            f"session {session.pk} has used a model without a list price, so its cost is"
            " unknown; its budget can only be removed",
        )
    if cents * CENT <= cost:
        raise _refusal(
            "budget_not_raised",
            f"session {session.pk} has cost that much already; the least that is"
            f' accepted now is "{cost // CENT + 1}"',
        )


def is_reached(session_id: str, model: str) -> bool:
    """Say whether this model may not be asked any more, as the rows stand now.

    So too where nobody can know: the cost or the model's price is unknown.
    """
    session = Session.objects.get(pk=session_id)
    if session.budget is None:
        return False
    cost = list_cost(session)
    if cost is None or ModelPrice.of(model) is None:
        return True
    return cost >= session.budget * CENT


def is_paused(session: Session) -> bool:
    """Say whether the session rests because its budget is used up."""
    return (
        session.status == Status.IDLE
        and session.stop_reason == BUDGET_REACHED.stop_reason
    )


def settling(session: Session, sent: Sequence[Draft]) -> Sequence[Draft]:
    """What a session takes in that is paused at its budget; a stop has no effect there.

    Raises:
        InvalidRequest: an event would begin something new.
    """
    if not is_paused(session):
        return sent
    for draft in sent:
        if draft.payload.type not in SETTLES:
            raise InvalidRequest(
                f"session {session.pk} is paused at its budget and takes no"
                f" {draft.payload.type.value}, only {', '.join(SETTLES)}: raise or"
                " remove the budget first"
            )
    return [each for each in sent if each.payload.type is not EventType.USER_INTERRUPT]


def out_of_requests(session_id: str, most: int) -> SessionError:
    """What a turn says that has made as many model requests as it may."""
    message = (
        f"The turn of session {session_id} ended after {most} model requests: its"
        " max_model_requests allows no more in one turn. Send a message to go on."
    )
    error = {
        "type": "tool_use_limit_reached_error",
        "message": message,
        "retry_status": {"type": "exhausted"},
    }
    return SessionError(error=error)


def model_of(session: Session) -> str:
    model: str = session.agent_snapshot["model"]["id"]
    return model


def _refusal(code: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(f"budget: {sentence}", details={"error_code": code})
