"""What the agent is told of its network beside what its programs said.

A refused https request reaches the agent as its client words it, and many show nothing
but a status. The proxy's own sentence is added to the call's result.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sandbox.errors import EgressUnavailable
from sandbox.spec import ToolOutcome

MOST = 3

log = logging.getLogger(__name__)


class Refusals(Protocol):
    async def refusals(self, session_id: str, since: float) -> list[str]:
        """Return what a session was refused since a moment. Raises EgressUnavailable."""


async def noted(
    outcome: ToolOutcome, refusals: Refusals, session_id: str, since: float
) -> ToolOutcome:
    """Return the outcome with what was refused while the call ran."""
    try:
        said = await refusals.refusals(session_id, since)
    except EgressUnavailable as error:
        log.info("What session %s was refused is not known: %s", session_id, error)
        return outcome
    return with_note(outcome, said) if said else outcome


def with_note(outcome: ToolOutcome, said: Sequence[str]) -> ToolOutcome:
    more = [f"{len(said) - MOST} more were refused."] if len(said) > MOST else []
    text = "\n".join(["[network]", *said[:MOST], *more])
    return replace(outcome, content=(*outcome.content, {"type": "text", "text": text}))
