"""Tries from inside a sandbox what must not be possible, and says what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sandbox.base import Provider, Sandbox
from sandbox.inside import PROXY
from sandbox.spec import NetworkPolicy, SandboxSpec

CURL = "curl -sS -m 20"
BY_PROXY = f"{CURL} --noproxy '' -x {PROXY}"


@dataclass(frozen=True, kw_only=True)
class Try:
    """A command, and the words that show that it was refused for the right reason."""

    what: str
    command: str
    expected: tuple[str, ...]
    limited_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    what: str
    command: str
    said: str
    is_refused: bool


TRIES = (
    Try(
        what="A host that is not allowed",
        command=f"{CURL} http://not-allowed.example/",
        expected=("not-allowed.example is not among the hosts",),
        limited_only=True,
    ),
    Try(
        what="A private address",
        command=f"{CURL} http://10.0.0.1/",
        expected=("10.0.0.0/8", "10.0.0.1 is not among the hosts"),
    ),
    Try(
        what="This machine",
        command=f"{BY_PROXY} http://127.0.0.1:8400/",
        expected=("127.0.0.0/8", "127.0.0.1 is not among the hosts"),
    ),
    Try(
        what="Cloud metadata",
        command=f"{CURL} http://169.254.169.254/latest/meta-data/",
        expected=("metadata", "169.254.169.254 is not among the hosts"),
    ),
    Try(
        what="A raw address, past the proxy",
        command="curl -sS -m 5 --noproxy '*' http://1.1.1.1/",
        expected=("Couldn't connect", "Failed to connect", "unreachable"),
    ),
    Try(
        what="DNS, past the proxy",
        command="getent hosts example.com || echo no answer",
        expected=("no answer",),
    ),
)


async def check_egress(
    provider: Provider, image: str, network: NetworkPolicy
) -> list[Finding]:
    """Make a sandbox, try everything in it, and remove it. Raises SandboxError."""
    spec = SandboxSpec(
        session_id=f"check_{uuid4().hex[:16]}", image=image, network=network
    )
    try:
        sandbox = await provider.provision(spec)
        limited = network.mode == "limited"
        found = [
            await tried(sandbox, one)
            for one in TRIES
            if limited or not one.limited_only
        ]
        await sandbox.close()
        return found
    finally:
        await provider.destroy(spec.session_id, keep_workspace=False)


async def tried(sandbox: Sandbox, one: Try) -> Finding:
    call = f"check-{uuid4().hex}"
    outcome = await sandbox.execute(call, "bash", {"command": one.command})
    said = str(outcome.content[0].get("text", "")).strip()
    return Finding(
        what=one.what,
        command=one.command,
        said=said,
        is_refused=any(words in said for words in one.expected),
    )
