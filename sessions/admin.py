"""The operators' view on what happened: all of it is to be looked at only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from agents.admin import ReadOnly
from sessions.models import Event, Session, SessionResource, Thread


class ResourceInline(TabularInline):
    model = SessionResource
    extra = 0
    fields = readonly_fields = ("type", "file_id", "mount_path", "created_at")
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Session)
class SessionAdmin(ReadOnly):
    list_display = (
        "id",
        "title",
        "workspace",
        "agent",
        "status",
        "owner",
        "created_at",
    )
    list_filter = ("status", "workspace")
    search_fields = ("id", "title", "agent__name")
    list_select_related = ("workspace", "agent")
    inlines = (ResourceInline,)
    readonly_fields = ("open_page",)

    @admin.display(description="Timeline")
    def open_page(self, row: Session) -> SafeString:
        return format_html('<a href="/sessions/{}">Open the timeline</a>', row.pk)


@admin.register(Thread)
class ThreadAdmin(ReadOnly):
    list_display = ("id", "session", "parent", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("id", "session__id")


@admin.register(Event)
class EventAdmin(ReadOnly):
    """`private` is left out: it is for the harness alone."""

    list_display = ("id", "session", "seq", "position", "type", "created_at")
    list_filter = ("type",)
    search_fields = ("id", "session__id")
    list_select_related = ("session",)
    exclude = ("private",)
    show_full_result_count = False
