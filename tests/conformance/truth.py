"""What the exchange holds, in the field's words and exact decimals: what a client read off the wire is compared with it.

Written apart from the server's own encoders, over `Decimal`. A number that is expected must have been sent as text, as the venue sends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind, Side
from kedge.simulation.venue_types import (
    ClosedPnlRow,
    ExecutionRow,
    KlineRow,
    LogRow,
    OrderRow,
    PositionRow,
    TickerRow,
    TradeRow,
    WalletRow,
)

ZERO = Decimal(0)
NONE = ("", "0", "0.0", "0.00")
"""How the venue writes a price or average that is not there."""


def money(e8: int) -> Decimal:
    """An amount, rate or price kept in 1e-8."""
    return Decimal(e8).scaleb(-8)


def price(spec: Instrument, ticks: int) -> Decimal:
    return ticks * spec.tick_size


def qty(spec: Instrument, lots: int) -> Decimal:
    return lots * spec.lot_size


def ms(ns: int) -> int:
    return ns // 1_000_000


def side(of: Side | None) -> str:
    return {Side.BUY: "Buy", Side.SELL: "Sell", None: ""}[of]


def kind(of: OrderKind) -> str:
    return {OrderKind.MARKET: "Market", OrderKind.LIMIT: "Limit"}[of]


def average(cost_e8: int, lots: int, spec: Instrument) -> Decimal:
    """Cost over quantity, to the eighth decimal as it is sent."""
    return (money(cost_e8) / qty(spec, lots)).quantize(Decimal("1e-8"))


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Every expected member was found; decimals as texts of the same number, None as one of the venue's ways to write nothing."""
    wrong = {name: (found.get(name, "MISSING"), value) for name, value in expected.items() if not _is_same(found.get(name), value)}
    assert not wrong, f"(found, expected) differ: {wrong}"


def _is_same(found: Any, expected: Any) -> bool:
    if expected is None:
        return found in NONE
    if isinstance(expected, Decimal):
        return isinstance(found, str) and found != "" and Decimal(found) == expected and "E" not in found.upper()
    return type(found) is type(expected) and found == expected


def order(row: OrderRow, spec: Instrument) -> dict[str, Any]:
    """An order as REST and the private socket tell it."""
    traded = row.cum_lots
    return {
        "symbol": spec.venue_symbol,
        "orderId": row.order_id,
        "orderLinkId": row.link_id,
        "side": side(row.side),
        "orderType": kind(row.kind),
        "orderStatus": row.status.value,
        "createType": row.create_type.value,
        "cancelType": row.cancel_type.value,
        "rejectReason": row.reject_reason.value,
        "stopOrderType": row.stop_type.value,
        "positionIdx": 0,
        "price": price(spec, row.price_ticks) if row.price_ticks else None,
        "qty": qty(spec, row.qty_lots),
        "leavesQty": qty(spec, row.leaves_lots),
        "leavesValue": price(spec, row.price_ticks) * qty(spec, row.leaves_lots),
        "cumExecQty": qty(spec, traded),
        "cumExecValue": money(row.cum_value_e8),
        "cumExecFee": money(row.cum_fee_e8),
        "avgPrice": average(row.cum_value_e8, traded, spec) if traded else None,
        "triggerPrice": price(spec, row.trigger_ticks) if row.trigger_ticks else None,
        "triggerDirection": row.trigger_direction,
        "triggerBy": row.trigger_by.value if row.trigger_ticks else "",
        "takeProfit": price(spec, row.take_profit_ticks) if row.take_profit_ticks else None,
        "stopLoss": price(spec, row.stop_loss_ticks) if row.stop_loss_ticks else None,
        "lastPriceOnCreated": price(spec, row.last_ticks_on_create),
        "reduceOnly": row.reduce_only,
        "closeOnTrigger": row.close_on_trigger,
        "createdTime": str(ms(row.created_ns)),
        "updatedTime": str(ms(row.updated_ns)),
    }


def execution(row: ExecutionRow, spec: Instrument) -> dict[str, Any]:
    """A fill or a funding, likewise."""
    return {
        "symbol": spec.venue_symbol,
        "execId": row.exec_id,
        "orderId": row.order_id,
        "orderLinkId": row.link_id,
        "execType": row.exec_type.value,
        "side": side(row.side),
        "orderPrice": price(spec, row.order_price_ticks) if row.order_price_ticks else None,
        "orderQty": qty(spec, row.order_qty_lots),
        "leavesQty": qty(spec, row.leaves_lots),
        "execPrice": money(row.price_e8),
        "execQty": qty(spec, row.qty_lots),
        "execValue": money(row.value_e8),
        "execFee": money(row.fee_e8),
        "feeRate": money(row.fee_rate_e8),
        "feeCurrency": "USDT",
        "closedSize": qty(spec, row.closed_lots),
        "markPrice": money(row.mark_e8),
        "isMaker": row.is_maker,
        "execTime": str(ms(row.ts_ns)),
        "seq": row.seq,
    }


def position(row: PositionRow, spec: Instrument, *, entry: str = "avgPrice") -> dict[str, Any]:
    """A position; the private socket calls its entry `entryPrice`."""
    return {
        "symbol": spec.venue_symbol,
        "side": side(row.side),
        "size": qty(spec, abs(row.lots)),
        entry: average(abs(row.cost_e8), abs(row.lots), spec) if row.lots else None,
        "positionValue": money(abs(row.cost_e8)),
        "markPrice": None if row.mark_e8 is None else money(row.mark_e8),
        "leverage": Decimal(row.leverage_e2) / 100,
        "positionIM": money(row.initial_e8),
        "positionMM": money(row.maintenance_e8),
        "unrealisedPnl": money(row.unrealised_e8),
        "curRealisedPnl": money(row.current_realised_e8),
        "cumRealisedPnl": money(row.cum_realised_e8),
        "liqPrice": None if row.liq_price_e8 is None else money(row.liq_price_e8),
        "breakEvenPrice": None if row.break_even_e8 is None else money(row.break_even_e8),
        "takeProfit": price(spec, row.take_profit_ticks) if row.take_profit_ticks else None,
        "stopLoss": price(spec, row.stop_loss_ticks) if row.stop_loss_ticks else None,
        "riskId": row.risk_tier,
        "riskLimitValue": money(row.risk_limit_e8),
        "openTime": ms(row.opened_ns),
        "seq": row.seq,
    }


def wallet(row: WalletRow) -> dict[str, Any]:
    """A wallet's totals."""
    bound_e8 = row.position_initial_e8 + row.order_initial_e8
    return {
        "totalEquity": money(row.equity_e8),
        "totalWalletBalance": money(row.wallet_e8),
        "totalMarginBalance": money(row.equity_e8),
        "totalAvailableBalance": money(row.available_e8),
        "totalPerpUPL": money(row.unrealised_e8),
        "totalInitialMargin": money(bound_e8),
        "totalMaintenanceMargin": money(row.maintenance_e8),
    }


def coin(row: WalletRow) -> dict[str, Any]:
    """The one coin of a wallet."""
    return {
        "coin": "USDT",
        "equity": money(row.equity_e8),
        "walletBalance": money(row.wallet_e8),
        "totalOrderIM": money(row.order_initial_e8),
        "totalPositionIM": money(row.position_initial_e8),
        "totalPositionMM": money(row.maintenance_e8),
        "unrealisedPnl": money(row.unrealised_e8),
        "cumRealisedPnl": money(row.cum_realised_e8),
    }


def log(row: LogRow, spec: Instrument) -> dict[str, Any]:
    """A change of the wallet that an instrument brought."""
    return {
        "symbol": spec.venue_symbol,
        "type": row.type.value,
        "side": side(row.side),
        "qty": qty(spec, row.qty_lots),
        "size": qty(spec, row.size_lots),
        "tradePrice": money(row.price_e8),
        "fee": money(row.fee_e8),
        "cashFlow": money(row.cash_flow_e8),
        "change": money(row.change_e8),
        "cashBalance": money(row.balance_e8),
        "feeRate": money(row.fee_rate_e8),
        "tradeId": row.exec_id,
        "orderId": row.order_id,
        "transactionTime": str(ms(row.ts_ns)),
    }


def closed_pnl(row: ClosedPnlRow, spec: Instrument) -> dict[str, Any]:
    """What a closing order earned."""
    return {
        "symbol": spec.venue_symbol,
        "orderId": row.order_id,
        "side": side(row.side),
        "orderType": kind(row.kind),
        "qty": qty(spec, row.qty_lots),
        "closedSize": qty(spec, row.closed_lots),
        "cumEntryValue": money(row.entry_value_e8),
        "cumExitValue": money(row.exit_value_e8),
        "avgEntryPrice": average(row.entry_value_e8, row.closed_lots, spec),
        "avgExitPrice": average(row.exit_value_e8, row.closed_lots, spec),
        "closedPnl": money(row.closed_pnl_e8),
        "openFee": money(row.open_fee_e8),
        "closeFee": money(row.close_fee_e8),
        "fillCount": str(row.fills),
        "leverage": Decimal(row.leverage_e2) / 100,
    }


def ticker(row: TickerRow, spec: Instrument) -> dict[str, Any]:
    """An instrument at a glance; both sides of its book are there."""
    assert row.bid_ticks is not None
    assert row.ask_ticks is not None
    return {
        "symbol": spec.venue_symbol,
        "lastPrice": price(spec, row.last_ticks),
        "markPrice": money(row.mark_e8),
        "indexPrice": money(row.index_e8),
        "bid1Price": price(spec, row.bid_ticks),
        "bid1Size": qty(spec, row.bid_lots),
        "ask1Price": price(spec, row.ask_ticks),
        "ask1Size": qty(spec, row.ask_lots),
        "prevPrice24h": price(spec, row.previous_24h_ticks),
        "prevPrice1h": price(spec, row.previous_1h_ticks),
        "highPrice24h": price(spec, row.high_24h_ticks),
        "lowPrice24h": price(spec, row.low_24h_ticks),
        "volume24h": qty(spec, row.volume_24h_lots),
        "turnover24h": money(row.turnover_24h_e8),
        "openInterest": qty(spec, row.open_interest_lots),
        "fundingRate": money(row.funding_rate_e8),
        "nextFundingTime": str(ms(row.next_funding_ns)),
    }


def kline(row: KlineRow, spec: Instrument) -> list[Decimal]:
    """A kline as a list: start in milliseconds, four prices, volume, turnover."""
    prices = [price(spec, ticks) for ticks in (row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks)]
    return [Decimal(ms(row.start_ns)), *prices, qty(spec, row.volume_lots), money(row.turnover_e8)]


def trade(row: TradeRow, spec: Instrument) -> dict[str, Any]:
    """A public trade as REST lists it."""
    return {
        "execId": row.trade_id,
        "symbol": spec.venue_symbol,
        "price": price(spec, row.price_ticks),
        "size": qty(spec, row.qty_lots),
        "side": side(row.side),
        "time": str(ms(row.ts_ns)),
        "seq": str(row.seq),
    }
