"""One guard process: its files and keys, its venue, its door, its copies for readers, and how it ends.

Rules: the latch, the requests of people and the door come before the venue, so that the brake can be engaged while nothing answers; nothing
that fails to be written stops it; it leaves an account with risk on only when it was told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.api import listening
from kedge.apps.guard_http import GuardDoor, status_bytes
from kedge.apps.guard_market import MarketKnown, ask_patiently, venue_settings
from kedge.apps.guard_metrics import GuardMetrics
from kedge.apps.guard_openings import LEAVES, Openings
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.apps.wiring import redactor
from kedge.domain.errors import InvalidInput, RecordingFailed
from kedge.domain.venue import GuardVenue
from kedge.market.catalogue import VENUE
from kedge.ops import guard_files
from kedge.ops.build import engine_version
from kedge.ops.config import Config
from kedge.ops.elapsed_clock import elapsed_ns
from kedge.ops.health_file import GUARD, remove_health_file, write_health_file
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.ops.logs import fields, logging_to
from kedge.ops.metrics import PrometheusMetrics, write_metrics
from kedge.ops.paper_keys import GUARD as GUARD_KEY
from kedge.ops.paper_keys import PaperKey, paper_key
from kedge.ops.process_lock import ProcessLock
from kedge.ops.settings import to_e8
from kedge.ops.state_folder import keys_folder
from kedge.risk.brake.triggers import TriggerLimits
from kedge.services import guard_door
from kedge.services.guard.guard import Guard
from kedge.services.guard.settings import ClosingSettings, GuardSettings
from kedge.services.guard.status import GuardStatus
from kedge.services.guard_record import KeptRecords
from kedge.services.risk_colours import read_colours
from kedge.storage.guard_journal import GUARD_JOURNAL, GuardWriter, known_generation
from kedge.storage.keys import load_or_create_key

LOOK_S: Final = 0.2
"""How often requests are looked for, and whether the copies for readers are out of date."""
COPY_S: Final = 1.0


def run_guard(settings: Config, *, venue: str, symbols: tuple[str, ...], port: int, stays: bool, quiet: bool) -> dict[str, Any]:
    """Guard until told to end; the last status.

    Raises
    ------
    Conflict
        Another guard watches this account, or somebody listens at the port.
    KedgeError
        What a restart cannot mend, such as a secret that others can read.
    """
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = settings.settings.account
    with ProcessLock(guard_files.lock_path(folder), what=f"the guard of {account}"):
        key = paper_key(folder, GUARD_KEY)
        secrets = [key.api_secret, guard_files.operator_token(folder), guard_files.permit_key(folder).hex(), *settings.secret_values()]
        with logging_to(folder, GUARD, secrets=secrets, console=sys.stderr.isatty() and not quiet) as logger:
            process = GuardProcess(settings, key, logger, venue=venue, symbols=symbols, port=port, stays=stays)
            try:
                return run_until_stopped(process.run)
            except Exception:
                logger.exception("guard failed")
                raise


def guard_settings(settings: Config, symbols: tuple[str, ...]) -> GuardSettings:
    """The guard's settings from the configuration."""
    plain = settings.settings.guard
    return GuardSettings(
        account=settings.settings.account,
        instruments=tuple(sorted(f"{VENUE}:{symbol}" for symbol in symbols)),
        triggers=msgspec.convert(plain.triggers.engine_values(), TriggerLimits),
        closing=ClosingSettings(participation_e8=to_e8(plain.participation_frac), collar_bps=plain.collar_bps),
    )


class LoggedAlarm:
    """Calls by the log, at the highest severity; what stands there is for whoever watches it, and for the status."""

    def __init__(self, logger: logging.Logger, metrics: GuardMetrics) -> None:
        self._log, self._metrics = logger, metrics

    def page(self, code: str, words: str) -> None:
        """As the port says."""
        self._metrics.paged(code)
        self._log.critical("%s", words, extra=fields(event="page", code=code))


class GuardProcess:
    """The parts of one guard."""

    def __init__(
        self, settings: Config, key: PaperKey, logger: logging.Logger, *, venue: str, symbols: tuple[str, ...], port: int, stays: bool
    ) -> None:
        self._settings, self._key, self._log = settings, key, logger
        self._venue_url, self._port, self._stays = venue, port, stays
        self._folder = settings.state_folder
        self._account = settings.settings.account
        self._plan = guard_settings(settings, symbols)
        self._prometheus = PrometheusMetrics()
        self._metrics = GuardMetrics(self._prometheus)
        self._alarm = LoggedAlarm(logger, self._metrics)
        path = guard_folder(self._folder) / GUARD_JOURNAL
        self._records = KeptRecords(path, functools.partial(self._open_writer, path))
        self._latch = LatchFile(latch_path(self._folder), self._account, known=functools.partial(known_generation, path))
        self._market = MarketKnown(self._folder, self._latch, self._records, self._log)
        self._url = ""
        self._copied: tuple[Any, ...] = ()
        self._copied_s = float("-inf")

    async def run(self, stopping: Stopping) -> dict[str, Any]:
        """Guard until the end."""
        self._unless_disk_is_full(self._latch.begin)
        await asyncio.to_thread(self._records.start)
        market = asyncio.create_task(ask_patiently(self._venue_url, self._log))
        if not await _unless_stopped(market, stopping):
            self._records.close()
            raise InvalidInput("the guard never began", why="the exchange did not answer before the end", fix="start the exchange first")
        self._unless_disk_is_full(lambda: self._market.meet(market.result()))
        guard = self._make(market.result().speed)
        self._openings = Openings(guard, self._records, self._settings, self._log)
        sockets = listening.listen("127.0.0.1", self._port)
        door = GuardDoor(
            self._openings.doors(),
            account=self._account,
            token=guard_files.operator_token(self._folder),
            key=guard_files.permit_key(self._folder),
            clock_s=time.monotonic,
            wall_ns=time.time_ns,
        )
        loop = asyncio.get_running_loop()
        guard.holder.listeners.append(lambda: self._tell_soon(loop))
        self._take_requests(guard)
        running = asyncio.create_task(guard.run())
        beside = asyncio.create_task(self._look(guard))
        try:
            await door.start(sockets)
            self._url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            self._log.info("guarding", extra=fields(url=self._url, venue=self._venue_url, level=str(guard.status().latch.level)))
            await self._until_told(guard, running, beside, stopping)
        finally:
            self._openings.leaves = LEAVES
            guard.stop(stopping.reason or "failed")
            await asyncio.gather(running, return_exceptions=True)
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await door.close()
            last = msgspec.to_builtins(self._openings.status())
            with contextlib.suppress(OSError):
                self._write_copy()
                remove_health_file(self._folder, GUARD)
            await asyncio.to_thread(self._records.close)
        if running.done() and not running.cancelled() and (error := running.exception()) is not None:
            raise error
        return {"url": self._url, **last}

    def _unless_disk_is_full(self, work: Callable[[], None]) -> None:
        """Do what can be left undone: a guard that cannot write still cancels and closes."""
        try:
            work()
        except RecordingFailed as error:
            self._alarm.page("DISK", str(error))

    def _make(self, speed: int) -> Guard:
        wanted = venue_settings(self._venue_url, self._plan.instruments, speed)
        return Guard(
            functools.partial(self._connect, wanted),
            self._latch,
            self._records,
            self._plan,
            alarm=self._alarm,
            wall_ns=time.time_ns,
            monotonic_ns=elapsed_ns,
            version=engine_version(),
            colours=functools.partial(read_colours, self._folder),
        )

    def _connect(self, wanted: Any) -> GuardVenue:
        from kedge.venues.bybit.credentials import Rung, load_credentials
        from kedge.venues.bybit.guard_venue import BybitGuardVenue

        credentials = load_credentials(Rung.PAPER, {}, {"api_key": self._key.api_key, "api_secret": self._key.api_secret})
        return BybitGuardVenue(wanted, credentials, self._prometheus)

    def _open_writer(self, path: Path) -> GuardWriter:
        return GuardWriter(
            path,
            self._account,
            signer=load_or_create_key(keys_folder(self._folder)),
            engine_version=engine_version(),
            wall_ns=time.time_ns,
            redactor=redactor(self._settings),
        )

    # the end ----------------------------------------------------------------------------------------------------------

    async def _until_told(self, guard: Guard, running: asyncio.Task[None], beside: asyncio.Task[None], stopping: Stopping) -> None:
        """Until somebody asks for the end and means it: with risk on that takes a second signal or a flat book, unless told to leave."""
        asked = asyncio.create_task(stopping.asked.wait())
        await asyncio.wait({running, beside, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        self._openings.leaves = LEAVES
        if not stopping.asked.is_set() or not self._stays:
            return
        if what := risk_of(guard.status()):
            told = f"asked to end with {what}: permits stop, the guard stays until a second signal or until nothing is left"
            self._alarm.page("GUARD_ASKED_TO_END", told)
            print(told, file=sys.stderr, flush=True)
        while risk_of(guard.status()) and not running.done() and not beside.done():
            again = asyncio.create_task(stopping.again.wait())
            await asyncio.wait({running, beside, again}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            again.cancel()
            if stopping.again.is_set():
                self._alarm.page("GUARD_ENDS_WITH_RISK", f"told twice to end: nobody watches over {risk_of(guard.status())} any more")
                return

    # requests, and copies for readers -----------------------------------------------------------------------------------

    async def _look(self, guard: Guard) -> None:
        while True:
            try:
                if await asyncio.to_thread(guard_files.waiting_requests, self._folder):
                    self._take_requests(guard)
                self._openings.look_at_clocks()
                self._tell()
            except Exception:  # nothing of this may end the guard
                self._log.exception("a look at requests and copies failed")
            await asyncio.sleep(LOOK_S)

    def _take_requests(self, guard: Guard) -> None:
        """Carry out what people left while the door did not answer; a request is gone once the latch holds."""
        for path in guard_files.waiting_requests(self._folder):
            asked = guard_files.read_request(path)
            actor_id, reason = asked.actor_id.strip()[:100] or "unknown", guard_door.readable_reason(asked.reason)
            latch = guard.engage(asked.level, actor_id=actor_id, reason=reason, source=f"request by {asked.source[:40]}")
            self._log.warning("brake engaged by a request", extra=fields(event="brake", level=str(latch.level), file=path.name))
            guard_files.remove_request(path)

    def _tell(self) -> None:
        """Renew the copies, each second and at each change; what cannot be written is no reason to stop."""
        status, now_s = self._openings.status(), time.monotonic()
        state = (status.latch, status.permits == "", status.latch_is_durable, status.is_flat, status.journal)
        if state == self._copied and now_s - self._copied_s < COPY_S:
            return
        self._copied, self._copied_s = state, now_s
        self._metrics.show(status)
        with contextlib.suppress(OSError):
            self._write_copy()
            said = {"url": self._url, "account": self._account, "level": str(status.latch.level), "permits": status.permits}
            if self._url:
                write_health_file(self._folder, GUARD, said, datetime.now(UTC))
            write_metrics(self._folder, GUARD, self._prometheus.text())

    def _tell_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Right after the latch changed, and not before what it changes is under way."""
        loop.call_soon(self._tell)

    def _write_copy(self) -> None:
        guard_files.write_status(self._folder, status_bytes(self._openings.status()))


def risk_of(status: GuardStatus) -> str:
    """What is open on the account, in words; empty where nothing is. What was never read may be anything."""
    if status.view_age_ns is None:
        return "an account that was never read"
    orders = status.orders.resting + status.orders.conditional
    found = [f"{len(status.positions)} positions"] if status.positions else []
    return " and ".join([*found, *([f"{orders} orders"] if orders else [])])


async def _unless_stopped(task: asyncio.Task[Any], stopping: Stopping) -> bool:
    """Wait for a task; False when the stop came first."""
    asked = asyncio.create_task(stopping.asked.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    return True
