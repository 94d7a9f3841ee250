"""Everything under /v1/ answers in the API's envelope, with a request id."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from agents.http.envelope import is_api, request_id, wrapped


class EnvelopeMiddleware(MiddlewareMixin):
    """The outermost middleware, so that no refusal of another one escapes it."""

    def process_response(self, request: HttpRequest, response: Any) -> HttpResponse:
        if not is_api(request):
            answer: HttpResponse = response
            return answer
        answer = wrapped(request, response)
        answer["request-id"] = request_id(request)
        return answer
