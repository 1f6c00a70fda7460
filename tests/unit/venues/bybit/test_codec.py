"""Payloads to rows: what is tolerated, what is named, and what a blank means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.venues.bybit import wire_examples as wire

from kedge.domain.errors import VenueUnavailable
from kedge.venues.bybit import codec

KINDS = [
    (codec.OrderData, wire.ORDER, "cumExecQty"),
    (codec.ExecutionData, wire.EXECUTION, "execFee"),
    (codec.PositionData, wire.POSITION, "size"),
    (codec.InstrumentData, wire.INSTRUMENT, "lotSizeFilter"),
    (codec.RiskLimitData, wire.TIERS[0], "maintenanceMargin"),
    (codec.FeeRateData, wire.FEES, "takerFeeRate"),
    (codec.LogData, wire.LOG, "change"),
    (codec.KeyInfo, wire.KEY_INFO, "permissions"),
    (codec.WalletData, wire.WALLET, "coin"),
]


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(("kind", "example", "_field"), KINDS)
def test_fields_nobody_knows_yet_are_tolerated(kind: type, example: dict[str, Any], _field: str) -> None:
    with_news = example | {"newField2027": {"deep": [1, None]}}
    assert codec.decode(raw(with_news), kind, "/v5/x") == codec.decode(raw(example), kind, "/v5/x")


@pytest.mark.parametrize(("kind", "example", "field"), KINDS)
def test_a_missing_field_is_named_with_its_endpoint_and_row(kind: type, example: dict[str, Any], field: str) -> None:
    short = {name: value for name, value in example.items() if name != field}
    with pytest.raises(codec.UnreadablePayload) as caught:
        codec.decode(raw({"list": [example, short]}), codec.Page[kind], "/v5/position/list")
    assert "/v5/position/list" in caught.value.what
    assert f"`{field}`" in caught.value.what
    assert "list[1]" in caught.value.what
    assert isinstance(caught.value, VenueUnavailable)


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b'{"retCode":0,"result":{"li', b"\xff\xfe", b"[1]", b'{"retMsg":"OK"}'])
def test_what_is_no_envelope_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(codec.UnreadablePayload, match="/v5/order/create"):
        codec.decode_envelope(body, "/v5/order/create")


def test_an_envelope_keeps_its_result_raw_so_that_a_refusal_reads_as_one() -> None:
    envelope = codec.decode_envelope(raw({"retCode": 10001, "retMsg": "Qty invalid", "result": {}, "time": 5}), "/v5/order/create")
    assert (envelope.ret_code, envelope.ret_msg, bytes(envelope.result), envelope.time_ms) == (10001, "Qty invalid", b"{}", 5)


def test_numbers_in_quotes_become_integers_and_text_stays_text() -> None:
    order = codec.decode(raw(wire.ORDER), codec.OrderData, "order")
    assert (order.created_ms, order.updated_ms, order.qty, order.price) == (1767000080459, 1767000080461, "0.010", "60000.10")


def test_sequence_numbers_past_two_to_the_53_keep_every_digit() -> None:
    given = codec.decode(raw(wire.EXECUTION | {"seq": 2**53 + 1}), codec.ExecutionData, "execution")
    assert given.seq == 9007199254740993


def test_the_entry_price_is_found_under_both_names_and_blank_stays_unknown() -> None:
    base = {name: value for name, value in wire.POSITION.items() if name != "avgPrice"}
    assert codec.decode(raw(base | {"avgPrice": "61020"}), codec.PositionData, "p").entry_text == "61020"
    assert codec.decode(raw(base | {"entryPrice": "61020.5", "avgPrice": ""}), codec.PositionData, "p").entry_text == "61020.5"
    assert codec.decode(raw(base), codec.PositionData, "p").entry_text is None
    assert codec.decode(raw(base | {"updatedTime": ""}), codec.PositionData, "p").updated_ms == 0
    assert codec.decode(raw(base), codec.PositionData, "p").updated_ms == 1767000081256


def test_a_coin_that_the_wallet_does_not_list_is_none() -> None:
    wallet = codec.decode(raw(wire.WALLET), codec.WalletData, "wallet")
    usdt = wallet.coin_named("USDT")
    assert usdt is not None
    assert usdt.wallet_balance == "9999.66439"
    assert wallet.coin_named("BTC") is None


def test_a_ticker_delta_replaces_only_what_it_names() -> None:
    whole = codec.decode(raw(wire.TICKER), codec.TickerData, "tickers")
    delta = codec.decode(raw({"symbol": "BTCUSDT", "markPrice": "61021.90"}), codec.TickerData, "tickers")
    merged = whole.merged(delta)
    assert (merged.mark_price, merged.last_price, merged.next_funding_ms) == ("61021.90", "61020.00", 1767024000000)


@pytest.mark.parametrize("text", ["", "0", 0, None])
def test_a_funding_time_that_says_nothing_is_unknown(text: object) -> None:
    assert codec.decode(raw({"symbol": "X", "nextFundingTime": text}), codec.TickerData, "tickers").next_funding_ms is None


KLINES = [
    ["1767000060000", "61010.1", "61025.0", "61001.3", "61020.4", "12.345", "753217.11"],
    ["1767000000000", "60990.0", "61015.5", "60980.2", "61010.1", "48.201", "2940312.70"],
]


def test_klines_come_newest_first_and_the_last_is_open() -> None:
    bars = codec.klines_from_rows(KLINES, 60_000, 1767000071000, codec.KLINE_COLUMNS, "kline")
    assert [bar.start_ms for bar in bars] == [1767000000000, 1767000060000]
    assert [bar.confirm for bar in bars] == [True, False]
    assert (bars[0].end_ms, bars[0].close, bars[0].volume) == (1767000059999, "61010.1", "48.201")


def test_a_kline_closes_at_the_very_millisecond_of_its_end() -> None:
    def newest(server_ms: int) -> bool:
        return codec.klines_from_rows(KLINES, 60_000, server_ms, codec.KLINE_COLUMNS, "kline")[-1].confirm

    assert not newest(1767000119999)
    assert newest(1767000120000)


def test_mark_price_klines_have_no_volume_and_not_zero_volume() -> None:
    bars = codec.klines_from_rows([row[:5] for row in KLINES], 60_000, 1767000071000, codec.PRICE_KLINE_COLUMNS, "mark")
    assert [bar.volume for bar in bars] == [None, None]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([KLINES[0][:4]], r"list\[0\]"),
        ([KLINES[0], ["soon", *KLINES[1][1:]]], r"list\[1\]\[0\]"),
        (KLINES[::-1], "newest first"),
        ([KLINES[0], KLINES[0]], "without repeats"),
    ],
)
def test_rows_that_are_no_klines_are_refused_by_row(rows: list[list[str]], words: str) -> None:
    with pytest.raises(codec.UnreadablePayload, match=words):
        codec.klines_from_rows(rows, 60_000, 1767000071000, codec.KLINE_COLUMNS, "kline")


def test_frames_are_told_apart_by_topic_and_op() -> None:
    data = codec.decode_frame(raw({"topic": "order", "id": "1", "creationTime": 7, "data": [wire.ORDER]}))
    assert (data.topic, data.creation_ms, data.op) == ("order", 7, "")
    assert codec.decode_rows(data.data, codec.OrderData, "order")[0].order_link_id == "bot-000124"
    camel = codec.decode_frame(raw({"op": "auth", "success": False, "retCode": 10003, "retMsg": "Invalid apikey", "connId": "c"}))
    assert (camel.success, camel.ret_code, camel.words) == (False, 10003, "Invalid apikey")
    snake = codec.decode_frame(raw({"op": "subscribe", "success": True, "ret_msg": "", "conn_id": "c", "req_id": 3}))
    assert (snake.success, snake.words, snake.req_id) == (True, "", 3)


def test_a_trade_reply_carries_code_ids_and_limits() -> None:
    frame = {
        "reqId": "r1",
        "retCode": 0,
        "retMsg": "OK",
        "op": "order.create",
        "data": {"orderId": "o", "orderLinkId": "l"},
        "header": {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9"},
    }
    reply = codec.decode_trade_reply(raw(frame))
    assert (reply.req_id, reply.ret_code) == ("r1", 0)
    assert codec.decode(reply.data, codec.OrderIds, "order.create").order_id == "o"
    assert reply.header == {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9"}


def test_a_recent_trade_reads_as_a_trade_of_the_stream() -> None:
    rest = {"execId": "e", "symbol": "BTCUSDT", "price": "61020.00", "size": "0.010", "side": "Buy", "time": "5", "isBlockTrade": True}
    streamed = {"i": "e", "s": "BTCUSDT", "p": "61020.00", "v": "0.010", "S": "Buy", "T": 5, "BT": True}
    assert codec.decode(raw(rest), codec.RecentTradeData, "r").as_trade() == codec.decode(raw(streamed), codec.TradeData, "t")


def test_a_body_is_written_compactly_and_once() -> None:
    assert codec.encode({"symbol": "BTCUSDT", "qty": "0.001"}) == b'{"symbol":"BTCUSDT","qty":"0.001"}'
