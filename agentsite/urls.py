"""Where everything is: the API under /v1/, and the pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("v1/", include("agents.urls_api")),
    path("v1/", include("sessions.urls_api")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
