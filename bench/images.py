"""An image after one more package, against the same image built from nothing."""

from __future__ import annotations

import statistics
import time
import uuid
from datetime import datetime

from bench.figures import Row
from bench.site import Bench

ROUNDS = 5
LISTED = {"apt": ["tree"], "npm": ["semver@7.6.3"], "pip": ["iniconfig==2.0.0"]}
MORE = ["iniconfig==2.0.0", "six"]


def measure(bench: Bench) -> Row:
    bench.site.wait_for_image()
    rounds = [_round(bench) for _ in range(ROUNDS)]
    whole, again = (statistics.median(each) for each in zip(*rounds, strict=True))
    return Row(
        name="image after one pip package more, of apt, npm and pip",
        measured=f"{again:.1f} s",
        baseline=f"{whole:.1f} s (all of it)",
        result=f"{again / whole:.2f}x",
        target="",
        holds=None,
    )


def _round(bench: Bench) -> tuple[float, float]:
    """Seconds of the whole build, and of the one after a package was added."""
    # With a script of its own, or the round before would have built it already.
    unique = {"setup_script": f"true {uuid.uuid4().hex}"}
    environment = bench.client.beta.environments.create(
        name=f"bench {uuid.uuid4().hex[:8]}",
        config={"type": "cloud", "packages": LISTED, **unique},
    )
    _built(bench, environment.id)
    bench.client.post(
        f"/v1/environments/{environment.id}/image/rebuild", cast_to=object, body={}
    )
    whole = _built(bench, environment.id)
    bench.client.beta.environments.update(
        environment.id, config={"type": "cloud", "packages": {**LISTED, "pip": MORE}}
    )
    return whole, _built(bench, environment.id)


def _built(bench: Bench, environment_id: str) -> float:
    """Wait until the image is ready; how long its last build took."""
    while True:
        image = bench.client.get(
            f"/v1/environments/{environment_id}/image", cast_to=object
        )
        if image["status"] == "failed":
            raise RuntimeError(image["reason"])
        if image["status"] == "ready":
            began, ended = image["started_at"], image["finished_at"]
            between = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
            return between.total_seconds()
        time.sleep(0.2)
