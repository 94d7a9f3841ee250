"""The editable table of list prices, and exact sums of money by it.

Money is counted in whole picodollars: a price has at most six decimals per million
tokens, so every token costs a whole number of them and no sum is ever rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

DOLLAR = 10**12
CENT = DOLLAR // 100
MILLION = 10**6


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What one model request used, by the kinds that have a price."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def prompt(self) -> int:
        """What the model read, wherever it came from."""
        written = self.cache_write_5m + self.cache_write_1h
        return self.input + self.cache_read + written


def price_field(**kwargs: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        max_digits=14, decimal_places=6, validators=[MinValueValidator(0)], **kwargs
    )


class ModelPrice(models.Model):
    """US dollars per million tokens of the models that one line names."""

    model = models.CharField(
        max_length=128,
        validators=[RegexValidator(r"^[^*\s]+\*?$", "One name; * at its end only.")],
        help_text="A model's id, or how ids begin with * behind it. The longest counts.",
    )
    above_tokens = models.PositiveIntegerField(
        default=0,
        help_text="Holds for requests with more tokens to read than this, cached ones"
        " included. 0: for every request without a line of its own.",
    )
    input = price_field()
    output = price_field()
    cache_read = price_field()
    cache_write_5m = price_field(verbose_name="cache write, 5 minutes")
    cache_write_1h = price_field(verbose_name="cache write, 1 hour")
    checked_on = models.DateField(
        null=True,
        blank=True,
        help_text="When somebody last compared this with the provider's price list.",
    )

    class Meta:
        ordering = ["model", "above_tokens"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "above_tokens"], name="one_price_per_model"
            )
        ]

    def __str__(self) -> str:
        above = f" above {self.above_tokens:,} tokens" if self.above_tokens else ""
        return f"{self.model}{above}"

    @classmethod
    def of(cls, model: str, prompt: int = 0) -> ModelPrice | None:
        """The line for a request to this model with so many tokens to read."""
        beginnings = [f"{model[:length]}*" for length in range(len(model) + 1)]
        lines = cls.objects.filter(
            Q(above_tokens=0) | Q(above_tokens__lt=prompt),
            model__in=[model, *beginnings],
        )
        return max(lines, key=lambda line: line._nearness, default=None)

    @property
    def _nearness(self) -> tuple[int, bool, int]:
        is_whole = not self.model.endswith("*")
        return len(self.model.rstrip("*")), is_whole, self.above_tokens

    def cost(self, tokens: Tokens) -> int:
        """What a request cost, in picodollars."""
        return (
            _a_token(self.input) * tokens.input
            + _a_token(self.output) * tokens.output
            + _a_token(self.cache_read) * tokens.cache_read
            + _a_token(self.cache_write_5m) * tokens.cache_write_5m
            + _a_token(self.cache_write_1h) * tokens.cache_write_1h
        )


def _a_token(dollars_a_million: Decimal) -> int:
    return int(dollars_a_million * (DOLLAR // MILLION))


class Unit(models.TextChoices):
    RUNNING_HOUR = "running_hour", "an hour in which a session runs"
    WEB_SEARCHES = "web_searches", "a thousand web searches"


class UnitPrice(models.Model):
    """US dollars for what is not counted in tokens."""

    unit = models.CharField(max_length=32, choices=Unit.choices, primary_key=True)
    price = price_field(default=0)

    class Meta:
        ordering = ["unit"]

    def __str__(self) -> str:
        return self.get_unit_display()

    @classmethod
    def picodollars(cls, unit: Unit) -> int:
        """The price of one unit; nothing where no line says one."""
        found = cls.objects.filter(unit=unit).values_list("price", flat=True).first()
        return int(found * DOLLAR) if found else 0
