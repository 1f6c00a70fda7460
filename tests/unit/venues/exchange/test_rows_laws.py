"""Laws of the encoders: texts are exactly the decimals they stand for, for all values, and every row is JSON with the row's numbers."""

from __future__ import annotations

import json
import typing
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue_types import (
    CancelType,
    ClosedPnlRow,
    CreateType,
    ExecType,
    ExecutionRow,
    LogRow,
    LogType,
    OrderRow,
    PositionRow,
    RejectReason,
    Status,
    StopType,
    TriggerBy,
    WalletRow,
)
from kedge.venues.exchange.rows import execution_fast_ws, execution_rest, execution_ws, order_rest, order_ws
from kedge.venues.exchange.rows_account import closed_pnl_rest, log_rest, position_rest, position_ws, wallet_rest, wallet_ws
from kedge.venues.exchange.texts import Grid, e2_text, e8_text, read_e8, share_e4

from ....builders import AAA, instrument

signed = st.integers(-(10**18), 10**18)
count = st.integers(0, 10**12)
some = st.integers(1, 10**9)
steps = st.sampled_from([1, 5, 10, 2_500, 100_000, 10_000_000, 100_000_000, 500_000_000])
GRID = Grid(instrument(AAA))
ids = st.text("0123456789abcdefABCDEF-_", max_size=36)


def drawn(kind: Any, **given_: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Rows whose integers, words and ids are arbitrary; named fields as given."""
    by_type = {
        Side: st.sampled_from(Side), OrderKind: st.sampled_from(OrderKind), TimeInForce: st.sampled_from(TimeInForce),
        Status: st.sampled_from(Status), SelfTrade: st.sampled_from(SelfTrade), CreateType: st.sampled_from(CreateType),
        CancelType: st.sampled_from(CancelType), RejectReason: st.sampled_from(RejectReason), StopType: st.sampled_from(StopType),
        TriggerBy: st.sampled_from(TriggerBy), ExecType: st.sampled_from(ExecType), LogType: st.sampled_from(LogType),
        int: count, bool: st.booleans(), str: ids,
    }  # fmt: skip
    hints = typing.get_type_hints(kind)
    fields = {name: given_.get(name, by_type.get(hints[name], st.none())) for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


def decimal(text: str) -> Decimal:
    """A text that is a number as the venue writes them: no exponent, no plus."""
    assert set(text) <= set("-.0123456789"), text
    return Decimal(text)


def money(text: str) -> int:
    value = decimal(text).scaleb(8)
    assert value == int(value)
    return int(value)


@given(signed)
def test_money_is_exact_without_trailing_zeros(value: int) -> None:
    text = e8_text(value)
    assert money(text) == value
    assert "." not in text or text[-1] not in "0."
    assert e2_text(value) == e8_text(value * 1_000_000)


@given(count)
def test_what_is_written_is_read_back(value: int) -> None:
    assert read_e8(e8_text(value)) == value
    assert read_e8(f"{Decimal(value).scaleb(-8):f}") == value
    assert read_e8(f"{Decimal(value).scaleb(-8):E}") == value


@given(st.text(max_size=50) | st.floats() | st.integers() | st.none() | st.booleans() | st.lists(st.integers(), max_size=2))
def test_reading_never_fails_and_never_invents(given_: object) -> None:
    found = read_e8(given_)
    if found is not None:
        assert found >= 0
        assert Decimal(found).scaleb(-8) == Decimal(str(given_).strip())


@pytest.mark.parametrize("text", ["0.000000001", "1e-9", "-0.1", "1" * 41, "1_000", "0x10", "1e19", "٣"])
def test_what_no_instrument_could_hold_is_not_read(text: str) -> None:
    assert read_e8(text) is None


@given(steps, steps, count, st.integers(-(10**9), 10**9))
def test_prices_and_quantities_carry_the_digits_of_their_step(tick_e8: int, lot_e8: int, ticks: int, lots: int) -> None:
    if tick_e8 * lot_e8 % E8 or lot_e8 > E8:
        lot_e8 = E8
    small: dict[str, Any] = dict.fromkeys(("price_max_ticks", "order_qty_max_lots", "market_qty_max_lots", "position_max_lots"), 1)
    grid = Grid(instrument(AAA, tick_e8=tick_e8, lot_e8=lot_e8, notional_min_e8=0, **small))
    price, qty = grid.price(ticks), grid.qty(lots)
    assert money(price) == ticks * tick_e8
    assert money(qty) == lots * lot_e8
    wanted = max(0, -int(Decimal(tick_e8).scaleb(-8).normalize().as_tuple().exponent))  # type: ignore[operator]
    assert len(price.partition(".")[2]) == grid.price_digits == wanted
    assert money(grid.price_e8(ticks * tick_e8 + 1)) == ticks * tick_e8 + 1
    assert money(grid.value(abs(lots), ticks)) == abs(lots) * ticks * grid.tick_value_e8


@given(count, some)
def test_averages_are_the_nearest_on_the_eighth_decimal(value_e8: int, lots: int) -> None:
    exact = Fraction(value_e8 * E8, lots * GRID.lot_e8)
    assert abs(money(GRID.average(value_e8, lots)) - exact) <= Fraction(1, 2)


@given(count, some)
def test_shares_are_the_nearest_in_ten_thousandths(part: int, whole: int) -> None:
    assert abs(share_e4(part, whole) - Fraction(part * 10_000, whole)) <= Fraction(1, 2)


@given(drawn(OrderRow))
def test_orders_keep_their_numbers(row: OrderRow) -> None:
    for encoded in (order_rest(row, GRID), order_ws(row, GRID)):
        found = json.loads(encoded)
        assert money(found["qty"]) == row.qty_lots * GRID.lot_e8
        assert money(found["leavesQty"]) == row.leaves_lots * GRID.lot_e8
        assert money(found["cumExecQty"]) == row.cum_lots * GRID.lot_e8
        assert money(found["price"]) == row.price_ticks * GRID.tick_e8
        assert (money(found["cumExecValue"]), money(found["cumExecFee"])) == (row.cum_value_e8, row.cum_fee_e8)
        assert (found["avgPrice"] == "") == (row.cum_lots == 0)
        assert money(found["triggerPrice"] or "0") == row.trigger_ticks * GRID.tick_e8
        assert money(found["stopLoss"] or "0") == row.stop_loss_ticks * GRID.tick_e8
        assert (found["orderStatus"], found["cancelType"], found["rejectReason"]) == (row.status, row.cancel_type, row.reject_reason)
        assert (int(found["createdTime"]), int(found["updatedTime"])) == (row.created_ns // 10**6, row.updated_ns // 10**6)
        assert (found["orderLinkId"], found["reduceOnly"]) == (row.link_id, row.reduce_only)


@given(drawn(ExecutionRow, fee_e8=signed, fee_rate_e8=signed, pnl_e8=signed, price_e8=count))
def test_executions_keep_their_numbers(row: ExecutionRow) -> None:
    for encoded in (execution_rest(row, GRID), execution_ws(row, GRID)):
        found = json.loads(encoded)
        assert (money(found["execPrice"]), money(found["execValue"]), money(found["execFee"])) == (row.price_e8, row.value_e8, row.fee_e8)
        assert money(found["execQty"]) == row.qty_lots * GRID.lot_e8
        assert money(found["closedSize"]) == row.closed_lots * GRID.lot_e8
        assert (money(found["feeRate"]), money(found["markPrice"])) == (row.fee_rate_e8, row.mark_e8)
        assert (found["execId"], found["seq"], found["isMaker"]) == (row.exec_id, row.seq, row.is_maker)
    assert money(json.loads(execution_ws(row, GRID))["execPnl"]) == row.pnl_e8
    assert money(json.loads(execution_fast_ws(row, GRID))["execPrice"]) == row.price_e8


@given(drawn(PositionRow, lots=signed, cost_e8=signed, unrealised_e8=signed, cum_realised_e8=signed, liq_price_e8=st.none() | count))
def test_positions_keep_their_numbers(row: PositionRow) -> None:
    rest, stream = json.loads(position_rest(row, GRID)), json.loads(position_ws(row, GRID))
    assert rest["avgPrice"] == stream["entryPrice"]
    for found in (rest, stream):
        assert money(found["size"]) == abs(row.lots) * GRID.lot_e8
        assert found["side"] == ("" if not row.lots else "Buy" if row.lots > 0 else "Sell")
        assert money(found["positionValue"]) == abs(row.cost_e8)
        assert (money(found["positionIM"]), money(found["positionMM"])) == (row.initial_e8, row.maintenance_e8)
        assert (money(found["unrealisedPnl"]), money(found["cumRealisedPnl"])) == (row.unrealised_e8, row.cum_realised_e8)
        assert money(found["leverage"]) == row.leverage_e2 * 10**6
        assert found["liqPrice"] == ("" if row.liq_price_e8 is None else e8_text(row.liq_price_e8))
        assert money(found["stopLoss"] or "0") == row.stop_loss_ticks * GRID.tick_e8


@given(drawn(WalletRow, wallet_e8=signed, equity_e8=signed, unrealised_e8=signed, available_e8=signed))
def test_wallets_keep_their_numbers(row: WalletRow) -> None:
    for found in (json.loads(wallet_rest(row, "USDT")), json.loads(wallet_ws(row, "USDT"))):
        assert (money(found["totalEquity"]), money(found["totalWalletBalance"])) == (row.equity_e8, row.wallet_e8)
        assert money(found["totalAvailableBalance"]) == row.available_e8
        assert money(found["totalInitialMargin"]) == row.position_initial_e8 + row.order_initial_e8
        (coin,) = found["coin"]
        assert (money(coin["equity"]), money(coin["walletBalance"])) == (row.equity_e8, row.wallet_e8)
        assert (money(coin["totalOrderIM"]), money(coin["totalPositionMM"])) == (row.order_initial_e8, row.maintenance_e8)


@given(drawn(LogRow, change_e8=signed, funding_e8=signed, size_lots=signed, side=st.none() | st.sampled_from(Side)), st.booleans())
def test_logs_keep_their_numbers(row: LogRow, is_traded: bool) -> None:
    found = json.loads(log_rest(row, GRID if is_traded else None, "USDT"))
    assert (money(found["change"]), money(found["cashBalance"]), money(found["fee"])) == (row.change_e8, row.balance_e8, row.fee_e8)
    assert found["funding"] == (e8_text(row.funding_e8) if row.type is LogType.SETTLEMENT else "")
    assert found["size"] == (GRID.qty(row.size_lots) if is_traded else "")
    assert found["side"] == {None: "None", Side.BUY: "Buy", Side.SELL: "Sell"}[row.side]


@given(drawn(ClosedPnlRow, closed_pnl_e8=signed, closed_lots=some))
def test_closed_profits_keep_their_numbers(row: ClosedPnlRow) -> None:
    found = json.loads(closed_pnl_rest(row, GRID))
    assert (money(found["closedPnl"]), money(found["openFee"]), money(found["closeFee"])) == (
        row.closed_pnl_e8, row.open_fee_e8, row.close_fee_e8,
    )  # fmt: skip
    assert (money(found["cumEntryValue"]), money(found["cumExitValue"])) == (row.entry_value_e8, row.exit_value_e8)
    assert money(found["closedSize"]) == row.closed_lots * GRID.lot_e8
