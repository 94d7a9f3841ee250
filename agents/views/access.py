"""Who reads a page, in which workspace, and how a refusal is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from agents.actors import Actor
from agents.errors import ApiError, Forbidden, NotFound
from agents.models import Act, Member

CHOSEN = "workspace"
"""The key of the browser's session that holds the chosen workspace."""

MOST_DIGITS = 10

P = ParamSpec("P")


class PageRequest(HttpRequest):
    """A request of a signed-in member of a workspace."""

    member: Member
    actor: Actor


PageView = Callable[Concatenate[PageRequest, P], HttpResponse]


def page(
    act: Act = Act.LOOK, *methods: str
) -> Callable[[PageView[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    """Let members of the workspace through who may do this; explain it to others."""
    allowed = methods or ("GET", "HEAD")

    def decorate(
        view: PageView[P],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @never_cache
        @login_required
        @wraps(view)
        def answer(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponse:
            if request.method not in allowed:
                return HttpResponseNotAllowed(allowed)
            try:
                return view(_of_member(request, act), *args, **kwargs)
            except ApiError as error:
                return refused(request, error)

        return answer

    return decorate


def _of_member(request: HttpRequest, act: Act) -> PageRequest:
    member = member_of(request)
    request.member = member  # type: ignore[attr-defined]
    request.actor = Actor.of_member(member)  # type: ignore[attr-defined]
    request.actor.require(act)  # type: ignore[attr-defined]
    return request  # type: ignore[return-value]


def member_of(request: HttpRequest) -> Member:
    """The reader's membership in the workspace they chose, or in their first one.

    Raises:
        Forbidden: the reader belongs to no workspace.
    """
    mine = Member.objects.filter(user__pk=request.user.pk or 0).order_by(
        "created_at", "pk"
    )
    mine = mine.select_related("workspace", "user")
    chosen = mine.filter(workspace=request.session.get(CHOSEN, "")).first()
    member = chosen or mine.first()
    if member is None:
        raise Forbidden("You belong to no workspace yet. An owner can add you to one.")
    return member


def refused(request: HttpRequest, error: ApiError) -> HttpResponse:
    """Show a refusal as a page, or as JSON to a script that asked for it."""
    if wants_json(request):
        return JsonResponse({"message": error.message}, status=error.status)
    known = {404: "404.html", 403: "403.html"}
    name = known.get(error.status, "400.html")
    return render(request, name, {"refusal": _said(error)}, status=error.status)


def _said(error: ApiError) -> str:
    # The page already says that nothing is here; ids of others are not repeated.
    return "" if isinstance(error, NotFound) else error.message


def number_of(request: HttpRequest, name: str) -> int | None:
    """A whole number of the address; none where there is none that a column holds."""
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None


def list_template(request: HttpRequest, kind: str) -> str:
    """The whole page, or just its rows where htmx exchanges them."""
    htmx = getattr(request, "htmx", None)
    partly = htmx and not htmx.boosted and not htmx.history_restore_request
    return f"{kind}/rows.html" if partly else f"{kind}/index.html"


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("accept", "") == "application/json"


def acted(
    request: PageRequest, verb: Callable[[], object], *, then: str, back: str, said: str
) -> HttpResponse:
    """Do one verb of a button; go on, or go back with the reason why not."""
    try:
        verb()
    except (NotFound, Forbidden):
        raise
    except ApiError as error:
        if wants_json(request):
            raise
        messages.error(request, error.message)
        return redirect(back)
    if wants_json(request):
        return JsonResponse({})
    if said:
        messages.success(request, said)
    return redirect(then)
