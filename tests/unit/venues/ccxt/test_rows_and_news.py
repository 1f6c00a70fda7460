"""Bybit's rows as the second client reads them, and news made of what differs between two answers."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.events import (
    BarClosed,
    FeedGap,
    FundingKnown,
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.orders import FillCause, Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.domain.venue import LedgerKind, VenueOrder, VenueOrderState, VenuePosition, VenueWallet
from kedge.market.catalogue import instrument_at
from kedge.venues.ccxt import bybit_rows as rows
from kedge.venues.ccxt.numbers import UnreadableAnswer
from kedge.venues.ccxt.polling import MISSED_MAX, TOLD_MAX, AccountWatch, BarWatch

NAME = "bybit-linear:BTCUSDT"
SPEC = instrument_at(NAME, 1_767_225_600_000_000_000)
ORDER = {
    "symbol": "BTCUSDT", "orderId": "v1", "orderLinkId": "one", "side": "Buy", "orderType": "Limit", "timeInForce": "GTC",
    "qty": "0.010", "cumExecQty": "0.004", "price": "60000.0", "reduceOnly": False, "orderStatus": "PartiallyFilled",
    "cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "createdTime": "1", "updatedTime": "2", "triggerPrice": "",
}  # fmt: skip
FILL = {
    "symbol": "BTCUSDT", "execId": "e1", "orderLinkId": "one", "side": "Sell", "orderType": "Limit", "execType": "Trade",
    "execTime": "5", "execQty": "0.002", "execPrice": "60000.1", "execFee": "0.5", "feeCurrency": "USDT", "feeRate": "0.0001",
    "leavesQty": "0.008", "isMaker": True, "createType": "CreateByUser", "stopOrderType": "UNKNOWN",
}  # fmt: skip
POSITION = {
    "symbol": "BTCUSDT", "side": "Sell", "size": "0.010", "positionIdx": "0", "avgPrice": "60000.1", "positionValue": "600.001",
    "markPrice": "60000", "leverage": "10", "stopLoss": "61000.0", "updatedTime": "3",
}  # fmt: skip


def test_an_order_is_read_whole_and_its_end_names_the_reason() -> None:
    found = rows.order_of(ORDER, SPEC)
    assert (found.qty_lots, found.cum_lots, found.limit_ticks, found.state) == (10, 4, 600_000, VenueOrderState.OPEN)
    assert (found.kind, found.time_in_force, found.reason) == (OrderKind.LIMIT, TimeInForce.GTC, "")
    ended = rows.order_of({**ORDER, "orderStatus": "Cancelled", "cancelType": "CancelByUser"}, SPEC)
    assert (ended.state, ended.reason) == (VenueOrderState.CANCELED, "CancelByUser")
    assert rows.order_of({**ORDER, "orderStatus": "Deactivated"}, SPEC).reason == "Deactivated"
    market = rows.order_of({**ORDER, "orderType": "Market", "timeInForce": "IOC"}, SPEC)
    assert market.limit_ticks == 0
    waiting = rows.order_of({**ORDER, "orderStatus": "Untriggered", "triggerPrice": "61000.0"}, SPEC)
    assert (waiting.is_conditional, waiting.trigger_ticks) == (True, 610_000)


@pytest.mark.parametrize("changes", [{"orderStatus": "Dreaming"}, {"side": ""}, {"qty": "0.0105"}, {"reduceOnly": ""}, {"updatedTime": ""}])
def test_an_order_that_is_not_understood_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer):
        rows.order_of({**ORDER, **changes}, SPEC)


@pytest.mark.parametrize(
    ("changes", "cause", "ours"),
    [
        ({}, FillCause.TRADE, True),
        ({"createType": "CreateByLiq"}, FillCause.LIQUIDATION, False),
        ({"createType": "CreateByAdl_PassThrough"}, FillCause.ADL, False),
        ({"stopOrderType": "StopLoss"}, FillCause.STOP, False),
        ({"execType": "BustTrade", "leavesQty": ""}, FillCause.LIQUIDATION, False),
        ({"execType": "AdlTrade"}, FillCause.ADL, False),
        ({"execType": "NeverHeardOf"}, FillCause.TRADE, False),
    ],
)
def test_a_fill_says_why_it_happened_and_only_ours_carries_our_id(changes: dict[str, Any], cause: FillCause, ours: bool) -> None:
    found = rows.execution_of({**FILL, **changes}, SPEC)
    assert isinstance(found, OrderFilled)
    assert (found.cause, found.client_order_id) == (cause, "one" if ours else "")
    assert (found.side, found.qty_lots, found.price_ticks, found.fee_e8) == (Side.SELL, 2, 600_001, E8 // 2)
    assert found.liquidity is Liquidity.MAKER


def test_a_settlement_is_signed_by_the_position_and_a_row_of_no_order_is_no_fill() -> None:
    found = rows.execution_of({**FILL, "execType": "Funding", "execFee": "-0.25"}, SPEC)
    assert found == FundingSettled(5_000_000, NAME, 10_000, 6_000_010_000_000, -2, -E8 // 4, "e1")
    assert rows.execution_of({**FILL, "execType": "NeverHeardOf", "orderType": "UNKNOWN"}, SPEC) is None
    with pytest.raises(UnreadableAnswer, match="fees are booked in USDT"):
        rows.execution_of({**FILL, "feeCurrency": "MNT"}, SPEC)


def test_a_position_costs_what_the_exchange_states_where_that_is_the_entrys() -> None:
    found = rows.position_of(POSITION, SPEC)
    assert (found.lots, found.cost_e8, found.leverage_e2, found.stop_loss_ticks) == (-10, -60_000_100_000, 1_000, 610_000)
    marked = rows.position_of({**POSITION, "positionValue": "650.0", "leverage": ""}, SPEC)
    assert (marked.cost_e8, marked.leverage_e2) == (-60_000_100_000, None)
    flat = rows.position_of({**POSITION, "side": "", "size": "0", "avgPrice": ""}, SPEC)
    assert (flat.lots, flat.cost_e8) == (0, 0)


def test_a_wallet_without_the_coin_is_unknown_and_a_ledger_row_keeps_the_venues_word() -> None:
    wallet = {"totalAvailableBalance": "", "coin": [{"coin": "USDT", "walletBalance": "10.5", "equity": "11"}]}
    assert rows.wallet_of(wallet, "USDT", 7) == VenueWallet(wallet_e8=1_050_000_000, equity_e8=11 * E8, available_e8=None, ts_ns=7)
    with pytest.raises(UnreadableAnswer, match="lists no USDC"):
        rows.wallet_of(wallet, "USDC", 7)
    row = {
        "id": "l1", "transactionTime": "1", "type": "NEW_WORD", "transSubType": "x", "symbol": "", "change": "1", "cashFlow": "",
        "funding": "", "fee": "", "cashBalance": "", "tradeId": "",
    }  # fmt: skip
    entry = rows.entry_of(row)
    assert (entry.kind, entry.word, entry.instrument, entry.balance_e8) == (LedgerKind.OTHER, "NEW_WORD/x", "", None)


# News of what differs.


def order(name: str = "one", **given: Any) -> VenueOrder:
    base = rows.order_of({**ORDER, "orderLinkId": name}, SPEC)
    return type(base)(**{**{field: getattr(base, field) for field in base.__struct_fields__}, **given})


def test_orders_are_told_when_they_come_change_are_triggered_and_go() -> None:
    watch = AccountWatch()
    watch.begin([order("old")], [], 0)
    waiting = order(state=VenueOrderState.WAITING, trigger_ticks=9)
    assert watch.orders([order("old"), waiting, order("")])[0] == [OrderWaits(2_000_000, "one", "v1")]
    assert watch.orders([order("old"), order(trigger_ticks=9)])[0] == [OrderTriggered(2_000_000, "one")]
    news, gone = watch.orders([order(qty_lots=12, trigger_ticks=9)])
    assert news == [OrderAmended(2_000_000, "one", 12, 600_000, 9)]
    assert gone == [(NAME, "old")]
    assert watch.looked_up("old", order("old")) == []
    assert watch.orders([])[1] == [(NAME, "old"), (NAME, "one")]
    assert watch.looked_up("old", order("old", state=VenueOrderState.CANCELED, reason="why")) == [OrderCanceled(2_000_000, "old", "why", 4)]
    assert watch.looked_up("one", order(state=VenueOrderState.FILLED)) == []
    assert watch.orders([])[1] == []


def test_an_order_of_unknown_fate_is_looked_for_and_in_the_end_left_to_the_trader() -> None:
    watch = AccountWatch()
    watch.sent(NAME, "one")
    watch.sent(NAME, "no")
    watch.never("no")
    for _ in range(MISSED_MAX):
        assert watch.orders([])[1] == [(NAME, "one")]
        assert watch.looked_up("one", None) == []
    assert watch.orders([])[1] == []
    watch.sent(NAME, "two")
    assert watch.looked_up("two", order("two", state=VenueOrderState.REJECTED, reason="r")) == [OrderRejected(2_000_000, "two", "r", "r")]
    watch.sent(NAME, "three")
    assert watch.orders([order("three")]) == ([OrderAccepted(2_000_000, "three", "v1")], [])


def test_executions_are_told_once_each_however_often_they_are_listed() -> None:
    watch = AccountWatch()
    fills = [rows.execution_of({**FILL, "execId": f"e{n}", "execTime": str(70_000 + n)}, SPEC) for n in range(TOLD_MAX + 5)]
    told = [fill for fill in fills if isinstance(fill, OrderFilled)]
    settled = rows.execution_of({**FILL, "execId": "s1", "execType": "Funding"}, SPEC)
    assert isinstance(settled, FundingSettled)
    watch.begin([], [told[0], settled], 0)
    assert watch.executions([told[0], settled, told[1]]) == [told[1]]
    assert watch.since_ns == told[1].ts_ns - 60_000_000_000
    assert watch.executions(told[:2]) == []
    assert len(watch.executions(told)) == TOLD_MAX + 3


def test_positions_and_wallet_are_told_when_they_change_and_a_closed_one_as_flat() -> None:
    watch = AccountWatch()
    held = rows.position_of(POSITION, SPEC)
    assert watch.positions([held]) == [held]
    assert watch.positions([held]) == []
    (flat,) = watch.positions([])
    assert isinstance(flat, VenuePosition)
    assert (flat.lots, flat.cost_e8, flat.instrument) == (0, 0, NAME)
    money = VenueWallet(wallet_e8=5, equity_e8=None, available_e8=None, ts_ns=1)
    assert watch.wallet(money) == [money]
    assert watch.wallet(VenueWallet(wallet_e8=5, equity_e8=9, available_e8=None, ts_ns=2)) == []


def test_bars_come_once_in_order_and_a_hole_between_two_is_a_gap() -> None:
    watch = BarWatch(NAME, 100)
    bars = [BarClosed(end, NAME, end - 10, 1, 1, 1, 1, 1) for end in (100, 110, 140)]
    assert watch.news(bars) == [bars[1], FeedGap(130, NAME, 110), bars[2]]
    assert watch.news(bars) == []
    rates = [FundingKnown(ts, NAME, 1) for ts in (90, 120)]
    assert watch.rates(rates) == rates[1:]
    assert watch.rates(rates) == []
