"""`GET /healthz`: is each part of the site there, and if not, what to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from agentsite import engine
from sandbox import image_status
from sandbox.bubblewrap.client import RemoteBoxes
from sandbox.egress.paths import EgressPaths
from sandbox.errors import EngineUnavailable
from sessions import liveness
from sessions.queue import CLUSTERS, heartbeat

FRESH_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Part:
    ok: bool
    state: str
    detail: str


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    parts = {name: check() for name, check in checks()}
    ready = all(part.ok for part in parts.values())
    body = {
        "status": "ready" if ready else "not ready",
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    response = JsonResponse(body, status=200 if ready else 503)
    # Who waits for health asks often: not every answer is a line in the log.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def checks() -> Iterator[tuple[str, Callable[[], Part]]]:
    yield "database", _database
    yield "bus", _bus
    yield "queue", _queue
    yield "scheduler", _scheduler
    yield "engine", _engine
    yield "image", _image
    yield "egress", _egress
    yield "model", _model


def _ready(detail: str = "") -> Part:
    return Part(ok=True, state="ready", detail=detail)


def _down(detail: str) -> Part:
    return Part(ok=False, state="down", detail=detail)


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return _down(f"The database does not answer ({error}): look at DATABASE_URL.")
    return _ready(connection.vendor)


def _bus() -> Part:
    client = Redis.from_url(settings.AGENTSITE.bus_url, socket_timeout=2)
    try:
        client.ping()
    except RedisError as error:
        return _down(
            f"The bus does not answer ({error}): look at REDIS_URL, or the log."
        )
    finally:
        client.close()
    return _ready()


def _queue() -> Part:
    stale = [name for name in CLUSTERS if not _fresh(name)]
    if stale:
        return _down(
            f"No worker of {' and '.join(stale)} has looked for work lately: start "
            "`manage.py up --roles worker,jobs`, or look at its log."
        )
    return _ready(f"{', '.join(CLUSTERS)} look for work")


def _fresh(cluster: str) -> bool:
    try:
        return time.time() - heartbeat(cluster).stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False


def _scheduler() -> Part:
    """Hosts are what ticks: they claim turns, and whatever else is due."""
    hosts = liveness.alive()
    if not hosts:
        return _down("No harness host ticks: start `manage.py up --roles worker`.")
    working = sum(host["sessions"] for host in hosts)
    return _ready(f"{len(hosts)} hosts tick, {working} sessions run")


def _engine() -> Part:
    if settings.AGENTSITE.sandbox == "bubblewrap":
        return _boxes()
    if engine.answers(timeout=3):
        return _ready(engine.address())
    return _down(
        f"The container engine at {engine.address()} does not answer: start it."
    )


def _boxes() -> Part:
    try:
        notes = RemoteBoxes(settings.AGENTSITE.boxes_socket).notes()
    except EngineUnavailable as error:
        return _down(f"{error} Start the site again, or look at its log.")
    return _ready(" ".join(["bubblewrap.", *notes]))


def _image() -> Part:
    found = image_status.read(settings.AGENTSITE.home)
    state, detail = found["state"], found["detail"]
    if state == "ready":
        return _ready()
    if state == "failed":
        return _down(f"{detail} Mend that and start the site again.")
    # Not a reason to turn people away: sessions say that they wait, and for what.
    waits = f"the base image is not ready yet ({detail}): sessions wait for it"
    return Part(ok=True, state=state, detail=waits)


def _egress() -> Part:
    control = EgressPaths(runtime_dir=settings.AGENTSITE.runtime_dir).control
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(2)
        try:
            line.connect(str(control))
        except OSError as error:
            return _down(
                f"The egress proxy does not answer ({error}): start "
                "`manage.py up --roles egress`, or look at its log."
            )
    return _ready()


def _model() -> Part:
    conf = settings.AGENTSITE
    if conf.has_key:
        return _ready(conf.anthropic_base_url)
    return Part(
        ok=True,
        state="scripted",
        detail="No ANTHROPIC_API_KEY is set: only the scripted model answers.",
    )
