"""What the terminal says once the site is healthy."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import pwd
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from agentsite.conf import Conf

Say = Callable[[str], None]
POLL_SECONDS = 0.3
QUICK_SECONDS = 20.0


async def when_healthy(conf: Conf, say: Say) -> None:
    """Wait for health, telling what is waited for; then say how to go on."""
    told = ""
    answered = False
    began = time.monotonic()
    while True:
        health = await asyncio.to_thread(look, conf)
        parts: dict[str, Any] = health.get("parts", {})
        missing = {name: part for name, part in parts.items() if not part["ok"]}
        image = parts.get("image", {})
        if parts and not missing and image.get("state") == "ready":
            break
        if parts and not missing and not answered:
            answered = True
            say(f"The site answers at {conf.public_url}; {image.get('detail', '')}")
        waits = _waits(missing, with_details=time.monotonic() - began > QUICK_SECONDS)
        if waits != told and waits:
            told = waits
            say(f"Waiting for {waits}")
        await asyncio.sleep(POLL_SECONDS)
    for line in await asyncio.to_thread(lines, conf):
        say(line)


def _waits(missing: dict[str, Any], *, with_details: bool) -> str:
    """Name what is missing; what to do about it only when it takes longer than usual."""
    if not with_details:
        return ", ".join(missing)
    return "; ".join(f"{name}: {part['detail']}" for name, part in missing.items())


def look(conf: Conf) -> dict[str, Any]:
    """Ask the site itself; empty while it does not answer."""
    line = _connection(conf)
    try:
        line.request(
            "GET", "/healthz", headers={"Host": urlsplit(conf.public_url).netloc}
        )
        found: dict[str, Any] = json.loads(line.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        line.close()
    return found


def _connection(conf: Conf) -> http.client.HTTPConnection:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(conf.bind, conf.bind)  # noqa: S104
    if not conf.tls_certificate:
        return http.client.HTTPConnection(host, conf.port, timeout=5)
    # It is our own certificate on our own machine, under a name that is not its own.
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, conf.port, timeout=5, context=unchecked)


def lines(conf: Conf) -> list[str]:
    link = _read(conf, "login_link")
    return [
        "",
        f"Agentsite is ready at {conf.public_url}",
        *([f"  Sign in (once, within a day): {link}"] if link else []),
        "  Another sign-in link:         ./manage.py login_link",
        f"  API key:                      {conf.home / 'api_key'}",
        "  Try it:                       make demo",
        *tunnel(conf),
        *(
            []
            if conf.has_key
            else ["  No ANTHROPIC_API_KEY is set: the model is `scripted-demo`."]
        ),
    ]


def tunnel(conf: Conf) -> list[str]:
    """Under SSH the browser is elsewhere: say how it gets here."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return []
    me = pwd.getpwuid(os.getuid()).pw_name
    there = f"{conf.port}:127.0.0.1:{conf.port}"
    return [f"  From your own machine:        ssh -L {there} {me}@{connection[2]}"]


def _read(conf: Conf, name: str) -> str:
    path = conf.runtime_dir / name
    try:
        return path.read_text().strip()
    except OSError:
        return ""
    finally:
        path.unlink(missing_ok=True)
