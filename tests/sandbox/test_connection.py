"""What a host believes of a tool server: nothing that does not hold."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox import connection
from sandbox.errors import FileUnavailable, OutcomeUnknown, SandboxGone
from sandbox.socket_sandbox import SocketSandbox
from sandbox.spec import Files, Limits, Origin

Answering = Callable[[dict[str, Any]], bytes | None]

ORIGIN = Origin(provider="docker", files=Files.RUNNING)


@asynccontextmanager
async def liar(folder: Path, answering: Answering) -> AsyncIterator[SocketSandbox]:
    """A sandbox whose tool server answers as it likes; None ends the connection."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            answer = answering(json.loads(line))
            if answer is None:
                break
            writer.write(answer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_unix_server(accept, folder / "s")
    sandbox = SocketSandbox("sesn_1", folder / "s", Limits(), ORIGIN)
    try:
        yield sandbox
    finally:
        await sandbox.close()
        server.close()
        await asyncio.gather(*serving, return_exceptions=True)


def answer(request: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": request["id"], **fields}).encode() + b"\n"


def text(value: Any) -> dict[str, Any]:
    return {
        "content": [{"type": "text", "text": value}],
        "is_error": False,
        "seconds": 0,
    }


async def test_a_stop_that_comes_with_the_answer_is_not_lost(tmp_path: Path) -> None:
    class Answered(connection.Connection):
        async def send(self, op: str, **fields: Any) -> asyncio.Future[Any]:
            return arrived

    arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(Answered(tmp_path).ask("ping", seconds=5))
    await asyncio.sleep(0)
    arrived.set_result({})
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        [],
        {"content": []},
        {"content": "text"},
        text(""),
        text(7),
        text("x" * 500_000),
        {"content": [{"type": "tool_use", "id": "x"}], "seconds": 0},
        {**text("a"), "seconds": float("inf")},
        {**text("a"), "spilled": 5},
        {"content": [{"type": "image", "source": {"media_type": "text/html"}}]},
        {
            "content": [
                {"type": "image", "source": {"media_type": "image/png", "data": "<>"}}
            ]
        },
    ],
)
async def test_a_forged_outcome_is_refused(runtime_dir: Path, outcome: Any) -> None:
    forged = lambda request: answer(request, outcome=outcome)  # noqa: E731
    async with liar(runtime_dir, forged) as sandbox:
        with pytest.raises(OutcomeUnknown, match="call_1"):
            await sandbox.execute("call_1", "bash", {"command": "x"})


@pytest.mark.parametrize("line", [b"nonsense\n", b"[" * 100_000 + b"\n", b"[]\n"])
async def test_an_answer_that_is_not_an_object_ends_the_connection(
    runtime_dir: Path, line: bytes
) -> None:
    async with liar(runtime_dir, lambda _: line) as sandbox:
        with pytest.raises(OutcomeUnknown):
            await sandbox.execute("call_1", "bash", {"command": "x"})


async def test_an_endless_answer_ends_the_connection(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_BYTES", 10_000)
    async with liar(runtime_dir, lambda _: b"x" * 50_000) as sandbox:
        with pytest.raises(OutcomeUnknown):
            await sandbox.execute("call_1", "bash", {"command": "x"})


async def test_an_answer_to_nobody_is_ignored(runtime_dir: Path) -> None:
    def both(request: dict[str, Any]) -> bytes:
        forged = answer({"id": 999}, outcome=text("forged"))
        return forged + answer(request, outcome=text("true"))

    async with liar(runtime_dir, both) as sandbox:
        outcome = await sandbox.execute("call_1", "bash", {"command": "x"})
    assert outcome.content[0]["text"] == "true"


async def test_text_that_no_database_takes_is_mended(runtime_dir: Path) -> None:
    odd = lambda request: answer(request, outcome=text("a\0\ud800b"))  # noqa: E731
    async with liar(runtime_dir, odd) as sandbox:
        outcome = await sandbox.execute("call_1", "bash", {"command": "x"})
    assert outcome.content[0]["text"] == "a?b"


async def test_a_lost_answer_is_collected_on_a_new_connection(
    runtime_dir: Path,
) -> None:
    def forgetful(request: dict[str, Any]) -> bytes | None:
        if request["op"] == "execute":
            return None
        return answer(request, outcome=text("collected"))

    async with liar(runtime_dir, forgetful) as sandbox:
        outcome = await sandbox.execute("call_1", "bash", {"command": "x"})
    assert outcome.content[0]["text"] == "collected"


async def test_a_call_without_a_memory_of_it_is_never_sent_again(
    runtime_dir: Path,
) -> None:
    asked: list[str] = []

    def amnesiac(request: dict[str, Any]) -> bytes | None:
        asked.append(request["op"])
        return None if request["op"] == "execute" else answer(request, unknown=True)

    async with liar(runtime_dir, amnesiac) as sandbox:
        with pytest.raises(OutcomeUnknown, match="no memory"):
            await sandbox.execute("call_1", "bash", {"command": "x"})
    assert asked == ["execute", "outcome"]


async def test_a_socket_that_is_a_link_is_not_followed(runtime_dir: Path) -> None:
    other = runtime_dir / "other.sock"
    server = await asyncio.start_unix_server(lambda *_: None, other)
    (runtime_dir / "s").symlink_to(other)
    sandbox = SocketSandbox("sesn_1", runtime_dir / "s", Limits(), ORIGIN)
    with pytest.raises(SandboxGone, match="sesn_1"):
        await sandbox.execute("call_1", "bash", {"command": "x"})
    server.close()


async def test_a_file_that_never_ends_is_given_up(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.socket_sandbox.FILE_BYTES", 1_000)
    endless = lambda request: answer(request, data="A" * 400, last=False)  # noqa: E731
    async with liar(runtime_dir, endless) as sandbox:
        with pytest.raises(FileUnavailable, match="larger than 1000 bytes"):
            await sandbox.read("/workspace/endless")


async def test_a_sandbox_that_is_not_there_was_asked_nothing(runtime_dir: Path) -> None:
    sandbox = SocketSandbox("sesn_1", runtime_dir / "nothing", Limits(), ORIGIN)
    asked: list[Awaitable[Any]] = [
        sandbox.execute("call_1", "bash", {"command": "x"}),
        sandbox.outcome("call_1"),
        sandbox.cancel("call_1"),
        sandbox.read("/x"),
    ]
    for one in asked:
        with pytest.raises(SandboxGone, match="sesn_1"):
            await one


async def test_parting_from_a_call_that_runs_leaves_no_complaint(
    runtime_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    def silent(request: dict[str, Any]) -> bytes:
        asked.set()
        return b""

    async with liar(runtime_dir, silent) as sandbox:
        call = asyncio.create_task(sandbox.execute("call_1", "bash", {"command": "x"}))
        await asked.wait()
        call.cancel()
        await asyncio.wait({call})
        del call
    gc.collect()
    assert not caplog.records
