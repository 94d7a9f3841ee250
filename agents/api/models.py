"""/v1/models: the aliases of this site, and the models behind them."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from agents.errors import NotFound
from agents.http.endpoint import Call, endpoint
from agents.http.older import OlderQuery, older_slice
from agents.models import Act, ModelAlias
from agents.models.model_alias import SCRIPTED

LINES = {"haiku", "sonnet", "opus", "fable", "mythos"}
UNKNOWN_DATE = "1970-01-01T00:00:00Z"


@endpoint(Act.LOOK, query=OlderQuery)
def index(call: Call[Any]) -> dict[str, Any]:
    return older_slice(_known(), call.query)


@endpoint(Act.LOOK)
def retrieve(call: Call[Any], model_id: str) -> dict[str, Any]:
    for model in _known():
        if model["id"] == model_id:
            return model
    raise NotFound(f"model {model_id} is not in this site's list")


def _known() -> list[dict[str, Any]]:
    aliases = dict(ModelAlias.objects.order_by("alias").values_list("alias", "model"))
    known = [_info(alias, f"{alias} (now {model})") for alias, model in aliases.items()]
    known += [_info(model, model) for model in sorted({*aliases.values()} - {*aliases})]
    if not settings.AGENTSITE.has_key:
        known.append(_info(SCRIPTED, "Scripted demonstration (no model is called)"))
    return known


def _info(id: str, display_name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": id,
        "display_name": display_name,
        "created_at": UNKNOWN_DATE,
        "lifecycle": "active",
        "line": id if id in LINES else None,
        "capabilities": None,
        "max_input_tokens": None,
        "max_tokens": None,
        "deprecated_at": None,
        "retires_at": None,
    }
