"""The site as an ASGI application: streams and sockets beside Django."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")
django = get_asgi_application()  # before anything that needs the models

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from agentsite.origins import SameOrigin  # noqa: E402
from sessions import routing  # noqa: E402

rest: Any = django
application = ProtocolTypeRouter(
    {
        "http": URLRouter([*routing.http, re_path(r"", rest)]),
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(routing.websocket))),
    }
)
