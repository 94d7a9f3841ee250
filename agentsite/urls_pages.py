"""Everything a person opens: the pages of both apps, accounts, the admin, the gallery."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from agentsite.gallery import gallery

urlpatterns = [
    path("", include("sessions.urls")),
    path("", include("agents.urls")),
    path("_ui/", gallery),
    path("favicon.ico", RedirectView.as_view(url="/static/agentsite/favicon.svg")),
    path("accounts/", include("allauth.urls")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
]
