"""Bodies on their way in: forms are left to Django, and nothing endless is taken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.testing import StringTransport

from agentsite import server


class Channel(StringTransport):
    """As much of a connection as a request needs."""

    transport = None
    factory = SimpleNamespace(server=SimpleNamespace(protocol_connected=print))
    aborted = False

    def forceAbortClient(self):  # noqa: N802 - twisted's name
        self.aborted = True


@pytest.fixture
def request_():
    request = server.Request(Channel(), queued=False)
    request.gotLength(10)
    return request


def test_forms_are_not_read_before_django(request_):
    assert request_._parsePOSTFormSubmission is False


def test_a_body_that_does_not_end_is_cut_off(request_, monkeypatch):
    monkeypatch.setattr(server, "LARGEST_BODY", 8)
    request_.handleContentChunk(b"12345678")
    assert not request_.channel.aborted
    request_.handleContentChunk(b"9")
    assert request_.channel.aborted
