"""Serve pages, API and streams over HTTP(S)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Serve the site until SIGTERM. Address and certificate default to settings."
    requires_system_checks = []  # `make check` holds them; a restart is to be quick

    def add_arguments(self, parser: CommandParser) -> None:
        conf = settings.AGENTSITE
        parser.add_argument("--bind", default=conf.bind)
        parser.add_argument("--port", type=int, default=conf.port)
        parser.add_argument("--tls-cert", type=Path, default=conf.tls_certificate)
        parser.add_argument("--tls-key", type=Path, default=conf.tls_key)
        parser.add_argument(
            "--stall",
            type=float,
            default=30.0,
            help="seconds after which a client that does not read is cut off",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # Not at the top: they load the whole site.
        from agentsite.asgi import application
        from agentsite.server import Server

        # A view's thread waits this long for a loop that is busy with streams; at the
        # usual 5 ms it holds the write lock of SQLite meanwhile, and all writers wait.
        sys.setswitchinterval(0.0005)
        endpoint = _endpoint(**{name: options[name] for name in NAMES})
        Server(
            application,
            endpoints=[endpoint],
            stall=options["stall"],
            server_name="agentsite",
            websocket_timeout=-1,
            http_timeout=None,
            **_proxied(),
        ).run()


NAMES = ("bind", "port", "tls_cert", "tls_key")


def _endpoint(
    *, bind: str, port: int, tls_cert: Path | None, tls_key: Path | None
) -> str:
    """The address in twisted's own language, in which a colon must be escaped."""
    if bool(tls_cert) != bool(tls_key):
        raise CommandError("--tls-cert and --tls-key go together")
    interface = _escaped(bind)
    if tls_cert and tls_key:
        files = f"certKey={_escaped(str(tls_cert))}:privateKey={_escaped(str(tls_key))}"
        return f"ssl:port={port}:interface={interface}:{files}"
    return f"tcp:port={port}:interface={interface}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _proxied() -> dict[str, str]:
    """Believe a proxy's headers only where the operator trusts one."""
    if not settings.AGENTSITE.trusted_proxy:
        return {}
    return {
        "proxy_forwarded_address_header": "X-Forwarded-For",
        "proxy_forwarded_proto_header": "X-Forwarded-Proto",
    }
