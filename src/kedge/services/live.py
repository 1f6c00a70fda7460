"""The live trader: one account, one engine, one journal, one venue.

News, timers, commands and what reconciliation finds go through one step without waiting: learn, decide, make durable, hand on. Bars pass
a gate that is closed until the books agree with the venue's. In lock-step with a simulated exchange each instant's bars are taken
together, after everything the venue had sent before, and are acknowledged when all they caused has been answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from kedge.domain.brake import BrakeLevel
from kedge.domain.events import AccountInherited, BrakeTold, Command, CommandGiven, RunEnded
from kedge.domain.record import RunStarted
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import TradingVenue, VenuePosition
from kedge.engine.engine import Engine
from kedge.learning.features import FeatureSet
from kedge.services.backtest import RunJournal
from kedge.services.bar_gate import BarGate
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KillPoints, NoKillPoints
from kedge.services.live_bars import Bars
from kedge.services.live_books import Books
from kedge.services.live_clock import WallClock
from kedge.services.live_compare import Comparisons
from kedge.services.live_core import LiveCore, Watcher
from kedge.services.live_desk import Desk, one_market
from kedge.services.live_inbox import RunInbox, WasTaken
from kedge.services.live_instruments import Instruments
from kedge.services.live_life import Life
from kedge.services.live_news import News
from kedge.services.live_quotes import Quotes
from kedge.services.live_rules import Rules, Rulings
from kedge.services.live_settings import LivePlan, LiveSettings
from kedge.services.live_start import Begun, LiveStore, begin
from kedge.services.live_step import InStep, LockStep
from kedge.services.live_stops import Stops
from kedge.services.live_timers import Timers
from kedge.services.permits import GRANT_EVERY_S, PERMIT_AGE_MAX_NS, Permits, Told
from kedge.services.venue_clock import VenueClock
from kedge.strategy.base import Strategy

STOPPED: Final = "stopped"
ENDED: Final = "ended"

_log: Final = logging.getLogger("kedge.live")


class LiveTrader(Life):
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
    same_market : callable, optional
        Raises `MarketGone` where the exchange plays another market than this run's, `VenueUnavailable` where it does not say.
    was_taken : callable, optional
        Whether another run has journalled a command of the inbox.
    wall_ns : callable, optional
        This machine's wall clock, to be compared with the venue's; None where it is not.
    rulings : Rulings, optional
        Where documents of limits and overrides are left for this account; None where nobody changes its limits.

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
    stops: Stops
    bars: Bars
    news: News
    books: Books
    timers: Timers
    quotes: Quotes
    instruments: Instruments
    rules: Rules

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
        same_market: Callable[[], Awaitable[None]] | None = None,
        was_taken: WasTaken | None = None,
        wall_ns: Callable[[], int] | None = None,
        rulings: Rulings | None = None,
    ) -> None:
        super().__init__(settings)
        self.journal, self.plan = journal, plan
        self.permits, self.inbox, self.lockstep, self.monotonic_ns = permits, inbox, lockstep, monotonic_ns
        self.kill: KillPoints = kill or NoKillPoints()
        self.watchers: list[Watcher] = []
        self.started: RunStarted | None = None
        self._make_venue, self._stored, self._strategy = make_venue, stored, strategy
        self._stepping: asyncio.Task[None] | None = None
        self._comparisons = Comparisons(self)
        self._same_market, self._was_taken, self._wall_ns = same_market or one_market, was_taken, wall_ns
        self._commands: frozenset[str] = frozenset()
        self._rulings = rulings

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
        await self._comparisons.done.wait()

    @property
    def is_ready(self) -> bool:
        return self._comparisons.done.is_set()

    @property
    def engine(self) -> Engine:
        return self.core.engine

    def hold(self) -> None:
        """Let no bar pass any more and acknowledge none: a played market waits for whoever goes on with this run."""
        self.bars.hold()
        if self._stepping is not None:
            self._stepping.cancel()

    def end(self, reason: str) -> None:
        """Record that the run is over; it cannot go on afterwards."""
        self.core.step(RunEnded(self.core.now_ns(), reason))

    async def _leave(self) -> None:
        await self._end_tasks()
        if hasattr(self, "timers"):
            self.timers.close()
        if hasattr(self, "venue"):
            await self.venue.close()

    # beginning --------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        await self.patiently(self._connect, "connecting")
        begun = await self.patiently(self._begin, "beginning")
        self._compose(begun)
        if begun.inherited is not None:  # before anything else is learned: a run that was killed in between is told again
            self._inherit(begun.inherited)
        self.permits.renew()
        self.permits.listen(self._braked)
        self.spawn(self._renew())
        self.spawn(self.news.pump())
        if not begun.is_new:
            await self.patiently(self.instruments.check, "checking instruments")
            if self.instruments.is_on_old_grid:
                await self._comparisons.leave_old_grid()
            self.instruments.change()  # before anything is booked that is counted in new lots
        self.stops.arm()
        await self.patiently(lambda: self.rules.learn_days(self.venue), "learning past days")
        self.rules.look()
        await self._comparisons.compare()
        if self.inbox is not None:
            self.spawn(self._read_inbox(self.inbox))
        if self._rulings is not None:
            self.spawn(self._look_at_rules())
        if self.lockstep is None:
            self.spawn(self.instruments.keep_fresh(self.settings.instruments_every_s, self.settings.instruments_retry_s))
        self._stepping = self.spawn(self._comparisons.keep_comparing() if self.lockstep is None else self._in_step(self.lockstep))

    async def _connect(self) -> None:
        venue = self._make_venue()
        try:
            await venue.start()
        except BaseException:
            await venue.close()
            raise
        self.venue = venue
        self.wall_clock = WallClock(venue, self._wall_ns, self.monotonic_ns)

    def _inherit(self, told: AccountInherited) -> None:
        _log.warning("run %s traded this account before: %s %s", told.from_run, told.risk_state, told.code, extra={"event": "inherited"})
        self.core.step(msgspec.structs.replace(told, ts_ns=self.core.now_ns()))

    async def _begin(self) -> Begun:
        return await begin(self.venue, self.journal, self._stored, self.plan, self._strategy)

    def _compose(self, begun: Begun) -> None:
        plan, settings, venue, in_step = self.plan, self.settings, self.venue, self.lockstep is not None
        self.started, self._commands = begun.started, begun.commands
        state = begun.engine.state
        clock = VenueClock(self.monotonic_ns, max(state.ts_ns, plan.start_ts_ns or 0), speed=settings.speed, follows_wall=not in_step)
        self.core = core = LiveCore(begun.engine, self.journal, begun.seen, clock, self.kill, settings.snapshot_every)
        core.watchers, core.on_snapshot_due = self.watchers, self._snapshot_soon
        self.desk = Desk(
            core, venue, self.permits, self.spawn, self.permits.clock_ns, settings.lookup, begun.cancels,
            sees=lambda: self._comparisons.sees, same_market=self._same_market,
        )  # fmt: skip
        self.instruments = Instruments(core, venue, self.desk, self.monotonic_ns, self._same_market, just_read=begun.is_new)
        last = {slot.instrument: slot.ts_ns for slot in state.by_index}
        uses_funding = FeatureSet(begun.engine.strategy.features).uses_funding
        settled = {slot.instrument: slot.settled_ts_ns for slot in state.by_index} if uses_funding else None
        gate = BarGate(last, plan.interval_ns, history_bars=plan.history_bars, settled_ts_ns=settled)
        self.bars = Bars(core, venue, gate, plan.interval_ns, in_step=in_step, spawn=self.spawn)
        self.news = News(core, venue, self.desk, self.bars, settings, self.want_reconciliation, in_step=in_step)
        self.stops = Stops(
            core, venue, self.spawn, self.monotonic_ns, settings.stops, want=self.want_reconciliation, same_market=self._same_market
        )
        self.rules = Rules(core, self._rulings, speed=settings.speed)
        self.rules.on_change = lambda: self.timers.arm()
        self.desk.on_stop, self.news.on_position = self.stops.want, self._position_shown
        self.watchers.append(self.stops.saw)
        self.books = Books(core, venue, self.desk, settings, self.news.drain, self.want_reconciliation, self._same_market)
        self.books.on_positions = self._positions_shown
        self.quotes = Quotes(core, venue)
        self.timers = Timers(core, self.fail, lambda: gate.is_open, armed=not in_step)

    def _position_shown(self, position: VenuePosition) -> None:
        self.stops.shown(position)
        self.rules.shown(position)

    def _positions_shown(self, positions: Sequence[VenuePosition]) -> None:
        self.stops.shown_all(positions)
        self.rules.shown_all(positions)

    def want_reconciliation(self, why: str) -> None:
        """Have the books compared soon."""
        self._comparisons.want(why)

    async def _in_step(self, lockstep: LockStep) -> None:
        driver = InStep(
            self.core, self.venue, self.desk, self.bars, self.news, self.timers, self.settings, stops=self.stops,
            reconcile=self._comparisons.compare, is_wanted=lambda: self._comparisons.is_wanted, monotonic_ns=self.monotonic_ns,
        )  # fmt: skip
        await driver.run(lockstep)
        self.finish(ENDED)

    # the rest ---------------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        last_ns = self.permits.clock_ns()
        while True:
            now_ns = self.permits.clock_ns()
            if now_ns - last_ns >= PERMIT_AGE_MAX_NS:  # before the renewal, so that nothing decided back then is permitted by it
                self.news.stood_still((now_ns - last_ns) / NS_PER_S)
            last_ns = now_ns
            self.permits.renew()
            await asyncio.sleep(GRANT_EVERY_S / 2)

    def _braked(self, told: Told) -> None:
        """The guard says where its brake is; what the engine knows already is no news."""
        state = self.core.state
        if (told.level, told.generation) == (state.brake_level, state.brake_generation):
            return
        if told.level is BrakeLevel.RUNNING and state.brake_level is BrakeLevel.RUNNING:
            return
        _log.warning("the brake is %s: %s", told.level, told.reason, extra={"event": "brake"})
        try:
            self.core.step(BrakeTold(self.core.now_ns(), told.level, told.generation, told.trigger, told.reason))
            self.timers.arm()
        except BaseException as error:
            self.fail(error)

    async def _look_at_rules(self) -> None:
        while True:
            await asyncio.sleep(self.settings.inbox_every_s)
            self.rules.look()

    async def _read_inbox(self, inbox: Inbox) -> None:
        run_id = self.started.run_id if self.started is not None else ""
        waiting = RunInbox(
            inbox, run_id, begun_wall_ns=self.plan.begun_wall_ns, journalled=self._commands, was_taken=self._was_taken
        )  # fmt: skip
        while True:
            for one in waiting.due():
                self.command(CommandGiven(self.core.now_ns(), one.command, one.actor, one.reason, one.command_id, one.roles, one.source))
            await asyncio.sleep(self.settings.inbox_every_s)

    def command(self, given: CommandGiven) -> None:
        """Give a command now. After a resume nothing is sent before the books are compared."""
        _log.warning("command %s by %s: %s", given.command, given.actor, given.reason, extra={"event": "command"})
        if given.command is Command.RESUME:
            self.bars.close()
            self.want_reconciliation("resume")
        self.core.step(given)
        self.timers.arm()

    def _snapshot_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._snapshot)

    def _snapshot(self) -> None:
        try:
            self.core.save_snapshot()
        except BaseException as error:
            self.fail(error)
