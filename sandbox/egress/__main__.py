"""Runs the egress proxy: python -m sandbox.egress --runtime-dir DIR --records DIR."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
from pathlib import Path

from sandbox.egress.paths import EgressPaths
from sandbox.egress.records import Spool
from sandbox.egress.server import EgressServer

SEAL_KEY = "AGENTSITE_EGRESS_SEAL"
"""Of one run of the site: it lets a proxy that is started again read what it kept."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.egress", description=__doc__)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--extra-ca", type=Path)
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    records = Spool(options.records)
    paths = EgressPaths(runtime_dir=options.runtime_dir)
    server = EgressServer(
        paths, records, seal_key=os.environ.get(SEAL_KEY), extra_ca=options.extra_ca
    )
    running = asyncio.ensure_future(server.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    records.close()


def allow_many_files() -> None:
    """Each connection takes two of them, and the usual limit is far too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    allow_many_files()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
