"""Choosing the workspace that the pages show."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect

from agents.errors import NotFound
from agents.models import Act, Member
from agents.views.access import CHOSEN, PageRequest, page


@page(Act.LOOK, "POST")
def choose(request: PageRequest) -> HttpResponse:
    wanted = request.POST.get("workspace", "")
    if not Member.objects.filter(user=request.member.user, workspace=wanted).exists():
        raise NotFound.of("workspace", wanted)
    request.session[CHOSEN] = wanted
    return redirect("/")
