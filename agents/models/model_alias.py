"""The editable table of model aliases: `opus` today means which model?"""

from __future__ import annotations

from django.db import models

SCRIPTED = "scripted-demo"
"""Offered where no key is set: it follows a script and calls no model."""


class ModelAlias(models.Model):
    alias = models.CharField(max_length=64, primary_key=True)
    model = models.CharField(max_length=128)

    class Meta:
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return f"{self.alias} → {self.model}"

    @classmethod
    def resolve(cls, model: str) -> str:
        """Return the concrete model of an alias; any other name is its own."""
        found = cls.objects.filter(alias=model).values_list("model", flat=True).first()
        return found or model
