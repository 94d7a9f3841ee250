"""The operators' view on what may run. Definitions are changed in the pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from agents.models import (
    Agent,
    AgentVersion,
    ApiKey,
    Environment,
    EnvironmentImage,
    File,
    Member,
    ModelAlias,
    ModelPrice,
    Skill,
    UnitPrice,
    Workspace,
)


class ReadOnly(ModelAdmin):
    """Rows that are made and changed elsewhere: to be looked at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MemberInline(TabularInline):
    model = Member
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    list_display = ("name", "id", "created_at")
    search_fields = ("name", "id")
    readonly_fields = ("id", "created_at")
    inlines = (MemberInline,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Member)
class MemberAdmin(ModelAdmin):
    list_display = ("user", "workspace", "role", "created_at")
    list_filter = ("role", "workspace")
    search_fields = ("user__username", "user__email")
    autocomplete_fields = ("user", "workspace")


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """A new key is shown once, in the message after it is saved."""

    list_display = ("name", "workspace", "role", "hint", "last_used_at", "revoked_at")
    list_filter = ("role", "workspace")
    search_fields = ("name", "id")
    fields = ("workspace", "name", "role")
    shown = ("id", "hint", "created_by", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.shown) if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("workspace", *self.shown) if obj else ()

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        row, key = ApiKey.issue(
            obj.workspace, obj.name, role=obj.role, created_by_id=request.user.pk
        )
        obj.__dict__.update(row.__dict__)
        messages.warning(request, f"Copy the key now, it is never shown again: {key}")

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        for key in queryset:
            key.revoke()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AgentVersionInline(TabularInline):
    model = AgentVersion
    extra = 0
    fields = readonly_fields = ("version", "created_at", "created_by")
    ordering = ("-version",)
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Agent)
class AgentAdmin(ReadOnly):
    list_display = ("name", "id", "workspace", "version", "archived_at", "created_at")
    list_filter = ("workspace",)
    search_fields = ("name", "id")
    inlines = (AgentVersionInline,)


@admin.register(AgentVersion)
class AgentVersionAdmin(ReadOnly):
    list_display = ("agent", "version", "created_at", "created_by")
    search_fields = ("agent__name", "agent__id")


@admin.register(Environment)
class EnvironmentAdmin(ReadOnly):
    list_display = ("name", "id", "workspace", "archived_at", "created_at")
    list_filter = ("workspace",)
    search_fields = ("name", "id")


@admin.register(EnvironmentImage)
class EnvironmentImageAdmin(ReadOnly):
    list_display = ("id", "status", "package", "image", "queued_at", "finished_at")
    list_filter = ("status",)
    search_fields = ("id", "content_hash", "image", "package")


@admin.register(File)
class FileAdmin(ReadOnly):
    list_display = (
        "filename",
        "id",
        "workspace",
        "size_bytes",
        "scope_id",
        "created_at",
    )
    list_filter = ("workspace", "downloadable")
    search_fields = ("filename", "id", "scope_id")


@admin.register(Skill)
class SkillAdmin(ReadOnly):
    list_display = ("display_name", "name", "id", "workspace", "created_at")
    list_filter = ("workspace",)
    search_fields = ("display_name", "name", "id")


@admin.register(ModelAlias)
class ModelAliasAdmin(ModelAdmin):
    """What `opus` means from now on. Sessions that exist keep what they have."""

    list_display = ("alias", "model")
    list_editable = ("model",)


@admin.register(ModelPrice)
class ModelPriceAdmin(ModelAdmin):
    """What `list_cost` and budgets go by. A change holds for requests from now on."""

    list_display = (
        "model",
        "above_tokens",
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "checked_on",
    )
    search_fields = ("model",)
    list_before_template = "admin/prices_note.html"


@admin.register(UnitPrice)
class UnitPriceAdmin(ModelAdmin):
    list_display = ("unit", "price")
    list_editable = ("price",)
    readonly_fields = ("unit",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
