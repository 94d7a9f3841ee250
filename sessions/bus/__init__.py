"""The bus: nudges and text previews between processes. What is lost costs no data."""

from sessions.bus.groups import HOSTS_GROUP, session_group
from sessions.bus.listener import Listener
from sessions.bus.publisher import Publisher
from sessions.bus.sender import nudge, wake_hosts

__all__ = [
    "HOSTS_GROUP",
    "Listener",
    "Publisher",
    "nudge",
    "session_group",
    "wake_hosts",
]
