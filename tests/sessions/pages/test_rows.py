"""Events as rows: what each says, and that hostile text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sessions.events import PAYLOADS, EventType, Record, parse
from sessions.log import Frame
from sessions.templatetags.events import render_event, render_frames
from tests.sessions.pages.conftest import text

BEGAN = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)

SAMPLES = {
    "user.message": {"content": text("Hello")},
    "user.tool_confirmation": {"tool_use_id": "sevt_1", "result": "allow"},
    "user.custom_tool_result": {"custom_tool_use_id": "sevt_1"},
    "system.message": {"content": text("Be brief")},
    "agent.custom_tool_use": {"name": "weather", "input": {"city": "Rome"}},
    "agent.thread_message_sent": {
        "to_session_thread_id": "t",
        "content": text("Look"),
    },
    "agent.thread_message_received": {
        "from_session_thread_id": "t",
        "content": text("Seen"),
    },
    "session.thread_created": {"session_thread_id": "t", "agent_name": "a"},
    "agent.message": {"content": text("Hello")},
    "agent.tool_use": {"name": "bash", "input": {"command": "ls"}},
    "agent.tool_result": {"tool_use_id": "sevt_1", "content": text("out")},
    "session.status_idle": {"stop_reason": {"type": "end_turn"}},
    "session.error": {"error": {"type": "unknown_error", "message": "It broke."}},
    "session.usage": {"usage": {"input_tokens": 1}},
    "span.model_request_end": {
        "model_request_start_id": "sevt_1",
        "model_usage": {"input_tokens": 77_000, "output_tokens": 531},
    },
    "agentsite.tool_started": {"tool_use_id": "sevt_1"},
    "agentsite.tool_look": {"tool_use_id": "t", "call": "bash", "sender": "Alice"},
    "agentsite.tool_looked": {
        "tool_use_id": "t",
        "errand_id": "e",
        "found": "nothing",
    },
    "agentsite.tool_rerun": {
        "tool_use_id": "t",
        "attempt": 2,
        "call": "bash",
        "sender": "Alice",
    },
    "agentsite.tool_late_result": {
        "tool_use_id": "t",
        "errand_id": "e",
        "attempt": 2,
        "outcome": "run_again",
        "call": "bash",
        "sender": "Alice",
    },
    "agentsite.tool_marked_done": {
        "tool_use_id": "t",
        "call": "bash",
        "sender": "Alice",
    },
    "agentsite.results_trimmed": {"through": 9, "results": 3, "tokens": 41_000},
    "agentsite.resources_changed": {"by": "Alice"},
    "agentsite.sandbox_opened": {"provider": "bubblewrap", "files": "new"},
    "agentsite.sandbox_stopped": {"idle_minutes": 15, "snapshot_bytes": 2_000_000},
    "agentsite.sandbox_removed": {"days": 30},
    "agentsite.outputs_captured": {},
    "agentsite.egress_refused": {
        "host": "evil.example",
        "port": 443,
        "rule": "not_allowed",
        "reason": "not among the hosts",
    },
    "agentsite.host_allowed": {
        "host": "evil.example",
        "scope": "session",
        "by": "alice",
    },
    "agentsite.repository_cloned": {
        "resource_id": "sesrsc_1",
        "url": "https://git.example/books.git",
        "mount_path": "/workspace/books",
    },
    "agentsite.unknown": {"stored_type": "agent.from_the_future"},
    "agentsite.waiting": {"reason": "Waiting for the base image"},
    "session.thread_status_running": {"session_thread_id": "t", "agent_name": "a"},
    "session.thread_status_idle": {
        "session_thread_id": "t",
        "agent_name": "a",
        "stop_reason": {"type": "end_turn"},
    },
    "session.thread_status_rescheduled": {"session_thread_id": "t", "agent_name": "a"},
    "session.thread_status_terminated": {"session_thread_id": "t", "agent_name": "a"},
}


def record(kind, number=1, **payload):
    moment = BEGAN + timedelta(seconds=number)
    return Record(
        id=f"sevt_{number}",
        seq=number,
        position=number,
        payload=parse(kind, payload or SAMPLES.get(kind, {})),
        created_at=moment,
        processed_at=moment,
    )


def shown(*records):
    frames = [Frame(number=each.seq, record=each, queued=False) for each in records]
    return "\n".join(render_frames(frames))


def row(kind, **payload):
    return render_event(record(kind, **payload))


@pytest.mark.parametrize("kind", list(PAYLOADS))
def test_every_type_of_event_has_a_partial(kind):
    html = row(kind.value)
    assert "{%" not in html
    if html:
        assert html.startswith("<")


def test_every_row_can_be_linked_to_and_has_its_number():
    html = row("agent.message", content=text("Hi"))
    assert 'id="sevt_1"' in html
    assert 'data-number="1"' in html


def test_prose_is_markdown():
    html = row("agent.message", content=text("A **bold** `word`\n\n- one"))
    assert "<strong>bold</strong>" in html
    assert "<li>one</li>" in html


def test_code_in_prose_is_coloured():
    assert 'class="k"' in row("agent.message", content=text("```python\nreturn 1\n```"))


HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[x](javascript:alert(1))",
    "![x](https://example.org/pixel.png)",
    '<a href="data:text/html,x">x</a>',
    "```html\n<script>alert(1)</script>\n```",
    "<svg/onload=alert(1)>",
    "</article></div><script>alert(1)</script>",
    '`<b onmouseover="alert(1)">`',
]


HERE = "HERE"
PLACES = {
    "prose": ("agent.message", {"content": text(HERE)}),
    "person": ("user.message", {"content": text(HERE), "agentsite_sender": HERE}),
    "tool": ("agent.tool_use", {"name": HERE, "input": {"command": HERE}}),
    "command": ("agent.tool_use", {"name": "bash", "input": {"command": HERE}}),
    "argument": ("agent.tool_use", {"name": "x", "input": {HERE: HERE}}),
    "diff": (
        "agent.tool_use",
        {
            "name": "edit",
            "input": {"file_path": HERE, "old_string": HERE, "new_string": "y"},
        },
    ),
    "output": ("agent.tool_result", {"tool_use_id": HERE, "content": text(HERE)}),
    "denial": (
        "user.tool_confirmation",
        {"tool_use_id": "t", "result": "deny", "deny_message": HERE},
    ),
    "custom": ("agent.custom_tool_use", {"name": HERE, "input": {HERE: HERE}}),
    "answer": (
        "user.custom_tool_result",
        {"custom_tool_use_id": "t", "content": text(HERE)},
    ),
    "error": ("session.error", {"error": {"type": HERE, "message": HERE}}),
    "title": ("session.updated", {"title": HERE}),
    "waiting": ("agentsite.waiting", {"reason": HERE}),
    "summary": ("agent.thread_context_compacted", {"agentsite_summary": HERE}),
    "recovery": (
        "agentsite.recovery",
        {"cut": HERE, "calls": [{"name": HERE, "outcome": HERE}]},
    ),
    "refusal": (
        "session.status_idle",
        {"stop_reason": {"type": "refusal"}, "stop_details": {"explanation": HERE}},
    ),
}


def put(words, into):
    """The payload with these words in each place that says HERE."""
    return json.loads(json.dumps(into).replace(HERE, json.dumps(words)[1:-1]))


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("place", PLACES)
def test_hostile_text_stays_text(place, words):
    kind, payload = PLACES[place]
    html = row(kind, **put(words, payload))
    tags = re.findall(r"<[a-z/][^>]*>", html)
    assert not [tag for tag in tags if re.search(r"(?i)<script|<img|<svg/", tag)]
    assert not [tag for tag in tags if re.search(r"(?i)\son[a-z]+\s*=", _bare(tag))]
    links = re.findall(r'(?i)(?:href|src)="([^"]*)"', "".join(tags))
    assert all(link.startswith(("https://", "/static/")) for link in links)
    assert html.count("<article") == html.count("</article>")


def _bare(tag):
    """A tag without its attributes' values."""
    return re.sub(r'"[^"]*"', '""', tag)


def test_links_in_prose_go_out_without_a_trace():
    html = row("agent.message", content=text("[docs](https://example.org)"))
    assert 'href="https://example.org"' in html
    assert "noopener" in html


def test_a_picture_is_shown_only_from_its_own_bytes():
    def result(**source):
        block = {"type": "image", "source": source}
        return row("agent.tool_result", tool_use_id="sevt_1", content=[block])

    inline = result(type="base64", media_type="image/png", data="iVBORw0KGgo=")
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in inline
    assert "<img" not in result(type="url", url="https://example.org/x.png")
    assert "<img" not in result(type="base64", media_type="image/svg+xml", data="PA==")


def test_terminal_output_is_plain_text_in_its_last_state():
    noise = "\x1b[31mred\x1b[0m\n10%\r100%\nnul\x00"
    html = row("agent.tool_result", tool_use_id="sevt_1", content=text(noise))
    assert "red\n100%\nnul\ufffd" in html


def test_long_output_shows_its_beginning_and_its_end():
    long = "first " + "x" * 50_000 + " last"
    html = row("agent.tool_result", tool_use_id="sevt_1", content=text(long))
    assert len(html) < 25_000
    assert "first" in html
    assert "last" in html
    assert "characters left out" in html


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("bash", {"command": "ls\n-la"}, "ls -la"),
        ("bash", {"restart": True}, "restart the shell"),
        ("read", {"file_path": "/a", "view_range": [3, -1]}, "/a lines 3-end"),
        ("write", {"file_path": "/a", "content": "x"}, "/a"),
        ("grep", {"pattern": "VAT", "path": "src"}, "VAT in src"),
        ("other", {"a": 1}, "{&quot;a&quot;:1}"),
        ("bash", {}, ""),
        ("read", {"file_path": "/a", "view_range": "odd"}, "/a"),
        ("read", {"file_path": "/a", "view_range": ["x", None]}, "/a"),
    ],
)
def test_a_call_is_said_in_one_line(name, given, said):
    html = row("agent.tool_use", name=name, input=given)
    assert f'<span class="sum">{said}</span>' in html


def test_a_call_and_its_result_are_one_row():
    html = shown(
        record("agent.tool_use", 1, name="bash", input={"command": "ls"}),
        record("agentsite.tool_started", 2, tool_use_id="sevt_1"),
        record("agent.tool_result", 4, tool_use_id="sevt_1", content=text("a.txt")),
    )
    assert html.count("<article") == 1
    assert 'data-state="done"' in html
    assert ">2s</span>" in html
    assert "a.txt" in html
    assert "<template" not in html


@pytest.mark.parametrize(
    ("later", "state"),
    [
        ([], "waiting"),
        ([("agentsite.tool_started", {})], "running"),
        ([("agent.tool_result", {"is_error": True})], "failed"),
        ([("agent.tool_result", {})], "done"),
    ],
)
def test_a_call_says_how_it_stands(later, state):
    call = record("agent.tool_use", 1, name="bash", input={"command": "ls"})
    parts = [
        record(kind, number, tool_use_id="sevt_1", **more)
        for number, (kind, more) in enumerate(later, start=2)
    ]
    assert re.search(r'data-state="(\w+)"', shown(call, *parts))[1] == state


def test_a_result_whose_call_is_on_an_earlier_page_stands_alone():
    html = shown(record("agent.tool_result", 9, tool_use_id="sevt_1"))
    assert 'data-for="sevt_1"' in html


def test_a_request_shows_its_tokens_with_cached_ones_counted():
    html = shown(
        record("span.model_request_start", 1),
        record(
            "span.model_request_end",
            2,
            model_request_start_id="sevt_1",
            model_usage={
                "input_tokens": 120,
                "cache_read_input_tokens": 76_000,
                "cache_creation_input_tokens": 1_000,
                "output_tokens": 531,
            },
        ),
    )
    assert "77k in · 531 out" in html


def test_an_error_says_what_to_do():
    error = {
        "type": "model_overloaded_error",
        "message": "529",
        "retry_status": {"type": "exhausted"},
    }
    html = row("session.error", error=error)
    assert 'data-kind="error"' in html
    assert "Send a message to go on from this point." in html


def test_a_queued_message_stands_last_and_says_so():
    queued = record("user.message", 1, content=text("Later."))
    later = record("agent.message", 2, content=text("Now."))
    frames = [
        Frame(number=1, record=_untaken(queued), queued=True),
        Frame(number=2, record=later, queued=False),
    ]
    html = "\n".join(render_frames(frames))
    assert html.index("Now.") < html.index("Later.")
    assert "Queued" in html


def _untaken(each):
    return Record(
        id=each.id,
        seq=each.seq,
        position=None,
        payload=each.payload,
        created_at=each.created_at,
    )


def test_what_only_the_harness_may_read_is_in_no_row():
    for kind in EventType:
        each = record(kind.value)
        secret = Record(**{**vars(each), "private": {"thinking": "SECRET"}})
        assert "SECRET" not in render_event(secret)


def test_a_summary_is_there_to_be_opened():
    html = row("agent.thread_context_compacted", agentsite_summary="We **had** two.")
    assert "<details" in html
    assert "<strong>had</strong>" in html
    assert "<details" not in row("agent.thread_context_compacted")


def test_a_request_for_a_summary_says_so():
    start = replace(record("span.model_request_start"), private={"condenses": True})
    assert "asking the model for a summary" in render_event(start)
    assert "summary" not in row("span.model_request_start")


def test_trimmed_results_are_counted():
    html = row("agentsite.results_trimmed", through=9, results=1, tokens=41_000)
    assert "1 old tool result (about 41k tokens)" in html


def test_a_call_that_asks_shows_its_command_and_the_buttons():
    call = record(
        "agent.tool_use", **SAMPLES["agent.tool_use"] | {"evaluated_permission": "ask"}
    )
    html = shown(call)
    assert 'name="allow"' in html
    assert "<details open>" in html
    word = record("user.tool_confirmation", 2, tool_use_id=call.id, result="allow")
    answered = shown(call, word)
    assert 'name="allow"' not in answered
    assert "Allowed" in answered


def test_a_custom_call_is_answered_once():
    call = record("agent.custom_tool_use", name="weather", input={"city": "Rome"})
    assert 'name="answer"' in shown(call)
    result = record(
        "user.custom_tool_result", 2, custom_tool_use_id=call.id, content=text("Sun")
    )
    assert 'name="answer"' not in shown(call, result)
    assert "Sun" in shown(call, result)


@pytest.mark.parametrize(
    ("payload", "said", "unsaid"),
    [
        ({"title": "New"}, "Title is now “New”", "removed"),
        ({"title": None}, "The title was removed", "Title is now"),
        ({"metadata": {"a": "1"}}, "Metadata changed", "itle"),
        ({}, "The metadata was cleared", "itle"),
    ],
)
def test_an_update_is_said_in_words(payload, said, unsaid):
    html = row("session.updated", **payload)
    assert said in html
    assert unsaid not in html.split("</time>")[-1]
