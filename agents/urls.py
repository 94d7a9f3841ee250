"""Pages on what may run."""

from __future__ import annotations

from django.urls import path

from agents.views import agents, environments, keys, skills, workspaces

urlpatterns = [
    path("agents", agents.index),
    path("agents/new", agents.create),
    path("agents/<str:agent_id>", agents.show),
    path("agents/<str:agent_id>/edit", agents.edit),
    path("agents/<str:agent_id>/versions", agents.versions),
    path("agents/<str:agent_id>/archive", agents.archive),
    path("environments", environments.index),
    path("environments/new", environments.create),
    path("environments/<str:environment_id>", environments.show),
    path("environments/<str:environment_id>/edit", environments.edit),
    path("environments/<str:environment_id>/image", environments.image),
    path("environments/<str:environment_id>/image/rebuild", environments.rebuild),
    path("environments/<str:environment_id>/image/stop", environments.stop_build),
    path("environments/<str:environment_id>/archive", environments.archive),
    path("environments/<str:environment_id>/delete", environments.delete),
    path("skills", skills.index),
    path("skills/new", skills.create),
    path("skills/<str:skill_id>", skills.show),
    path("skills/<str:skill_id>/versions", skills.add_version),
    path("skills/<str:skill_id>/versions/<str:version_id>/download", skills.download),
    path("skills/<str:skill_id>/delete", skills.delete),
    path("keys", keys.index),
    path("keys/new", keys.create),
    path("keys/<str:key_id>/revoke", keys.revoke),
    path("workspace", workspaces.choose),
]
