"""Finds a host's addresses once, and dials exactly those that were judged."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

RESOLVE_SECONDS = 10.0
THREADS = 64
AT_ONCE = 8  # of one session
CONNECT_SECONDS = 15.0
MOST_ADDRESSES = 8  # tried of one name: whoever owns it says how many there are
STAGGER_SECONDS = 0.25
READ_LIMIT = 256 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Unresolvable(Exception):
    """A host has no address."""


class Unreachable(Exception):
    """None of a host's addresses answers."""


class Resolver:
    """Asks the system's resolver for one session, in threads that all of them share.

    A session's slow names occupy a few threads, and keep its own names waiting only.
    """

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.threads = threads
        self.turns = asyncio.Semaphore(AT_ONCE)

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self.turns.acquire()
                # Shielded: a thread goes on with a name for which nobody waits any more.
                found = await asyncio.shield(self._looked_up(host, port))
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Unresolvable(
                f"{host} has no address: {str(error) or 'no answer'}"
            ) from error
        return found

    async def _looked_up(self, host: str, port: int) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.threads, look_up, host, port)
        finally:
            self.turns.release()


def resolving_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "resolve")


def look_up(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sixes = [str(one[4][0]) for one in found if one[0] == socket.AF_INET6]
    fours = [str(one[4][0]) for one in found if one[0] == socket.AF_INET]
    mixed = [one for pair in zip_longest(sixes, fours) for one in pair if one]
    return tuple(dict.fromkeys(mixed))


async def dial(addresses: tuple[str, ...], port: int) -> Streams:
    """Connect to the first address that answers, trying the next after a moment."""
    attempts: set[asyncio.Task[Streams]] = set()
    errors: list[str] = []
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            for address in addresses[:MOST_ADDRESSES]:
                attempts.add(asyncio.create_task(connect(address, port)))
                won = await first(attempts, errors, STAGGER_SECONDS)
                if won:
                    return won
            while attempts:
                won = await first(attempts, errors, None)
                if won:
                    return won
    except TimeoutError:
        errors.append(f"no answer within {CONNECT_SECONDS:g} s")
    finally:
        for attempt in attempts:
            attempt.cancel()
    raise Unreachable("; ".join(errors))


async def connect(address: str, port: int) -> Streams:
    return await asyncio.open_connection(address, port, limit=READ_LIMIT)


async def first(
    attempts: set[asyncio.Task[Streams]], errors: list[str], seconds: float | None
) -> Streams | None:
    """Return a connection that was made meanwhile; drop the attempts that failed."""
    done, _ = await asyncio.wait(
        attempts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
    )
    won: Streams | None = None
    for attempt in done:
        attempts.discard(attempt)
        error = attempt.exception()
        if error:
            errors.append(str(error))
        elif won is None:
            won = attempt.result()
        else:
            attempt.result()[1].close()
    return won
