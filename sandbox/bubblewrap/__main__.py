"""Runs the engine of bubblewrap sandboxes: python -m sandbox.bubblewrap."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from sandbox.bubblewrap.boxes import Boxes
from sandbox.bubblewrap.server import BoxServer
from sandbox.errors import EngineUnavailable
from sandbox.places import Places


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.bubblewrap", description=__doc__)
    parser.add_argument("--site", required=True, help="the name its sandboxes carry")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="images and files")
    parser.add_argument("--gid", type=int, required=True, help="of those who may ask")
    return parser.parse_args()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    options = arguments()
    places = Places(
        runtime_dir=options.runtime_dir, state_dir=options.state_dir, gid=options.gid
    )
    boxes = Boxes(site=options.site, places=places, folder=options.folder)
    try:
        boxes.ping()
    except EngineUnavailable as reason:
        sys.exit(str(reason))
    with BoxServer(options.socket, boxes) as server:
        # Sandboxes go on: whoever ends them asks for it (`stop_sandboxes`).
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server.serve_forever()


if __name__ == "__main__":
    main()
