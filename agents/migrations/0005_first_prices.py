"""List prices as the provider published them when this was written."""

import datetime

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

CHECKED_ON = datetime.date(2026, 11, 22)

# Dollars per million tokens: input, output, cache read, cache write 5 m, 1 h.
PRICES = {
    "claude-fable-5": ("10", "50", "1", "12.5", "20"),
    "claude-fable-5-1*": ("10", "50", "0.25", "12.5", "20"),
    "claude-mythos-5": ("10", "50", "1", "12.5", "20"),
    "claude-mythos-5-1*": ("10", "50", "0.25", "12.5", "20"),
    "claude-opus-5-5*": ("4", "20", "0.2", "5", "8"),
    "claude-opus-5": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-8*": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-7*": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-6*": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-5*": ("5", "25", "0.5", "6.25", "10"),
    "claude-opus-4-1*": ("15", "75", "1.5", "18.75", "30"),
    "claude-sonnet-5-5*": ("2", "10", "0.1", "2.5", "4"),
    "claude-sonnet-5": ("2", "10", "0.2", "2.5", "4"),
    "claude-sonnet-4-6*": ("3", "15", "0.3", "3.75", "6"),
    "claude-sonnet-4-5*": ("3", "15", "0.3", "3.75", "6"),
    "claude-haiku-5-5*": ("0.1", "0.5", "0.01", "0.125", "0.2"),
    "claude-haiku-4-5*": ("1", "5", "0.1", "1.25", "2"),
    # Nobody is paid for these: a price lets budgets be tried without a key.
    "scripted-*": ("5", "25", "0.5", "6.25", "10"),
}
LONG_PROMPTS = {
    ("claude-haiku-5-5*", 100_000): ("0.5", "2.5", "0.05", "0.625", "1"),
}
KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
UNITS = {"running_hour": "0", "web_searches": "10"}


def add_prices(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    model_price = apps.get_model("agents", "ModelPrice")
    prices = {(model, 0): price for model, price in PRICES.items()} | LONG_PROMPTS
    for (model, above), price in prices.items():
        model_price.objects.create(
            model=model,
            above_tokens=above,
            checked_on=CHECKED_ON,
            **dict(zip(KINDS, price, strict=True)),
        )
    unit_price = apps.get_model("agents", "UnitPrice")
    for unit, dollars in UNITS.items():
        unit_price.objects.create(unit=unit, price=dollars)


class Migration(migrations.Migration):
    dependencies = [("agents", "0004_list_price")]

    operations = [migrations.RunPython(add_prices, migrations.RunPython.noop)]
