"""Serves the scripted model: `python -m sessions.harness.scripted_model --port 0`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from sessions.harness.scripted_model.server import ScriptedModelServer


async def serve(port: int) -> None:
    """Serve until SIGINT or SIGTERM; the first line printed is the address."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ScriptedModelServer(port=port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripted_model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
