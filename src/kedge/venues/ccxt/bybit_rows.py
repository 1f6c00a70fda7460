"""Bybit's rows, as ccxt hands them through, into the port's nouns: written from the manual, apart from the other client.

Rules: a word or number that is not understood is refused by name; what moved the position is never dropped; fees and funding are
positive when paid, a ledger's funding positive when received.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from kedge.domain.events import FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.domain.venue import LedgerEntry, LedgerKind, VenueOrder, VenueOrderState, VenuePosition, VenueWallet
from kedge.venues.ccxt.instruments import instrument_id
from kedge.venues.ccxt.numbers import e8_of, is_blank, ns_of, optional_e8, optional_steps, steps_of, unreadable

T = TypeVar("T")
Row = Mapping[str, Any]

_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_KINDS: Final = {"Market": OrderKind.MARKET, "Limit": OrderKind.LIMIT}
_TIMES: Final = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "PostOnly": TimeInForce.POST_ONLY}
_STATES: Final = {
    "Created": VenueOrderState.OPEN,
    "New": VenueOrderState.OPEN,
    "PartiallyFilled": VenueOrderState.OPEN,
    "Triggered": VenueOrderState.OPEN,
    "Untriggered": VenueOrderState.WAITING,
    "Filled": VenueOrderState.FILLED,
    "Cancelled": VenueOrderState.CANCELED,
    "PartiallyFilledCanceled": VenueOrderState.CANCELED,
    "Deactivated": VenueOrderState.CANCELED,
    "Rejected": VenueOrderState.REJECTED,
}
_ENDED: Final = (VenueOrderState.CANCELED, VenueOrderState.REJECTED)
_CAUSES: Final = {
    "Trade": FillCause.TRADE,
    "BustTrade": FillCause.LIQUIDATION,
    "AdlTrade": FillCause.ADL,
    "Settle": FillCause.TRADE,
    "Delivery": FillCause.TRADE,
    "BlockTrade": FillCause.TRADE,
    "MovePosition": FillCause.TRADE,
}
_STOPS: Final = ("TakeProfit", "StopLoss", "TrailingStop", "PartialTakeProfit", "PartialStopLoss")
_LEDGER: Final = {
    "TRADE": LedgerKind.TRADE,
    "SETTLEMENT": LedgerKind.FUNDING,
    "LIQUIDATION": LedgerKind.LIQUIDATION,
    "ADL": LedgerKind.ADL,
    "DELIVERY": LedgerKind.DELIVERY,
    "TRANSFER_IN": LedgerKind.TRANSFER,
    "TRANSFER_OUT": LedgerKind.TRANSFER,
    "CURRENCY_BUY": LedgerKind.CONVERSION,
    "CURRENCY_SELL": LedgerKind.CONVERSION,
    "BONUS": LedgerKind.BONUS,
    "AIRDROP": LedgerKind.BONUS,
    "INTEREST": LedgerKind.INTEREST,
    "FEE_REFUND": LedgerKind.REFUND,
}
_COST_SLACK_E8: Final = 100
"""How far, per whole unit of base, a cost may lie from the average entry as printed: the text of an average is rounded."""


def _word(words: Mapping[str, T], row: Row, field: str) -> T:
    found = words.get(str(row[field]))
    if found is None:
        unreadable(field, row[field], f"known are {', '.join(words)}")
    return found


def order_of(row: Row, record: Instrument) -> VenueOrder:
    """One order in the exchange's books."""
    kind, state = _word(_KINDS, row, "orderType"), _word(_STATES, row, "orderStatus")
    why = next((str(row[name]) for name in ("cancelType", "rejectReason") if row[name] not in ("", "UNKNOWN", "EC_NoError")), "")
    return VenueOrder(
        client_order_id=str(row["orderLinkId"]),
        venue_order_id=str(row["orderId"]),
        instrument=record.instrument_id,
        side=_word(_SIDES, row, "side"),
        kind=kind,
        time_in_force=_word(_TIMES, row, "timeInForce"),
        qty_lots=steps_of(row["qty"], record.lot_e8, "qty"),
        cum_lots=steps_of(row["cumExecQty"], record.lot_e8, "cumExecQty"),
        limit_ticks=0 if kind is OrderKind.MARKET else optional_steps(row["price"], record.tick_e8, "price"),
        reduce_only=_flag(row["reduceOnly"], "reduceOnly"),
        is_conditional=state is VenueOrderState.WAITING or row["orderStatus"] == "Deactivated",
        state=state,
        reason=(why or str(row["orderStatus"])) if state in _ENDED else "",
        created_ts_ns=ns_of(row["createdTime"], "createdTime"),
        updated_ts_ns=ns_of(row["updatedTime"], "updatedTime"),
        trigger_ticks=optional_steps(row["triggerPrice"], record.tick_e8, "triggerPrice"),
    )


def execution_of(row: Row, record: Instrument) -> OrderFilled | FundingSettled | None:
    """A fill or a settlement; None for a row of an unknown kind that belongs to no order, whose money comes with the ledger."""
    side, ts_ns = _word(_SIDES, row, "side"), ns_of(row["execTime"], "execTime")
    lots = steps_of(row["execQty"], record.lot_e8, "execQty")
    if row["feeCurrency"] not in ("", record.quote):
        unreadable("feeCurrency", row["feeCurrency"], f"fees are booked in {record.quote}")
    fee_e8 = e8_of(row["execFee"], "execFee")
    if row["execType"] == "Funding":
        signed = lots if side is Side.BUY else -lots
        rate_e8, mark_e8 = e8_of(row["feeRate"], "feeRate"), e8_of(row["execPrice"], "execPrice")
        return FundingSettled(ts_ns, record.instrument_id, rate_e8, mark_e8, signed, fee_e8, str(row["execId"]))
    cause = _cause(row)
    if cause is None:
        return None
    ours = cause is FillCause.TRADE and row["execType"] == "Trade"
    return OrderFilled(
        ts_ns,
        str(row["execId"]),
        str(row["orderLinkId"]) if ours else "",
        record.instrument_id,
        side,
        lots,
        steps_of(row["execPrice"], record.tick_e8, "execPrice"),
        fee_e8,
        Liquidity.MAKER if _flag(row["isMaker"], "isMaker") else Liquidity.TAKER,
        steps_of(row["leavesQty"], record.lot_e8, "leavesQty") if ours else optional_steps(row["leavesQty"], record.lot_e8, "leavesQty"),
        cause,
    )


def _cause(row: Row) -> FillCause | None:
    found = _CAUSES.get(str(row["execType"]))
    if found is None:
        return FillCause.TRADE if row["orderType"] in _KINDS else None
    made = str(row.get("createType") or "")
    if row["execType"] != "Trade":
        return found
    if made in ("CreateByLiq", "CreateByTakeOver_PassThrough"):
        return FillCause.LIQUIDATION
    if made == "CreateByAdl_PassThrough":
        return FillCause.ADL
    return FillCause.STOP if row["stopOrderType"] in _STOPS else found


def position_of(row: Row, record: Instrument) -> VenuePosition:
    """One position. Its cost is the stated value where that is the entry's, else average entry times size."""
    size = steps_of(row["size"], record.lot_e8, "size")
    sign = (1 if _word(_SIDES, row, "side") is Side.BUY else -1) if size else 0
    leverage_e8 = optional_e8(row["leverage"], "leverage")
    return VenuePosition(
        instrument=record.instrument_id,
        position_idx=int(row["positionIdx"]),
        lots=sign * size,
        cost_e8=sign * _cost_e8(row, record, size) if size else 0,
        mark_e8=optional_e8(row["markPrice"], "markPrice"),
        leverage_e2=None if leverage_e8 is None else leverage_e8 * 100 // E8,
        stop_loss_ticks=optional_steps(row["stopLoss"], record.tick_e8, "stopLoss"),
        ts_ns=ns_of(row["updatedTime"], "updatedTime"),
    )


def _cost_e8(row: Row, record: Instrument, lots: int) -> int:
    size_e8 = lots * record.lot_e8
    cost_e8 = (e8_of(row["avgPrice"], "avgPrice") * size_e8 + E8 // 2) // E8
    value_e8 = optional_e8(row["positionValue"], "positionValue")
    near = value_e8 is not None and abs(value_e8 - cost_e8) <= _COST_SLACK_E8 * size_e8 // E8 + 1
    return value_e8 if near and value_e8 is not None else cost_e8


def wallet_of(row: Row, coin: str, ts_ns: int) -> VenueWallet:
    """The account's money in one coin; a wallet that does not list the coin is unknown, not empty."""
    money = next((one for one in row["coin"] if one["coin"] == coin), None)
    if money is None:
        unreadable("coin", [one["coin"] for one in row["coin"]], f"the wallet lists no {coin}")
    return VenueWallet(
        wallet_e8=e8_of(money["walletBalance"], "walletBalance"),
        equity_e8=optional_e8(money["equity"], "equity"),
        available_e8=optional_e8(row["totalAvailableBalance"], "totalAvailableBalance"),
        ts_ns=ts_ns,
    )


def entry_of(row: Row) -> LedgerEntry:
    """One change of the wallet; figures that are left blank on rows they do not apply to are 0."""
    word, sub = str(row["type"]), str(row.get("transSubType") or "")
    return LedgerEntry(
        entry_id=str(row["id"]),
        ts_ns=ns_of(row["transactionTime"], "transactionTime"),
        kind=_LEDGER.get(word, LedgerKind.OTHER),
        word=f"{word}/{sub}" if sub else word,
        instrument=instrument_id("bybit", str(row["symbol"])) if row["symbol"] else "",
        change_e8=e8_of(row["change"], "change"),
        cash_flow_e8=optional_e8(row["cashFlow"], "cashFlow") or 0,
        funding_e8=optional_e8(row["funding"], "funding") or 0,
        fee_e8=optional_e8(row["fee"], "fee") or 0,
        balance_e8=optional_e8(row["cashBalance"], "cashBalance"),
        fill_id=str(row["tradeId"]),
    )


def _flag(value: Any, field: str) -> bool:
    if is_blank(value) or not isinstance(value, bool):
        unreadable(field, value, "true or false is expected")
    return bool(value)
