"""Times a tool call in a Docker sandbox against the same command on the host.

Run: python bench/tool_latency.py. Needs a Docker engine, and root or a second group.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from sandbox.docker_provider import DockerProvider
from sandbox.images import ensure_base_image
from sandbox.spec import SandboxSpec

CALLS = 200
SANDBOXES = 5


async def timed(work: Callable[[int], Awaitable[object]], times: int) -> list[float]:
    """Return how long each run took, in milliseconds, shortest first."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def told(what: str, taken: list[float], baseline: list[float]) -> None:
    ratio = median(taken) / median(baseline)
    print(
        f"{what:32} min {taken[0]:7.1f}  p50 {median(taken):7.1f}  "
        f"p95 {taken[int(len(taken) * 0.95)]:7.1f} ms  x{ratio:.1f}"
    )


async def compared(folder: Path) -> None:
    image = await asyncio.to_thread(ensure_base_image, print)
    provider = DockerProvider(
        site="bench",
        runtime_dir=folder / "run",
        state_dir=folder / "state",
        gid=os.getgid() or 10_000,
    )

    async def host(_: int) -> None:
        subprocess.run(["bash", "-c", "true"], check=True)

    async def provision(number: int) -> None:
        spec = SandboxSpec(session_id=f"bench{number}", image=image)
        await (await provider.provision(spec)).close()

    async def call(number: int) -> None:
        await sandbox.execute(f"call{number}", "bash", {"command": "bash -c true"})

    try:
        baseline = await timed(host, CALLS)
        told("bash -c true on the host", baseline, baseline)
        told("a new sandbox", await timed(provision, SANDBOXES), baseline)
        told("the same sandbox again", await timed(provision, SANDBOXES), baseline)
        sandbox = await provider.provision(
            SandboxSpec(session_id="bench0", image=image)
        )
        told("bash -c true in a sandbox", await timed(call, CALLS), baseline)
        await sandbox.close()
    finally:
        for session_id in await provider.sessions():
            await provider.destroy(session_id, keep_workspace=False)
        await provider.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as folder:
        asyncio.run(compared(Path(folder)))
