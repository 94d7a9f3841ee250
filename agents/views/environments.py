"""Pages on environments: list, editor, archive, delete."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render

from agents import actions, serialise
from agents.errors import ApiError, Forbidden, NotFound
from agents.forms import EnvironmentForm
from agents.lookup import find_environment, rows
from agents.models import Act, Environment
from agents.views.access import PageRequest, acted, page

AT_FIRST = {"networking": "unrestricted", "allow_package_managers": True}


@page()
def index(request: PageRequest) -> HttpResponse:
    archived = request.GET.get("archived") == "1"
    found = rows(Environment, request.actor).filter(archived_at__isnull=not archived)
    found = found.annotate(session_count=Count("sessions"))
    context = {
        "environments": found.order_by("-created_at", "-pk"),
        "archived": archived,
        "any": rows(Environment, request.actor).exists(),
    }
    return render(request, "environments/index.html", context)


@page(Act.BUILD, "GET", "HEAD", "POST")
def create(request: PageRequest) -> HttpResponse:
    form = EnvironmentForm(request.POST or None, initial=AT_FIRST)
    if request.method == "POST" and form.is_valid():
        made = _saved(request, form, None)
        if made:
            messages.success(request, f"{made.name} is ready.")
            return redirect(f"/environments/{made.pk}")
    return _editor(request, form, None)


@page()
def show(request: PageRequest, environment_id: str) -> HttpResponse:
    environment = find_environment(request.actor, environment_id)
    sessions = environment.sessions
    context = {
        "environment": environment,
        "network": environment.config["networking"],
        "wire": serialise.environment(environment),
        "session_count": sessions.count(),
        "recent": sessions.order_by("-created_at")[:8],
    }
    return render(request, "environments/show.html", context)


@page(Act.BUILD, "GET", "HEAD", "POST")
def edit(request: PageRequest, environment_id: str) -> HttpResponse:
    environment = find_environment(request.actor, environment_id)
    form = EnvironmentForm(request.POST or None, initial=_initial(environment))
    if (
        request.method == "POST"
        and form.is_valid()
        and _saved(request, form, environment)
    ):
        messages.success(request, "Saved. New sandboxes follow it.")
        return redirect(f"/environments/{environment_id}")
    return _editor(request, form, environment)


def _initial(environment: Environment) -> dict[str, object]:
    network = environment.config["networking"]
    return {
        "name": environment.name,
        "description": environment.description or "",
        **network,
        "networking": network["type"],
        "metadata": environment.metadata,
    }


def _saved(
    request: PageRequest, form: EnvironmentForm, environment: Environment | None
) -> Environment | None:
    """Save what the form says; a refusal is shown in the form."""
    try:
        if environment is None:
            params = form.to_create()
            return actions.create_environment(request.actor, params) if params else None
        changes = form.to_update(environment.metadata)
        if changes is None:
            return None
        return actions.update_environment(request.actor, environment.pk, changes)
    except (NotFound, Forbidden):
        raise
    except ApiError as error:
        form.refuse(error.message)
        return None


def _editor(
    request: PageRequest, form: EnvironmentForm, environment: Environment | None
) -> HttpResponse:
    status = 422 if form.is_bound and form.errors else 200
    context = {"form": form, "environment": environment}
    return render(request, "environments/edit.html", context, status=status)


@page(Act.BUILD, "POST")
def archive(request: PageRequest, environment_id: str) -> HttpResponse:
    here = f"/environments/{environment_id}"
    return acted(
        request,
        lambda: actions.archive_environment(request.actor, environment_id),
        then=here,
        back=here,
        said="The environment is archived. Sessions in it go on.",
    )


@page(Act.BUILD, "POST")
def delete(request: PageRequest, environment_id: str) -> HttpResponse:
    return acted(
        request,
        lambda: actions.delete_environment(request.actor, environment_id),
        then="/environments",
        back=f"/environments/{environment_id}",
        said="The environment is deleted.",
    )
