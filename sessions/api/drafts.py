"""From checked client events to drafts for the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agents.actors import Actor
from agents.errors import NotFound
from agents.http.validation import Params
from agents.models import File
from sessions import events
from sessions.api.params import (
    CustomToolResult,
    DocumentBlock,
    FileSource,
    ImageBlock,
    UserMessage,
)


def drafts(actor: Actor, sent: Sequence[Params]) -> list[events.Draft]:
    """Return what the log is to queue.

    Raises:
        NotFound: a block names a file that is not in this workspace.
    """
    _require_files(actor, sent)
    return [
        events.Draft(payload=_payload(actor, each.given()), queued=True)
        for each in sent
    ]


def _payload(actor: Actor, said: dict[str, Any]) -> events.Payload:
    said["agentsite_sender"] = actor.name
    return events.parse(said["type"], said)


def _require_files(actor: Actor, sent: Sequence[Params]) -> None:
    wanted = set(_file_ids(sent))
    if not wanted:
        return
    known = File.objects.filter(workspace=actor.workspace, pk__in=wanted)
    for missing in sorted(wanted - set(known.values_list("pk", flat=True))):
        raise NotFound.of("file", missing)


def _file_ids(sent: Sequence[Params]) -> Iterator[str]:
    for message in sent:
        if isinstance(message, UserMessage | CustomToolResult):
            for block in message.content or ():
                if isinstance(block, ImageBlock | DocumentBlock) and isinstance(
                    block.source, FileSource
                ):
                    yield block.source.file_id
