"""The simulated venue's rows as a trader's client tells them: events, and the port's nouns.

Rules as in the client of the real protocol: an amendment is told by the order's own row when its terms differ from the row before; an order
that waited and stands in the book has been triggered; fills of orders that the venue made itself carry no client id and their cause.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.events import (
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.orders import FillCause, Liquidity, OrderKind, Side
from kedge.domain.venue import LedgerEntry, LedgerKind, VenueNews, VenueOrder, VenueOrderState, VenuePosition, VenueWallet
from kedge.simulation.venue_types import (
    Change,
    CreateType,
    ExecType,
    ExecutionRow,
    LogRow,
    LogType,
    OrderRow,
    PositionRow,
    Status,
    WalletRow,
)

STATES: Final = {
    Status.NEW: VenueOrderState.OPEN,
    Status.PARTIALLY_FILLED: VenueOrderState.OPEN,
    Status.UNTRIGGERED: VenueOrderState.WAITING,
    Status.TRIGGERED: VenueOrderState.OPEN,
    Status.FILLED: VenueOrderState.FILLED,
    Status.CANCELLED: VenueOrderState.CANCELED,
    Status.DEACTIVATED: VenueOrderState.CANCELED,
    Status.REJECTED: VenueOrderState.REJECTED,
}
_LEDGER: Final = {
    LogType.TRADE: LedgerKind.TRADE,
    LogType.SETTLEMENT: LedgerKind.FUNDING,
    LogType.LIQUIDATION: LedgerKind.LIQUIDATION,
    LogType.TRANSFER_IN: LedgerKind.TRANSFER,
    LogType.TRANSFER_OUT: LedgerKind.TRANSFER,
}
_ENDED: Final = frozenset({Status.FILLED, Status.CANCELLED, Status.DEACTIVATED, Status.REJECTED})
_IN_THE_BOOK: Final = frozenset({Status.NEW, Status.PARTIALLY_FILLED, Status.FILLED})
_STOPS: Final = frozenset({CreateType.STOP_LOSS, CreateType.TAKE_PROFIT})
DELEVERAGED: Final = "adl-"
"""Begins the client id of an order by which this venue deleverages; a trader never sees it."""


class OrderReader:
    """Reads order rows in the order of their arrival, as one connection of a client does."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Status, tuple[int, int, int]]] = {}

    def news(self, row: OrderRow) -> list[VenueNews]:
        """What the row tells."""
        if not row.link_id or row.link_id.startswith(DELEVERAGED):
            return []
        told = _told(row)
        before = self._seen.get(row.order_id)
        if before is not None and row.updated_ns < before[0]:
            return [told] if told is not None else []
        found: list[VenueNews] = []
        terms = terms_of(row)
        if before is not None and before[1] is Status.UNTRIGGERED and row.status in _IN_THE_BOOK:
            found.append(OrderTriggered(row.updated_ns, row.link_id))
        if told is not None:
            found.append(told)
        if before is not None and row.status not in _ENDED and terms != before[2]:
            found.append(OrderAmended(row.updated_ns, row.link_id, *terms))
        self._seen[row.order_id] = (row.updated_ns, row.status, terms)
        return found


def terms_of(row: OrderRow) -> tuple[int, int, int]:
    """Whole quantity, limit and trigger."""
    return row.qty_lots, 0 if row.kind is OrderKind.MARKET else row.price_ticks, row.trigger_ticks


def _told(row: OrderRow) -> VenueNews | None:
    ts_ns, name = row.updated_ns, row.link_id
    if row.status in (Status.CANCELLED, Status.DEACTIVATED):
        return OrderCanceled(ts_ns, name, _reason(row), row.cum_lots)
    if row.status is Status.REJECTED:
        return OrderRejected(ts_ns, name, str(row.reject_reason), "refused by the matching engine")
    if row.status is Status.TRIGGERED:
        return OrderTriggered(ts_ns, name)
    if row.status is Status.UNTRIGGERED:
        return OrderWaits(ts_ns, name, row.order_id)
    return OrderAccepted(ts_ns, name, row.order_id) if row.status is Status.NEW else None


def _reason(row: OrderRow) -> str:
    words = (str(row.cancel_type), str(row.reject_reason))
    return next((word for word in words if word not in ("UNKNOWN", "EC_NoError")), str(row.status))


def news_of(change: Change, reader: OrderReader) -> list[VenueNews]:
    """What a client tells of one private row."""
    if isinstance(change, OrderRow):
        return reader.news(change)
    if isinstance(change, ExecutionRow):
        return [execution_of(change)]
    if isinstance(change, PositionRow):
        return [position_of(change)]
    return [wallet_of(change)] if isinstance(change, WalletRow) else []


def cause_of(row: ExecutionRow) -> FillCause:
    """Who wanted this trade."""
    if row.exec_type is ExecType.BUST:
        return FillCause.LIQUIDATION
    if row.link_id.startswith(DELEVERAGED):
        return FillCause.ADL
    return FillCause.STOP if row.create_type in _STOPS else FillCause.TRADE


def execution_of(row: ExecutionRow) -> OrderFilled | FundingSettled:
    """A fill or a settlement."""
    if row.exec_type is ExecType.FUNDING:
        signed = row.qty_lots if row.side is Side.BUY else -row.qty_lots
        return FundingSettled(row.ts_ns, row.instrument, row.fee_rate_e8, row.mark_e8, signed, row.fee_e8, row.exec_id)
    cause = cause_of(row)
    price_ticks = row.price_e8 // TICK_E8
    return OrderFilled(
        row.ts_ns, row.exec_id, row.link_id if cause is FillCause.TRADE else "", row.instrument, row.side, row.qty_lots, price_ticks,
        row.fee_e8, Liquidity.MAKER if row.is_maker else Liquidity.TAKER, row.leaves_lots, cause,
    )  # fmt: skip


TICK_E8: Final = 10_000_000
"""One price step of every instrument of a day."""


def order_of(row: OrderRow) -> VenueOrder:
    """One order as a list shows it."""
    name = "" if row.link_id.startswith(DELEVERAGED) else row.link_id
    return VenueOrder(
        client_order_id=name,
        venue_order_id=row.order_id,
        instrument=row.instrument,
        side=row.side,
        kind=row.kind,
        time_in_force=row.time_in_force,
        qty_lots=row.qty_lots,
        cum_lots=row.cum_lots,
        limit_ticks=0 if row.kind is OrderKind.MARKET else row.price_ticks,
        reduce_only=row.reduce_only,
        is_conditional=row.status in (Status.UNTRIGGERED, Status.DEACTIVATED),
        state=STATES[row.status],
        reason=_reason(row) if row.status in _ENDED and row.status is not Status.FILLED else "",
        created_ts_ns=row.created_ns,
        updated_ts_ns=row.updated_ns,
        trigger_ticks=row.trigger_ticks,
    )


def position_of(row: PositionRow) -> VenuePosition:
    """One position, flat or not."""
    return VenuePosition(
        instrument=row.instrument,
        position_idx=0,
        lots=row.lots,
        cost_e8=row.cost_e8,
        mark_e8=row.mark_e8,
        leverage_e2=row.leverage_e2,
        stop_loss_ticks=row.stop_loss_ticks,
        ts_ns=row.updated_ns,
    )


def wallet_of(row: WalletRow) -> VenueWallet:
    """The account's money."""
    return VenueWallet(wallet_e8=row.wallet_e8, equity_e8=row.equity_e8, available_e8=row.available_e8, ts_ns=row.ts_ns)


def entry_of(row: LogRow) -> LedgerEntry:
    """One change of the wallet."""
    return LedgerEntry(
        entry_id=f"log-{row.number}",
        ts_ns=row.ts_ns,
        kind=_LEDGER[row.type],
        word=str(row.type),
        instrument=row.instrument,
        change_e8=row.change_e8,
        cash_flow_e8=row.cash_flow_e8,
        funding_e8=row.funding_e8,
        fee_e8=row.fee_e8,
        balance_e8=row.balance_e8,
        fill_id=row.exec_id,
    )
