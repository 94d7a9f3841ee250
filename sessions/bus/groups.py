"""Who hears what: one group for each session, one for all hosts.

On a session's group:
    {"type": "session.nudge", "session_id", "number"}
    {"type": "session.delta", "session_id", "child_id", "frames": [[n, frame], …]}
On the hosts' group:
    {"type": "host.wake", "session_id"}
"""

from __future__ import annotations

HOSTS_GROUP = "hosts"


def session_group(session_id: str) -> str:
    return f"session.{session_id}"
