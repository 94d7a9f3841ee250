"""Sessions, live: server-sent events for programs, a websocket for the page."""

from sessions.consumers.socket import SessionSocket
from sessions.consumers.stream import SessionStream

__all__ = ["SessionSocket", "SessionStream"]
