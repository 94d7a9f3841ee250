"""The site as an ASGI application: streams and sockets beside Django."""

from __future__ import annotations

import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")
django.setup(set_prefix=False)  # before anything that needs the models

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from agentsite.handler import Handler  # noqa: E402
from agentsite.origins import SameOrigin  # noqa: E402
from sessions import routing  # noqa: E402

# The loop passes on what streams wait for: no view may keep it waiting for 5 ms.
sys.setswitchinterval(0.0005)

rest: Any = Handler()
application = ProtocolTypeRouter(
    {
        "http": URLRouter([*routing.http, re_path(r"", rest)]),
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(routing.websocket))),
    }
)
