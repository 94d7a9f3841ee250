"""What a budget may look like in a request."""

from __future__ import annotations

import pytest

from agents.errors import InvalidRequest
from agents.http.validation import validate
from sessions.api.params import BudgetLimit


def limit(**money):
    money = {"amount": "2500", "currency": "USD", **money}
    return {"type": "limit", "max_list_cost": money}


def test_cents_are_read_from_a_string():
    assert validate(BudgetLimit, limit()).cents == 2500


@pytest.mark.parametrize(
    "amount", ["0", "025", "25.00", "2e3", "-5", "+5", " 5", "", "٣", "1" * 16]
)
def test_only_whole_cents_above_zero_are_read(amount):
    with pytest.raises(InvalidRequest, match=r"max_list_cost\.amount: must be whole"):
        validate(BudgetLimit, limit(amount=amount))


@pytest.mark.parametrize(
    "budget",
    [
        limit(amount=2500),
        limit(currency="EUR"),
        limit(currency="usd"),
        limit(more=1),
        {"type": "unlimited", "max_list_cost": limit()["max_list_cost"]},
        {"type": "limit"},
        "2500",
    ],
)
def test_anything_else_is_refused(budget):
    with pytest.raises(InvalidRequest):
        validate(BudgetLimit, budget)
