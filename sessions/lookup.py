"""Finding a session of the actor's workspace."""

from __future__ import annotations

from agents.actors import Actor
from agents.lookup import find
from sessions.models import Session


def find_session(actor: Actor, session_id: str) -> Session:
    """Return a session.

    Raises:
        NotFound: unknown, or of another workspace.
    """
    return find(Session, actor, session_id)
