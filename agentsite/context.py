"""What every page knows: the site, the reader's workspace and what they may do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from agents.models import Act, Member


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "csp_nonce": getattr(request, "csp_nonce", ""),
        "section": request.path.split("/")[1] or "home",
        "has_model_key": settings.AGENTSITE.has_key,
        **_of_member(getattr(request, "member", None)),
    }


def _of_member(member: Member | None) -> dict[str, Any]:
    if member is None:
        return {"member": None, "workspace": None, "workspaces": []}
    return {
        "member": member,
        "workspace": member.workspace,
        "workspaces": _workspaces_of(member),
        "may_run": member.may(Act.RUN),
        "may_build": member.may(Act.BUILD),
        "may_administer": member.may(Act.ADMINISTER),
    }


def _workspaces_of(member: Member) -> list[Any]:
    memberships = Member.objects.filter(user_id=member.user_id)
    return [each.workspace for each in memberships.select_related("workspace")]
