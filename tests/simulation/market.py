"""The market of a day and what the venue tells of it: the real exchange core, its prices and bars, and what the network does to rows.

It outlives every trader. Nothing here knows of engines or journals; the auditor is told of every row as it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from tests.simulation.clock import VirtualLoop
from tests.simulation.rows import TICK_E8, execution_of
from tests.simulation.script import Action, Script

from kedge.domain.events import BarClosed, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.units import E8
from kedge.domain.venue import Quote
from kedge.simulation.faults_armed import Armoury
from kedge.simulation.faults_wire import Outbox
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import (
    Change,
    Crowd,
    ExecutionRow,
    LiquidationRow,
    OrderRow,
    PositionRow,
    Status,
    TradeRow,
    VenueSettings,
    WalletRow,
)

if TYPE_CHECKING:
    from tests.simulation.client import SimVenue

ACCOUNT: Final = "777001"
OTHER: Final = "777002"
"""Somebody who trades with us."""
BEFORE_S: Final = 30
T0: Final = 1_699_920_000_000_000_000 - BEFORE_S * 1_000_000_000
"""Half a minute before a UTC midnight, so that the day of the money turns in the middle of each of ours."""
IDS: Final = ("sim:AAAUSDT", "sim:BBBUSDT", "sim:CCCUSDT")
INTERVAL_MS: Final = 1_000
FUNDING_S: Final = 60
"""The venue settles on whole minutes."""
MS: Final = 1_000_000
WALLET_E8: Final = 10_000 * E8
_TIERS: Final = (
    RiskTier(notional_max_e8=20_000 * E8, maintenance_rate_e8=1_000_000, deduction_e8=0, leverage_max_e2=5_000),
    RiskTier(notional_max_e8=200_000 * E8, maintenance_rate_e8=2_500_000, deduction_e8=300 * E8, leverage_max_e2=2_000),
)
PRIVATE: Final = (OrderRow, ExecutionRow, PositionRow, WalletRow)
_TRIGGERED: Final = (Status.NEW, Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED, Status.REJECTED)
TOLD: Final = (*PRIVATE, TradeRow, LiquidationRow)


class Witness(Protocol):
    """Who is told of everything that happens at the venue and on the wire."""

    def row(self, row: Change) -> None: ...
    def flow(self, amount_e8: int) -> None: ...
    def ghost(self, amount_e8: int) -> None: ...
    def marked(self, name: str, price_ticks: int) -> None: ...
    def tick(self) -> None: ...


def listing() -> list[Instrument]:
    """Three perpetuals: a tick of 0.1, a lot of 0.001, funding every minute."""
    return [
        Instrument(
            instrument_id=name, base=name[4:7], quote="USDT", tick_e8=TICK_E8, lot_e8=100_000, tick_value_e8=10_000,
            price_max_ticks=1_000_000,
            order_qty_min_lots=1, order_qty_max_lots=100_000, market_qty_max_lots=50_000, position_max_lots=200_000, notional_min_e8=5 * E8,
            maker_fee_e8=20_000, taker_fee_e8=55_000, leverage_max_e2=5_000, tiers=_TIERS, funding_interval_ns=FUNDING_S * 1_000 * MS,
            price_collar_bps=500,
        )
        for name in IDS
    ]  # fmt: skip


def _nobody_waits() -> bool:
    """Nobody needs anyone to trade with."""
    return False


class Market:
    """One venue, one account of ours on it, and a market that a seed plays."""

    def __init__(self, script: Script, loop: VirtualLoop, witness: Witness) -> None:
        self.script, self.loop, self.witness = script, loop, witness
        self.specs = listing()
        crowd = Crowd(levels=4, spread_ticks=2, notional_e8=500 * E8, flow_notional_e8=400 * E8)
        self.core = Venue(self.specs, VenueSettings(seed=script.seed % (1 << 62), crowd=crowd), T0)
        self.core.open_account(ACCOUNT, WALLET_E8, T0)
        self.core.open_account(OTHER, 100 * WALLET_E8, T0)
        self.armoury = Armoury(script.seed)
        self.outbox = Outbox(self.armoury)
        self.clients: list[SimVenue] = []
        self.outside = Context()
        self.bars: dict[str, list[BarClosed]] = {name: [] for name in IDS}
        self.prices = dict.fromkeys(IDS, 10_000)
        self.executions: list[OrderFilled | FundingSettled] = []
        self._quotes: dict[str, Quote | None] = {}
        self.phantoms: dict[str, OrderRow] = {}
        self.refuses_later: list[Action] = []
        self.until_ns: dict[str, int] = {}
        self.late_ms = self.rows_late_ms = self.wait_ms = 0
        self._conditional: set[str] = set()
        self.ignored_amends = self.first_lost = 0
        self._begun: set[str] = set()
        self.is_playing, self.is_calm, self.is_evening = True, False, False
        self.is_wanted: Callable[[], bool] = _nobody_waits
        self._market, self.network = Random(f"market {script.seed}"), Random(f"network {script.seed}")
        self._rates()
        self._feed()
        loop.call_later(self._offset_s(), self._feed)
        loop.call_at(INTERVAL_MS / 1e3, self._close_bars)

    # time -------------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Venue time, which is the day's time."""
        return T0 + self.loop.now_ns

    @property
    def wall_ns(self) -> int:
        """The venue's wall clock, wrong where a fault says so."""
        return self.now_ns + self.armoury.skew_ns(self.now_ns)

    def later(self, wait_ms: float, then: Callable[[], None]) -> None:
        """Do something later."""
        self.loop.call_later(wait_ms / 1e3, then, context=self.outside)

    def delay_ms(self) -> float:
        """How long one thing is on its way."""
        usual = self.script.latency_ms
        return usual * (0.4 + 1.2 * self.network.random()) * (8 if self.network.random() < 0.02 else 1)

    def holds(self, what: str) -> bool:
        """Whether a lasting trouble of the script holds now."""
        until_ns = self.until_ns.get(what)
        return until_ns is not None and until_ns > self.now_ns

    def hold(self, what: str, for_ms: int) -> None:
        """Let one begin."""
        self.until_ns[what] = max(self.until_ns.get(what, 0), self.now_ns + for_ms * MS)

    # the market -------------------------------------------------------------------------------------------------------

    def _offset_s(self) -> float:
        return self._market.randrange(100, 900) / 1e3

    def _rates(self) -> None:
        for name in IDS:
            self.core.set_funding_rate(name, self._market.choice((-1, 1)) * self._market.randrange(5_000, 60_000))

    def _feed(self) -> None:
        if self.is_playing or self.is_wanted():
            width = 0 if self.is_calm else max(1, 10_000 * self.script.volatility_bps // 10_000)
            for name in IDS:
                self.move(name, max(2_000, self.prices[name] + self._market.randint(-width, width)))
            self.publish()

    def move(self, name: str, price: int) -> None:
        """The price of an instrument is this now."""
        self.prices[name] = price
        self.witness.marked(name, price)
        self.core.set_prices(name, price, price * TICK_E8, price * TICK_E8, self.now_ns)

    def _close_bars(self) -> None:
        self.core.advance(self.now_ns)
        self.publish()
        closed = []
        for name in IDS:
            before = self.bars[name][-1].close_ticks if self.bars[name] else 10_000
            price = self.prices[name]
            span = (self.now_ns - INTERVAL_MS * MS, before, max(before, price), min(before, price), price, 1_000_000)
            closed.append(BarClosed(self.now_ns, name, *span))
            self.bars[name].append(closed[-1])
        self.witness.tick()
        for client in self.clients:
            if client.has_market:
                client.hear_bars(closed)
        self.loop.call_later(self._offset_s(), self._feed)
        self.loop.call_at(round(self.loop.time() * 1e3 / INTERVAL_MS + 1) * INTERVAL_MS / 1e3, self._close_bars)

    def quote(self, name: str) -> Quote | None:
        """The best prices now; asked for often, so kept until something happens at the venue."""
        if name not in self._quotes:
            book = self.core.depth(name, 1)
            (bid, bids), (ask, asks) = (book.bids or [(0, 0)])[0], (book.asks or [(0, 0)])[0]
            self._quotes[name] = Quote(name, bid, ask, bids, asks, book.ts_ns) if 0 < bid < ask else None
        found = self._quotes[name]
        return None if found is None else msgspec.structs.replace(found, ts_ns=self.now_ns)

    def shows_quote(self, name: str) -> bool:
        """Whether the market's stream shows somebody a whole book."""
        return any(client.has_market and client.quote(name) is not None for client in self.clients)

    # rows -------------------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Tell the auditor what changed, and hand our rows to whoever is connected."""
        self._quotes.clear()
        changes = [change for change in self.core.drain(market_data=False) if isinstance(change, TOLD)]
        self.tell(changes)

    def tell(self, changes: Sequence[Change]) -> None:
        """Rows of one operation."""
        for change in changes:
            self.witness.row(change)
            if isinstance(change, ExecutionRow) and change.account == ACCOUNT:
                self.executions.append(execution_of(change))
        private = self._with_triggers([change for change in changes if isinstance(change, PRIVATE) and change.account == ACCOUNT])
        private = [row for row in private if not self._is_lost(row)] if self.first_lost else private
        if private or self.outbox.due_ns is not None:
            self._hand_out(self.outbox.send(private, self.now_ns))
            if self.outbox.due_ns is not None:
                self.later((self.outbox.due_ns - self.now_ns) / MS + 0.01, self._release)

    def _with_triggers(self, rows: list[Change]) -> list[Change]:
        """The real venue tells in a row of its own that a conditional order was triggered, beside what follows from it."""
        first: list[Change] = []
        told: list[Change] = []
        for row in rows:
            if isinstance(row, OrderRow) and row.trigger_ticks and row.link_id:
                if row.status is Status.UNTRIGGERED:
                    self._conditional.add(row.link_id)
                elif row.link_id in self._conditional:
                    self._conditional.discard(row.link_id)
                    if row.status in _TRIGGERED:
                        told_early = first if row.number % 2 else told  # before its trades, or only before its own row
                        told_early.append(msgspec.structs.replace(row, status=Status.TRIGGERED))
            told.append(row)
        return [*first, *told]

    def _is_lost(self, row: Change) -> bool:
        """Whether this is the first row of an order, which nobody is to see."""
        if not isinstance(row, OrderRow) or row.link_id in self._begun or row.status not in (Status.NEW, Status.UNTRIGGERED):
            return False
        self._begun.add(row.link_id)
        self.first_lost -= 1
        return self.first_lost >= 0

    def _release(self) -> None:
        if self.outbox.due_ns is not None and self.outbox.due_ns <= self.now_ns:
            self._hand_out([self.outbox.release()])

    def _hand_out(self, batches: Sequence[Sequence[Change]]) -> None:
        for batch in batches:
            for client in self.clients:
                client.hear_private(batch)
