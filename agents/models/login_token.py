"""One-time sign-in links. Only a hash is kept."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from agents.models.workspace import digest_of

LIFETIME = timedelta(hours=24)


class LoginToken(models.Model):
    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"sign-in link of {self.user}"

    @classmethod
    def issue(cls, user: User) -> str:
        """Make a token; the answer is the only copy."""
        token = secrets.token_urlsafe(32)
        cls.objects.filter(expires_at__lt=timezone.now()).delete()
        cls.objects.create(
            digest=digest_of(token), user=user, expires_at=timezone.now() + LIFETIME
        )
        return token

    @classmethod
    def find(cls, token: str) -> LoginToken | None:
        """Return the unused, living token, without using it."""
        return (
            cls.objects.select_related("user")
            .filter(
                digest=digest_of(token), used_at=None, expires_at__gt=timezone.now()
            )
            .first()
        )

    def use(self) -> bool:
        """Spend the token; False when somebody was quicker."""
        spent = LoginToken.objects.filter(pk=self.pk, used_at=None)
        return spent.update(used_at=timezone.now()) == 1
