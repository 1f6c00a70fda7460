"""Private rows of the venue as the JSON that clients read: orders and executions, over REST and over the private socket.

Rules: the `*_rest` functions give one item of a REST list, the `*_ws` functions one object of a frame's `data`, both as JSON bytes;
the shapes differ where the venue's do. Everything written into them is the venue's own and needs no escaping: ids are checked when an
order is taken. What many rows share word for word is remembered. Positions, wallets and logs are in `rows_account`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue_types import (
    CancelType,
    CreateType,
    ExecType,
    ExecutionRow,
    OrderRow,
    RejectReason,
    Status,
    StopType,
    TriggerBy,
)
from kedge.venues.exchange.texts import Grid, e8_text, known_e8_text

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
_BUY: Final = Side.BUY
_MARKET: Final = OrderKind.MARKET
_FUNDING: Final = ExecType.FUNDING
_REMEMBERED: Final = 4_096


def order_rest(row: OrderRow, grid: Grid) -> bytes:
    """An order as `order/realtime` and `order/history` list it."""
    return f'{{{_order(row, grid)},"extraFees":""}}'.encode()


def order_ws(row: OrderRow, grid: Grid) -> bytes:
    """An order as the `order` topic sends it."""
    return _order_ws(row, grid).encode()


def order_text(row: OrderRow, grid: Grid) -> str:
    """What `order_ws` encodes, in one piece for an order that nothing has traded of yet."""
    if row.cum_lots or row.cum_value_e8 or row.cum_fee_e8 or row.closed_pnl_e8:
        return _order_ws(row, grid)
    leaves, price, lots, zero = row.leaves_lots, row.price_ticks, row.qty_lots, grid.zero
    created_ns, updated_ns = row.created_ns, row.updated_ns
    created, text = f"{created_ns // 1_000_000}", grid.qty(lots)
    how = _how(
        grid, row.kind, row.time_in_force, row.stop_type, row.trigger_ticks, row.trigger_direction, row.trigger_by, row.take_profit_ticks,
        row.stop_loss_ticks, row.tp_trigger_by, row.sl_trigger_by, row.last_ticks_on_create, row.reduce_only, row.close_on_trigger,
        row.self_trade,
    )  # fmt: skip
    return (
        f'{{"category":"linear","symbol":"{grid.symbol}","orderId":"{row.order_id}","orderLinkId":"{row.link_id}",'
        f"{_state(row.side, row.status, row.create_type, row.cancel_type, row.reject_reason)}"
        f'"price":"{grid.price(price) if price else "0"}","qty":"{text}","avgPrice":"",'
        f'"leavesQty":"{zero if not leaves else text if leaves == lots else grid.qty(leaves)}",'
        f'"leavesValue":"{e8_text(leaves * price * grid.tick_value_e8) if leaves else "0"}","cumExecQty":"{zero}",'
        f'"cumExecValue":"0","cumExecFee":"0","cumFeeDetail":{{}},{how}"smpOrderId":"{row.smp_order_id}","createdTime":"{created}",'
        f'"updatedTime":"{created if created_ns == updated_ns else updated_ns // 1_000_000}","rpiTakerAccess":false,"rpiMatchedQty":"0",'
        f'"closedPnl":"0","feeCurrency":""}}'
    )


def _order_ws(row: OrderRow, grid: Grid) -> str:
    return f'{{"category":"linear",{_order(row, grid)},"closedPnl":"{e8_text(row.closed_pnl_e8)}","feeCurrency":""}}'


def execution_rest(row: ExecutionRow, grid: Grid) -> bytes:
    """An execution as `execution/list` lists it."""
    return f'{{{_execution(row, grid)},"execFeeV2":""}}'.encode()


def execution_ws(row: ExecutionRow, grid: Grid) -> bytes:
    """An execution as the `execution` topic sends it."""
    return execution_text(row, grid).encode()


def execution_text(row: ExecutionRow, grid: Grid) -> str:
    """What `execution_ws` encodes."""
    return f'{{"category":"linear",{_execution(row, grid)},"execPnl":"{e8_text(row.pnl_e8)}","isLeverage":"0","marketUnit":""}}'


def execution_fast_ws(row: ExecutionRow, grid: Grid) -> bytes:
    """A trade as the `execution.fast` topic sends it; makers' fills carry no client id there."""
    return execution_fast_text(row, grid).encode()


def execution_fast_text(row: ExecutionRow, grid: Grid) -> str:
    """What `execution_fast_ws` encodes."""
    return (
        f'{{"category":"linear","symbol":"{grid.symbol}","execId":"{row.exec_id}","execPrice":"{grid.price_e8(row.price_e8)}",'
        f'"execQty":"{grid.qty(row.qty_lots)}","orderId":"{row.order_id}","isMaker":{"true" if row.is_maker else "false"},'
        f'"orderLinkId":"{"" if row.is_maker else row.link_id}","side":"{"Buy" if row.side is Side.BUY else "Sell"}",'
        f'"execTime":"{row.ts_ns // 1_000_000}","seq":{row.seq}}}'
    )


def page(items: Iterable[bytes], cursor: str) -> bytes:
    """A REST result of one page; `cursor` is empty on the last."""
    return b'{"category":"linear","list":[%b],"nextPageCursor":"%b"}' % (b",".join(items), cursor.encode())


def _order(row: OrderRow, grid: Grid) -> str:
    """The members that both shapes share."""
    cum, leaves, price = row.cum_lots, row.leaves_lots, row.price_ticks
    lots, fee = grid.qty, known_e8_text(row.cum_fee_e8)
    how = _how(
        grid, row.kind, row.time_in_force, row.stop_type, row.trigger_ticks, row.trigger_direction, row.trigger_by, row.take_profit_ticks,
        row.stop_loss_ticks, row.tp_trigger_by, row.sl_trigger_by, row.last_ticks_on_create, row.reduce_only, row.close_on_trigger,
        row.self_trade,
    )  # fmt: skip
    return (
        f'"symbol":"{grid.symbol}","orderId":"{row.order_id}","orderLinkId":"{row.link_id}",'
        f"{_state(row.side, row.status, row.create_type, row.cancel_type, row.reject_reason)}"
        f'"price":"{grid.price(price) if price else "0"}","qty":"{lots(row.qty_lots)}",'
        f'"avgPrice":"{grid.average(row.cum_value_e8, cum) if cum else ""}","leavesQty":"{lots(leaves)}",'
        f'"leavesValue":"{known_e8_text(leaves * price * grid.tick_value_e8)}","cumExecQty":"{lots(cum)}",'
        f'"cumExecValue":"{e8_text(row.cum_value_e8)}","cumExecFee":"{fee}","cumFeeDetail":{{{_fees(grid.coin, fee) if cum else ""}}},{how}'
        f'"smpOrderId":"{row.smp_order_id}","createdTime":"{row.created_ns // 1_000_000}","updatedTime":"{row.updated_ns // 1_000_000}",'
        f'"rpiTakerAccess":false,"rpiMatchedQty":"0"'
    )


def _fees(coin: str, fee: str) -> str:
    return f'"{coin}":"{fee}"'


@lru_cache(_REMEMBERED)
def _state(side: Side, status: Status, create_type: CreateType, cancel_type: CancelType, reason: RejectReason) -> str:
    """The members of an order that say how it stands."""
    return (
        f'"parentOrderLinkId":"","blockTradeId":"","side":"{"Buy" if side is _BUY else "Sell"}","isLeverage":"","positionIdx":0,'
        f'"orderStatus":"{status}","createType":"{create_type}","cancelType":"{cancel_type}","rejectReason":"{reason}",'
    )


@lru_cache(_REMEMBERED)
def _how(
    grid: Grid, kind: OrderKind, force: TimeInForce, stop_type: StopType, waits: int, direction: int, trigger_by: TriggerBy, profit: int,
    loss: int, profit_by: TriggerBy, loss_by: TriggerBy, last: int, reduce_only: bool, closes: bool, self_trade: SelfTrade,
) -> str:  # fmt: skip
    """The members of an order that say how it was meant; all prices in ticks, 0 for none."""
    return (
        f'"timeInForce":"{FORCES[force]}",'
        f'"orderType":"{"Market" if kind is _MARKET else "Limit"}","stopOrderType":"{stop_type}","ocoTriggerBy":"",'
        f'"orderIv":"","marketUnit":"","slippageToleranceType":"UNKNOWN","slippageTolerance":"",'
        f'"triggerPrice":"{grid.price_or_none(waits)}","triggerDirection":{direction},'
        f'"triggerBy":"{trigger_by if waits else ""}","takeProfit":"{grid.price_or_none(profit)}",'
        f'"stopLoss":"{grid.price_or_none(loss)}","tpslMode":"{"Full" if profit or loss or stop_type in _FULL else ""}",'
        f'"tpLimitPrice":"","slLimitPrice":"","tpTriggerBy":"{profit_by if profit else ""}",'
        f'"slTriggerBy":"{loss_by if loss else ""}","lastPriceOnCreated":"{grid.price_or_none(last)}",'
        f'"reduceOnly":{"true" if reduce_only else "false"},"closeOnTrigger":{"true" if closes else "false"},'
        f'"placeType":"","smpType":"{SELF_TRADES[self_trade]}","smpGroup":0,'
    )


def _execution(row: ExecutionRow, grid: Grid) -> str:
    """The members that both shapes share. A funding names the mark as its price and no order type."""
    lots, price = grid.qty, row.order_price_ticks
    return (
        f'"symbol":"{grid.symbol}","orderId":"{row.order_id}","orderLinkId":"{row.link_id}",'
        f'"side":"{"Buy" if row.side is _BUY else "Sell"}","orderPrice":"{grid.price(price) if price else "0"}",'
        f'"orderQty":"{lots(row.order_qty_lots)}","leavesQty":"{lots(row.leaves_lots)}",'
        f"{_origin(row.exec_type, row.create_type, row.kind, row.stop_type)}"
        f'"execFee":"{known_e8_text(row.fee_e8)}","execId":"{row.exec_id}","execPrice":"{grid.price_e8(row.price_e8)}",'
        f'"execQty":"{lots(row.qty_lots)}","execType":"{row.exec_type._value_}","execValue":"{known_e8_text(row.value_e8)}",'
        f'"execTime":"{row.ts_ns // 1_000_000}",{_terms(grid, row.is_maker, row.fee_rate_e8, row.mark_e8)}'
        f'"closedSize":"{lots(row.closed_lots)}","seq":{row.seq},"extraFees":""'
    )


@lru_cache(_REMEMBERED)
def _origin(exec_type: ExecType, create_type: CreateType, kind: OrderKind, stop_type: StopType) -> str:
    """The members of an execution that say what order it came from."""
    funding = exec_type is _FUNDING
    word = "UNKNOWN" if funding else "Market" if kind is _MARKET else "Limit"
    return f'"createType":"{"" if funding else create_type}","orderType":"{word}","stopOrderType":"{stop_type or "UNKNOWN"}",'


@lru_cache(_REMEMBERED)
def _terms(grid: Grid, is_maker: bool, fee_rate_e8: int, mark_e8: int) -> str:
    """The members of an execution that say on which terms it was."""
    return (
        f'"feeCurrency":"{grid.coin}","isMaker":{"true" if is_maker else "false"},'
        f'"feeRate":"{e8_text(fee_rate_e8)}","tradeIv":"","markIv":"","markPrice":"{grid.price_e8(mark_e8)}","indexPrice":"",'
        f'"underlyingPrice":"","blockTradeId":"",'
    )
