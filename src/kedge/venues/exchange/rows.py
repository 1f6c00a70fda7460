"""Private rows of the venue as the JSON that clients read: orders and executions, over REST and over the private socket.

Rules: the `*_rest` functions give one item of a REST list, the `*_ws` functions one object of a frame's `data`, both as JSON bytes;
the shapes differ where the venue's do. Everything written into them is the venue's own and needs no escaping: ids are checked when an
order is taken. Positions, wallets and logs are in `rows_account`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue_types import ExecType, ExecutionRow, OrderRow, StopType
from kedge.venues.exchange.texts import Grid, e8_text

FORCES: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
SELF_TRADES: Final = {
    SelfTrade.ALLOW: "None",
    SelfTrade.CANCEL_MAKER: "CancelMaker",
    SelfTrade.CANCEL_TAKER: "CancelTaker",
    SelfTrade.CANCEL_BOTH: "CancelBoth",
}
EMPTY_PAGE: Final[dict[str, Any]] = {"list": [], "nextPageCursor": ""}
"""What a list answers for a category that nothing is listed in."""

_FULL: Final = frozenset({StopType.TAKE_PROFIT, StopType.STOP_LOSS})


def order_rest(row: OrderRow, grid: Grid) -> bytes:
    """An order as `order/realtime` and `order/history` list it."""
    return f'{{{_order(row, grid)},"extraFees":""}}'.encode()


def order_ws(row: OrderRow, grid: Grid) -> bytes:
    """An order as the `order` topic sends it."""
    return (f'{{"category":"linear",{_order(row, grid)},"closedPnl":"{e8_text(row.closed_pnl_e8)}","feeCurrency":""}}').encode()


def execution_rest(row: ExecutionRow, grid: Grid) -> bytes:
    """An execution as `execution/list` lists it."""
    return f'{{{_execution(row, grid)},"execFeeV2":""}}'.encode()


def execution_ws(row: ExecutionRow, grid: Grid) -> bytes:
    """An execution as the `execution` topic sends it."""
    return (f'{{"category":"linear",{_execution(row, grid)},"execPnl":"{e8_text(row.pnl_e8)}","isLeverage":"0","marketUnit":""}}').encode()


def execution_fast_ws(row: ExecutionRow, grid: Grid) -> bytes:
    """A trade as the `execution.fast` topic sends it; makers' fills carry no client id there."""
    return (
        f'{{"category":"linear","symbol":"{grid.symbol}","execId":"{row.exec_id}","execPrice":"{grid.price_e8(row.price_e8)}",'
        f'"execQty":"{grid.qty(row.qty_lots)}","orderId":"{row.order_id}","isMaker":{"true" if row.is_maker else "false"},'
        f'"orderLinkId":"{"" if row.is_maker else row.link_id}","side":"{"Buy" if row.side is Side.BUY else "Sell"}",'
        f'"execTime":"{row.ts_ns // 1_000_000}","seq":{row.seq}}}'
    ).encode()


def page(items: Iterable[bytes], cursor: str) -> bytes:
    """A REST result of one page; `cursor` is empty on the last."""
    return b'{"category":"linear","list":[%b],"nextPageCursor":"%b"}' % (b",".join(items), cursor.encode())


def _order(row: OrderRow, grid: Grid) -> str:
    """The members that both shapes share."""
    cum, leaves, fee = row.cum_lots, row.leaves_lots, e8_text(row.cum_fee_e8)
    profit, loss, waits = row.take_profit_ticks, row.stop_loss_ticks, row.trigger_ticks
    fees = f'{{"{grid.coin}":"{fee}"}}' if cum else "{}"
    return (
        f'"symbol":"{grid.symbol}","orderId":"{row.order_id}","orderLinkId":"{row.link_id}","parentOrderLinkId":"","blockTradeId":"",'
        f'"side":"{"Buy" if row.side is Side.BUY else "Sell"}","isLeverage":"","positionIdx":0,"orderStatus":"{row.status}",'
        f'"createType":"{row.create_type}","cancelType":"{row.cancel_type}","rejectReason":"{row.reject_reason}",'
        f'"price":"{grid.price_or_zero(row.price_ticks)}","qty":"{grid.qty(row.qty_lots)}",'
        f'"avgPrice":"{grid.average(row.cum_value_e8, cum) if cum else ""}","leavesQty":"{grid.qty(leaves)}",'
        f'"leavesValue":"{grid.value(leaves, row.price_ticks)}","cumExecQty":"{grid.qty(cum)}",'
        f'"cumExecValue":"{e8_text(row.cum_value_e8)}","cumExecFee":"{fee}",'
        f'"cumFeeDetail":{fees},"timeInForce":"{FORCES[row.time_in_force]}",'
        f'"orderType":"{"Market" if row.kind is OrderKind.MARKET else "Limit"}","stopOrderType":"{row.stop_type}","ocoTriggerBy":"",'
        f'"orderIv":"","marketUnit":"","slippageToleranceType":"UNKNOWN","slippageTolerance":"",'
        f'"triggerPrice":"{grid.price_or_none(waits)}","triggerDirection":{row.trigger_direction},'
        f'"triggerBy":"{row.trigger_by if waits else ""}","takeProfit":"{grid.price_or_none(profit)}",'
        f'"stopLoss":"{grid.price_or_none(loss)}","tpslMode":"{"Full" if profit or loss or row.stop_type in _FULL else ""}",'
        f'"tpLimitPrice":"","slLimitPrice":"","tpTriggerBy":"{row.tp_trigger_by if profit else ""}",'
        f'"slTriggerBy":"{row.sl_trigger_by if loss else ""}","lastPriceOnCreated":"{grid.price_or_none(row.last_ticks_on_create)}",'
        f'"reduceOnly":{"true" if row.reduce_only else "false"},"closeOnTrigger":{"true" if row.close_on_trigger else "false"},'
        f'"placeType":"","smpType":"{SELF_TRADES[row.self_trade]}","smpGroup":0,"smpOrderId":"{row.smp_order_id}",'
        f'"createdTime":"{row.created_ns // 1_000_000}","updatedTime":"{row.updated_ns // 1_000_000}",'
        f'"rpiTakerAccess":false,"rpiMatchedQty":"0"'
    )


def _execution(row: ExecutionRow, grid: Grid) -> str:
    """The members that both shapes share. A funding names the mark as its price and no order type."""
    funding = row.exec_type is ExecType.FUNDING
    kind = "UNKNOWN" if funding else "Market" if row.kind is OrderKind.MARKET else "Limit"
    return (
        f'"symbol":"{grid.symbol}","orderId":"{row.order_id}","orderLinkId":"{row.link_id}",'
        f'"side":"{"Buy" if row.side is Side.BUY else "Sell"}","orderPrice":"{grid.price_or_zero(row.order_price_ticks)}",'
        f'"orderQty":"{grid.qty(row.order_qty_lots)}","leavesQty":"{grid.qty(row.leaves_lots)}",'
        f'"createType":"{"" if funding else row.create_type}","orderType":"{kind}","stopOrderType":"{row.stop_type or "UNKNOWN"}",'
        f'"execFee":"{e8_text(row.fee_e8)}","execId":"{row.exec_id}","execPrice":"{grid.price_e8(row.price_e8)}",'
        f'"execQty":"{grid.qty(row.qty_lots)}","execType":"{row.exec_type}","execValue":"{e8_text(row.value_e8)}",'
        f'"execTime":"{row.ts_ns // 1_000_000}","feeCurrency":"{grid.coin}","isMaker":{"true" if row.is_maker else "false"},'
        f'"feeRate":"{e8_text(row.fee_rate_e8)}","tradeIv":"","markIv":"","markPrice":"{grid.price_e8(row.mark_e8)}","indexPrice":"",'
        f'"underlyingPrice":"","blockTradeId":"","closedSize":"{grid.qty(row.closed_lots)}","seq":{row.seq},"extraFees":""'
    )
