"""Pages on environments: list, editor, archive, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string

from agents import actions, images, serialise
from agents.actors import Actor
from agents.environment_forms import EnvironmentForm
from agents.errors import ApiError, Forbidden, NotFound
from agents.lookup import find_environment, rows
from agents.models import Act, BuildStatus, Environment, EnvironmentImage
from agents.views.access import PageRequest, acted, number_of, page
from sandbox.contents import MANAGERS

AT_FIRST = {"networking": "unrestricted", "allow_package_managers": True}

LIMIT_WORDS = {
    "cpus": "{} processors",
    "memory_mb": "{} MB of memory",
    "pids": "{} processes",
    "tmp_mb": "{} MB in /tmp",
    "command_seconds": "{} s for a command",
}


@page()
def index(request: PageRequest) -> HttpResponse:
    archived = request.GET.get("archived") == "1"
    found = rows(Environment, request.actor).filter(archived_at__isnull=not archived)
    found = found.annotate(
        session_count=Count("sessions"),
        build=Subquery(
            EnvironmentImage.objects.filter(content_hash=OuterRef("content_hash"))
            .exclude(status=BuildStatus.READY)
            .values("status")[:1]
        ),
    )
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
            then = "Its image is built next." if made.content_hash else "It is ready."
            messages.success(request, f"{made.name} is saved. {then}")
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
        "packages": _listed(environment),
        "limits": _limits(environment),
        "standing": images.standing(environment),
        "log": images.read_log(environment),
        "session_count": sessions.count(),
        "recent": sessions.order_by("-created_at")[:8],
    }
    return render(request, "environments/show.html", context)


def _listed(environment: Environment) -> list[dict[str, Any]]:
    packages = environment.config.get("packages", {})
    named = ((name, packages.get(name)) for name in MANAGERS)
    return [{"name": name, "packages": listed} for name, listed in named if listed]


def _limits(environment: Environment) -> list[str]:
    words = LIMIT_WORDS.items()
    said = environment.config.get("limits", {})
    return [word.format(said[name]) for name, word in words if name in said]


@page()
def image(request: PageRequest, environment_id: str) -> HttpResponse:
    """What the page asks for while a build is under way."""
    environment = find_environment(request.actor, environment_id)
    # The log first: it may grow while the rest is put together, and is not done then.
    part = images.read_log(environment, number_of(request, "after") or 0)
    context = {"environment": environment, "standing": images.standing(environment)}
    head = render_to_string("environments/image_head.html", context, request)
    return JsonResponse({"head": head, **asdict(part)})


@page(Act.BUILD, "POST")
def rebuild(request: PageRequest, environment_id: str) -> HttpResponse:
    return _at_image(request, environment_id, images.rebuild)


@page(Act.BUILD, "POST")
def stop_build(request: PageRequest, environment_id: str) -> HttpResponse:
    return _at_image(request, environment_id, images.stop)


def _at_image(
    request: PageRequest, environment_id: str, verb: Callable[[Actor, str], object]
) -> HttpResponse:
    here = f"/environments/{environment_id}#image"
    return acted(
        request,
        lambda: verb(request.actor, environment_id),
        then=here,
        back=here,
        said="",
    )


@page(Act.BUILD, "GET", "HEAD", "POST")
def edit(request: PageRequest, environment_id: str) -> HttpResponse:
    environment = find_environment(request.actor, environment_id)
    form = EnvironmentForm(
        request.POST or None, initial=EnvironmentForm.initial_of(environment)
    )
    if (
        request.method == "POST"
        and form.is_valid()
        and _saved(request, form, environment)
    ):
        messages.success(request, "Saved. New sessions follow it.")
        return redirect(f"/environments/{environment_id}")
    return _editor(request, form, environment)


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
