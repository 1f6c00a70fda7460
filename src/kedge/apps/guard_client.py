"""The trader's way to its guard: one kept connection for permits, and a last word where the trader must not go on."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http.client
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from kedge.api.loopback import is_loopback
from kedge.domain.brake import Trigger, permits_risk
from kedge.domain.canonical import encode
from kedge.domain.errors import AccessRefused, InvalidInput, VenueUnavailable
from kedge.ops.elapsed_clock import elapsed_ns
from kedge.ops.guard_files import permit_key, waiting_requests
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.services.guard_permits import ANSWER_BYTES_MAX, RemotePermits
from kedge.services.permits import LocalIssuer
from kedge.storage.guard_journal import GUARD_JOURNAL, known_generation

NONE: Final = "none"
FIRST_ANSWER_S: Final = 30.0
"""So long a trader waits at its start for the guard's first word; then it goes on, and adds no risk until it hears it."""
REPORT_PATH: Final = "/report"
REPORT_WITHIN_S: Final = 2.0
REPORT_FRESH_NS: Final = 60 * 10**9
_REPORT_DOMAIN: Final = b"kedge/report/v1\n"

_log: Final = logging.getLogger("kedge.permits")


class GuardLink:
    """Asks one guard over one connection that is kept; a question that is given up takes its connection with it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, target: str, headers: dict[str, str]) -> bytes:
        """One question: the body of a good answer.

        Raises
        ------
        VenueUnavailable
            Nobody answers, or not with one.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2), trust_env=False)
        try:
            async with self._session.get(f"{self._url}{target}", headers=headers, allow_redirects=False) as answer:
                body = await answer.content.read(ANSWER_BYTES_MAX)
                status = answer.status
        except aiohttp.ClientError as error:
            broken = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
            raise VenueUnavailable(broken, why=f"no connection to {self._url}", fix="kedge guard") from None
        if status != 200:
            raise VenueUnavailable(f"it answered {status}", why="that is no permit", fix="look at the guard's log")
        return body

    async def close(self) -> None:
        """Let go of the connection."""
        if self._session is not None:
            await self._session.close()


def checked_guard(given: str) -> str:
    """`--guard` as an address, empty for none.

    Raises
    ------
    InvalidInput
        It is neither `none` nor an http address of this machine.
    """
    if given == NONE:
        return ""
    try:
        parts = urlsplit(given)
        sound = parts.scheme == "http" and bool(parts.port) and is_loopback(parts.hostname or "") and not parts.path.strip("/")
    except ValueError:
        sound = False
    if not sound:
        raise InvalidInput(
            f"--guard is {given[:80]!r}",
            why="a guard answers on its own machine only",
            fix="such as --guard http://127.0.0.1:8081, or none",
        )
    return given.rstrip("/")


def remote_permits(url: str, state_folder: Path, account: str) -> tuple[RemotePermits, GuardLink]:
    """The client of a guard, and its connection, to be closed with it.

    Raises
    ------
    InvalidConfig, RecordingFailed
        The key that both share cannot be had.
    """
    link = GuardLink(url)
    permits = RemotePermits(link, account=account, key=permit_key(state_folder), pid=os.getpid(), clock_ns=elapsed_ns)
    return permits, link


async def first_word(permits: RemotePermits, stopped: asyncio.Event, say: Callable[[str], None], within_s: float = FIRST_ANSWER_S) -> None:
    """Wait until the guard has said where the brake is, at most so long."""
    deadline_s = time.monotonic() + within_s
    while permits.told is None and time.monotonic() < deadline_s and not stopped.is_set():
        await permits.ask_once()
        if permits.told is None:
            say(permits.problem)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stopped.wait()


def local_issuer(rung: str, state_folder: Path, account: str) -> LocalIssuer:
    """Permits without a guard: none while a brake is on that a guard left on this account, or while a request for it waits.

    Raises
    ------
    AccessRefused
        The rung takes a guard, or the brake is on now.
    """
    journal = guard_folder(state_folder) / GUARD_JOURNAL
    latch = LatchFile(latch_path(state_folder), account, known=lambda: known_generation(journal))

    def may_grant() -> bool:
        return permits_risk(latch.read().level) and not waiting_requests(state_folder)

    found = latch.read()
    if not permits_risk(found.level):
        raise AccessRefused(
            f"the brake of this account is {found.level}",
            why=f"{found.trigger or 'unknown'}: {found.reason or found.observed}; a trader without a guard does not get around it",
            fix="start the guard (kedge guard), then: kedge brake release",
        )
    return LocalIssuer(rung, elapsed_ns, may_grant)


# the last word --------------------------------------------------------------------------------------------------------


def report_mac(key: bytes, account: str, trigger: str, reason: str, said_wall_ns: int, nonce: str) -> str:
    """What signs a trader's report: over everything that it says."""
    return hmac.new(key, _REPORT_DOMAIN + encode([account, trigger, reason, said_wall_ns, nonce]), "sha256").hexdigest()


def report(url: str, state_folder: Path, account: str, trigger: Trigger, reason: str) -> bool:
    """Tell the guard that this trader must not go on; whether it heard. Never raises: the trader is ending for a reason of its own."""
    said_wall_ns, nonce, why = time.time_ns(), secrets.token_hex(16), reason[:300]
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REPORT_WITHIN_S)
    try:
        mac = report_mac(permit_key(state_folder), account, str(trigger), why, said_wall_ns, nonce)
        body = {"trigger": str(trigger), "reason": why, "said_wall_ns": str(said_wall_ns), "nonce": nonce, "mac": mac}
        link.request("POST", REPORT_PATH, json.dumps(body).encode(), {"Content-Type": "application/json"})
        heard = link.getresponse().status == 200
    except Exception as error:
        _log.error("the guard could not be told: %s", error)
        return False
    finally:
        link.close()
    return heard
