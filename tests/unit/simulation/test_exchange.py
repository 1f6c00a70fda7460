"""The simulated venue's own truth: refusals, fills, funding, margin, liquidation, changed instruments.

No spread, impact or latency unless said; the mark is 100.0 (1,000 ticks), 1,000 lots are worth 100 USDT, the wallet is 10,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, CashMoved, Event, FundingSettled, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected
from kedge.domain.orders import FillCause, Liquidity, OrderIntent, Side, TimeInForce
from kedge.domain.units import E8, money_e8
from kedge.kernel.account import EQUITY, FEES, FLOWS, FUNDING, GROSS, WALLET
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.exchange import INSURANCE, ExchangeCore, FundingRate

from ...builders import AAA, BBB, MINUTE, T0, WALLET_E8, bar, instrument, order, venue

BUY, SELL = Side.BUY, Side.SELL


def play(core: ExchangeCore, bars: Sequence[BarClosed], rates: Sequence[FundingRate] = ()) -> list[Event]:
    """One instant: arrivals, then the rest of the bars."""
    return [*core.open_bars(bars), *core.close_bars(bars, list(rates))]


def priced(core: ExchangeCore | None = None, n: int = 1) -> ExchangeCore:
    core = core or venue()
    play(core, [bar(n, instrument_id=spec.instrument_id) for spec in core.specs])
    return core


def place(core: ExchangeCore, intent: OrderIntent, n: int = 1) -> Event:
    return core.place(intent, T0 + n * MINUTE)


def held(core: ExchangeCore, lots: int, *, n: int = 1) -> ExchangeCore:
    """Hold `lots` bought or sold at the open of bar n + 1, which closes at the mark."""
    assert isinstance(place(core, order(f"open{n}", BUY if lots > 0 else SELL, abs(lots)), n), OrderAccepted)
    play(core, [bar(n + 1)])
    assert int(core.lots[0]) == lots
    return core


# refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "code"),
    [
        (order(instrument_id="test:ZZZ"), "10001"),
        (order(lots=500_001), "10001"),
        (order(lots=1_000_001, limit=1), "10001"),
        (order(limit=10_000_001), "110003"),
        (order(lots=49), "110094"),
        (order(lots=49, limit=1_000), "110094"),
        (order(reduce_only=True), "110017"),
        (order(lots=1_000_000, limit=1_000), "110007"),
    ],
)
def test_what_the_venue_refuses_with_its_code(intent: OrderIntent, code: str) -> None:
    answer = place(priced(), intent)
    assert isinstance(answer, OrderRejected)
    assert answer.code == code
    assert answer.reason


def test_without_a_price_nothing_is_taken() -> None:
    assert isinstance(place(venue(), order()), OrderRejected)


def test_a_client_id_is_taken_once() -> None:
    core = priced()
    assert isinstance(place(core, order()), OrderAccepted)
    again = place(core, order())
    assert isinstance(again, OrderRejected)
    assert again.code == "110072"
    play(core, [bar(2)])
    assert isinstance(place(core, order(), 2), OrderRejected), "also after it is done"


def test_margin_counts_positions_and_open_orders_at_their_worst() -> None:
    # 10 x: 1,000,000 lots are worth 100,000 USDT, which binds 10,000 and the closing fee of a long, 100,000 x 0.9 x 0.055 % = 49.5
    core = priced(venue([instrument(market_qty_max_lots=2_000_000, order_qty_max_lots=2_000_000)]))
    assert isinstance(place(core, order("big", lots=995_075, limit=1_000)), OrderRejected)
    assert isinstance(place(core, order("fits", lots=995_074, limit=1_000)), OrderAccepted), (
        "10,000 / (0.1 + 0.9 x 0.055 %) = 99,507.44 USDT"
    )
    assert isinstance(place(core, order("more", lots=100, limit=1_000)), OrderRejected)
    assert isinstance(place(core, order("other side", SELL, 900_000, 999)), OrderAccepted), "only one side can hurt at a time"


def test_the_largest_position_is_the_venues_limit_too() -> None:
    core = priced(venue([instrument(position_max_lots=10_000)]))
    assert isinstance(place(core, order("a", lots=6_000, limit=900)), OrderAccepted)
    answer = place(core, order("b", lots=4_001, limit=900))
    assert isinstance(answer, OrderRejected)
    assert answer.code == "110090"
    assert isinstance(place(core, order("c", lots=4_000, limit=900)), OrderAccepted)


# fills -----------------------------------------------------------------------------------------------------


def test_a_market_order_meets_the_next_open_and_pays_the_takers_fee() -> None:
    core = priced()
    assert place(core, order(lots=10_000)) == OrderAccepted(T0 + MINUTE, "o1", "v1")
    assert play(core, [bar(2, 1_010, open=1_002)]) == [
        OrderFilled(T0 + MINUTE, "f1", "o1", AAA, BUY, 10_000, 1_002, money_e8("0.5511"), Liquidity.TAKER, 0),
    ]
    assert core.account[WALLET] == WALLET_E8 - money_e8("0.5511")
    assert core.account[EQUITY] == core.account[WALLET] + 8 * E8


def test_capacity_is_shared_by_all_orders_of_a_bar() -> None:
    core = priced()
    place(core, order("a", lots=6_000))
    place(core, order("b", lots=6_000, limit=1_000))
    place(core, order("c", lots=1_000))
    events = play(core, [bar(2, 999, low=998, volume=10_000)])
    assert [(e.client_order_id, e.qty_lots) for e in events if isinstance(e, OrderFilled)] == [("a", 6_000), ("b", 4_000)]
    assert [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCanceled)] == [("c", "IOC_REMAINDER")]
    assert [(e.qty_lots, e.leaves_lots) for e in play(core, [bar(3, 990)]) if isinstance(e, OrderFilled)] == [(2_000, 0)]


def test_reduce_only_never_opens_and_its_rest_is_gone() -> None:
    core = held(priced(), 5_000)
    place(core, order("close", SELL, 9_000, reduce_only=True), 2)
    events = play(core, [bar(3)])
    assert [(e.qty_lots, e.leaves_lots) for e in events if isinstance(e, OrderFilled)] == [(5_000, 4_000)]
    assert [e.reason for e in events if isinstance(e, OrderCanceled)] == ["REDUCE_ONLY_NO_POSITION"]
    assert int(core.lots[0]) == 0
    assert core.working[AAA] == {}
    held(core, 8_000, n=3)
    assert int(core.lots[0]) == 8_000, "nothing of the old order trades with the new position"


def test_two_that_close_the_same_position_close_it_once() -> None:
    core = held(priced(), 5_000)
    for name in ("a", "b"):
        assert isinstance(place(core, order(name, SELL, 5_000, reduce_only=True), 2), OrderAccepted)
    events = play(core, [bar(3)])
    assert [type(e) for e in events] == [OrderFilled, OrderCanceled]
    assert int(core.lots[0]) == 0


def test_cancelled_orders_do_not_trade() -> None:
    core = priced(venue(latency_ns=50))
    place(core, order(limit=990))
    assert core.cancel("o1", T0 + MINUTE + 1) == OrderCanceled(T0 + MINUTE + 51, "o1", "CANCELED_BY_USER")
    assert core.cancel("o1", T0 + MINUTE + 2) is None
    assert play(core, [bar(2, 900)]) == []


def test_an_order_slower_than_a_bar_meets_the_bar_it_arrives_in() -> None:
    core = priced(venue(latency_ns=150 * 1_000_000_000))
    place(core, order())
    assert play(core, [bar(2, 1_100)]) == []
    assert core.has_arrivals, "it is still on its way"
    assert play(core, [bar(3, 1_200)]) == []
    (fill,) = play(core, [bar(4, 1_300)])
    assert isinstance(fill, OrderFilled)
    assert (fill.price_ticks, fill.ts_ns) == (1_300, T0 + MINUTE + 150 * 1_000_000_000)


def test_an_order_waits_for_a_bar_of_its_own_instrument() -> None:
    core = priced(venue([instrument(), instrument(BBB)]))
    place(core, order(instrument_id=BBB))
    assert play(core, [bar(2, 1_100)]) == []
    assert core.has_arrivals
    assert [type(e) for e in play(core, [bar(3, 1_200, BBB)])] == [OrderFilled]
    assert not core.has_arrivals


# funding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lots", "rate", "paid"), [(10_000, 10_000, "0.1"), (-10_000, 10_000, "-0.1"), (10_000, -10_000, "-0.1")])
def test_longs_pay_a_positive_rate(lots: int, rate: int, paid: str) -> None:
    core = held(priced(), lots)
    before = int(core.account[WALLET])
    (event,) = play(core, [bar(3)], [FundingRate(T0 + 3 * MINUTE, AAA, rate)])
    assert event == FundingSettled(T0 + 3 * MINUTE, AAA, rate, 100 * E8, lots, money_e8(paid))
    assert before - int(core.account[WALLET]) == core.account[FUNDING] == money_e8(paid)


def test_funding_is_for_positions_open_at_the_settlement_only() -> None:
    core = priced()
    settlement = FundingRate(T0 + 2 * MINUTE, AAA, 10_000)
    assert play(core, [bar(2)], [settlement]) == []
    place(core, order(limit=990, lots=1_000), 2)
    assert [type(e) for e in play(core, [bar(3, 1_000, low=980)], [settlement])] == [OrderFilled], (
        "it fills at the close, after the settlement"
    )
    assert core.account[FUNDING] == 0
    place(core, order("out", SELL, 1_000, reduce_only=True), 3)
    assert [type(e) for e in play(core, [bar(4)], [settlement])] == [OrderFilled], "sold at the open, before it"


def test_at_one_instant_funding_comes_before_liquidation_and_both_before_what_fills_at_the_close() -> None:
    core = held(priced(), 500_000)
    place(core, order("late", BUY, 1_000, 990), 2)
    place(core, order("far", BUY, 1_000, 600), 2)
    events = play(core, [bar(3, 820, low=790, open=1_000)], [FundingRate(T0 + 3 * MINUTE, AAA, 10_000)])
    assert [type(e).__name__ for e in events] == ["FundingSettled", "OrderCanceled", "OrderCanceled", "OrderFilled"]
    assert isinstance(events[-1], OrderFilled)
    assert events[-1].cause is FillCause.LIQUIDATION


# margin and liquidation ------------------------------------------------------------------------------------


def maintenance(lots: int, ticks: int) -> Decimal:
    """The test table by hand: 1 % to 20,000, 2.5 % - 300 above; closing fee of a long at 10 x."""
    value = Decimal(lots) * ticks / 10_000
    margin = value / 100 if value <= 20_000 else value * Decimal("0.025") - 300
    return margin + value * Decimal("0.9") * Decimal("0.00055")


def test_a_walk_liquidates_at_the_first_price_that_does_not_cover_maintenance() -> None:
    core = held(priced(), 500_000)  # 50,000 USDT of value on 10,000
    wallet = Decimal(int(core.account[WALLET])) / E8
    equity = lambda ticks: wallet + Decimal(500_000) * (ticks - 1_000) / 10_000  # noqa: E731
    events = play(core, [bar(3, 950, low=700, open=1_000)])
    (fill,) = [e for e in events if isinstance(e, OrderFilled)]
    assert (fill.client_order_id, fill.side, fill.qty_lots, fill.liquidity) == ("", SELL, 500_000, Liquidity.TAKER)
    assert equity(fill.price_ticks) <= maintenance(500_000, fill.price_ticks)
    assert equity(fill.price_ticks + 1) > maintenance(500_000, fill.price_ticks + 1)
    assert core.account[GROSS] == 0
    assert core.account[WALLET] > 0, "a walk leaves the margin"
    assert core.account[FLOWS] == 0


@pytest.mark.parametrize("with_order", [False, True])
def test_a_gap_liquidates_at_the_open_and_insurance_covers_the_rest(with_order: bool) -> None:
    core = held(priced(), 500_000)
    if with_order:  # it would arrive after the gap: there is nothing left to sell
        assert isinstance(place(core, order("out", SELL, 500_000, reduce_only=True), 2), OrderAccepted)
    events = play(core, [bar(3, 700, open=700)])
    (fill,) = [e for e in events if isinstance(e, OrderFilled)]
    assert (fill.price_ticks, fill.cause) == (700, FillCause.LIQUIDATION)
    (cover,) = [e for e in events if isinstance(e, CashMoved)]
    assert cover.reason == INSURANCE
    assert cover.amount_e8 > 0
    assert core.account[WALLET] == core.account[EQUITY] == 0
    assert cover.amount_e8 == core.account[FLOWS] == 5_000 * E8 + core.account[FEES]


def test_a_loss_beyond_the_wallet_is_covered_however_it_came() -> None:
    """The open is safe, but a wide spread makes the way out cost more than is left, and then nothing is open any more."""
    wide = BarMatcher(BarCosts(half_spread_ticks=30, impact_bps=0, participation_e8=E8))
    core = held(priced(venue(matcher=wide)), 90_000)
    gone = int(core.account[EQUITY]) - 200 * E8
    core.account[WALLET] -= gone
    core.account[EQUITY] -= gone
    place(core, order("out", SELL, 90_000, reduce_only=True), 2)
    events = play(core, [bar(3)])
    assert [type(e) for e in events] == [OrderFilled, CashMoved]
    assert int(core.lots[0]) == 0
    assert core.account[WALLET] == core.account[EQUITY] == 0


def test_a_short_is_liquidated_upwards() -> None:
    core = held(priced(), -500_000)
    (fill,) = [e for e in play(core, [bar(3, 1_050, high=1_300, open=1_000)]) if isinstance(e, OrderFilled)]
    assert (fill.side, fill.cause) == (BUY, FillCause.LIQUIDATION)
    assert 1_150 < fill.price_ticks < 1_200


def test_nothing_is_liquidated_while_equity_covers_it() -> None:
    core = held(priced(), 500_000)
    assert play(core, [bar(3, 950, low=840, open=1_000)]) == []
    assert int(core.lots[0]) == 500_000


def test_losses_of_one_position_take_the_largest_first_until_the_rest_is_covered() -> None:
    core = priced(venue([instrument(), instrument(BBB)]))
    place(core, order("a", BUY, 300_000))
    place(core, order("b", BUY, 200_000, instrument_id=BBB))
    play(core, [bar(2), bar(2, instrument_id=BBB)])
    events = play(core, [bar(3, 905, open=1_000), bar(3, 660, BBB, open=1_000)])
    # 322 USDT of equity are left against 378 + 13 and 132 + 7 of maintenance margin; without A it is 307 against 139
    assert [(e.instrument, e.cause) for e in events if isinstance(e, OrderFilled)] == [(AAA, FillCause.LIQUIDATION)]
    assert core.lots.tolist() == [0, 200_000]
    assert 300 * E8 < core.account[EQUITY] < 310 * E8


# changes ---------------------------------------------------------------------------------------------------


def test_a_changed_instrument_cancels_orders_and_keeps_the_value() -> None:
    core = held(priced(), 10_000)
    place(core, order("rest", BUY, 1_000, 900), 2)
    equity = int(core.account[EQUITY])
    new = instrument(lot_e8=1_000_000, tick_e8=1_000_000)
    assert core.change_instrument(new, T0 + 3 * MINUTE) == [OrderCanceled(T0 + 3 * MINUTE, "rest", "INSTRUMENT_CHANGED")]
    assert (int(core.lots[0]), int(core.marks[0]), int(core.account[EQUITY])) == (1_000, 10_000, equity)


def test_a_position_that_does_not_fit_the_new_lot_is_refused() -> None:
    core = held(priced(), 10_001)
    with pytest.raises(InvalidInput, match="10001 lots"):
        core.change_instrument(instrument(lot_e8=1_000_000), T0 + 3 * MINUTE)


def test_post_only_that_would_take_is_cancelled() -> None:
    core = priced()
    place(core, order(limit=1_005, time_in_force=TimeInForce.POST_ONLY))
    assert [e.reason for e in play(core, [bar(2)]) if isinstance(e, OrderCanceled)] == ["POST_ONLY_WOULD_TAKE"]
