"""Sandboxes by themselves: how soon one answers, what a call costs, what idle ones take."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from bench.figures import Row, Spread
from bench.site import Bench
from sandbox.docker_provider import DockerProvider
from sandbox.images import ensure_base_image
from sandbox.spec import SandboxSpec

ROUNDS = 12
CALLS = 60
IDLE = 100
GID = 10_000


def measure(bench: Bench) -> list[Row]:
    image = ensure_base_image(lambda line: None)
    return asyncio.run(_measure(image))


async def _measure(image: str) -> list[Row]:
    async with docker(made_ahead=4) as provider:
        engine, cold, warm = [], [], []
        for _ in range(ROUNDS):
            engine.append(_docker_run(image))
            cold.append(await _first_result(provider, image))
        for _ in range(ROUNDS):
            provider.pool.note(_spec(image))
            await provider.tend()
            warm.append(await _first_result(provider, image))
        calls = await _calls(provider, image)
    baseline = Spread.of(engine)
    plain = Spread.of([_plain() for _ in range(CALLS)])
    return [
        _against("sandbox made ahead -> first result", warm, baseline, 0.25),
        _against("sandbox made now -> first result", cold, baseline, 1.3),
        _against("tool call in a sandbox: bash `true`", calls, plain, 2.0),
        await _idle(image),
    ]


def _against(name: str, taken: list[float], baseline: Spread, most: float) -> Row:
    found = Spread.of(taken)
    ratio = found.p50 / baseline.p50
    return Row(
        name=name,
        measured=str(found),
        baseline=str(baseline),
        result=f"{ratio:.2f}x p50",
        target=f"<= {most:g}x",
        holds=ratio <= most,
    )


async def _idle(image: str) -> Row:
    """What each of many sandboxes takes that wait for work."""
    async with docker() as provider:
        before, began = _available_mb(), time.monotonic()
        for first in range(0, IDLE, 4):
            specs = [_spec(image) for _ in range(first, first + 4)]
            found = await asyncio.gather(*map(provider.provision, specs))
            for sandbox in found:
                await sandbox.close()
        each = (before - _available_mb()) / IDLE
        seconds = time.monotonic() - began
    return Row(
        name=f"{IDLE} idle sandboxes: memory each",
        measured=f"{each:.1f} MB; {seconds:.0f} s to make them",
        baseline="",
        result="",
        target="",
        holds=None,
    )


@asynccontextmanager
async def docker(made_ahead: int = 0) -> AsyncIterator[DockerProvider]:
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as folder:
        provider = DockerProvider(
            site=f"bench-{uuid4().hex[:8]}",
            runtime_dir=Path(folder, "r"),
            state_dir=Path(folder, "s"),
            gid=GID,
            made_ahead=made_ahead,
        )
        try:
            yield provider
        finally:
            for session_id in await provider.sessions():
                await provider.destroy(session_id, keep_workspace=False)
            await provider.drain()
            await provider.close()


def _spec(image: str) -> SandboxSpec:
    return SandboxSpec(session_id=f"sesn_{uuid4().hex[:16]}", image=image)


async def _first_result(provider: DockerProvider, image: str) -> float:
    spec = _spec(image)
    began = time.perf_counter()
    sandbox = await provider.provision(spec)
    await sandbox.execute("call", "bash", {"command": "true"})
    taken = time.perf_counter() - began
    await sandbox.close()
    await provider.destroy(spec.session_id, keep_workspace=False)
    return taken


async def _calls(provider: DockerProvider, image: str) -> list[float]:
    sandbox = await provider.provision(_spec(image))
    taken = []
    for number in range(CALLS):
        began = time.perf_counter()
        await sandbox.execute(f"call_{number}", "bash", {"command": "bash -c true"})
        taken.append(time.perf_counter() - began)
    await sandbox.close()
    return taken[5:]


def _docker_run(image: str) -> float:
    began = time.perf_counter()
    words = ["docker", "run", "--rm", "--network", "none", image, "bash", "-c", "true"]
    subprocess.run(words, check=True)
    return time.perf_counter() - began


def _plain() -> float:
    began = time.perf_counter()
    subprocess.run(["bash", "-c", "true"], check=True)
    return time.perf_counter() - began


def _available_mb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise LookupError("MemAvailable")
