"""Prices, stops, funding, liquidation, klines and frames of the venue, each against figures worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kedge.domain.orders import Side
from kedge.domain.units import E8
from kedge.simulation.venue_depth import DepthStream
from kedge.simulation.venue_types import (
    MINUTE_NS,
    BookDelta,
    CancelType,
    CreateType,
    Crowd,
    ExecType,
    ExecutionRow,
    KlineRow,
    LiquidationRow,
    LogType,
    OrderRow,
    PositionRow,
    Status,
    StopType,
    TickerRow,
    TradeRow,
    TriggerBy,
    WalletRow,
)

from ...builders import AAA, HOUR, T0, bar
from .test_venue_rules import BUY, SELL, TICK_E8, ask, code, price, took, venue

BARE = Crowd(levels=0, flow_notional_e8=0)


def test_one_fill_gives_both_sides_their_rows_in_order() -> None:
    made = venue(BARE)
    took(made.place("a", ask(SELL, 100, 1_000), T0))
    made.drain()
    took(made.place("b", ask(BUY, 100, 1_000), T0))
    changes = made.drain()
    private = [type(row) for row in changes if isinstance(row, ExecutionRow | OrderRow | PositionRow | WalletRow)]
    assert private == [ExecutionRow] * 2 + [OrderRow] * 2 + [PositionRow] * 2 + [WalletRow] * 2
    maker, taker = [row for row in changes if isinstance(row, ExecutionRow)]
    assert (maker.account, maker.is_maker, maker.fee_e8) == ("a", True, 10 * E8 * 20 // 100_000)
    assert (taker.account, taker.is_maker, taker.fee_e8) == ("b", False, 10 * E8 * 55 // 100_000)
    assert len([row for row in changes if isinstance(row, TradeRow)]) == 1
    assert made.drain() == []


def test_a_resting_order_trades_when_the_price_passes_it_and_not_before() -> None:
    made = venue()
    order = took(made.place("a", ask(BUY, 100, 993), T0))
    price(made, 994)
    assert made.position("a", AAA).lots == 0
    price(made, 992)
    found = made.find_order("a", AAA, order.order_id)
    assert found is not None
    assert (found.status, found.cum_value_e8) == (Status.FILLED, 100 * 993 * 10_000)


def test_break_even_is_the_documented_one() -> None:
    """0.01 at 61,020 with a fee of 0.33561 paid: 61,087.16."""
    made = venue(spec={"price_max_ticks": 1_000_000, "position_max_lots": 10_000})
    made.set_prices(AAA, 610_200, 610_200 * TICK_E8, 610_200 * TICK_E8, T0, flow_lots=0)
    took(made.place("a", ask(BUY, 10), T0))
    row = made.position("a", AAA)
    assert Fraction(row.cost_e8, row.lots) == 61_020 * E8 // 1_000
    assert row.break_even_e8 is not None
    assert round(Fraction(row.break_even_e8, E8), 2) == Fraction("61087.16")


@pytest.mark.parametrize("by", list(TriggerBy))
def test_a_conditional_order_waits_for_its_price(by: TriggerBy) -> None:
    made = venue()
    waiting = took(made.place("a", ask(BUY, 100, trigger_ticks=1_003, trigger_direction=1, trigger_by=by), T0))
    assert (waiting.status, waiting.stop_type, made.wallet("a").order_initial_e8) == (Status.UNTRIGGERED, StopType.STOP, 0)
    price(made, 1_002)
    assert made.position("a", AAA).lots == 0
    price(made, 1_003)
    assert made.position("a", AAA).lots == 100


def test_a_cancelled_conditional_order_is_deactivated() -> None:
    made = venue()
    waiting = took(made.place("a", ask(BUY, 100, trigger_ticks=1_003, trigger_direction=1), T0))
    assert took(made.cancel("a", AAA, T0, order_id=waiting.order_id)).status is Status.DEACTIVATED
    price(made, 1_005)
    assert made.position("a", AAA).lots == 0


def test_a_stop_loss_by_mark_closes_the_position_and_clears_the_take_profit() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 300), T0))
    made.set_trading_stop("a", AAA, T0, take_profit_ticks=1_050, stop_loss_ticks=995, sl_trigger_by=TriggerBy.MARK)
    assert code(made.set_trading_stop("a", AAA, T0, stop_loss_ticks=995, sl_trigger_by=TriggerBy.MARK)) == 34040
    assert code(made.set_trading_stop("a", AAA, T0, stop_loss_ticks=1_005)) == 10001
    took(made.place("a", ask(BUY, 200), T0))
    assert {order.qty_lots for order in made.open_orders("a").rows} == {500}
    price(made, 990, mark_e8=996 * TICK_E8)
    assert made.position("a", AAA).lots == 500
    price(made, 990, mark_e8=995 * TICK_E8)
    assert made.position("a", AAA).lots == 0
    closed = {row.stop_type: row for row in made.order_history("a").rows}
    assert (closed[StopType.STOP_LOSS].status, closed[StopType.STOP_LOSS].create_type) == (Status.FILLED, CreateType.STOP_LOSS)
    assert closed[StopType.TAKE_PROFIT].cancel_type is CancelType.STOPPED_OUT
    assert code(made.set_trading_stop("a", AAA, T0, stop_loss_ticks=900)) == 10001


def test_closing_by_hand_clears_the_stops() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 300, stop_loss_ticks=980, take_profit_ticks=1_020), T0))
    assert (made.position("a", AAA).stop_loss_ticks, made.position("a", AAA).take_profit_ticks) == (980, 1_020)
    took(made.place("a", ask(SELL, 0, reduce_only=True, close_on_trigger=True), T0))
    assert made.open_orders("a").rows == []
    stops = [row for row in made.order_history("a").rows if row.stop_type is not StopType.NONE]
    assert [(row.status, row.cancel_type) for row in stops] == [(Status.DEACTIVATED, CancelType.POSITION_CLOSED)] * 2


def test_funding_is_settled_once_at_its_instant() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 1_000), T0))
    took(made.place("b", ask(SELL, 1_000), T0))
    made.set_funding_rate(AAA, 10_000)
    price(made, 1_000, T0 + HOUR)
    before = made.wallet("a").wallet_e8, made.wallet("b").wallet_e8
    made.advance(T0 + 8 * HOUR - 1)
    assert made.wallet("a").wallet_e8 == before[0]
    made.advance(T0 + 9 * HOUR)
    assert made.wallet("a").wallet_e8 == before[0] - E8 // 100  # 100 USDT at 0.01 %
    assert made.wallet("b").wallet_e8 == before[1] + E8 // 100
    row = made.executions("a").rows[0]
    assert (row.exec_type, row.fee_e8, row.ts_ns) == (ExecType.FUNDING, E8 // 100, T0 + 8 * HOUR)
    log = made.transaction_log("b").rows[0]
    assert (log.type, log.funding_e8, log.balance_e8) == (LogType.SETTLEMENT, E8 // 100, made.wallet("b").wallet_e8)
    assert [row.rate_e8 for row in made.funding_history(AAA)] == [10_000]


@pytest.mark.parametrize(("side", "towards"), [(BUY, -1), (SELL, 1)])
def test_liquidation_starts_where_the_estimate_says_and_takes_what_is_left(side: Side, towards: int) -> None:
    made = venue(leverage_e2=5_000)
    made.open_account("c", 30 * E8, T0)
    took(made.place("c", ask(side, 8_000), T0))
    resting = took(made.place("c", ask(side, 60, 992 if side is BUY else 1_008), T0))
    estimate = made.position("c", AAA).liq_price_e8
    assert estimate is not None
    price(made, 1_000, mark_e8=estimate - towards * 100_000)
    assert made.position("c", AAA).lots
    made.drain()
    price(made, 1_000, mark_e8=estimate + towards * 100_000)
    assert made.position("c", AAA).lots == 0
    assert 0 <= made.wallet("c").wallet_e8 <= 8_000 * 10_000  # within one tick of nothing
    gone = made.find_order("c", AAA, resting.order_id)
    assert gone is not None
    assert gone.cancel_type is CancelType.LIQUIDATION
    bust = made.executions("c").rows[0]
    assert (bust.exec_type, bust.create_type, bust.qty_lots) == (ExecType.BUST, CreateType.LIQUIDATION, 8_000)
    public = [row for row in made.drain() if isinstance(row, LiquidationRow)]
    assert [(row.side, row.qty_lots) for row in public] == [(side, 8_000)]


def test_a_gap_past_bankruptcy_leaves_the_wallet_at_nothing() -> None:
    made = venue(leverage_e2=5_000)
    made.open_account("c", 30 * E8, T0)
    took(made.place("c", ask(BUY, 8_000), T0))
    price(made, 500)
    assert made.position("c", AAA).lots == 0
    assert 0 <= made.wallet("c").wallet_e8 <= 8_000 * 10_000


def test_closed_profit_follows_the_documented_rule() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 1_000), T0))
    bought_e8 = made.position("a", AAA).cost_e8
    price(made, 1_010)
    took(made.place("a", ask(SELL, 400), T0))
    row = made.closed_pnl("a").rows[0]
    assert row.closed_pnl_e8 == row.exit_value_e8 - row.entry_value_e8 - row.open_fee_e8 - row.close_fee_e8
    assert (row.closed_lots, row.entry_value_e8) == (400, bought_e8 * 400 // 1_000)
    assert row.open_fee_e8 == made.executions("a").rows[1].fee_e8 * 400 // 1_000


def test_a_played_bar_gives_back_its_kline() -> None:
    made = venue()
    played = bar(2, 1_004, open=1_000, high=1_007, low=996, volume=1_234)
    made.advance(played.open_ts_ns)
    made.drain()
    made.watch_klines(AAA, {"1", "5"})
    made.play_bar(played, 12)
    rows = [row for row in made.drain() if isinstance(row, KlineRow) and row.confirm and row.interval == "1"]
    assert len(rows) == 1
    row = rows[0]
    assert (row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks) == (1_000, 1_007, 996, 1_004)
    assert (row.volume_lots, row.start_ns, row.end_ns) == (1_234, played.open_ts_ns, played.ts_ns)


def test_longer_klines_are_their_minutes() -> None:
    made = venue()
    for n in range(1, 11):
        made.play_bar(bar(n, 1_000 + n, open=999 + n, volume=100 * n), 8)
    minutes, fives = made.klines(AAA, "1"), made.klines(AAA, "5")
    assert [row.volume_lots for row in fives if row.confirm] == [4_000, 1_500]
    for five in fives:
        inside = [m for m in minutes if five.start_ns <= m.start_ns < five.end_ns and m.confirm]
        if inside:
            assert five.high_ticks == max(m.high_ticks for m in inside)
            assert five.turnover_e8 == sum(m.turnover_e8 for m in inside)


def test_a_silent_minute_closes_flat() -> None:
    made = venue()
    price(made, 1_000, flow=10)
    made.drain()
    made.advance(T0 + 3 * MINUTE_NS)
    rows = [row for row in made.drain() if isinstance(row, KlineRow) and row.interval == "1"]
    assert [(row.volume_lots, row.close_ticks) for row in rows] == [(10, 1_000), (0, 1_000), (0, 1_000)]


def test_a_depth_stream_never_deletes_what_it_did_not_show() -> None:
    made = venue()
    stream = DepthStream(3)
    first = stream.follow(made.depth(AAA, 3))
    assert first is not None
    assert first.is_snapshot
    held = {Side.BUY: dict(first.bids), Side.SELL: dict(first.asks)}
    for n, last in enumerate((1_002, 998, 1_000, 1_030, 990), start=2):
        price(made, last)
        frame = stream.follow(made.depth(AAA, 3))
        assert frame is not None
        assert (frame.is_snapshot, frame.update) == (False, n)
        for side, levels in ((Side.BUY, frame.bids), (Side.SELL, frame.asks)):
            for level, lots in levels:
                if lots:
                    held[side][level] = lots
                else:
                    del held[side][level]
        now = made.depth(AAA, 3)
        assert (held[Side.BUY], held[Side.SELL]) == (dict(now.bids), dict(now.asks))
    assert stream.follow(made.depth(AAA, 3)) is None


def test_deltas_are_numbered_without_gaps() -> None:
    made = venue()
    start = made.depth(AAA, 1).update
    for last in (1_003, 1_006, 1_009):
        price(made, last)
        delta = [row for row in made.drain() if isinstance(row, BookDelta)]
        start += 1
        assert [row.update for row in delta] == [start]


def test_memory_stays_bounded() -> None:
    made = venue(BARE)
    for n in range(27_000):
        order = took(made.place("a", ask(BUY, 100, 995), T0 + n))
        made.cancel("a", AAA, T0 + n, order_id=order.order_id)
        made.drain()
    account = made._accounts["a"]
    assert len(account.closed.rows) <= 25_000
    assert len(account.known) == len(account.closed.rows)
    assert account.links == {}


def test_whoever_shows_no_market_data_gets_the_same_rows_without_it_and_none_of_it_later() -> None:
    quiet, told = venue(), venue()
    for made in (quiet, told):
        made.drain()
        took(made.place("a", ask(BUY, 100, 993), T0))
        price(made, 992)
    rows, everything = quiet.drain(market_data=False), told.drain()
    assert rows == [row for row in everything if not isinstance(row, BookDelta | TickerRow)]
    assert len(rows) < len(everything)
    assert quiet.drain() == told.drain() == []
    assert quiet.depth(AAA, 5).bids == told.depth(AAA, 5).bids
