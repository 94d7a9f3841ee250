"""Pages on agents: list, editor, versions, archive."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render

from agents import actions, serialise
from agents.errors import ApiError, Conflict, Forbidden, InvalidRequest, NotFound
from agents.forms import (
    TOOL_ICONS,
    AgentForm,
    asking_tools,
    custom_tools,
    enabled_tools,
)
from agents.lookup import find_agent, latest_versions, rows
from agents.models import Act, Agent, AgentVersion
from agents.skills import named_skills
from agents.views import snippets
from agents.views.access import PageRequest, acted, list_template, number_of, page
from agents.views.comparison import compare
from agents.views.starters import STARTERS

PAGE = 50


@page()
def index(request: PageRequest) -> HttpResponse:
    archived = request.GET.get("archived") == "1"
    text = request.GET.get("q", "").strip()
    found = rows(Agent, request.actor).filter(archived_at__isnull=not archived)
    if text:
        found = found.filter(Q(name__icontains=text) | Q(pk=text))
    found = found.annotate(
        session_count=Count("sessions"), last_session=Max("sessions__created_at")
    ).order_by("-created_at", "-pk")
    shown = Paginator(found, PAGE).get_page(request.GET.get("page"))
    latest = latest_versions(list(shown))
    context = {
        "page": shown,
        "agents": [(agent, latest[agent.pk].config) for agent in shown],
        "archived": archived,
        "q": text,
        "any": rows(Agent, request.actor).exists(),
    }
    return render(request, list_template(request, "agents"), context)


@page(Act.BUILD, "GET", "HEAD", "POST")
def create(request: PageRequest) -> HttpResponse:
    starter = STARTERS.get(request.GET.get("like", ""), {})
    form = AgentForm(request.actor, request.POST or None, initial=starter)
    if request.method == "POST" and form.is_valid():
        made = _made(request, form)
        if made:
            messages.success(request, f"{made.agent.name} is ready.")
            return redirect(f"/agents/{made.agent_id}")
    context = {"form": form, "tools": tool_lines(form), "starters": STARTERS}
    return render(request, "agents/edit.html", context, status=_status(form))


def _made(request: PageRequest, form: AgentForm) -> AgentVersion | None:
    params = form.to_create()
    if params is None:
        return None
    try:
        return actions.create_agent(request.actor, params)
    except InvalidRequest as error:
        form.refuse(error.message)
        return None


def _status(form: AgentForm) -> int:
    return 422 if form.is_bound and (form.errors or form.custom.has_errors) else 200


def tool_lines(form: AgentForm) -> list[dict[str, Any]]:
    """The tools as lines with a switch each."""
    chosen = set(form["tools"].value() or ())
    field: Any = form.fields["tools"]
    return [
        {"name": name, "words": words, "icon": TOOL_ICONS[name], "on": name in chosen}
        for name, words in field.choices
    ]


@page()
def show(request: PageRequest, agent_id: str) -> HttpResponse:
    version = find_agent(request.actor, agent_id, number_of(request, "version"))
    sessions = version.agent.sessions
    context = {
        "agent": version.agent,
        "version": version,
        "config": version.config,
        "tools": enabled_tools(version.config),
        "asks": asking_tools(version.config),
        "custom": custom_tools(version.config),
        "skills": named_skills(request.actor, version.config["skills"]),
        "wire": serialise.agent(version),
        "snippet": snippets.run_agent(request, agent_id),
        "recent": sessions.order_by("-created_at")[:8],
    }
    return render(request, "agents/show.html", context)


@page(Act.BUILD, "GET", "HEAD", "POST")
def edit(request: PageRequest, agent_id: str) -> HttpResponse:
    latest = find_agent(request.actor, agent_id)
    if latest.agent.archived_at:
        messages.error(request, "This agent is archived and cannot be changed.")
        return redirect(f"/agents/{agent_id}")
    if request.method != "POST":
        initial = AgentForm.initial_of(latest.config, latest.version)
        return _editor(request, latest, _form(request, latest, initial=initial))
    form = _form(request, latest, request.POST)
    if not form.is_valid():
        return _editor(request, latest, form)
    return _save(request, latest, form)


def _form(
    request: PageRequest, latest: AgentVersion, *args: Any, **kwargs: Any
) -> AgentForm:
    pinned = latest.config["skills"]
    return AgentForm(request.actor, *args, pinned=pinned, **kwargs)


def _save(request: PageRequest, latest: AgentVersion, form: AgentForm) -> HttpResponse:
    params = form.to_update(latest.config)
    if params is None:
        return _editor(request, latest, form)
    try:
        saved = actions.update_agent(request.actor, latest.agent_id, params)
    except Conflict:
        return _conflict(request, latest.agent_id, form)
    except (NotFound, Forbidden):
        raise
    except ApiError as error:
        form.refuse(error.message)
        return _editor(request, latest, form)
    if saved.version == latest.version:
        messages.info(request, "Nothing was changed, so no version was saved.")
    else:
        messages.success(
            request,
            f"Saved as version {saved.version}. Running sessions keep theirs.",
        )
    return redirect(f"/agents/{saved.agent_id}")


def _editor(
    request: PageRequest, latest: AgentVersion, form: AgentForm, **extra: Any
) -> HttpResponse:
    context = {
        "form": form,
        "agent": latest.agent,
        "tools": tool_lines(form),
        **extra,
    }
    return render(request, "agents/edit.html", context, status=_status(form))


def _conflict(request: PageRequest, agent_id: str, form: AgentForm) -> HttpResponse:
    """Show what the other person saved; saving again then goes on top of it."""
    latest = find_agent(request.actor, agent_id)
    began = find_agent(request.actor, agent_id, form.cleaned_data["version"])
    form.data = request.POST.copy()
    form.data["version"] = str(latest.version)
    conflict = {
        "latest": latest,
        "began": began,
        "lines": compare(began.config, latest.config),
    }
    form.add_error(None, "Somebody else saved a new version while you wrote.")
    return _editor(request, latest, form, conflict=conflict)


@page()
def versions(request: PageRequest, agent_id: str) -> HttpResponse:
    agent = find_agent(request.actor, agent_id).agent
    listed = list(agent.versions.select_related("created_by").order_by("-version"))
    new = _chosen(listed, number_of(request, "to") or agent.version)
    old = _chosen(listed, number_of(request, "from") or max(new.version - 1, 1))
    context = {
        "agent": agent,
        "versions": listed,
        "old": old,
        "new": new,
        "split": request.GET.get("view") != "unified",
        "lines": compare(old.config, new.config),
    }
    return render(request, "agents/versions.html", context)


def _chosen(listed: list[AgentVersion], wanted: int) -> AgentVersion:
    found = [each for each in listed if each.version == wanted]
    if not found:
        raise NotFound(f"there is no version {wanted}")
    return found[0]


@page(Act.BUILD, "POST")
def archive(request: PageRequest, agent_id: str) -> HttpResponse:
    return acted(
        request,
        lambda: actions.archive_agent(request.actor, agent_id),
        then=f"/agents/{agent_id}",
        back=f"/agents/{agent_id}",
        said="The agent is archived. Sessions that run go on.",
    )
