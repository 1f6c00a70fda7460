"""A small world for live traders: the exchange in process, a journal on disk, played bars, and crashes that leave only what is on disk."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests import steady

from kedge.domain.events import BarClosed
from kedge.domain.record import Step
from kedge.domain.units import NS_PER_S
from kedge.engine.engine import Engine
from kedge.kernel.account import WALLET
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KillPoints
from kedge.services.live import LiveTrader
from kedge.services.live_settings import LivePlan, LiveSettings
from kedge.services.lookup import LookupPace
from kedge.services.permits import LocalIssuer, Permits
from kedge.services.reconcile import Foreign
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader

from ...builders import AAA, MINUTE, Scripted, bar
from .venue_in_process import ACCOUNT, Exchange, VenueInProcess

QUICK = LiveSettings(
    reading_gap_s=0.001,
    reconcile_wall_min_s=0.0,
    retry_first_s=0.001,
    inbox_every_s=0.01,
    bars_wait_s=0.05,
    lookup=LookupPace(recv_window_ns=NS_PER_S, margin_ns=NS_PER_S, gap_s=0.001),
)
HANGS_S = 120.0
EXPOSURES = (0.1, 0.1, -0.12, -0.12, 0.05, 0.0, 0.15)
PRICES = (1_000, 1_004, 996, 1_010, 1_002, 990, 1_006, 1_000, 1_012, 998)


class Killed(BaseException):
    """The process is gone: nothing may tidy up."""


def die() -> None:
    raise Killed


class Released(NamedTuple):
    seq: int
    venue_ms: int
    bars: int = 0
    ended: bool = False


class PlayedMarket:
    """Lock-step with bars played one by one; an instant that was not acknowledged is released again to whoever comes next."""

    def __init__(self, exchange: Exchange, bars: Sequence[BarClosed]) -> None:
        self.exchange, self.bars = exchange, list(bars)
        self.seq = self.acknowledged = 0
        self.before: dict[int, Callable[[], None]] = {}

    async def next_bar(self) -> Released:
        await asyncio.sleep(0)
        if self.acknowledged == self.seq:
            if not self.bars:
                return Released(self.seq, self.exchange.now_ns // 1_000_000, ended=True)
            self.seq += 1
            if self.seq in self.before:
                self.before[self.seq]()
            now_ns = self.bars[0].ts_ns
            together = [one for one in self.bars if one.ts_ns == now_ns]
            self.bars = self.bars[len(together) :]
            self.exchange.play(together[0], then=together[1:])
        ids = len(self.exchange.specs)
        return Released(self.seq, self.exchange.now_ns // 1_000_000, ids)

    async def acknowledge(self, seq: int) -> None:
        assert seq == self.seq
        self.acknowledged = seq


def minutes(prices: Sequence[int] = PRICES, ids: Sequence[str] = (AAA,), *, start: int = 1) -> list[BarClosed]:
    """Bars that end one minute after the other; each opens where the last one closed."""
    found, last = [], prices[0]
    for n, price in enumerate(prices, start):
        found += [bar(n, price, name, open=last) for name in ids]
        last = price
    return found


class World:
    """One exchange, one account's journal, and the traders that come and go."""

    def __init__(self, folder: Path, ids: Sequence[str] = (AAA,), **given: Any) -> None:
        self.folder, self.ids = folder, tuple(ids)
        self.exchange = Exchange(ids, **given)
        self.key = SigningKey.generate()
        self.path = folder / "journal.sqlite"
        self.inbox_path = folder / "inbox.sqlite"
        self.crashes = 0
        self.venues: list[VenueInProcess] = []
        self.prepare: Callable[[VenueInProcess], None] = _as_it_is
        self.journal: SqliteJournal | None = None

    @property
    def venue(self) -> VenueInProcess:
        """The newest client."""
        return self.venues[-1]

    def make_venue(self) -> VenueInProcess:
        venue = VenueInProcess(self.exchange)
        self.prepare(venue)
        self.venues.append(venue)
        return venue

    def trader(
        self,
        *,
        market: PlayedMarket | None = None,
        kill: KillPoints | None = None,
        strategy: Any = None,
        permits: Permits | None = None,
        inbox: Inbox | None = None,
        settings: LiveSettings = QUICK,
        plan: dict[str, Any] | None = None,
        foreign: Foreign = Foreign.REFUSE,
        monotonic_ns: Callable[[], int] = steady.monotonic_ns,
        same_market: Callable[[], Awaitable[None]] | None = None,
        wall_ns: Callable[[], int] | None = None,
    ) -> LiveTrader:
        self.journal = SqliteJournal(self.path, signer=self.key, source="test")
        given: dict[str, Any] = {
            "account": ACCOUNT, "rung": "paper", "instruments": self.ids, "strategy": "trend", "params": {}, "interval_ns": MINUTE,
            **(plan or {}),
        }  # fmt: skip
        return LiveTrader(
            self.make_venue, self.journal, lambda: SqliteJournalReader(self.path), LivePlan(**given),
            msgspec.structs.replace(settings, foreign=foreign), permits=permits or LocalIssuer("paper", monotonic_ns),
            monotonic_ns=monotonic_ns, inbox=inbox, lockstep=market, kill=kill,
            strategy=strategy if strategy is not None else Scripted(EXPOSURES), same_market=same_market, wall_ns=wall_ns,
        )  # fmt: skip

    def crash(self) -> None:
        """Keep only what is on disk now: later traders use a copy of it."""
        self.crashes += 1
        target = self.folder / f"after-crash-{self.crashes}"
        target.mkdir()
        for file in self.path.parent.glob("journal.sqlite*"):
            if not file.name.endswith(".lock"):
                shutil.copy(file, target / file.name)
        self.close()
        self.path = target / "journal.sqlite"

    def close(self) -> None:
        if self.journal is not None:
            with suppress(Exception):
                self.journal.close()
            self.journal = None

    def run(self, trader: LiveTrader) -> str:
        """Run a trader to its end and close the journal."""

        async def whole() -> str:
            return await trader.run()

        try:
            return steady.run(whole(), HANGS_S)
        finally:
            self.close()

    def run_until_killed(self, trader: LiveTrader) -> bool:
        """Run a trader that is to die; whether it did."""
        try:
            steady.run(trader.run(), HANGS_S)
        except Killed:
            self.crash()
            return True
        self.close()
        return False

    def steps(self) -> list[Step]:
        with SqliteJournalReader(self.path) as reader:
            return [record for record in reader.records() if isinstance(record, Step)]


def play(world: World, trader: LiveTrader, script: Callable[[LiveTrader], Coroutine[Any, Any, None]]) -> str:
    """Run a trader beside a script, without lock-step; when the script is through, the trader is told to finish."""

    async def both() -> str:
        running = asyncio.ensure_future(trader.run())
        ready = asyncio.ensure_future(trader.ready())
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not running.done():
            scripted = asyncio.ensure_future(script(trader))
            await asyncio.wait([running, scripted], return_when=asyncio.FIRST_COMPLETED)
            if scripted.done():
                scripted.result()
                trader.finish("script is through")
            else:
                scripted.cancel()
                with suppress(asyncio.CancelledError):
                    await scripted
        return await running

    try:
        return steady.run(both(), HANGS_S)
    finally:
        world.close()


async def until(trader: LiveTrader, is_so: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for something that steps or bars bring about."""
    async with asyncio.timeout(within_s):
        while not is_so():
            trader.core.changed.clear()
            waiting = asyncio.ensure_future(trader.core.changed.wait())
            await asyncio.wait([waiting], timeout=0.02)
            waiting.cancel()


def compare_books(engine: Engine, exchange: Exchange) -> None:
    """Positions, wallet and open orders of both sides are equal to the last unit; the stop of a position is nobody's order."""
    core, state = exchange.core, engine.state
    theirs = {row.instrument: (row.lots, row.cost_e8) for row in core.positions(ACCOUNT)}
    ours = {s.instrument: (s.position_lots, int(state.costs[s.index])) for s in state.by_index if s.position_lots}
    assert ours == theirs
    assert state.account_view[WALLET] == core.wallet(ACCOUNT).wallet_e8
    open_there = {row.link_id: row.leaves_lots for row in core.open_orders(ACCOUNT, limit=1_000).rows if row.link_id}
    live_here = {name: order.leaves_lots for slot in state.by_index for name, order in state.orders.of(slot.instrument).items()}
    assert live_here == open_there


def booked_ids(steps: Sequence[Step]) -> list[str]:
    """Ids of everything that moved money, in the order of the journal."""
    names = ("fill_id", "funding_id", "cash_id")
    return [found for step in steps for name in names if (found := getattr(step.event, name, ""))]


def executed_ids(exchange: Exchange) -> list[str]:
    return [row.exec_id for row in reversed(exchange.core.executions(ACCOUNT, limit=10_000).rows)]


def _as_it_is(_: VenueInProcess) -> None:
    """Nothing is prepared."""
