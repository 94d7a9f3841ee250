"""Django behind daphne: what a request goes through."""

from __future__ import annotations

import threading

import pytest
from channels.testing import HttpCommunicator

from agents.http import endpoint
from agentsite.asgi import application
from tests.sessions.streams.test_opening import response

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_request_is_answered_by_a_thread_of_the_pool(api_key, monkeypatch):
    threads = []
    authenticate = endpoint.authenticate

    def noting(request):
        threads.append(threading.current_thread().name)
        return authenticate(request)

    monkeypatch.setattr(endpoint, "authenticate", noting)
    headers = [(b"host", b"localhost"), (b"x-api-key", api_key.encode())]
    asked = HttpCommunicator(application, "GET", "/v1/models", headers=headers)
    assert (await response(asked))["status"] == 200
    assert [name.split("_")[0] for name in threads] == ["views"]
