"""From samples, fills and orders to times, outcomes and findings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from kedge.domain.brake import BrakeLevel
from kedge.domain.units import NS_PER_MS
from kedge.services.drills.judge import (
    Seen,
    closed_once,
    grown_or_turned,
    held_before,
    orders_as_promised,
    outcome_of,
    seen_times,
    since,
    slippage,
)
from kedge.services.drills.report import FLAT, HALTED, OPEN, VENUE_STOP
from kedge.services.drills.watch import Sample

MS = NS_PER_MS
BTC = "BTCUSDT"
LEVELS = ((120 * MS, BrakeLevel.FLATTENING, "drawdown"), (4_000 * MS, BrakeLevel.HALTED_FLAT, "drawdown"))


def sample(at_ms: int, size: str = "0", orders: int = 0, stops: int = 0) -> Sample:
    held = Decimal(size)
    return Sample(at_ms * MS, Decimal(100), {BTC: held} if held else {}, orders, stops)


def seen(*samples: Sample, **changed: Any) -> Seen:
    return Seen(samples, LEVELS, 100 * MS, 130 * MS)._replace(**changed)


def fill(side: str, qty: str, name: str = "ours", price: str = "100", mark: str = "100") -> dict[str, Any]:
    return {"symbol": BTC, "side": side, "execQty": qty, "orderLinkId": name, "execPrice": price, "markPrice": mark}


def test_durations_are_rounded_up_and_unknown_where_one_end_is() -> None:
    assert since(0, 1) == 1
    assert since(0, MS) == 1
    assert since(None, 1) is since(1, None) is None


def test_times_count_from_the_breach_to_the_last_change_to_zero() -> None:
    times = seen_times(seen(sample(90, "1", 3), sample(200, "1"), sample(300), sample(400, "0.1"), sample(500), sample(600)))
    assert (times.latched_ms, times.blocked_ms, times.orders_zero_ms, times.positions_zero_ms) == (20, 30, 100, 400)
    assert times.flat_ms == 3_900


def test_what_is_not_zero_at_the_end_has_no_time_and_what_was_zero_before_took_none() -> None:
    times = seen_times(seen(sample(50, "1"), sample(900, "1")))
    assert times.positions_zero_ms is None
    assert times.orders_zero_ms == 0


def test_a_fill_between_two_samples_is_not_overlooked() -> None:
    times = seen_times(seen(sample(90, "1"), sample(200), sample(2_000), last_fill_ns=1_100 * MS))
    assert times.positions_zero_ms == 1_000


def test_closing_counts_from_the_breach_that_called_for_it() -> None:
    times = seen_times(seen(sample(90, "1"), sample(900), flatten_ns=800 * MS))
    assert times.latched_ms == 20
    assert times.positions_zero_ms == 100


@pytest.mark.parametrize(
    ("last", "level", "pages", "guarded", "outcome"),
    [
        (sample(1), BrakeLevel.HALTED_FLAT, (), True, FLAT),
        (sample(1, stops=1), BrakeLevel.HALTED_FLAT, ("CLOSE",), True, HALTED),
        (sample(1, "1"), BrakeLevel.FLATTENING, ("CLOSE",), True, HALTED),
        (sample(1, "1"), BrakeLevel.FLATTENING, (), True, OPEN),
        (sample(1, "1"), BrakeLevel.REDUCE_ONLY, ("CLOSE",), True, OPEN),
        (sample(1), BrakeLevel.RUNNING, (), False, VENUE_STOP),
        (sample(1, "1"), None, (), False, OPEN),
        (None, BrakeLevel.HALTED_FLAT, (), True, OPEN),
    ],
)
def test_how_it_ended(last: Sample | None, level: BrakeLevel | None, pages: tuple[str, ...], guarded: bool, outcome: str) -> None:
    assert outcome_of([] if last is None else [last], level, pages, guarded=guarded) == outcome


def test_growing_and_turning_after_the_latch_is_found_and_before_it_is_not() -> None:
    assert grown_or_turned(seen(sample(50, "1"), sample(110, "3"), sample(200, "3"), sample(300, "1"))) == []
    assert "grown" in grown_or_turned(seen(sample(110, "3"), sample(200, "4")))[0]
    assert "reversed" in grown_or_turned(seen(sample(110, "3"), sample(200, "-1")))[0]
    assert grown_or_turned(seen(sample(110, "3"), sample(200, "4"), late={BTC: Decimal(1)})) == []
    assert grown_or_turned(seen(sample(110), sample(200, "4"), held={BTC: Decimal(4)})) == []
    assert grown_or_turned(seen(sample(110), sample(200, "4"), levels=())) == []


def test_a_fill_of_the_guard_only_ever_brings_a_position_nearer_to_zero() -> None:
    assert closed_once([fill("Buy", "3"), fill("Sell", "1", "kg-a"), fill("Buy", "1"), fill("Sell", "3", "kg-b")]) == []
    assert "from 1 to -1" in closed_once([fill("Buy", "1"), fill("Sell", "2", "kg-a")])[0]
    assert "from 0 to -2" in closed_once([fill("Sell", "2", "kg-a")])[0]
    assert closed_once([fill("Sell", "2"), fill("Buy", "2", "kg-a")]) == []


def test_what_was_held_before_the_guard_began() -> None:
    assert held_before([fill("Buy", "3"), fill("Sell", "1", "kg-a"), fill("Buy", "5")]) == {BTC: Decimal(3)}
    assert held_before([fill("Sell", "2")]) == {BTC: Decimal(-2)}


def test_orders_of_the_guard_are_reduce_only_immediate_limited_and_each_there_once() -> None:
    good = {"orderLinkId": "kg-a", "symbol": BTC, "reduceOnly": True, "orderType": "Limit", "timeInForce": "IOC"}
    assert orders_as_promised([good, {**good, "orderLinkId": "ours", "reduceOnly": False}]) == []
    assert "not reduce-only" in orders_as_promised([{**good, "reduceOnly": False}])[0]
    assert "Market" in orders_as_promised([{**good, "orderType": "Market"}])[0]
    assert "GTC" in orders_as_promised([{**good, "timeInForce": "GTC"}])[0]
    assert "twice" in orders_as_promised([good, good])[0]


def test_slippage_is_measured_from_the_mark_that_the_slice_was_sent_at() -> None:
    sent = [{"client_order_id": "kg-a", "mark_e8": 100 * 10**8}]
    found = slippage([fill("Sell", "1", "kg-a", "99.5", "99"), fill("Sell", "1", "kg-b", "99.9")], sent, {BTC: 100})
    assert (found.worst_bps, found.collar_bps, found.found) == (50, 100, ())
    beyond = slippage([fill("Sell", "1", "kg-a", "98.9")], sent, {BTC: 100})
    assert "beyond the collar" in beyond.found[0]
    bought = slippage([fill("Buy", "1", "kg-a", "101.02")], sent, {BTC: 100})
    assert bought.found
    assert slippage([fill("Sell", "1", "ours", "1")], [], {BTC: 100}) == (None, None, ())
    assert slippage([fill("Sell", "1", "kg-c", "99", "0")], [], {BTC: 100}).worst_bps is None
