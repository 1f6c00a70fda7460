from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.venues.bybit.wire_examples import EXECUTION, LOG, ORDER, POSITION, WALLET

from kedge.domain.events import FundingSettled, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected, OrderTriggered, OrderWaits
from kedge.domain.orders import FillCause, Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_MS
from kedge.domain.venue import LedgerKind, VenueOrderState
from kedge.market.catalogue import instrument_at
from kedge.venues.bybit.codec import ExecutionData, LogData, OrderData, PositionData, UnreadablePayload, WalletData
from kedge.venues.bybit.gateway_bodies import create_body, grid_text, rest_create, socket_create
from kedge.venues.bybit.mapping import STATES, UnknownSymbol, order_news, venue_order
from kedge.venues.bybit.mapping_account import ledger_entry, venue_position, venue_wallet
from kedge.venues.bybit.mapping_fills import execution_news
from kedge.venues.bybit.signing import HmacSigner

BTC = instrument_at("bybit-linear:BTCUSDT", 1_767_000_000 * 10**9)
RECORDS = {"BTCUSDT": BTC}


def read(kind: Any, row: dict[str, Any], **changed: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(row | changed), type=kind, strict=False)


def order(**changed: Any) -> OrderData:
    return read(OrderData, ORDER, **changed)


def execution(**changed: Any) -> ExecutionData:
    return read(ExecutionData, EXECUTION, **changed)


def test_a_trade_becomes_a_fill_on_the_grid() -> None:
    assert execution_news(execution(), RECORDS) == OrderFilled(
        1_767_000_081_255 * NS_PER_MS, "b3a1f6c2-7d4e-5f80-9a1b-3c5d7e9f1021", "b-1", BTC.instrument_id, Side.BUY,
        10, 610_200, 33_561_000, Liquidity.TAKER, 0, FillCause.TRADE,
    )  # fmt: skip


def test_a_maker_rebate_is_a_negative_fee() -> None:
    fill = execution_news(execution(isMaker=True, execFee="-0.05", leavesQty="0.004", side="Sell"), RECORDS)
    assert isinstance(fill, OrderFilled)
    assert (fill.fee_e8, fill.liquidity, fill.leaves_lots, fill.side) == (-5_000_000, Liquidity.MAKER, 4, Side.SELL)


@pytest.mark.parametrize(("side", "fee", "lots"), [("Buy", "0.0611", 10), ("Sell", "-0.0611", -10)])
def test_funding_keeps_its_sign_and_its_id(side: str, fee: str, lots: int) -> None:
    news = execution_news(
        execution(execType="Funding", side=side, execFee=fee, feeRate="0.0001", execPrice="61100.123", orderType="UNKNOWN", leavesQty=""),
        RECORDS,
    )
    assert isinstance(news, FundingSettled)
    assert (news.position_lots, news.rate_e8, news.mark_e8) == (lots, 10_000, 6_110_012_300_000)
    assert (news.paid_e8, news.funding_id) == (6_110_000 if side == "Buy" else -6_110_000, EXECUTION["execId"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"side": "None"}, "side"),
        ({"leavesQty": ""}, "leavesQty"),
        ({"isMaker": None}, "isMaker"),
        ({"feeCurrency": "MNT"}, "feeCurrency is 'MNT'"),
        ({"execQty": "0"}, "execQty"),
        ({"execQty": "0.0105"}, "lot"),
        ({"execPrice": "61020.05"}, "tick"),
        ({"execFee": ""}, "execFee"),
        ({"execType": "Funding", "feeRate": ""}, "feeRate"),
    ],
)
def test_what_is_not_understood_is_named_and_not_guessed(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadablePayload) as caught:
        execution_news(execution(**changed), RECORDS)
    assert words in str(caught.value)
    assert caught.value.fix


def test_an_unknown_symbol_is_told_apart_from_a_bad_row() -> None:
    with pytest.raises(UnknownSymbol) as caught:
        execution_news(execution(symbol="NEWUSDT"), RECORDS)
    assert caught.value.symbol == "NEWUSDT"


def test_other_categories_are_not_ours() -> None:
    assert execution_news(execution(category="spot", symbol="MNTUSDT"), RECORDS) is None
    assert order_news(order(category="spot")) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("New", OrderAccepted),
        ("Untriggered", OrderWaits),
        ("Created", OrderAccepted),
        ("Rejected", OrderRejected),
        ("Cancelled", OrderCanceled),
        ("PartiallyFilledCanceled", OrderCanceled),
        ("Deactivated", OrderCanceled),
        ("Filled", type(None)),
        ("PartiallyFilled", type(None)),
        ("Triggered", OrderTriggered),
    ],
)
def test_every_status_of_an_order_says_one_thing(status: str, kind: type) -> None:
    assert isinstance(order_news(order(orderStatus=status)), kind)


def test_the_statuses_tested_are_all_there_are() -> None:
    assert len(STATES) == 10


def test_an_unknown_status_is_refused_by_name() -> None:
    with pytest.raises(UnreadablePayload, match="orderStatus of a94d3e08.* is 'Frozen'"):
        order_news(order(orderStatus="Frozen"))


def test_an_ending_says_who_ended_it() -> None:
    by_user = order_news(order(orderStatus="Cancelled", cancelType="CancelByUser", rejectReason="EC_PerCancelRequest"))
    post_only = order_news(order(orderStatus="Cancelled", cancelType="UNKNOWN", rejectReason="EC_PostOnlyWillTakeLiquidity"))
    silent = order_news(order(orderStatus="Deactivated"))
    assert [news.reason for news in (by_user, post_only, silent)] == ["CancelByUser", "EC_PostOnlyWillTakeLiquidity", "Deactivated"]


def test_orders_without_our_id_are_no_order_news() -> None:
    assert order_news(order(orderLinkId="")) is None


def test_an_order_in_the_books_is_read_whole() -> None:
    found = venue_order(order(), RECORDS)
    assert (found.client_order_id, found.side, found.kind, found.time_in_force) == (
        "bot-000124",
        Side.BUY,
        OrderKind.LIMIT,
        TimeInForce.GTC,
    )
    assert (found.qty_lots, found.cum_lots, found.limit_ticks, found.state) == (10, 0, 600_001, VenueOrderState.OPEN)
    assert (found.reason, found.is_conditional, found.created_ts_ns) == ("", False, 1_767_000_080_459 * NS_PER_MS)


def test_a_market_order_has_no_limit_and_a_waiting_stop_is_conditional() -> None:
    market = venue_order(order(orderType="Market", timeInForce="IOC", price="61630.5", orderStatus="Filled"), RECORDS)
    stop = venue_order(order(orderType="Market", timeInForce="IOC", price="0", orderStatus="Untriggered", reduceOnly=True), RECORDS)
    gone = venue_order(order(orderStatus="Cancelled", cancelType="CancelByDCP"), RECORDS)
    assert (market.limit_ticks, market.state) == (0, VenueOrderState.FILLED)
    assert (stop.is_conditional, stop.reduce_only, stop.state, stop.trigger_ticks) == (True, True, VenueOrderState.WAITING, 0)
    waits = venue_order(order(orderStatus="Untriggered", triggerPrice="59000.5"), RECORDS)
    assert (waits.state, waits.trigger_ticks, waits.limit_ticks) == (VenueOrderState.WAITING, 590_005, 600_001)
    assert (gone.state, gone.reason) == (VenueOrderState.CANCELED, "CancelByDCP")


@pytest.mark.parametrize("changed", [{"orderType": "UNKNOWN"}, {"timeInForce": "RPI"}, {"side": ""}])
def test_an_order_with_a_strange_word_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadablePayload):
        venue_order(order(**changed), RECORDS)


def position(**changed: Any) -> PositionData:
    return read(PositionData, POSITION, **changed)


def test_a_position_is_signed_and_keeps_the_exact_cost() -> None:
    long = venue_position(position(), RECORDS)
    short = venue_position(
        position(side="Sell", avgPrice="61019.33333333", size="0.003", positionValue="183.058", stopLoss="62000"), RECORDS
    )
    assert (long.lots, long.cost_e8, long.leverage_e2, long.stop_loss_ticks) == (10, 61_020_000_000, 1000, 0)
    assert (short.lots, short.cost_e8, short.stop_loss_ticks) == (-3, -18_305_800_000, 620_000)


def test_a_position_value_at_the_mark_is_not_taken_for_the_cost() -> None:
    assert venue_position(position(positionValue="610.217"), RECORDS).cost_e8 == 61_020_000_000


def test_a_flat_position_costs_nothing_and_blank_is_unknown() -> None:
    flat = venue_position(position(side="", size="0", avgPrice="", markPrice="", leverage=""), RECORDS)
    assert (flat.lots, flat.cost_e8, flat.mark_e8, flat.leverage_e2) == (0, 0, None, None)
    streamed = venue_position(read(PositionData, {k: v for k, v in POSITION.items() if k != "avgPrice"}, entryPrice="61020"), RECORDS)
    assert streamed.cost_e8 == 61_020_000_000
    with pytest.raises(UnreadablePayload, match="average entry"):
        venue_position(position(avgPrice=""), RECORDS)


def test_a_wallet_says_what_the_venue_said() -> None:
    wallet = venue_wallet(read(WalletData, WALLET), "USDT", 7)
    assert (wallet.wallet_e8, wallet.equity_e8, wallet.available_e8, wallet.ts_ns) == (999_966_439_000, 999_968_139_000, None, 7)
    with pytest.raises(UnreadablePayload, match="lists no USDC"):
        venue_wallet(read(WalletData, WALLET), "USDC", 7)


def test_ledger_rows_keep_their_signs() -> None:
    funding = ledger_entry(read(LogData, LOG))
    moved = ledger_entry(read(LogData, LOG, type="TRANSFER_IN", transSubType="x", symbol="", change="5", cashFlow="5", funding="", fee=""))
    bonus = ledger_entry(read(LogData, LOG, type="BONUS", cashBalance=""))
    news = ledger_entry(read(LogData, LOG, type="SOMETHING_NEW"))
    assert (funding.kind, funding.funding_e8, funding.change_e8) == (LedgerKind.FUNDING, -6_110_000, -6_110_000)
    assert (moved.kind, moved.word, moved.instrument, moved.cash_flow_e8) == (LedgerKind.TRANSFER, "TRANSFER_IN/x", "", 5 * E8)
    assert (bonus.kind, bonus.balance_e8) == (LedgerKind.BONUS, None)
    assert (news.kind, news.word) == (LedgerKind.OTHER, "SOMETHING_NEW")


@given(st.integers(1, 10**9), st.sampled_from([1, 10, 100_000, 10_000_000, 25_000_000, E8, 10 * E8]))
def test_text_of_a_count_of_steps_reads_back_as_the_same_count(steps: int, step_e8: int) -> None:
    text = grid_text(steps, step_e8)
    assert "e" not in text
    whole, _, fraction = text.partition(".")
    assert int(whole) * E8 + int(fraction.ljust(8, "0") or "0") == steps * step_e8
    assert not text.endswith((".", "0")) or "." not in text


@given(
    lots=st.integers(1, 1_000_000),
    ticks=st.integers(1, 10_000_000),
    fee_e8=st.integers(-(10**12), 10**12),
    leaves=st.integers(0, 1_000_000),
    side=st.sampled_from(["Buy", "Sell"]),
)
def test_any_execution_on_the_grid_is_read_back_exactly(lots: int, ticks: int, fee_e8: int, leaves: int, side: str) -> None:
    sign = "-" if fee_e8 < 0 else ""
    fill = execution_news(
        execution(
            execQty=grid_text(lots, BTC.lot_e8),
            execPrice=grid_text(ticks, BTC.tick_e8),
            execFee=sign + grid_text(abs(fee_e8), 1),
            leavesQty=grid_text(leaves, BTC.lot_e8),
            side=side,
        ),
        RECORDS,
    )
    assert isinstance(fill, OrderFilled)
    assert (fill.qty_lots, fill.price_ticks, fill.fee_e8, fill.leaves_lots) == (lots, ticks, fee_e8, leaves)
    assert fill.side is (Side.BUY if side == "Buy" else Side.SELL)


def intent(**changed: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "client_order_id": "c-1", "decision_id": "d", "strategy": "s", "instrument": BTC.instrument_id, "side": Side.BUY,
        "kind": OrderKind.LIMIT, "time_in_force": TimeInForce.POST_ONLY, "qty_lots": 10, "limit_ticks": 600_001,
    }  # fmt: skip
    return OrderIntent(**(fields | changed))


@pytest.mark.parametrize(("rises", "direction"), [(True, 1), (False, 2)])
def test_a_conditional_create_waits_for_the_mark_price(rises: bool, direction: int) -> None:
    body = msgspec.json.decode(create_body(intent(trigger_ticks=590_005, trigger_rises=rises), BTC))
    assert (body["triggerPrice"], body["triggerDirection"], body["triggerBy"]) == ("59000.5", direction, "MarkPrice")


def test_a_create_carries_our_id_the_one_way_index_and_the_self_trade_tag() -> None:
    body = msgspec.json.decode(create_body(intent(), BTC))
    assert body == {
        "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "orderLinkId": "c-1",
        "positionIdx": 0, "reduceOnly": False, "smpType": "CancelMaker", "price": "60000.1", "timeInForce": "PostOnly",
    }  # fmt: skip
    market = msgspec.json.decode(
        create_body(intent(kind=OrderKind.MARKET, time_in_force=TimeInForce.IOC, limit_ticks=0, side=Side.SELL, reduce_only=True), BTC)
    )
    assert "price" not in market
    assert "timeInForce" not in market
    assert (market["orderType"], market["side"], market["reduceOnly"]) == ("Market", "Sell", True)


def test_both_ways_carry_the_same_body() -> None:
    signer = HmacSigner("KEY", "SECRET")
    frame = msgspec.json.decode(socket_create(intent(), BTC, "k-1", 1_767_000_000_123))
    headers, body = rest_create(intent(), BTC, signer, 1_767_000_000_123)
    assert frame["args"] == [msgspec.json.decode(body)]
    assert (frame["op"], frame["reqId"], frame["header"]["X-BAPI-RECV-WINDOW"]) == ("order.create", "k-1", "1000")
    assert headers["X-BAPI-SIGN"] == signer.sign(b"1767000000123KEY1000" + body)
