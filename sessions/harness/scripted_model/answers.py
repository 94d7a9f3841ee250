"""Decides what a request is answered with."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sessions.harness.scripted_model.checks import check
from sessions.harness.scripted_model.condensed import is_asked_to_condense, summary
from sessions.harness.scripted_model.demonstration import demonstration
from sessions.harness.scripted_model.errors import Refused
from sessions.harness.scripted_model.script import (
    BadScript,
    Step,
    last_result,
    next_step,
    replies_since,
    result_text,
    script_of,
)
from sessions.harness.scripted_model.usage import check_window


class Answers:
    """Finds the step of a request. What it counts are failures that are to pass."""

    def __init__(self) -> None:
        self._failed: Counter[tuple[bytes, int]] = Counter()

    def step(self, request: Mapping[str, Any]) -> Step:
        """Return the reply to a request, or the way it breaks. Raises Refused."""
        check(request)
        check_window(request)
        if is_asked_to_condense(request["messages"]):
            return summary(request["messages"])
        step = self._scripted(request) or demonstration(
            request["messages"], [tool["name"] for tool in request.get("tools") or ()]
        )
        if step.error and not step.midway:
            raise Refused(step.error, retry_after=step.retry_after)
        return _filled_in(step, request["messages"])

    def _scripted(self, request: Mapping[str, Any]) -> Step | None:
        messages = request["messages"]
        try:
            found = script_of(messages)
        except (BadScript, TypeError) as error:
            raise Refused(400, str(error)) from error
        if found is None:
            return None
        place, steps = found
        turning = next_step(steps, replies_since(messages, place))
        return self._failure(turning.failures, messages) or turning.reply

    def _failure(self, failures: Sequence[Step], messages: Any) -> Step | None:
        """Return the first failure that is not over yet."""
        if not failures:
            return None
        conversation = _digest(messages)
        for number, failure in enumerate(failures):
            seen = (conversation, number)
            if failure.times is None or self._failed[seen] < failure.times:
                self._failed[seen] += 1
                return failure
        return None


def _filled_in(step: Step, messages: Sequence[Mapping[str, Any]]) -> Step:
    if "{{last_result}}" not in step.say:
        return step
    text = result_text(last_result(messages))
    return replace(step, say=step.say.replace("{{last_result}}", text))


def _digest(messages: Any) -> bytes:
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
