"""Where everything is: the API under /v1/, and the pages."""

from __future__ import annotations

from django.urls import include, path

from agentsite.failures import failed
from agentsite.health import healthz
from agentsite.login_link import sign_in

handler500 = failed

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("login/<str:token>", sign_in, name="login_link"),
    path("v1/", include("agents.urls_api")),
    path("v1/", include("sessions.urls_api")),
    path("", include("agentsite.urls_pages")),
]
