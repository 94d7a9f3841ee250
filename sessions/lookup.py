"""Finding a session of the actor's workspace, and its threads."""

from __future__ import annotations

from agents.actors import Actor
from agents.errors import NotFound
from agents.lookup import find
from sessions.models import Session, Thread


def find_session(actor: Actor, session_id: str) -> Session:
    """Return a session.

    Raises:
        NotFound: unknown, or of another workspace.
    """
    return find(Session, actor, session_id)


def find_thread(session: Session, thread_id: str) -> Thread:
    """Return a thread of a session.

    Raises:
        NotFound: the session has none with this id.
    """
    found = session.threads.filter(pk=thread_id).first()
    if found is None:
        raise NotFound(f"session {session.pk} has no thread {thread_id}")
    return found
