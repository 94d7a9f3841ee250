"""Workspaces, who belongs to them, what they may do, and the keys of programs."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

from django.conf import settings
from django.db import models
from django.utils import timezone

from agents.models.base import IdField

KEY_PREFIX = "sk-agentsite-"


class Workspace(models.Model):
    id = IdField("wrkspc")
    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", "Owner"  # everything, members and keys included
    BUILDER = "builder", "Builder"  # defines agents and environments, and runs them
    OPERATOR = "operator", "Operator"  # starts and steers sessions
    VIEWER = "viewer", "Viewer"  # looks


class Act(StrEnum):
    """What somebody may want to do; `may` says who may."""

    LOOK = "look"
    RUN = "run"  # create, steer, archive and delete sessions; upload files
    BUILD = "build"  # create and change agents and environments
    ADMINISTER = "administer"  # members, keys, settings


ALLOWED: dict[Role, frozenset[Act]] = {
    Role.VIEWER: frozenset({Act.LOOK}),
    Role.OPERATOR: frozenset({Act.LOOK, Act.RUN}),
    Role.BUILDER: frozenset({Act.LOOK, Act.RUN, Act.BUILD}),
    Role.OWNER: frozenset(Act),
}


def may(role: str, act: Act) -> bool:
    """Say whether a member of this role may do this. The only place that knows."""
    return act in ALLOWED[Role(role)]


class Member(models.Model):
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="members"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "user"], name="one_membership_per_workspace"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    def may(self, act: Act) -> bool:
        return may(self.role, act)


class ApiKey(models.Model):
    """A program's key. Only a hash is kept, so the key is shown once."""

    id = IdField("apikey")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=120)
    hint = models.CharField(max_length=24, help_text="How the key begins and ends.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.BUILDER)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @classmethod
    def issue(
        cls, workspace: Workspace, name: str, **extra: object
    ) -> tuple[ApiKey, str]:
        """Make a key; return its row and the key itself, which is never seen again."""
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            workspace=workspace,
            name=name,
            hint=f"{key[:17]}…{key[-4:]}",
            digest=digest_of(key),
            **extra,
        )
        return row, key

    @classmethod
    def find(cls, key: str) -> ApiKey | None:
        """Return the living key row of this key, if there is one."""
        return (
            cls.objects.select_related("workspace")
            .filter(digest=digest_of(key), revoked_at=None)
            .first()
        )

    def revoke(self) -> None:
        ApiKey.objects.filter(pk=self.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )


def digest_of(key: str) -> str:
    # The key holds 256 random bits, so a plain hash cannot be searched backwards.
    return hashlib.sha256(key.encode()).hexdigest()
