"""Paths of the API that belong to sessions; `/v1/` stands before each."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
