"""Payloads recorded from the venue and quoted in its documentation: all parse, and altered ones behave as promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.venues.bybit import codec
from kedge.venues.bybit.codec import Page

TEXTS = tuple[str, ...]
RESULTS: dict[str, Any] = {
    "nautilus/http_get_account_info": codec.AccountInfo,
    "nautilus/http_get_executions": Page[codec.ExecutionData],
    "nautilus/http_get_fee_rate": Page[codec.FeeRateData],
    "nautilus/http_get_funding_history": Page[codec.FundingData],
    "nautilus/http_get_instruments_inverse": Page[codec.InstrumentData],
    "nautilus/http_get_instruments_linear": Page[codec.InstrumentData],
    "nautilus/http_get_instruments_linear_symbol_type": Page[codec.InstrumentData],
    "nautilus/http_get_klines_linear": Page[TEXTS],
    "nautilus/http_get_orderbook": codec.BookData,
    "nautilus/http_get_orders_history": Page[codec.OrderData],
    "nautilus/http_get_orders_realtime": Page[codec.OrderData],
    "nautilus/http_get_orders_realtime_tp_sl": Page[codec.OrderData],
    "nautilus/http_get_positions": Page[codec.PositionData],
    "nautilus/http_get_trades_recent": Page[codec.RecentTradeData],
    "nautilus/http_get_user_query_api": codec.KeyInfo,
    "nautilus/http_get_wallet_balance": Page[codec.WalletData],
    "nautilus/http_get_wallet_balance_with_spot_borrow": Page[codec.WalletData],
    "docs/account__account-info.1": codec.AccountInfo,
    "docs/account__fee-rate.1": Page[codec.FeeRateData],
    "docs/account__transaction-log.1": Page[codec.LogData],
    "docs/account__wallet-balance.1": Page[codec.WalletData],
    "docs/market__history-fund-rate.1": Page[codec.FundingData],
    "docs/market__index-kline.1": Page[TEXTS],
    "docs/market__kline.1": Page[TEXTS],
    "docs/market__mark-kline.1": Page[TEXTS],
    "docs/market__open-interest.1": Page[codec.OpenInterestData],
    "docs/market__order-price-limit.1": codec.PriceLimitData,
    "docs/market__orderbook.1": codec.BookData,
    "docs/market__premium-index-kline.1": Page[TEXTS],
    "docs/market__recent-trade.1": Page[codec.RecentTradeData],
    "docs/market__tickers.1": Page[codec.TickerData],
    "docs/market__tickers.2": Page[codec.TickerData],
    "docs/market__time.1": codec.TimeData,
    "docs/order__amend-order.1": codec.OrderIds,
    "docs/order__batch-place.1": Page[codec.OrderIds],
    "docs/order__cancel-all.1": Page[codec.OrderIds],
    "docs/order__cancel-order.1": codec.OrderIds,
    "docs/order__create-order.1": codec.OrderIds,
    "docs/order__execution.1": Page[codec.ExecutionData],
    "docs/order__open-order.1": Page[codec.OrderData],
    "docs/order__order-list.1": Page[codec.OrderData],
    "docs/position__close-pnl.1": Page[codec.ClosedPnlData],
    "docs/position__position.1": Page[codec.PositionData],
}
ROWS: dict[str, Any] = {
    "nautilus/ws_account_execution": codec.ExecutionData,
    "nautilus/ws_account_execution_fast": codec.FastExecutionData,
    "nautilus/ws_account_order": codec.OrderData,
    "nautilus/ws_account_order_filled": codec.OrderData,
    "nautilus/ws_account_order_stop_loss": codec.OrderData,
    "nautilus/ws_account_order_take_profit": codec.OrderData,
    "nautilus/ws_account_position": codec.PositionData,
    "nautilus/ws_account_position_short": codec.PositionData,
    "nautilus/ws_account_wallet": codec.WalletData,
    "nautilus/ws_account_wallet_small_order": codec.WalletData,
    "nautilus/ws_kline": codec.KlineData,
    "nautilus/ws_public_trade": codec.TradeData,
    "docs/websocket__private__execution.2": codec.ExecutionData,
    "docs/websocket__private__fast-execution.2": codec.FastExecutionData,
    "docs/websocket__private__order.2": codec.OrderData,
    "docs/websocket__private__position.2": codec.PositionData,
    "docs/websocket__private__wallet.2": codec.WalletData,
    "docs/websocket__public__kline.1": codec.KlineData,
    "docs/websocket__public__trade.1": codec.TradeData,
}


@pytest.fixture(scope="module")
def recorded(data_folder: Path) -> Path:
    return data_folder / "fixtures" / "bybit-v5"


def body(recorded: Path, name: str) -> bytes:
    return (recorded / f"{name}.json").read_bytes()


def result(text: bytes, name: str) -> Any:
    envelope = codec.decode_envelope(text, name)
    assert envelope.ret_code == 0
    return codec.decode(envelope.result, RESULTS[name], name)


@pytest.mark.parametrize("name", RESULTS)
def test_a_recorded_answer_parses(recorded: Path, name: str) -> None:
    found = result(body(recorded, name), name)
    if isinstance(found, Page):
        assert len(found.list) == len(json.loads(body(recorded, name))["result"]["list"]) > 0


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_frame_parses(recorded: Path, name: str) -> None:
    text = body(recorded, name)
    frame = codec.decode_frame(text)
    found = codec.decode_rows(frame.data, ROWS[name], frame.topic)
    assert len(found) == len(json.loads(text)["data"]) > 0


def test_a_recorded_frame_without_rows_is_empty_and_no_error(recorded: Path) -> None:
    frame = codec.decode_frame(body(recorded, "nautilus/ws_account_execution_fast_envelope_id"))
    assert codec.decode_rows(frame.data, codec.FastExecutionData, frame.topic) == ()


def test_every_recorded_frame_of_a_socket_can_be_told_apart(recorded: Path) -> None:
    paths = sorted([*recorded.glob("nautilus/ws_*.json"), *recorded.glob("docs/websocket__*.json")])
    assert len(paths) > 40
    for path in paths:
        frame, reply = codec.decode_frame(path.read_bytes()), codec.decode_trade_reply(path.read_bytes())
        assert frame.op == reply.op


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a payload that has named fields of the venue (not a map of coins or permissions)."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in ("cumFeeDetail", "permissions", "extraFees"):
                yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


@pytest.mark.parametrize("name", RESULTS)
def test_a_field_of_tomorrow_in_every_object_changes_nothing(recorded: Path, name: str) -> None:
    tree = json.loads(body(recorded, name))
    before = result(json.dumps(tree).encode(), name)
    for part in list(objects(tree)):
        part["fieldOfTomorrow"] = {"deep": [None, 1.5, "x"]}
    assert result(json.dumps(tree).encode(), name) == before


ROW_KINDS = {name: kind for name, kind in RESULTS.items() if getattr(kind, "__origin__", None) is Page and kind.__args__[0] != TEXTS}


@pytest.mark.parametrize("name", ROW_KINDS)
def test_every_required_field_is_missed_by_name_in_its_row(recorded: Path, name: str) -> None:
    tree = json.loads(body(recorded, name))
    kind = ROW_KINDS[name].__args__[0]
    required = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    last = len(tree["result"]["list"]) - 1
    for field in required:
        row = tree["result"]["list"][last]
        kept = row.pop(field)
        with pytest.raises(codec.UnreadablePayload) as caught:
            result(json.dumps(tree).encode(), name)
        assert f"`{field}`" in caught.value.what
        assert f"list[{last}]" in caught.value.what
        assert name in caught.value.what
        row[field] = kept


def test_recorded_klines_become_closed_bars_oldest_first(recorded: Path) -> None:
    rows = result(body(recorded, "docs/market__kline.1"), "docs/market__kline.1").list
    bars = codec.klines_from_rows(rows, 60_000, int(rows[0][0]) + 59_999, codec.KLINE_COLUMNS, "kline")
    assert [bar.start_ms for bar in bars] == sorted(int(row[0]) for row in rows)
    assert [bar.confirm for bar in bars] == [True] * (len(rows) - 1) + [False]


def test_recorded_numbers_reach_the_grid_exactly(recorded: Path) -> None:
    rows = result(body(recorded, "nautilus/http_get_executions"), "nautilus/http_get_executions").list
    assert codec.money_e8(rows[0].exec_fee, "execFee") == 1_500_000
    assert codec.money_e8(rows[0].exec_price, "execPrice") == 5_000_000_000_000
