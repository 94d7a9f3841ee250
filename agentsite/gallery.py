"""The gallery of components at /_ui/: every part of the look on one page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from agents.views.comparison import compare
from sessions.events import Record, parse
from sessions.log import Frame
from sessions.templatetags.events import render_frames

BEGAN = datetime(2026, 11, 22, 14, 21, 40, tzinfo=UTC)

TOOLS = [{"configs": [{"name": "bash", "enabled": True}]}]
OLD = {
    "name": "Bookkeeper",
    "description": "Closes the books.",
    "model": {"id": "sonnet", "effort": {"type": "high"}},
    "tools": TOOLS,
    "skills": [],
    "metadata": {},
    "system": "You close the books.\nBe careful with rounding.\nAsk when in doubt.",
}
NEW = OLD | {
    "model": {"id": "opus", "effort": {"type": "high"}},
    "system": "You close the books.\nRound half to even, never up.\nAsk when in doubt.",
}

ANSWER = """I'll start by reading the **invoice parser** and its tests.

- `parser.py` does the splitting
- `totals.py` adds tax

```python
def total(lines: list[Line]) -> Decimal:
    return sum((line.amount for line in lines), Decimal("0.00"))
```
"""

STORY: list[tuple[str, dict[str, Any]]] = [
    (
        "user.message",
        {
            "content": [{"type": "text", "text": "Close November. Start with tests."}],
            "agentsite_sender": "mara",
        },
    ),
    ("agentsite.waiting", {"reason": "Waiting for the base image (62 of 180 MB)"}),
    ("agentsite.waiting", {"reason": "Waiting for the base image", "over": True}),
    ("span.model_request_start", {}),
    ("agent.thinking", {}),
    ("agent.message", {"content": [{"type": "text", "text": ANSWER}]}),
    (
        "span.model_request_end",
        {
            "model_request_start_id": "sevt_ui4",
            "model_usage": {"input_tokens": 77_120, "output_tokens": 531},
        },
    ),
    (
        "agent.tool_use",
        {"name": "bash", "input": {"command": "python -m billing.report --month 11"}},
    ),
    (
        "agent.tool_use",
        {
            "name": "edit",
            "input": {
                "file_path": "billing/totals.py",
                "old_string": "round(total, 2)",
                "new_string": 'total.quantize(Decimal("0.01"))',
            },
        },
    ),
    ("agent.tool_use", {"name": "read", "input": {"file_path": "billing/parser.py"}}),
    (
        "agent.tool_use",
        {"name": "grep", "input": {"pattern": "VAT", "path": "billing"}},
    ),
    ("agentsite.tool_started", {"tool_use_id": "sevt_ui8"}),
    ("agentsite.tool_started", {"tool_use_id": "sevt_ui9"}),
    ("agentsite.tool_started", {"tool_use_id": "sevt_ui10"}),
    (
        "agent.tool_result",
        {
            "tool_use_id": "sevt_ui8",
            "content": [{"type": "text", "text": "14 passed in 0.42s"}],
        },
    ),
    (
        "agent.tool_result",
        {
            "tool_use_id": "sevt_ui9",
            "content": [{"type": "text", "text": "old_string was not found"}],
            "is_error": True,
        },
    ),
    (
        "session.error",
        {
            "error": {
                "type": "model_overloaded_error",
                "message": "The model is overloaded (529).",
                "retry_status": {"type": "retrying"},
            }
        },
    ),
    ("agentsite.recovery", {"calls": [{"name": "bash", "outcome": "unknown"}]}),
    ("agentsite.results_trimmed", {"through": 21, "results": 9, "tokens": 41_000}),
    (
        "agentsite.repository_cloned",
        {
            "resource_id": "sesrsc_2",
            "url": "https://git.example/team/books.git",
            "mount_path": "/workspace/books",
            "commit": "ab12cd34" * 5,
            "seconds": 2.4,
        },
    ),
    (
        "agentsite.outputs_captured",
        {
            "files": [
                {
                    "id": "file_1",
                    "path": "report/november.csv",
                    "size_bytes": 18_400,
                    "mime_type": "text/csv",
                }
            ],
            "left_out": [
                {"path": "raw.bin", "reason": "the file is larger than 500 MB"}
            ],
            "left_out_count": 1,
        },
    ),
    (
        "agentsite.resources_changed",
        {
            "by": "Alice",
            "added": [
                {
                    "id": "sesrsc_1",
                    "type": "file",
                    "name": "november.csv",
                    "mount_path": "/mnt/session/uploads/november.csv",
                }
            ],
        },
    ),
    ("agent.thread_context_compacted", {"agentsite_summary": ANSWER}),
    ("user.interrupt", {"agentsite_sender": "mara"}),
    ("session.status_idle", {"stop_reason": {"type": "end_turn"}}),
    (
        "user.message",
        {
            "content": [{"type": "text", "text": "And then October."}],
            "agentsite_sender": "mara",
        },
    ),
]


class SampleForm(forms.Form):
    name = forms.CharField(help_text="As people will call it.")
    model = forms.ChoiceField(choices=[("opus", "opus"), ("sonnet", "sonnet")])
    wrong = forms.CharField(label="With an error", max_length=4)


def gallery(request: HttpRequest) -> HttpResponse:
    if not settings.DEBUG and not getattr(request.user, "is_staff", False):
        raise Http404
    form = SampleForm({"name": "Bookkeeper", "model": "opus", "wrong": "too long"})
    messages.success(request, "Saved as version 7. Running sessions keep theirs.")
    messages.error(request, "Not archived: the session is still working.")
    context = {
        "form": form,
        "chunks": render_frames(canned_frames()),
        "lines": compare(OLD, NEW),
        "snippet": "curl http://127.0.0.1:8400/v1/agents",
    }
    return render(request, "gallery.html", context)


def canned_frames() -> list[Frame]:
    """A short session that never ran, with every kind of row."""
    last = len(STORY)
    return [
        Frame(
            number=number,
            record=_record(number, queued=number == last),
            queued=number == last,
        )
        for number in range(1, last + 1)
    ]


def _record(number: int, *, queued: bool) -> Record:
    kind, payload = STORY[number - 1]
    moment = BEGAN + timedelta(seconds=3.7 * number)
    return Record(
        id=f"sevt_ui{number}",
        seq=number,
        position=None if queued else number,
        payload=parse(kind, payload),
        created_at=moment,
        processed_at=None if queued else moment,
    )
