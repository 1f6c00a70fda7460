"""One trader process: finds its exchange and its run, trades until told to stop or the market ends, tells its status every second."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from kedge.apps import wiring
from kedge.apps.second_venue import second_venue
from kedge.apps.system_loop import Stopping, run_until_stopped
from kedge.apps.trade_earlier import choose_run
from kedge.apps.trade_guard import GuardTies
from kedge.apps.trade_market import Market, ask_market, check_market
from kedge.apps.trade_plan import Options, live_plan, run_settings, venue_settings
from kedge.apps.trade_report import Recorder, limits_in_use, status_of
from kedge.apps.trade_run_folder import RunNote, was_ended, was_taken
from kedge.apps.up_screen import ask, risk_in_words, screen
from kedge.domain.errors import MarketGone, VenueUnavailable
from kedge.domain.units import NS_PER_S
from kedge.kernel.compiling import compile_all, mark_ready
from kedge.ops.config import Config
from kedge.ops.health_file import TRADER
from kedge.ops.logs import fields, logging_to
from kedge.ops.metrics import PrometheusMetrics, write_metrics
from kedge.ops.paper_keys import PaperKey, paper_key
from kedge.ops.state_folder import JOURNAL_NAME, inbox_path, keys_folder, run_folder
from kedge.ops.trader_status import trader_lock, write_trader_status
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KillAt, KillPoints, NoKillPoints
from kedge.services.live import ENDED, STOPPED, LiveTrader
from kedge.services.live_settings import LivePlan, LiveSettings
from kedge.services.live_stop import OnStop, stop
from kedge.services.permits import Permits
from kedge.services.rulings import AccountRulings
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import load_or_create_key
from kedge.venues.bybit.bars import interval_word
from kedge.venues.bybit.credentials import Rung, load_credentials
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.ccxt.venue import CcxtVenue
from kedge.venues.lockstep import LockStep

KILL_AT: Final = "KEDGE_KILL_AT"
STATUS_S: Final = 1.0
ASK_S: Final = 2.0
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 5.0
STOP_S: Final = 15.0
"""Wall time that a stop may take to cancel or close."""
GROUP_IN_STEP: Final = 1_000
"""Records that may share a durable commit within one instant of a simulated market, which waits; what leaves ends the group."""
END_OF_DATA: Final = "END_OF_DATA"
MARKET_GONE: Final = "MARKET_GONE"
FAILED: Final = "failed"


def run_trader(settings: Config, options: Options, *, quiet: bool) -> dict[str, Any]:
    """Trade until the end; the last status.

    Raises
    ------
    Conflict
        Another trader uses this state folder.
    KedgeError
        What a restart cannot mend, such as a refused key; or a journal that cannot be written.
    """
    interval_word(options.interval_ns)
    kill_at = os.environ.get(KILL_AT)
    kill: KillPoints = KillAt.parse(kill_at) if kill_at else NoKillPoints()
    folder = settings.state_folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with trader_lock(folder):
        paper = paper_key(folder)
        with logging_to(folder, TRADER, secrets=[paper.api_secret, *settings.secret_values()]) as logger:
            compile_all()
            process = TraderProcess(settings, options, paper, kill, logger)
            try:
                return run_until_stopped(lambda stopping: process.run(stopping, quiet=quiet))
            except Exception:
                logger.exception("trader failed")
                raise


class TraderProcess:
    """The parts of one trader, and its status from the first moment on."""

    def __init__(self, settings: Config, options: Options, paper: PaperKey, kill: KillPoints, logger: logging.Logger) -> None:
        self._settings, self._options, self._paper, self._kill, self._log = settings, options, paper, kill, logger
        self._folder = settings.state_folder
        self._trader: LiveTrader | None = None
        self._recorder: Recorder | None = None
        self._market = Market(1, True, "unknown", "", 0)
        self._note: RunNote | None = None
        self._venue: BybitVenue | CcxtVenue | None = None
        account = settings.settings.account
        self._guard = GuardTies(options.guard, options.rung, self._folder, account, self._run_id)
        self._rulings = AccountRulings(self._folder, settings.settings.account, wall_ns=time.time_ns)
        self._metrics = PrometheusMetrics()
        self._condition, self._problem = "finding the exchange", ""

    async def run(self, stopping: Stopping, *, quiet: bool) -> dict[str, Any]:
        """Trade until stopped or the market ends; the last status."""
        telling = asyncio.create_task(self._tell())
        try:
            async with contextlib.AsyncExitStack() as held:
                self._condition = "waiting for the guard"
                permits = await self._guard.find(held, stopping.asked, self._say_problem)
                self._condition, self._problem = "finding the exchange", ""
                lockstep = await self._unless_stopped(self._find_market(held), stopping)
                if not stopping.asked.is_set():
                    await self._trade(lockstep, stopping, quiet, permits)
        except BaseException as error:
            self._condition, self._problem = FAILED, str(error)
            if self._trader is not None:
                await self._guard.last_word(error)
            raise
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            if self._condition not in (ENDED, FAILED):
                self._condition = STOPPED
            self._write()
        return self.status()

    def _run_id(self) -> str:
        return self._note.run_id if self._note is not None else ""

    def _say_problem(self, words: str) -> None:
        self._problem = words

    # finding the market and the run -----------------------------------------------------------------------------------

    async def _find_market(self, held: contextlib.AsyncExitStack) -> LockStep | None:
        """Ask the exchange what it plays, for as long as it takes; register when it plays faster than the wall."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                self._market = await ask_market(self._options.venue)
                if self._market.speed == 1:
                    break
                lockstep = LockStep(self._options.venue, TRADER)
                held.push_async_callback(lockstep.close)
                registered = await lockstep.connect()
                self._market = self._market._replace(session=registered.session, venue_ms=registered.venue_ms)
                self._problem = ""
                return lockstep
            except VenueUnavailable as error:
                self._problem = error.what
                self._log.warning("exchange unavailable", extra=fields(why=str(error), again_s=wait_s))
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
        self._problem = ""
        return None

    async def _unless_stopped(self, work: Any, stopping: Stopping) -> Any:
        task, asked = asyncio.ensure_future(work), asyncio.ensure_future(stopping.asked.wait())
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return None
        return await task

    # trading ----------------------------------------------------------------------------------------------------------

    async def _trade(self, lockstep: LockStep | None, stopping: Stopping, quiet: bool, permits: Permits) -> None:
        document = self._rulings.begin(
            wiring.configured_limits(self._settings), wiring.guard_triggers(self._settings) if self._options.guard else None, TRADER
        )
        wanted = run_settings(self._settings, self._options, self._market)
        choice = (self._folder, self._options.rung, wanted, self._market.session, datetime.now(UTC))
        note, known, heritage = await asyncio.to_thread(choose_run, *choice)
        self._note = note
        self._log.info("run", extra=fields(run_id=note.run_id, goes_on=known, market=self._market.session, speed=self._market.speed))
        path = run_folder(self._folder, note.run_id) / JOURNAL_NAME
        key = load_or_create_key(keys_folder(self._folder))
        redactor, group = wiring.redactor(self._settings), 1 if lockstep is None else GROUP_IN_STEP
        with (
            SqliteJournal(path, signer=key, source=self._market.source, group_size=group, redactor=redactor) as journal,
            Inbox(inbox_path(self._folder)) as inbox,
        ):
            if known and was_ended(path, journal.count):
                self._condition = ENDED
                journal.close(seal=True)
                return
            plan = live_plan(self._settings, self._options, self._market, note, document, heritage)
            self._trader = self._make_trader(plan, journal, path, inbox, lockstep, permits)
            self._trader.watchers.append(self._guard.rejects.saw)
            self._recorder = Recorder(self._trader, self._log, self._paper.account)
            try:
                how = await self._watch(self._trader, stopping, quiet)
            except MarketGone:
                if hasattr(self._trader, "core"):  # the run died with its market: nobody goes on with it
                    self._trader.end(MARKET_GONE)
                    journal.close(seal=True)
                raise
            if how == ENDED:
                self._trader.end(END_OF_DATA)
                if lockstep is not None:
                    await lockstep.leave()
            journal.close(seal=how == ENDED)
            self._condition = ENDED if how == ENDED else STOPPED

    def _make_trader(
        self, plan: LivePlan, journal: SqliteJournal, path: Path, inbox: Inbox, lockstep: LockStep | None, permits: Permits
    ) -> LiveTrader:
        return LiveTrader(
            self._make_venue,
            journal,
            lambda: SqliteJournalReader(path),
            plan,
            LiveSettings(speed=self._market.speed, snapshot_every=self._settings.settings.journal.snapshot_every),
            permits=permits,
            monotonic_ns=time.monotonic_ns,
            inbox=inbox,
            lockstep=lockstep,
            kill=self._kill,
            strategy=self._options.loaded,
            same_market=check_market(self._options.venue, self._market.session),
            was_taken=functools.partial(was_taken, self._folder),
            wall_ns=time.time_ns,
            rulings=self._rulings,
        )

    async def _watch(self, trader: LiveTrader, stopping: Stopping, quiet: bool) -> str:
        """Show it, and stop it when asked."""
        running = asyncio.create_task(trader.run())
        ready = asyncio.create_task(trader.ready())
        ready.add_done_callback(lambda done: None if done.cancelled() else mark_ready())
        with screen(f"{self._options.venue} · Ctrl-C stops", quiet=quiet) as shown:
            try:
                while not running.done():
                    status = {**self.status(), "stale": False, "age_s": 0.0}
                    shown.show(status if "funnel" in status else None, [])
                    asked = asyncio.create_task(stopping.asked.wait())
                    await asyncio.wait({running, asked}, timeout=STATUS_S / 2, return_when=asyncio.FIRST_COMPLETED)
                    asked.cancel()
                    if stopping.asked.is_set() and not running.done():
                        how = self._options.on_stop
                        what = risk_in_words(self.status())
                        if how == "ask":
                            with shown.paused():
                                how = await ask(what, stopping.again) if what and stopping.times == 1 else "leave"
                        if how == "go on":
                            stopping.forget()
                            continue
                        self._log.info("stopping", extra=fields(how=how, reason=stopping.reason, risk=what))
                        await self._stop(trader, OnStop(how), stopping.reason)
                        break
                return await running
            finally:
                ready.cancel()
                running.cancel()
                await asyncio.gather(ready, running, return_exceptions=True)

    async def _stop(self, trader: LiveTrader, how: OnStop, reason: str) -> None:
        if not hasattr(trader, "core"):
            trader.finish(STOPPED)  # it never began: nothing of it is anywhere
            return
        done = await stop(trader, how, within_s=STOP_S, actor=getpass.getuser(), reason=reason)
        told = fields(how=how.value, complete=done.complete, orders_left=done.left.orders, positions_left=done.left.positions)
        self._log.log(logging.INFO if done.complete else logging.ERROR, "stopped", extra=told)

    def _make_venue(self) -> BybitVenue | CcxtVenue:
        """A fresh client; the trader makes one for each beginning."""
        options, market = self._options, self._market
        if options.through:
            self._venue = second_venue(options, self._paper)
        else:
            self._venue = BybitVenue(venue_settings(options, market), self._credentials(), self._metrics)
        return self._venue

    def _credentials(self) -> Any:
        return load_credentials(Rung.PAPER, {}, {"api_key": self._paper.api_key, "api_secret": self._paper.api_secret})

    # telling ----------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What is known now."""
        told = {
            "run_id": self._note.run_id if self._note is not None else "",
            "mode": self._options.rung,
            "rung": self._options.rung,
            "source": self._market.source,
            "speed": self._market.speed,
            "venue_url": self._options.venue,
            **self._guard.words(),
            "phase": self._condition,
            "problem": self._problem,
            "limits": [] if self._venue is None else limits_in_use(self._venue.utilisation()),
        }
        if self._trader is None or self._recorder is None:
            return told
        return {
            **told,
            **status_of(self._trader, self._recorder, self._options.interval_ns / NS_PER_S / self._market.speed),
            **self._last_word(),
        }

    def _last_word(self) -> dict[str, Any]:
        """At the end the process's own words, not the trader's."""
        return {"phase": self._condition, "problem": self._problem} if self._condition in (FAILED, STOPPED, ENDED) else {}

    async def _tell(self) -> None:
        while True:
            self._write()
            await asyncio.sleep(STATUS_S)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop trading here: the journal will say so
            write_trader_status(self._folder, self.status(), datetime.now(UTC))
            write_metrics(self._folder, TRADER, self._metrics.text())
