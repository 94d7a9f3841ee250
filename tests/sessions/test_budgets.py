"""Budgets: which are taken, which are refused, and in which words."""

from __future__ import annotations

import pytest

from agents.errors import Conflict, Forbidden, InvalidRequest
from agents.models import ModelPrice
from agents.models.price import CENT
from sessions import actions, budgets
from sessions.api.serialise import session as answer
from sessions.models import Event, Session

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prices")]


MODEL = "scripted-demo"


def limit(amount):
    return {
        "type": "limit",
        "max_list_cost": {"amount": amount, "currency": "USD"},
    }


@pytest.fixture
def capped(actor, agent, environment):
    return actions.create_session(
        actor, agent=agent.latest, environment=environment, budget=500
    )


def spent(session, cents):
    cost = None if cents is None else round(cents * CENT)
    Session.objects.update(usage={"input_tokens": 1, "picodollars": cost})


def change(actor, session, cents):
    return actions.update_session(actor, session, {"budget": cents})


def refusal(actor, session, cents):
    with pytest.raises(InvalidRequest) as caught:
        change(actor, session, cents)
    return caught.value.details["error_code"], caught.value.message


def test_a_budget_is_answered_as_it_was_given(capped):
    assert answer(capped)["budget"] == limit("500")


def test_a_session_without_one_says_null(session):
    assert answer(session)["budget"] is None
    assert not budgets.is_reached(session.pk, MODEL)


def test_a_model_without_a_price_gets_no_budget(actor, agent, environment):
    with pytest.raises(InvalidRequest, match="nobody-knows has no list price") as no:
        actions.create_session(
            actor,
            agent=agent.latest,
            environment=environment,
            overrides={"model": {"id": "nobody-knows"}},
            budget=500,
        )
    assert no.value.details == {"error_code": "model_not_budgetable"}
    assert not Session.objects.exists()


def test_a_raise_is_written_down(actor, capped):
    change(actor, capped, 900)
    capped.refresh_from_db()
    assert capped.budget == 900
    (event,) = Event.objects.all()
    assert event.payload == {"budget": limit("900")}


def test_a_removal_is_written_down_as_null(actor, capped):
    change(actor, capped, None)
    capped.refresh_from_db()
    assert capped.budget is None
    assert Event.objects.get().payload == {"budget": None}


def test_an_update_of_something_else_says_nothing_of_the_budget(actor, capped):
    actions.update_session(actor, capped, {"title": "Audit"})
    assert Event.objects.get().payload == {"title": "Audit"}


@pytest.mark.parametrize("cents", [500, None])
def test_what_changes_nothing_leaves_no_event(actor, capped, session, cents):
    change(actor, capped if cents else session, cents)
    assert not Event.objects.exists()


def test_none_is_added_later(actor, session):
    code, said = refusal(actor, session, 500)
    assert code == "budget_create_only"
    assert session.pk in said


def test_a_removed_one_does_not_return(actor, capped):
    change(actor, capped, None)
    assert refusal(actor, capped, 900)[0] == "budget_create_only"


def test_it_may_be_lowered_to_what_is_left(actor, capped):
    spent(capped, 99.9)
    assert change(actor, capped, 100).budget == 100


@pytest.mark.parametrize(("cents", "least"), [(99, 101), (100, 101)])
def test_it_is_not_set_to_what_is_used_up(actor, capped, cents, least):
    spent(capped, 100)
    code, said = refusal(actor, capped, cents)
    assert code == "budget_not_raised"
    assert f'"{least}"' in said
    assert change(actor, capped, least).budget == least


def test_an_unknown_cost_is_not_raised_over_and_may_be_freed(actor, capped):
    spent(capped, None)
    assert refusal(actor, capped, 900)[0] == "model_not_budgetable"
    assert change(actor, capped, None).budget is None


def test_a_price_that_went_away_is_not_raised_over(actor, capped):
    ModelPrice.objects.all().delete()
    assert refusal(actor, capped, 900)[0] == "model_not_budgetable"


@pytest.mark.parametrize(
    ("cents", "reached"), [(0, False), (499.9, False), (500, True), (None, True)]
)
def test_it_is_reached_to_the_picodollar(capped, cents, reached):
    spent(capped, cents)
    capped.refresh_from_db()
    assert budgets.is_reached(capped.pk, MODEL) == reached


def test_it_is_reached_where_the_price_went_away(capped):
    ModelPrice.objects.all().delete()
    assert budgets.is_reached(capped.pk, MODEL)


def test_a_viewer_does_not_raise(workspace, capped):
    from agents.actors import Actor

    viewer = Actor(workspace=workspace, name="Vera", role="viewer")
    with pytest.raises(Forbidden):
        change(viewer, capped, 900)


def test_an_archived_session_has_the_budget_it_had(actor, capped):
    actions.archive_session(actor, capped)
    with pytest.raises(Conflict):
        change(actor, capped, 900)
