"""A `TradingVenue` without sockets: the simulated exchange itself in this process, with its real matching, margin and books.

What a network does to a trader is done here on purpose: answers and requests get lost, frames are held back, doubled or missed,
questions fail. Everything else is the venue's own doing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from tests.simulation.rows import position_of, wallet_of

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import (
    BarClosed,
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder, FillCause, Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.venue import (
    NO_PERMIT,
    Answer,
    LedgerEntry,
    LedgerKind,
    Quote,
    Refused,
    Stream,
    StreamDown,
    StreamUp,
    Taken,
    Unanswered,
    VenueNews,
    VenueOrder,
    VenueOrderState,
    VenuePosition,
    VenueWallet,
)
from kedge.simulation.venue import Venue
from kedge.simulation.venue_account import copy_row
from kedge.simulation.venue_types import (
    Crowd,
    ExecType,
    ExecutionRow,
    KlineRow,
    LogRow,
    LogType,
    OrderRequest,
    OrderRow,
    PositionRow,
    Reject,
    Status,
    StopType,
    TriggerBy,
    VenueSettings,
    WalletRow,
)

from ...builders import AAA, MINUTE, T0, WALLET_E8, instrument

ACCOUNT = "777001"
_STATES = {
    Status.NEW: VenueOrderState.OPEN,
    Status.PARTIALLY_FILLED: VenueOrderState.OPEN,
    Status.UNTRIGGERED: VenueOrderState.WAITING,
    Status.TRIGGERED: VenueOrderState.OPEN,
    Status.FILLED: VenueOrderState.FILLED,
    Status.CANCELLED: VenueOrderState.CANCELED,
    Status.DEACTIVATED: VenueOrderState.CANCELED,
    Status.REJECTED: VenueOrderState.REJECTED,
}
_IN_THE_BOOK = (Status.NEW, Status.PARTIALLY_FILLED, Status.FILLED)
_KINDS = {
    LogType.TRADE: LedgerKind.TRADE,
    LogType.SETTLEMENT: LedgerKind.FUNDING,
    LogType.LIQUIDATION: LedgerKind.LIQUIDATION,
    LogType.TRANSFER_IN: LedgerKind.TRANSFER,
    LogType.TRANSFER_OUT: LedgerKind.TRANSFER,
}


class Exchange:
    """The venue's side: outlives every trader. `wall_ns` is a hand clock that moves by itself a little with every question."""

    def __init__(self, ids: Sequence[str] = (AAA,), *, wallet_e8: int = WALLET_E8, seed: int = 7) -> None:
        self.specs = [instrument(name) for name in ids]
        crowd = Crowd(levels=10, spread_ticks=2, notional_e8=10**13, flow_notional_e8=0)
        self.core = Venue(self.specs, VenueSettings(seed=seed, crowd=crowd), T0)
        self.core.open_account(ACCOUNT, wallet_e8, T0)
        self.now_ns = T0
        self.wall_ns = 10**18
        self.clients: list[VenueInProcess] = []
        self.bars: list[BarClosed] = []

    def publish(self) -> None:
        """Hand what changed to whoever is connected."""
        for change in self.core.drain():
            if isinstance(change, KlineRow) and change.confirm and change.interval == "1":
                self.bars.append(bar_of(change))
            for client in self.clients:
                client.hear(change)

    def play(self, bar: BarClosed, *, then: Sequence[BarClosed] = ()) -> None:
        """Play one minute of all instruments, given by the bars that are to come out of it."""
        for one in (bar, *then):
            for step in self.core.bar_steps(one, 4):
                if step.ts_ns >= self.core.now_ns:
                    self.core.play_step(one.instrument, step)
        self.advance(bar.ts_ns)

    def advance(self, ts_ns: int) -> None:
        self.core.advance(ts_ns)
        self.now_ns = ts_ns
        self.publish()

    def place_foreign(self, **given: object) -> OrderRow | Reject:
        """Somebody else with access to the account trades."""
        row = self.core.place(ACCOUNT, OrderRequest(**given), self.now_ns)  # type: ignore[arg-type]
        self.publish()
        return row


class VenueInProcess:
    """One client of the exchange; a new trader gets a new one."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.core = exchange, exchange.core
        self.queue: deque[VenueNews] = deque()
        self.arrived = asyncio.Event()
        self.is_up = True
        self.placed: list[ApprovedOrder] = []
        self.canceled: list[str] = []
        self.barriers = 0
        self.amended: list[tuple[str, int | None, int | None]] = []
        self.quotes: dict[str, Quote] = {}
        self.lose_requests = self.lose_answers = self.lose_cancels = 0
        self.lose_amends = self.lose_amend_answers = 0
        self.wait_before_amend: asyncio.Event | None = None
        self._rows: dict[str, OrderRow] = {}
        self.fail_questions = 0
        self.fail_start = 0
        self.held: list[VenueNews] | None = None
        self.twice = False
        self.hides_executions = 0
        self.hides_ledger = 0
        self.wait_before_answer: asyncio.Event | None = None
        self.on_place: Callable[[ApprovedOrder], None] | None = None
        self.before_leaving: Callable[[], None] | None = None
        self.closed = False
        self.remembered: list[Instrument] = []

    # coming and going -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self.fail_start:
            self.fail_start -= 1
            raise VenueUnavailable("the venue does not answer", why="drill", fix="wait")
        self.exchange.clients.append(self)
        for stream in Stream:
            self.put(StreamUp(stream, False))

    async def close(self) -> None:
        self.closed = True
        if self in self.exchange.clients:
            self.exchange.clients.remove(self)

    def cut(self) -> None:
        """The private stream breaks: what happens now is missed."""
        self.is_up = False
        self.put(StreamDown(Stream.PRIVATE, "drill"))

    def mend(self) -> None:
        self.is_up = True
        self.put(StreamUp(Stream.PRIVATE, True))

    def put(self, news: VenueNews) -> None:
        self.queue.append(news)
        self.arrived.set()

    def hear(self, change: object) -> None:
        found = self._order_rows(change) if isinstance(change, OrderRow) else [news_of(change)]
        for news in found:
            if news is not None and (self.is_up or isinstance(news, BarClosed)):
                self._tell(news)

    def _tell(self, news: VenueNews) -> None:
        for _ in range(2 if self.twice else 1):
            if self.held is not None and not isinstance(news, BarClosed):
                self.held.append(news)
            else:
                self.put(news)

    def _order_rows(self, row: OrderRow) -> list[VenueNews | None]:
        """A row beside the one before it, as the venue's client reads them: triggered, amended."""
        before, self._rows[row.order_id] = self._rows.get(row.order_id), copy_row(row)
        found: list[VenueNews | None] = []
        if row.link_id and before is not None and before.status is Status.UNTRIGGERED and row.status in _IN_THE_BOOK:
            found.append(OrderTriggered(row.updated_ns, row.link_id))
        found.append(news_of(row))
        if row.link_id and before is not None and row.is_open and _terms(row) != _terms(before):
            found.append(OrderAmended(row.updated_ns, row.link_id, *_terms(row)))
        return found

    def let_go(self, order: Callable[[list[VenueNews]], list[VenueNews]] = list) -> None:
        """Deliver what was held back, in an order of the caller's choice."""
        held, self.held = self.held or [], None
        for news in order(held):
            self.put(news)

    async def news(self) -> VenueNews:
        while not self.queue:
            self.arrived.clear()
            await self.arrived.wait()
        return self.queue.popleft()

    def news_at_hand(self) -> list[VenueNews]:
        news = list(self.queue)
        self.queue.clear()
        return news

    async def barrier(self) -> None:
        self.barriers += 1
        await self._asked()
        if not self.is_up:
            raise VenueUnavailable("no private stream", why="drill", fix="wait")

    # requests ---------------------------------------------------------------------------------------------------------

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        if self.before_leaving is not None:
            self.before_leaving()
        if is_permitted is not None and not is_permitted():
            return Refused(NO_PERMIT, "drill: the permit ran out")
        self.placed.append(approved)
        order = approved.order
        if self.lose_requests:
            self.lose_requests -= 1
            return Unanswered("drill: lost on the way there")
        row = self.core.place(ACCOUNT, request_of(approved), self.exchange.now_ns)
        self.exchange.publish()
        if self.on_place is not None:
            self.on_place(approved)
        if self.wait_before_answer is not None:
            await self.wait_before_answer.wait()
        if self.lose_answers:
            self.lose_answers -= 1
            return Unanswered("drill: lost on the way back")
        await asyncio.sleep(0)
        assert order.client_order_id
        return Refused(str(row.code), row.message) if isinstance(row, Reject) else Taken(row.order_id)

    async def cancel(self, instrument_id: InstrumentId, client_order_id: str) -> Answer:
        self.canceled.append(client_order_id)
        if self.lose_cancels:
            self.lose_cancels -= 1
            return Unanswered("drill: lost on the way there")
        row = self.core.cancel(ACCOUNT, instrument_id, self.exchange.now_ns, link_id=client_order_id)
        self.exchange.publish()
        await asyncio.sleep(0)
        return Refused(str(row.code), row.message) if isinstance(row, Reject) else Taken(row.order_id)

    async def amend(
        self,
        instrument_id: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        is_permitted: Callable[[], bool] | None = None,
    ) -> Answer:
        self.amended.append((client_order_id, qty_lots, limit_ticks))
        if self.wait_before_amend is not None:
            await self.wait_before_amend.wait()
        if is_permitted is not None and not is_permitted():
            return Refused(NO_PERMIT, "drill: the permit ran out")
        if self.lose_amends:
            self.lose_amends -= 1
            return Unanswered("drill: lost on the way there")
        row = self.core.amend(
            ACCOUNT, instrument_id, self.exchange.now_ns, link_id=client_order_id, qty_lots=qty_lots, limit_ticks=limit_ticks
        )
        self.exchange.publish()
        await asyncio.sleep(0)
        if self.lose_amend_answers:
            self.lose_amend_answers -= 1
            return Unanswered("drill: lost on the way back")
        return Refused(str(row.code), row.message) if isinstance(row, Reject) else Taken(row.order_id)

    def quote(self, instrument_id: InstrumentId) -> Quote | None:
        return self.quotes.get(instrument_id)

    async def set_stop_loss(self, instrument_id: InstrumentId, stop_loss_ticks: int) -> Answer:
        row = self.core.set_trading_stop(
            ACCOUNT, instrument_id, self.exchange.now_ns, stop_loss_ticks=stop_loss_ticks, sl_trigger_by=TriggerBy.MARK
        )
        self.exchange.publish()
        return Refused(str(row.code), row.message) if isinstance(row, Reject) else Taken()

    # questions --------------------------------------------------------------------------------------------------------

    async def _asked(self) -> None:
        await asyncio.sleep(0)
        if self.fail_questions:
            self.fail_questions -= 1
            raise VenueUnavailable("the venue does not answer", why="drill", fix="wait")

    async def instruments(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        await self._asked()
        return [spec for spec in self.exchange.specs if spec.instrument_id in ids]

    def remember(self, records: Sequence[Instrument]) -> None:
        self.remembered = list(records)

    async def open_orders(self) -> list[VenueOrder]:
        await self._asked()
        return [order_of(row) for row in self.core.open_orders(ACCOUNT, limit=1_000).rows]

    async def find_order(self, instrument_id: InstrumentId, client_order_id: str) -> VenueOrder | None:
        await self._asked()
        row = self.core.find_order(ACCOUNT, instrument_id, link_id=client_order_id)
        return None if row is None else order_of(row)

    async def executions(self, since_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        await self._asked()
        if self.hides_executions:
            self.hides_executions -= 1
            return []
        rows = self.core.executions(ACCOUNT, limit=10_000).rows
        return [execution_of(row) for row in reversed(rows) if row.ts_ns >= since_ts_ns]

    async def positions(self) -> list[VenuePosition]:
        await self._asked()
        return [position_of(row) for row in self.core.positions(ACCOUNT)]

    async def wallet(self) -> VenueWallet:
        await self._asked()
        return wallet_of(self.core.wallet(ACCOUNT))

    async def ledger(self, since_ts_ns: int) -> list[LedgerEntry]:
        await self._asked()
        rows = self.core.transaction_log(ACCOUNT, limit=10_000).rows
        found = [entry_of(row) for row in reversed(rows) if row.ts_ns >= since_ts_ns]
        if self.hides_ledger:
            self.hides_ledger -= 1
            return found[:-1]
        return found

    async def bars(self, instrument_id: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        await self._asked()
        return [bar for bar in self.exchange.bars if bar.instrument == instrument_id and from_ts_ns < bar.ts_ns <= to_ts_ns]

    async def wall_time_ns(self) -> int:
        await self._asked()
        self.exchange.wall_ns += MINUTE
        return self.exchange.wall_ns


def request_of(approved: ApprovedOrder) -> OrderRequest:
    order = approved.order
    return OrderRequest(
        instrument=order.instrument,
        side=order.side,
        kind=order.kind,
        qty_lots=order.qty_lots,
        limit_ticks=order.limit_ticks,
        time_in_force=order.time_in_force,
        link_id=order.client_order_id,
        reduce_only=order.reduce_only,
        trigger_ticks=order.trigger_ticks,
        trigger_direction=0 if not order.trigger_ticks else 1 if order.trigger_rises else 2,
        trigger_by=TriggerBy.MARK,
    )


def news_of(change: object) -> VenueNews | None:
    if isinstance(change, ExecutionRow):
        return execution_of(change)
    if isinstance(change, OrderRow):
        return _order_news(change)
    if isinstance(change, PositionRow):
        return position_of(change)
    if isinstance(change, WalletRow):
        return wallet_of(change)
    if isinstance(change, KlineRow) and change.confirm and change.interval == "1":
        return bar_of(change)
    return None


def _order_news(row: OrderRow) -> VenueNews | None:
    if not row.link_id:
        return None
    if row.status in (Status.CANCELLED, Status.DEACTIVATED):
        return OrderCanceled(row.updated_ns, row.link_id, str(row.cancel_type))
    if row.status is Status.REJECTED:
        return OrderRejected(row.updated_ns, row.link_id, str(row.reject_reason), str(row.reject_reason))
    if row.status is Status.UNTRIGGERED:
        return OrderWaits(row.updated_ns, row.link_id, row.order_id)
    if row.status is Status.NEW:
        return OrderAccepted(row.updated_ns, row.link_id, row.order_id)
    return None


def _terms(row: OrderRow) -> tuple[int, int, int]:
    return row.qty_lots, 0 if row.kind is OrderKind.MARKET else row.price_ticks, row.trigger_ticks


def execution_of(row: ExecutionRow) -> OrderFilled | FundingSettled:
    signed = row.qty_lots if row.side is Side.BUY else -row.qty_lots
    if row.exec_type is ExecType.FUNDING:
        return FundingSettled(row.ts_ns, row.instrument, row.fee_rate_e8, row.mark_e8, signed, row.fee_e8, row.exec_id)
    cause = FillCause.LIQUIDATION if row.exec_type is ExecType.BUST else FillCause.TRADE
    if cause is FillCause.TRADE and row.stop_type in (StopType.STOP_LOSS, StopType.TAKE_PROFIT):
        cause = FillCause.STOP
    return OrderFilled(
        row.ts_ns,
        row.exec_id,
        row.link_id if cause is FillCause.TRADE else "",
        row.instrument,
        row.side,
        row.qty_lots,
        row.price_e8 // instrument().tick_e8,
        row.fee_e8,
        Liquidity.MAKER if row.is_maker else Liquidity.TAKER,
        row.leaves_lots,
        cause,
    )


def order_of(row: OrderRow) -> VenueOrder:
    return VenueOrder(
        client_order_id=row.link_id,
        venue_order_id=row.order_id,
        instrument=row.instrument,
        side=row.side,
        kind=row.kind,
        time_in_force=row.time_in_force,
        qty_lots=row.qty_lots,
        cum_lots=row.cum_lots,
        limit_ticks=0 if row.kind is OrderKind.MARKET else row.price_ticks,
        reduce_only=row.reduce_only,
        is_conditional=row.trigger_ticks > 0,
        state=_STATES[row.status],
        reason=str(row.cancel_type),
        created_ts_ns=row.created_ns,
        updated_ts_ns=row.updated_ns,
        trigger_ticks=row.trigger_ticks,
    )


def entry_of(row: LogRow) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"log-{row.number}",
        ts_ns=row.ts_ns,
        kind=_KINDS[row.type],
        word=str(row.type),
        instrument=row.instrument,
        change_e8=row.change_e8,
        cash_flow_e8=row.cash_flow_e8,
        funding_e8=row.funding_e8,
        fee_e8=row.fee_e8,
        balance_e8=row.balance_e8,
        fill_id=row.exec_id,
    )


def bar_of(row: KlineRow) -> BarClosed:
    return BarClosed(
        row.end_ns, row.instrument, row.start_ns, row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks, row.volume_lots
    )


def limit_order(side: Side, lots: int, ticks: int, instrument_id: str = AAA, link_id: str = "") -> dict[str, object]:
    """A resting order of somebody else."""
    return {
        "instrument": instrument_id, "side": side, "kind": OrderKind.LIMIT, "qty_lots": lots, "limit_ticks": ticks,
        "time_in_force": TimeInForce.GTC, "link_id": link_id,
    }  # fmt: skip
