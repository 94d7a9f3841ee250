"""Pages on API keys: make one, see it once, revoke it."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render

from agents.errors import NotFound
from agents.forms import ApiKeyForm
from agents.models import Act, ApiKey
from agents.views import snippets
from agents.views.access import PageRequest, acted, page


@page(Act.ADMINISTER)
def index(request: PageRequest) -> HttpResponse:
    return _keys(request, ApiKeyForm())


@page(Act.ADMINISTER, "GET", "POST")
def create(request: PageRequest) -> HttpResponse:
    if request.method != "POST":
        return redirect("/keys")
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _keys(request, form, status=422)
    row, key = ApiKey.issue(
        request.member.workspace,
        form.cleaned_data["name"],
        role=form.cleaned_data["role"],
        created_by_id=request.actor.user_id,
    )
    # Shown in this very answer: a redirect would have to keep the key somewhere.
    return _keys(request, ApiKeyForm(), key=key, row=row)


def _keys(
    request: PageRequest,
    form: ApiKeyForm,
    *,
    key: str = "",
    row: ApiKey | None = None,
    status: int = 200,
) -> HttpResponse:
    keys = ApiKey.objects.filter(workspace=request.member.workspace)
    context = {
        "form": form,
        "keys": keys.select_related("created_by").order_by("revoked_at", "-created_at"),
        "new_key": key,
        "new_row": row,
        "snippet": snippets.first_call(request, key),
    }
    return render(request, "keys/index.html", context, status=status)


@page(Act.ADMINISTER, "POST")
def revoke(request: PageRequest, key_id: str) -> HttpResponse:
    key = ApiKey.objects.filter(workspace=request.member.workspace, pk=key_id).first()
    if key is None:
        raise NotFound.of("API key", key_id)
    return acted(
        request,
        key.revoke,
        then="/keys",
        back="/keys",
        said=f"{key.name} is revoked. Programs that use it are refused from now on.",
    )
