"""The first rows of a site: a workspace, its owner, a key, an environment, aliases."""

from __future__ import annotations

import os
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction

from agents.environment_config import resolve_environment
from agents.models import (
    ApiKey,
    Environment,
    LoginToken,
    Member,
    ModelAlias,
    Role,
    Workspace,
)
from agentsite.conf import Conf

OWNER = "owner"
ALIASES = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
}


def make_first_rows(conf: Conf) -> None:
    """Give a newcomer everything that is needed to begin; later starts add nothing."""
    conf.home.mkdir(parents=True, exist_ok=True)
    with transaction.atomic():
        if Workspace.objects.exists():
            return
        workspace = Workspace.objects.create(name="Default")
        user = _make_owner()
        Member.objects.create(workspace=workspace, user=user, role=Role.OWNER)
        Environment.objects.create(
            workspace=workspace,
            name="default",
            config=resolve_environment(),
        )
        for alias, model in ALIASES.items():
            ModelAlias.objects.get_or_create(alias=alias, defaults={"model": model})
        _, key = ApiKey.issue(workspace, "first key", created_by=user)
        # Within the transaction: no key in the database that nobody has seen.
        write_secret(conf.home / "api_key", key)


def _make_owner() -> User:
    # No password: the owner signs in by a one-time link, and may set one then.
    return User.objects.create_superuser(OWNER, f"{OWNER}@localhost", None)


def login_link(conf: Conf, user: User) -> str:
    """Make an address that signs this user in once."""
    return f"{conf.public_url}/login/{LoginToken.issue(user)}"


def owner() -> User | None:
    """The longest-standing owner of the first workspace."""
    member = (
        Member.objects.filter(role=Role.OWNER, user__is_active=True)
        .select_related("user")
        .order_by("workspace__created_at", "pk")
        .first()
    )
    return member.user if member else None


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
