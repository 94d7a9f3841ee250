"""Django behind daphne: a request is one trip to one thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

THREADS = 10

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="views")


class Handler(ASGIHandler):
    """Runs middleware and view, all of them synchronous, in a pool that lasts.

    Django's own handler starts a thread with a new database connection for every
    request, and changes between loop and thread at nearly every middleware.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        loop = asyncio.get_running_loop()
        context = copy_context()
        return await loop.run_in_executor(_threads, context.run, self._respond, request)

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        close_old_connections()
        try:
            return self.get_response(request)
        finally:
            close_old_connections()
