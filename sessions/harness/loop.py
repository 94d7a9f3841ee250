"""The native loop: ask the model, run the tools it calls, until the turn has an ending.

It can begin anywhere in a turn, since all it goes by is the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sessions.events import Draft, ModelRequestStart, Record
from sessions.harness.contract import (
    RETRIES_EXHAUSTED,
    Ending,
    ToolCall,
    Turn,
    requires_action,
)
from sessions.harness.history import History
from sessions.harness.model import Model, ModelFailed
from sessions.harness.question import next_question
from sessions.harness.reply import (
    closings,
    denial,
    failure_drafts,
    lost_end,
    refused_as_too_long,
)
from sessions.harness.standing import (
    OpenCall,
    errands,
    failures,
    is_interrupted,
    open_calls,
    open_requests,
    settled,
)

RETRY_SECONDS = (1, 2, 5, 15, 30, 60)
LONGEST_WAIT = 300

INTERRUPTED = (
    "The call was interrupted before completion; it may have had effects. "
    "Retry it if it is still wanted."
)


async def run_turn(turn: Turn, model: Model) -> Ending:
    """Go on from wherever the log stands until the turn is over.

    Raises LeaseLost when another host has taken the session over.
    """
    while True:
        records = await turn.records()
        await _end_lost_requests(turn, records)
        if is_interrupted(records):
            await close_interrupted(turn)
        elif asked := errands(records):
            await _run_errands(turn, asked)
            continue
        elif calls := open_calls(records):
            if ending := await _answer(turn, calls):
                return ending
            continue
        if errands(await turn.take_in()):
            continue
        if ending := settled(records) or await _ask(turn, model, records):
            return ending


async def close_interrupted(turn: Turn) -> None:
    """Leave nothing open after an interrupt. The model is not asked."""
    if drafts := closings(await turn.records(), INTERRUPTED, turn.used):
        await turn.emit(*drafts)


async def _end_lost_requests(turn: Turn, records: Sequence[Record]) -> None:
    """A request whose host died is asked again; until then every start has its end."""
    if starts := open_requests(records):
        await turn.emit(*(lost_end(start) for start in starts))


async def _run_errands(turn: Turn, asked: Sequence[Record]) -> None:
    """One after the other: they may be about the same call."""
    for errand in asked:
        await turn.run_errand(errand)


async def _answer(turn: Turn, calls: Sequence[OpenCall]) -> Ending | None:
    """Run what may run; and what asks, once somebody has answered all of it."""
    if free := [each.call for each in calls if not each.asks]:
        await _run_tools(turn, free)
        return None
    await turn.take_decisions()
    records = await turn.records()
    if errands(records):
        return None
    calls = open_calls(records)
    if waiting := [each.call.id for each in calls if each.waits]:
        return requires_action(waiting)
    if denials := [denial(each) for each in calls if each.is_denied]:
        await turn.emit(*denials)
    await _run_tools(turn, [each.call for each in calls if not each.is_denied])
    return None


async def _run_tools(turn: Turn, calls: Sequence[ToolCall]) -> None:
    """Run the calls side by side; each writes its result when it ends."""
    running = [asyncio.ensure_future(turn.execute(call)) for call in calls]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _ask(turn: Turn, model: Model, records: History) -> Ending | None:
    if refusal := await turn.refuse_request():
        return refusal
    question = await next_question(turn, records)
    if question is None:
        return None
    (start,) = await turn.emit(
        Draft(payload=ModelRequestStart(), private=question.mark)
    )
    try:
        reply = await model.stream(question.request, question.listener)
    except ModelFailed as failure:
        return await _fail(turn, start.id, failure, failures(records))
    except asyncio.CancelledError:
        turn.used[start.id] = question.listener.usage  # an interrupt is paid for too
        raise
    # Appended whole: a crash leaves either all of it or nothing.
    written = await turn.emit(*question.drafts(start.id, reply))
    return question.ending(written)


async def _fail(
    turn: Turn, start_id: str, failure: ModelFailed, before: int
) -> Ending | None:
    if failure.too_long:
        await turn.emit(refused_as_too_long(start_id, failure))
        return None
    if not failure.retryable or before >= len(RETRY_SECONDS):
        await turn.emit(*failure_drafts(start_id, failure, "exhausted"))
        return RETRIES_EXHAUSTED
    await turn.emit(*failure_drafts(start_id, failure, "retrying"))
    asked = failure.retry_after or 0
    await turn.back_off(min(max(RETRY_SECONDS[before], asked), LONGEST_WAIT))
    return None
