"""Paths of the API that belong to definitions and files; `/v1/` stands before each."""

from __future__ import annotations

from django.urls import path, re_path

from agents.api import (
    agents,
    environment_images,
    environments,
    files,
    models,
    skills,
)
from agents.api.openapi import openapi
from agents.api.unbuilt import unbuilt
from agents.http.endpoint import Methods

urlpatterns = [
    path("agents", Methods(GET=agents.index, POST=agents.create)),
    path("agents/<agent_id>", Methods(GET=agents.retrieve, POST=agents.update)),
    path("agents/<agent_id>/archive", Methods(POST=agents.archive)),
    path("agents/<agent_id>/versions", Methods(GET=agents.versions)),
    path("environments", Methods(GET=environments.index, POST=environments.create)),
    path(
        "environments/<environment_id>",
        Methods(
            GET=environments.retrieve,
            POST=environments.update,
            DELETE=environments.delete,
        ),
    ),
    path("environments/<environment_id>/archive", Methods(POST=environments.archive)),
    path(
        "environments/<environment_id>/image", Methods(GET=environment_images.retrieve)
    ),
    path(
        "environments/<environment_id>/image/log", Methods(GET=environment_images.log)
    ),
    path(
        "environments/<environment_id>/image/rebuild",
        Methods(POST=environment_images.rebuild),
    ),
    path(
        "environments/<environment_id>/image/stop",
        Methods(POST=environment_images.stop),
    ),
    re_path(r"^environments/[^/]+/work(?:/.*)?$", unbuilt),
    path("files", Methods(GET=files.index, POST=files.upload)),
    path("files/<file_id>", Methods(GET=files.retrieve, DELETE=files.delete)),
    path("files/<file_id>/content", Methods(GET=files.content)),
    path("models", Methods(GET=models.index)),
    path("models/<model_id>", Methods(GET=models.retrieve)),
    path("skills", Methods(GET=skills.index, POST=skills.create)),
    path("skills/<skill_id>", Methods(GET=skills.retrieve, DELETE=skills.delete)),
    path(
        "skills/<skill_id>/versions",
        Methods(GET=skills.versions, POST=skills.create_version),
    ),
    path(
        "skills/<skill_id>/versions/<version>",
        Methods(GET=skills.retrieve_version, DELETE=skills.delete_version),
    ),
    path("skills/<skill_id>/versions/<version>/content", Methods(GET=skills.content)),
    path("openapi.json", openapi),
    re_path(
        r"^(?:vaults|deployments|deployment_runs|memory_stores|dreams|tunnels)"
        r"(?:/.*)?$",
        unbuilt,
    ),
]
