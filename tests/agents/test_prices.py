"""The price table: which line counts for a model, and what a request costs, exactly."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError

from agents.models import ModelPrice, UnitPrice
from agents.models.price import CENT, DOLLAR, Tokens, Unit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _seeded():
    """The table as a new site has it, whatever other tests left."""
    ModelPrice.objects.all().delete()
    UnitPrice.objects.all().delete()
    first = import_module("agents.migrations.0005_first_prices")
    first.add_prices(apps, None)


def price(model, above=0, **prices):
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    return ModelPrice.objects.create(
        model=model, above_tokens=above, **{kind: prices.get(kind, 0) for kind in kinds}
    )


def cost(model, **tokens):
    used = Tokens(**tokens)
    return ModelPrice.of(model, used.prompt).cost(used)


def test_each_kind_of_token_has_its_own_price():
    assert cost("claude-opus-5-5", input=1_000_000) == 4 * DOLLAR
    assert cost("claude-opus-5-5", output=1_000_000) == 20 * DOLLAR
    assert cost("claude-opus-5-5", cache_read=1_000_000) == 20 * CENT
    assert cost("claude-opus-5-5", cache_write_5m=1_000_000) == 5 * DOLLAR
    assert cost("claude-opus-5-5", cache_write_1h=1_000_000) == 8 * DOLLAR


def test_a_request_costs_the_sum_and_nothing_is_rounded():
    used = {"input": 3, "output": 7, "cache_read": 11, "cache_write_5m": 13}
    millionths_of_a_dollar = 3 * 4 + 7 * 20 + 11 * 0.2 + 13 * 5
    assert cost("claude-opus-5-5", **used) == round(millionths_of_a_dollar * 10**6)


def test_the_smallest_price_there_can_be_is_a_whole_number_for_each_token():
    price("tiny", input="0.000001")
    assert cost("tiny", input=1) == 1
    assert cost("tiny", input=999_999) == 999_999


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("claude-opus-5-5", "claude-opus-5-5*"),
        ("claude-opus-5-5-20260922", "claude-opus-5-5*"),
        ("claude-opus-5", "claude-opus-5"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5*"),
        ("claude-fable-5-1", "claude-fable-5-1*"),
        ("scripted-demo", "scripted-*"),
    ],
)
def test_the_longest_beginning_counts(model, line):
    assert ModelPrice.of(model).model == line


@pytest.mark.parametrize("model", ["claude-opus-9", "claude-opus-5-9", "llama", ""])
def test_a_model_that_no_line_names_has_no_price(model):
    assert ModelPrice.of(model) is None


def test_a_whole_name_counts_before_a_beginning_of_the_same_length():
    price("mine*", input=1)
    price("mine", input=2)
    assert ModelPrice.of("mine").input == 2
    assert ModelPrice.of("mine-2").input == 1


def test_a_long_prompt_has_the_price_of_long_prompts_for_every_token():
    assert cost("claude-haiku-5-5", input=100_000, output=1) == 10**10 + 500_000
    over = cost("claude-haiku-5-5", input=60_000, cache_read=40_001, output=1)
    assert over == 60_000 * 500_000 + 40_001 * 50_000 + 2_500_000


@pytest.mark.parametrize("name", ["a*b", "two words", "*", "a**"])
def test_a_line_names_one_model_or_one_beginning(name):
    with pytest.raises(ValidationError):
        ModelPrice(
            model=name,
            input=1,
            output=1,
            cache_read=1,
            cache_write_5m=1,
            cache_write_1h=1,
        ).full_clean()


def test_no_price_is_negative():
    line = ModelPrice.of("scripted-demo")
    line.output = -1
    with pytest.raises(ValidationError):
        line.full_clean()


def test_an_hour_is_free_until_somebody_says_otherwise():
    assert UnitPrice.picodollars(Unit.RUNNING_HOUR) == 0
    UnitPrice.objects.filter(pk=Unit.RUNNING_HOUR).update(price="0.08")
    assert UnitPrice.picodollars(Unit.RUNNING_HOUR) == 8 * CENT


def test_every_default_alias_has_a_price():
    from agentsite.first_start import ALIASES

    assert all(ModelPrice.of(model) for model in ALIASES.values())
