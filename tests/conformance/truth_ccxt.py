"""What the exchange holds, in ccxt's unified words: floats, lower case, its own names."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.conformance import truth

from kedge.domain.instrument import Instrument
from kedge.domain.orders import TimeInForce
from kedge.simulation.venue_types import ExecutionRow, OrderRow, PositionRow, Status, TickerRow

STATUSES = {
    Status.NEW: "open",
    Status.PARTIALLY_FILLED: "open",
    Status.UNTRIGGERED: "open",
    Status.FILLED: "closed",
    Status.CANCELLED: "canceled",
    Status.DEACTIVATED: "canceled",
}
FORCES = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "PO"}
NO_STOP = (None, 0.0)
"""What ccxt makes of a stop that is not set: nothing over REST, where the venue sends an empty text, 0 where the socket sends a 0."""


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Every expected member was found; a decimal is the float nearest to it."""
    wrong = {name: (found.get(name, "MISSING"), value) for name, value in expected.items() if not _is_same(found.get(name), value)}
    assert not wrong, f"(found, expected) differ: {wrong}"


def _is_same(found: Any, expected: Any) -> bool:
    if expected is NO_STOP:
        return found in NO_STOP
    if isinstance(expected, Decimal):
        return isinstance(found, int | float) and found == float(expected)
    return type(found) is type(expected) and bool(found == expected)


def symbol(spec: Instrument) -> str:
    return f"{spec.base}/{spec.quote}:{spec.quote}"


def order(row: OrderRow, spec: Instrument) -> dict[str, Any]:
    """An order. ccxt takes what remains from `leavesQty`, which is 0 on a cancelled one, and its time from `createdTime`."""
    traded = row.cum_lots
    return {
        "id": row.order_id,
        "clientOrderId": row.link_id or None,
        "symbol": symbol(spec),
        "type": truth.kind(row.kind).lower(),
        "side": truth.side(row.side).lower(),
        "timeInForce": FORCES[row.time_in_force],
        "price": truth.price(spec, row.price_ticks),
        "amount": truth.qty(spec, row.qty_lots),
        "filled": truth.qty(spec, traded),
        "remaining": truth.qty(spec, row.leaves_lots),
        "cost": truth.money(row.cum_value_e8),
        "average": truth.average(row.cum_value_e8, traded, spec) if traded else None,
        "status": STATUSES[row.status],
        "reduceOnly": row.reduce_only,
        "triggerPrice": truth.price(spec, row.trigger_ticks) if row.trigger_ticks else None,
        "takeProfitPrice": truth.price(spec, row.take_profit_ticks) if row.take_profit_ticks else None,
        "stopLossPrice": truth.price(spec, row.stop_loss_ticks) if row.stop_loss_ticks else None,
        "timestamp": truth.ms(row.created_ns),
        "lastTradeTimestamp": truth.ms(row.updated_ns),
    }


def trade(row: ExecutionRow, spec: Instrument) -> dict[str, Any]:
    """A fill of one's own."""
    return {
        "id": row.exec_id,
        "order": row.order_id,
        "symbol": symbol(spec),
        "side": truth.side(row.side).lower(),
        "type": truth.kind(row.kind).lower(),
        "takerOrMaker": "maker" if row.is_maker else "taker",
        "price": truth.money(row.price_e8),
        "amount": truth.qty(spec, row.qty_lots),
        "cost": truth.money(row.value_e8),
        "timestamp": truth.ms(row.ts_ns),
    }


def fee(row: ExecutionRow) -> dict[str, Any]:
    """What a fill cost."""
    return {"cost": truth.money(row.fee_e8), "currency": "USDT", "rate": truth.money(row.fee_rate_e8)}


def position(row: PositionRow, spec: Instrument) -> dict[str, Any]:
    """A position that is not flat. Its maintenance margin ccxt works out from a bankruptcy price that the venue leaves empty."""
    return {
        "symbol": symbol(spec),
        "side": "long" if row.lots > 0 else "short",
        "contracts": truth.qty(spec, abs(row.lots)),
        "entryPrice": truth.average(abs(row.cost_e8), abs(row.lots), spec),
        "notional": truth.money(abs(row.cost_e8)),
        "leverage": Decimal(row.leverage_e2) / 100,
        "initialMargin": truth.money(row.initial_e8),
        "unrealizedPnl": truth.money(row.unrealised_e8),
        "liquidationPrice": None if row.liq_price_e8 is None else truth.money(row.liq_price_e8),
        "stopLossPrice": truth.price(spec, row.stop_loss_ticks) if row.stop_loss_ticks else NO_STOP,
        "takeProfitPrice": truth.price(spec, row.take_profit_ticks) if row.take_profit_ticks else NO_STOP,
        "hedged": False,
    }


def ticker(row: TickerRow, spec: Instrument) -> dict[str, Any]:
    """An instrument at a glance; both sides of its book are there."""
    assert row.bid_ticks is not None
    assert row.ask_ticks is not None
    return {
        "symbol": symbol(spec),
        "last": truth.price(spec, row.last_ticks),
        "close": truth.price(spec, row.last_ticks),
        "open": truth.price(spec, row.previous_24h_ticks),
        "high": truth.price(spec, row.high_24h_ticks),
        "low": truth.price(spec, row.low_24h_ticks),
        "bid": truth.price(spec, row.bid_ticks),
        "bidVolume": truth.qty(spec, row.bid_lots),
        "ask": truth.price(spec, row.ask_ticks),
        "askVolume": truth.qty(spec, row.ask_lots),
        "baseVolume": truth.qty(spec, row.volume_24h_lots),
        "quoteVolume": truth.money(row.turnover_24h_e8),
        "markPrice": truth.money(row.mark_e8),
        "indexPrice": truth.money(row.index_e8),
    }


def levels(held: Any, spec: Instrument) -> list[list[float]]:
    """One side of a book."""
    return [[float(truth.price(spec, ticks)), float(truth.qty(spec, lots))] for ticks, lots in held]
