"""The cap on what a session may cost: what may be set, and when it is reached."""

from __future__ import annotations

from typing import Any

from agents.errors import InvalidRequest
from agents.models import ModelPrice
from agents.models.price import CENT
from sessions.models import Session
from sessions.usage import list_cost


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


def is_reached(session: Session) -> bool:
    """Say whether the model may not be asked any more; so too where nobody can know."""
    if session.budget is None:
        return False
    cost = list_cost(session)
    if cost is None or ModelPrice.of(model_of(session)) is None:
        return True
    return cost >= session.budget * CENT


def model_of(session: Session) -> str:
    model: str = session.agent_snapshot["model"]["id"]
    return model


def _refusal(code: str, sentence: str) -> InvalidRequest:
    return InvalidRequest(f"budget: {sentence}", details={"error_code": code})
