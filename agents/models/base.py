"""What every row of a workspace has in common."""

from __future__ import annotations

from django.db import models

from agents.ids import new_id


class IdField(models.CharField):  # type: ignore[type-arg]
    """A primary key such as `agent_01…`, made when the row is made."""

    def __init__(self, prefix: str = "", **kwargs: object) -> None:
        self.prefix = prefix
        kwargs.setdefault("primary_key", True)
        kwargs["max_length"] = 48
        kwargs["editable"] = False
        super().__init__(**kwargs)  # type: ignore[arg-type]

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, object]]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, list(args), {**kwargs, "prefix": self.prefix}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value: str = getattr(model_instance, self.attname)
        if add and not value:
            value = new_id(self.prefix)
            setattr(model_instance, self.attname, value)
        return value


class WorkspaceRow(models.Model):
    """A row that belongs to one workspace and can be listed newest first."""

    workspace = models.ForeignKey(
        "agents.Workspace", on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
