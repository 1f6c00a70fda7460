"""The `bar` matcher: what an order gets at the open, what a resting one gets later, and whose fee it is."""

from __future__ import annotations

import pytest

from kedge.domain.events import BarClosed
from kedge.domain.orders import Liquidity, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.matching import FOK_UNFILLED, IOC_REMAINDER, POST_ONLY_WOULD_TAKE, Done, Match, WorkingOrder

from ...builders import AAA, MINUTE, T0, bar, order

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, POST_ONLY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.POST_ONLY
FREE = BarCosts(half_spread_ticks=0, impact_bps=0, participation_e8=E8)
DIP = bar(2, 1_000, open=1_000, high=1_010, low=980, volume=10_000)


def working(
    side: Side = BUY, lots: int = 1_000, limit: int = 0, tif: TimeInForce = GTC, *, name: str = "o", arrival: int = T0 + MINUTE
) -> WorkingOrder:
    force = tif if limit else IOC
    return WorkingOrder(order(name, side, lots, limit, time_in_force=force), "v", arrival, lots)


def arrive(w: WorkingOrder, costs: BarCosts = FREE, b: BarClosed = DIP) -> list[tuple[object, ...]]:
    return told(BarMatcher(costs).arrive(b, [w]))


def told(answers: list[Match | Done]) -> list[tuple[object, ...]]:
    return [(a.qty_lots, a.price_ticks, a.liquidity.value) if isinstance(a, Match) else (a.reason,) for a in answers]


def test_a_market_order_takes_at_the_open_with_spread_and_impact() -> None:
    assert arrive(working()) == [(1_000, 1_000, "taker")]
    assert arrive(working(), BarCosts(half_spread_ticks=2, impact_bps=0, participation_e8=E8)) == [(1_000, 1_002, "taker")]
    assert arrive(working(SELL), BarCosts(half_spread_ticks=2, impact_bps=100, participation_e8=E8)) == [(1_000, 997, "taker")]


def test_a_market_order_takes_its_share_and_the_rest_is_cancelled() -> None:
    tenth = BarCosts(half_spread_ticks=0, impact_bps=0)
    assert arrive(working(lots=1_001), tenth) == [(1_000, 1_000, "taker"), (IOC_REMAINDER,)]
    assert arrive(working(), tenth, bar(2, volume=9)) == [(IOC_REMAINDER,)]


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_what_the_bar_did_later_is_not_known_at_the_open(tif: TimeInForce) -> None:
    """The bar falls to 980, but at the open nobody sells below 1,000."""
    w = working(limit=990, tif=tif)
    assert arrive(w) == [(IOC_REMAINDER if tif is IOC else FOK_UNFILLED,)]


@pytest.mark.parametrize("tif", [GTC, POST_ONLY])
def test_a_limit_away_from_the_market_rests_and_fills_later_as_maker(tif: TimeInForce) -> None:
    matcher, w = BarMatcher(FREE), working(limit=990, tif=tif)
    assert matcher.arrive(DIP, [w]) == []
    assert w.is_resting
    (match,) = matcher.match(DIP, [w])
    assert match == Match(w, 1_000, 990, Liquidity.MAKER, DIP.ts_ns)


def test_a_touch_does_not_fill() -> None:
    matcher, w = BarMatcher(FREE), working(limit=980)
    matcher.arrive(DIP, [w])
    assert matcher.match(DIP, [w]) == []


def test_a_marketable_limit_takes_at_the_open_not_at_its_limit() -> None:
    assert arrive(working(limit=1_005)) == [(1_000, 1_000, "taker")]
    assert arrive(working(SELL, limit=990)) == [(1_000, 1_000, "taker")]


def test_post_only_never_takes() -> None:
    assert arrive(working(limit=1_000, tif=POST_ONLY)) == [(POST_ONLY_WOULD_TAKE,)]
    assert arrive(working(SELL, limit=1_000, tif=POST_ONLY)) == [(POST_ONLY_WOULD_TAKE,)]
    assert arrive(working(limit=999, tif=POST_ONLY)) == []


def test_fill_or_kill_is_whole_or_nothing() -> None:
    matcher = BarMatcher(FREE)
    assert told(matcher.arrive(DIP, [working(lots=10_001, limit=1_000, tif=FOK)])) == [(FOK_UNFILLED,)]
    assert told(matcher.arrive(DIP, [working(lots=10_000, limit=1_000, tif=FOK)])) == [(10_000, 1_000, "taker")], "the first used nothing"


def test_ioc_limits_take_what_they_can() -> None:
    assert arrive(working(lots=12_000, limit=1_000, tif=IOC)) == [(10_000, 1_000, "taker"), (IOC_REMAINDER,)]


def test_capacity_is_one_for_arrivals_and_resting_orders_of_a_bar() -> None:
    matcher = BarMatcher(FREE)
    rest, take = working(limit=990, lots=8_000, name="rest"), working(lots=4_000, name="take")
    assert told(matcher.arrive(DIP, [rest, take])) == [(4_000, 1_000, "taker")]
    assert told(matcher.match(DIP, [rest])) == [(6_000, 990, "maker")]
    assert told(matcher.match(bar(3, 985, low=980, volume=10_000), [rest])) == [(8_000, 990, "maker")], "a new bar, new capacity"


def test_an_order_is_eligible_in_a_bar_that_closes_after_its_arrival() -> None:
    assert arrive(working(arrival=DIP.ts_ns)) == []
    (match,) = BarMatcher(FREE).arrive(DIP, [working(arrival=DIP.ts_ns - 1)])
    assert match.ts_ns == DIP.ts_ns - 1
    (early,) = BarMatcher(FREE).arrive(DIP, [working(arrival=0)])
    assert early.ts_ns == DIP.open_ts_ns


def test_nothing_is_remembered_by_order() -> None:
    matcher = BarMatcher(FREE)
    matcher.forget("nobody")
    assert matcher.name == "bar"
    assert DIP.instrument == AAA
