"""The live trader: one account, one engine, one journal, one venue.

News, timers, commands and what reconciliation finds go through one step without waiting: learn, decide, make durable, hand on. Bars pass
a gate that is closed until the books agree with the venue's. In lock-step with a simulated exchange each instant's bars are taken
together, after everything the venue had sent before, and are acknowledged when all they caused has been answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import CommandGiven, InstrumentChanged, RunEnded
from kedge.domain.record import RunStarted
from kedge.domain.venue import Stream, TradingVenue
from kedge.engine.engine import Engine
from kedge.services.backtest import RunJournal
from kedge.services.bar_gate import BarGate
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KillPoints, NoKillPoints
from kedge.services.live_bars import Bars
from kedge.services.live_books import Books
from kedge.services.live_core import LiveCore, Watcher
from kedge.services.live_desk import Desk
from kedge.services.live_news import News
from kedge.services.live_settings import LivePlan, LiveSettings
from kedge.services.live_start import Begun, LiveStore, begin, instrument_changes
from kedge.services.live_step import InStep, LockStep
from kedge.services.live_timers import Timers
from kedge.services.permits import GRANT_EVERY_S, Permits
from kedge.services.venue_clock import VenueClock
from kedge.strategy.base import Strategy

STOPPED: Final = "stopped"
ENDED: Final = "ended"

_log: Final = logging.getLogger("kedge.live")


class LiveTrader:
    """Trades one account until it is stopped, the market ends, or something fails.

    Parameters
    ----------
    make_venue : callable
        Makes a client of the venue, not yet started. The trader closes it, and makes another one where the start failed.
    journal : RunJournal
        Open for writing, durable with every record. With records in it the run goes on, else it begins.
    stored : callable
        Opens a reader of the same journal; the trader closes it.
    monotonic_ns : callable
        The host's monotonic clock.
    lockstep : LockStep, optional
        Registered already.

    Attributes
    ----------
    condition : str
        What the trader is doing, for people: connecting, beginning, reconciling, trading, stopping, failed.
    watchers : list of callable
        Told of each step: `watcher(event, outputs)`. They must not raise.
    """

    venue: TradingVenue
    core: LiveCore
    desk: Desk
    bars: Bars
    news: News
    books: Books
    timers: Timers

    def __init__(
        self,
        make_venue: Callable[[], TradingVenue],
        journal: RunJournal,
        stored: LiveStore,
        plan: LivePlan,
        settings: LiveSettings,
        *,
        permits: Permits,
        monotonic_ns: Callable[[], int],
        inbox: Inbox | None = None,
        lockstep: LockStep | None = None,
        kill: KillPoints | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self.journal, self.plan, self.settings = journal, plan, settings
        self.permits, self.inbox, self.lockstep, self.monotonic_ns = permits, inbox, lockstep, monotonic_ns
        self.kill: KillPoints = kill or NoKillPoints()
        self.watchers: list[Watcher] = []
        self.condition = "starting"
        self.started: RunStarted | None = None
        self._make_venue, self._stored, self._strategy = make_venue, stored, strategy
        self._tasks: set[asyncio.Task[None]] = set()
        self._stepping: asyncio.Task[None] | None = None
        self._ready, self._wanted, self._why = asyncio.Event(), asyncio.Event(), "start"
        self._commands: frozenset[str] = frozenset()
        self._changes: list[InstrumentChanged] = []
        self._done: asyncio.Future[str] | None = None

    # life -------------------------------------------------------------------------------------------------------------

    async def run(self) -> str:
        """Trade. Returns `STOPPED` after a stop, `ENDED` when the played market is over.

        Raises
        ------
        KedgeError
            What makes going on impossible: a refused key, a journal that cannot be written, records that disagree.
        """
        self._done = asyncio.get_running_loop().create_future()
        self.spawn(self._live())
        try:
            return await self._done
        finally:
            await self._leave()

    async def ready(self) -> None:
        """Wait until the books have been compared for the first time and bars may pass."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def engine(self) -> Engine:
        return self.core.engine

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the rest; what it raises stops the trader."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step
        return task

    def finish(self, how: str) -> None:
        """Let `run` return."""
        if self._done is not None and not self._done.done():
            self._done.set_result(how)

    def fail(self, error: BaseException) -> None:
        """Stop everything with this error; the first one counts."""
        self.condition = "failed"
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def hold(self) -> None:
        """Let no bar pass any more and acknowledge none: a played market waits for whoever goes on with this run."""
        self.bars.hold()
        if self._stepping is not None:
            self._stepping.cancel()

    def end(self, reason: str) -> None:
        """Record that the run is over; it cannot go on afterwards."""
        self.core.step(RunEnded(self.core.now_ns(), reason))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever it is, nothing may go on after it
            self.fail(error)

    async def _leave(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if hasattr(self, "timers"):
            self.timers.close()
        if hasattr(self, "venue"):
            await self.venue.close()

    # beginning --------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        await self._patiently(self._connect, "connecting")
        begun = await self._patiently(self._begin, "beginning")
        self._compose(begun)
        self.permits.renew()
        self.spawn(self._renew())
        self.spawn(self.news.pump())
        if not begun.is_new:
            await self._patiently(self._check_instruments, "checking instruments")
        await self._reconcile()
        self.spawn(self._read_inbox())
        self._stepping = self.spawn(self._keep_reconciling() if self.lockstep is None else self._in_step(self.lockstep))

    async def _connect(self) -> None:
        venue = self._make_venue()
        try:
            await venue.start()
        except BaseException:
            await venue.close()
            raise
        self.venue = venue

    async def _begin(self) -> Begun:
        return await begin(self.venue, self.journal, self._stored, self.plan, self._strategy)

    def _compose(self, begun: Begun) -> None:
        plan, settings, venue, in_step = self.plan, self.settings, self.venue, self.lockstep is not None
        self.started, self._commands = begun.started, begun.commands
        state = begun.engine.state
        clock = VenueClock(self.monotonic_ns, max(state.ts_ns, plan.start_ts_ns or 0), speed=settings.speed, follows_wall=not in_step)
        self.core = core = LiveCore(begun.engine, self.journal, begun.seen, clock, self.kill, settings.snapshot_every)
        core.watchers, core.on_snapshot_due = self.watchers, self._snapshot_soon
        self.desk = Desk(core, venue, self.permits, self.spawn, self.monotonic_ns, settings.lookup)
        last = {slot.instrument: slot.ts_ns for slot in state.by_index}
        gate = BarGate(last, plan.interval_ns, history_bars=plan.history_bars)
        self.bars = Bars(core, venue, gate, plan.interval_ns, in_step=in_step, spawn=self.spawn)
        self.news = News(core, venue, self.desk, self.bars, settings, self.want_reconciliation, in_step=in_step)
        self.books = Books(core, venue, self.desk, settings, self.news.drain)
        self.timers = Timers(core, self.fail, armed=not in_step)

    async def _patiently(self, work: Callable[[], Coroutine[Any, Any, Any]], condition: str) -> Any:
        """Try until the venue answers, ever more slowly."""
        wait_s = self.settings.retry_first_s
        while True:
            self.condition = condition
            try:
                return await work()
            except VenueUnavailable as error:
                self.condition = f"{condition}: {error.what}"
                _log.warning("venue unavailable while %s: %s", condition, error, extra={"event": "venue_unavailable"})
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self.settings.retry_max_s)

    async def _check_instruments(self) -> None:
        instruments = await self.venue.instruments([slot.instrument for slot in self.core.state.by_index])
        self._changes = instrument_changes(self.engine, list(instruments), self.core.now_ns())

    def _change_instruments(self) -> None:
        """Take changed records over where no order is live; orders are counted in the old lots."""
        waiting, self._changes = self._changes, []
        for change in waiting:
            name = change.instrument.instrument_id
            if self.core.state.orders.of(name):
                self._changes.append(change)
                continue
            _log.warning("instrument changed: %s", name, extra={"event": "instrument_changed"})
            self.core.step(msgspec.structs.replace(change, ts_ns=self.core.now_ns()))

    # reconciliation ---------------------------------------------------------------------------------------------------

    def want_reconciliation(self, why: str) -> None:
        """Have the books compared soon."""
        self._why = why
        self._wanted.set()

    async def _reconcile(self) -> None:
        """Compare until that is concluded; bars pass afterwards, unless the private stream went down meanwhile."""
        why = self._why if self._wanted.is_set() or not self.is_ready else "routine"
        self._wanted.clear()
        while not (await self._patiently(lambda: self.books.reconcile(why), "reconciling")).conclusive:
            await asyncio.sleep(self.settings.reading_gap_s)
        self._change_instruments()
        self.condition = "trading"
        if self.news.streams[Stream.PRIVATE] or not self.is_ready:
            self.bars.open()
        self._ready.set()

    async def _keep_reconciling(self) -> None:
        every_s = self.settings.reconcile_every_ns / 1e9 / self.settings.speed
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(every_s, self.settings.reconcile_wall_min_s)):
                    await self._wanted.wait()
            await asyncio.sleep(self.settings.reading_gap_s)  # what one happening sends arrives piece by piece
            await self._reconcile()

    async def _in_step(self, lockstep: LockStep) -> None:
        driver = InStep(
            self.core, self.venue, self.desk, self.bars, self.news, self.timers, self.settings,
            reconcile=self._reconcile, is_wanted=self._wanted.is_set, monotonic_ns=self.monotonic_ns,
        )  # fmt: skip
        await driver.run(lockstep)
        self.finish(ENDED)

    # the rest ---------------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            self.permits.renew()
            await asyncio.sleep(GRANT_EVERY_S / 2)

    async def _read_inbox(self) -> None:
        while self.inbox is not None:
            self.read_inbox(self.inbox)
            await asyncio.sleep(self.settings.inbox_every_s)

    def read_inbox(self, inbox: Inbox) -> None:
        """Take what waits in the inbox, each command once."""
        for waiting in inbox.waiting():
            if waiting.command_id not in self._commands:
                self.command(CommandGiven(self.core.now_ns(), waiting.command, waiting.actor, waiting.reason, waiting.command_id))
            inbox.taken(waiting.command_id)

    def command(self, given: CommandGiven) -> None:
        """Give a command now."""
        _log.warning("command %s by %s: %s", given.command, given.actor, given.reason, extra={"event": "command"})
        self.core.step(given)

    def _snapshot_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._snapshot)

    def _snapshot(self) -> None:
        try:
            self.core.save_snapshot()
        except BaseException as error:
            self.fail(error)
