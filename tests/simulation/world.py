"""The venue's side of a day: the real exchange core, its market, everybody else on the account, and what the network does to rows.

It outlives every trader. Nothing here knows of engines or journals; the auditor is told of every row as it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from tests.simulation.clock import VirtualLoop
from tests.simulation.rows import DELEVERAGED, TICK_E8, execution_of
from tests.simulation.script import Action, Script

from kedge.domain.events import BarClosed, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.orders import OrderKind, Side, TimeInForce
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
    OrderRequest,
    OrderRow,
    PositionRow,
    Reject,
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
_PRIVATE: Final = (OrderRow, ExecutionRow, PositionRow, WalletRow)
_TRIGGERED: Final = (Status.NEW, Status.PARTIALLY_FILLED, Status.FILLED, Status.CANCELLED, Status.REJECTED)
_TOLD: Final = (*_PRIVATE, TradeRow, LiquidationRow)


class Witness(Protocol):
    """Who is told of everything that happens at the venue and on the wire."""

    def row(self, row: Change) -> None: ...
    def flow(self, amount_e8: int) -> None: ...
    def ghost(self, amount_e8: int) -> None: ...
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


class World:
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
        self.loop.call_later(wait_ms / 1e3, then)

    def delay_ms(self) -> float:
        """How long one thing is on its way."""
        usual = self.script.latency_ms
        return usual * (0.4 + 1.2 * self.network.random()) * (8 if self.network.random() < 0.02 else 1)

    def holds(self, what: str) -> bool:
        """Whether a lasting trouble of the script holds now."""
        return self.until_ns.get(what, 0) > self.now_ns

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
        if self.is_playing:
            width = 0 if self.is_calm else max(1, 10_000 * self.script.volatility_bps // 10_000)
            for name in IDS:
                self.move(name, max(2_000, self.prices[name] + self._market.randint(-width, width)))
            self.publish()

    def move(self, name: str, price: int) -> None:
        """The price of an instrument is this now."""
        self.prices[name] = price
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

    # rows -------------------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Tell the auditor what changed, and hand our rows to whoever is connected."""
        self._quotes.clear()
        changes = [change for change in self.core.drain() if isinstance(change, _TOLD)]
        self.tell(changes)

    def tell(self, changes: Sequence[Change]) -> None:
        """Rows of one operation."""
        for change in changes:
            self.witness.row(change)
            if isinstance(change, ExecutionRow) and change.account == ACCOUNT:
                self.executions.append(execution_of(change))
        private = self._with_triggers([change for change in changes if isinstance(change, _PRIVATE) and change.account == ACCOUNT])
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

    # what others do ---------------------------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """What somebody else does to the account, or the venue to its own answers."""
        match action.what:
            case "deposit":
                self._transfer(action.number("amount", 100) * E8)
            case "withdraw":
                self._transfer(-action.number("amount", 100) * E8)
            case "ignore_amends":
                self.ignored_amends += action.number("count", 1)
            case "lose_first":
                self.first_lost = max(0, self.first_lost) + action.number("count", 1)
            case "lose_trades":
                self.hold("lose_trades", action.number("ms", 3_000))
            case "late_orders" | "late_executions":
                self.rows_late_ms = action.number("late_ms", 500)
                self.hold(action.what, action.number("ms", 5_000))
            case "nibble":
                self._nibble(action.number("count", 1), action.number("ms", 400))
            case "drain":
                self._transfer(-self.core.wallet(ACCOUNT).available_e8 * action.number("bps", 9_900) // 10_000)
                self._squeeze(action.number("squeeze_bps", 2_000))
            case "squeeze":
                self._squeeze(action.number("bps", 1_000))
            case "cancel_there":
                for row in self.core.open_orders(ACCOUNT, limit=1_000).rows:
                    if row.link_id:
                        self.core.cancel(ACCOUNT, row.instrument, self.now_ns, order_id=row.order_id)
                self.publish()
            case "stop_removed":
                self._remove_stops()
            case "ghost_money":
                self._ghost(action.number("amount_e8", 5_000_000))
            case "jump":
                name = IDS[action.number("instrument", 0) % len(IDS)]
                self.move(name, max(2_000, self.prices[name] * (10_000 + action.number("bps", 0)) // 10_000))
                self.publish()
            case "foreign_order" | "guard_order":
                self._rest(action, "kg-" if action.what == "guard_order" else "x-")
            case "foreign_trade":
                self._strike(action)
            case "deleverage":
                self._deleverage(action)
            case "refuse_later":
                self.refuses_later += [action] * action.number("count", 1)
            case "slow_lists":
                self.late_ms = action.number("late_ms", 500)
                self.hold("slow_lists", action.number("ms", 5_000))
            case "no_room":
                self.wait_ms = action.number("wait_ms", 1_000)
                self.hold("no_room", action.number("ms", 5_000))
            case "deaf":
                self.hold("deaf", action.number("ms", 2_000))
            case "public_cut" | "private_cut":
                for client in list(self.clients):
                    client.cut(action.what == "private_cut", action.number("ms", 3_000), action.number("late_ms", 200))
            case _:
                self.armoury.arm(action.fault(), self.now_ns)
                self._begin()

    def _nibble(self, times: int, every_ms: int) -> None:
        """Somebody trades with about half of what rests of each of our orders."""
        for row in self.core.open_orders(ACCOUNT, limit=1_000).rows:
            if not row.trigger_ticks and row.leaves_lots > 1:
                book, buys = self.core.depth(row.instrument, 50), row.side is Side.BUY
                levels = book.bids if buys else book.asks
                ahead = sum(lots for ticks, lots in levels if (ticks >= row.price_ticks if buys else ticks <= row.price_ticks))
                request = OrderRequest(
                    instrument=row.instrument, side=Side.SELL if buys else Side.BUY, kind=OrderKind.LIMIT,
                    qty_lots=max(1, ahead - row.leaves_lots // 2), limit_ticks=row.price_ticks, time_in_force=TimeInForce.IOC,
                )  # fmt: skip
                self.core.place(OTHER, request, self.now_ns)
        self.publish()
        if times > 1:
            self.later(every_ms, lambda: self._nibble(times - 1, every_ms))

    @property
    def is_laden(self) -> bool:
        """Whether so much is held that it can break the account."""
        return sum(row.value_e8 for row in self.core.positions(ACCOUNT)) > 1_000 * E8

    def _squeeze(self, bps: int) -> None:
        for row in self.core.positions(ACCOUNT):
            against = -bps if row.lots > 0 else bps
            self.move(row.instrument, max(2_000, self.prices[row.instrument] * (10_000 + against) // 10_000))
        self.publish()

    def _begin(self) -> None:
        for fault in self.armoury.begun(self.now_ns):
            if fault.fault in ("ban", "maintenance", "cut"):
                away = fault.usual_ms if fault.fault != "cut" else 1_000
                for client in list(self.clients):
                    client.cut(True, away, 20)
                    client.hang_up()

    def _transfer(self, amount_e8: int) -> None:
        done = self.core.transfer(ACCOUNT, amount_e8, self.now_ns)
        if not isinstance(done, Reject):
            self.witness.flow(amount_e8)
        self.publish()

    def _remove_stops(self) -> None:
        """The rows that tell of it are not lost: that would be two troubles in one, of which nobody can know."""
        self.publish()
        for held in self.core.positions(ACCOUNT):
            self.core.set_trading_stop(ACCOUNT, held.instrument, self.now_ns, stop_loss_ticks=0)
        told = [change for change in self.core.drain() if isinstance(change, _TOLD)]
        for change in told:
            self.witness.row(change)  # no trade is among them
        self._hand_out([[change for change in told if isinstance(change, _PRIVATE) and change.account == ACCOUNT]])

    def _ghost(self, amount_e8: int) -> None:
        """Money that nothing explains: it is in the wallet, and in no ledger."""
        account = self.core._accounts[ACCOUNT]
        account.wallet_e8 += amount_e8
        account.version += 1
        self.witness.ghost(amount_e8)

    def _rest(self, action: Action, prefix: str) -> None:
        name = IDS[action.number("instrument", 0) % len(IDS)]
        link = f"{prefix}{action.at_ms}"
        request = OrderRequest(
            instrument=name, side=Side.BUY, kind=OrderKind.LIMIT, qty_lots=20, limit_ticks=self.prices[name] * 97 // 100,
            time_in_force=TimeInForce.GTC, link_id=link,
        )  # fmt: skip
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()
        self.later(action.number("ms", 4_000), lambda: self._take_back(name, link))

    def _take_back(self, name: str, link: str) -> None:
        self.core.cancel(ACCOUNT, name, self.now_ns, link_id=link)
        self.publish()

    def _strike(self, action: Action) -> None:
        name = IDS[action.number("instrument", 0) % len(IDS)]
        side = Side.BUY if action.number("lots", 10) > 0 else Side.SELL
        request = OrderRequest(instrument=name, side=side, kind=OrderKind.MARKET, qty_lots=abs(action.number("lots", 10)), link_id="")
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()

    def _deleverage(self, action: Action) -> None:
        """Close a part of the largest position."""
        held = max(self.core.positions(ACCOUNT), key=lambda row: abs(row.lots), default=None)
        if held is None:
            return
        side, lots = (Side.SELL if held.lots > 0 else Side.BUY), max(1, abs(held.lots) // 2)
        link = f"{DELEVERAGED}{action.at_ms}"
        request = OrderRequest(
            instrument=held.instrument, side=side, kind=OrderKind.MARKET, qty_lots=lots, reduce_only=True, link_id=link
        )  # fmt: skip
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()

    # orders that are refused after they were acknowledged -----------------------------------------------------------------

    def phantom(self, request: OrderRequest, action: Action) -> OrderRow:
        """An order that the venue acknowledges and its matching engine refuses later."""
        now_ns = self.now_ns
        row = OrderRow(
            ACCOUNT, request.instrument, 0, f"phantom-{request.link_id[:12]}", request.link_id, request.side, request.kind,
            request.time_in_force, request.limit_ticks, request.qty_lots, request.qty_lots, now_ns, now_ns,
            self.prices[request.instrument], 0,
            Status.UNTRIGGERED if request.trigger_ticks else Status.NEW, reduce_only=request.reduce_only,
            trigger_ticks=request.trigger_ticks,
        )  # fmt: skip
        self.phantoms[request.link_id] = row
        if action.number("shown", 1):
            self.tell([msgspec.structs.replace(row)])
        self.later(action.number("ms", 30), lambda: self._refuse(row))
        return row

    def _refuse(self, row: OrderRow) -> None:
        row.status, row.leaves_lots, row.updated_ns = Status.REJECTED, 0, self.now_ns
        self.tell([msgspec.structs.replace(row)])
