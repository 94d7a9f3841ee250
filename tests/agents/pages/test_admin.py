"""The admin: everything is there to be looked at, secrets are not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib import admin
from django.urls import reverse

from agents.models import ApiKey, ModelAlias, ModelPrice, UnitPrice
from agents.models.price import CENT, Unit


@pytest.fixture
def staff(as_alice, alice):
    alice.is_staff = alice.is_superuser = True
    alice.save()
    return as_alice


def ours():
    return [
        model
        for model in admin.site._registry
        if model._meta.app_label in {"agents", "agent_sessions"}
    ]


def test_every_table_opens(staff, agent, environment):
    assert len(ours()) >= 11
    for model in ours():
        path = reverse(
            f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        )
        assert staff.get(path).status_code == 200, path


def test_definitions_and_history_cannot_be_changed_here(staff, agent):
    page = reverse("admin:agents_agent_change", args=[agent.pk])
    assert staff.get(page).status_code == 200
    assert staff.post(page, {"name": "Other"}).status_code == 403
    assert staff.get(reverse("admin:agent_sessions_event_add")).status_code == 403


def test_a_new_key_is_shown_once(staff, workspace):
    said = {"workspace": workspace.pk, "name": "from admin", "role": "viewer"}
    answer = staff.post(reverse("admin:agents_apikey_add"), said, follow=True)
    shown = [str(message) for message in answer.context["messages"]]
    key = next(text for text in shown if "sk-agentsite-" in text).split()[-1]
    assert ApiKey.find(key).name == "from admin"
    assert ApiKey.objects.count() == 1
    row = reverse("admin:agents_apikey_change", args=[ApiKey.objects.get().pk])
    page = staff.get(row).content.decode()
    assert key not in page
    assert ApiKey.objects.get().digest not in page


def test_a_price_is_changed_here_with_a_word_on_checking_it(staff, prices):
    said = {
        "model": "mine-*",
        "above_tokens": 0,
        "input": "1.25",
        "output": "0.000001",
        "cache_read": 0,
        "cache_write_5m": 0,
        "cache_write_1h": 0,
    }
    staff.post(reverse("admin:agents_modelprice_add"), said)
    assert ModelPrice.of("mine-2").input == Decimal("1.25")
    page = staff.get(reverse("admin:agents_modelprice_changelist")).content.decode()
    assert "compare them with your provider" in page


def test_the_price_of_an_hour_is_changed_in_the_list(staff, prices):
    path = reverse("admin:agents_unitprice_changelist")
    said = {
        "form-TOTAL_FORMS": 2,
        "form-INITIAL_FORMS": 2,
        "form-0-unit": "running_hour",
        "form-0-price": "0.08",
        "form-1-unit": "web_searches",
        "form-1-price": "10",
        "_save": "Save",
    }
    staff.post(path, said)
    assert UnitPrice.picodollars(Unit.RUNNING_HOUR) == 8 * CENT
    assert staff.get(reverse("admin:agents_unitprice_add")).status_code == 403


def test_an_alias_is_changed_in_the_list(staff, aliases):
    path = reverse("admin:agents_modelalias_changelist")
    said = {
        "form-TOTAL_FORMS": 1,
        "form-INITIAL_FORMS": 1,
        "form-0-alias": "opus",
        "form-0-model": "claude-opus-6",
        "_save": "Save",
    }
    staff.post(path, said)
    assert ModelAlias.resolve("opus") == "claude-opus-6"
