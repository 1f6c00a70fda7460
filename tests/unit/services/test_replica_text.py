"""Text of the replica: equal to the instruments' own, exact, and times that read back."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.domain.units import money_text
from kedge.services.replica_text import Grid, decimal_text, e8_text, ratio_text, read_time, rounded_ratio, share_text, time_text

from ...builders import instrument

SMALL = {"order_qty_max_lots": 10, "market_qty_max_lots": 10, "position_max_lots": 10, "price_max_ticks": 1_000}
GRIDS = [
    instrument(),
    instrument(tick_e8=50_000_000, lot_e8=100_000_000, **SMALL),
    instrument(tick_e8=1_000_000_000, lot_e8=1_000_000, **SMALL),
]


@pytest.mark.parametrize("spec", GRIDS, ids=["0.1 and 0.001", "0.5 and 1", "10 and 0.01"])
@given(count=st.integers(0, 10**7))
def test_prices_and_quantities_are_written_as_the_instrument_writes_them(spec, count: int) -> None:  # type: ignore[no-untyped-def]
    grid = Grid(spec)
    assert grid.price(count) == spec.price_text(count)
    assert grid.qty(count) == spec.qty_text(count)
    if count:
        assert grid.qty(-count) == spec.qty_text(-count)


@given(st.integers(-(2**63), 2**63))
def test_money_is_written_as_the_books_write_it(amount: int) -> None:
    assert Decimal(e8_text(amount)) == Decimal(money_text(amount))
    if amount:
        assert e8_text(amount) == money_text(amount)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**12), 10**12).filter(bool))
def test_ratios_are_rounded_half_to_even(numerator: int, denominator: int) -> None:
    assert rounded_ratio(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(1, 10**12), st.integers(1, 10**6), st.sampled_from([1, -1]))
def test_an_average_has_one_place_more_than_the_tick(cost_e8: int, lots: int, sign: int) -> None:
    spec = GRIDS[0]
    exact = Fraction(cost_e8, lots * spec.lot_e8)
    wanted = Decimal(round(exact * 100)).scaleb(-2).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    assert Decimal(Grid(spec).average(sign * cost_e8, sign * lots)) == wanted


def test_a_share_of_nothing_is_unknown() -> None:
    assert share_text(5, 0) is None
    assert share_text(5, -1) is None
    assert share_text(1, 4) == ratio_text(1, 4) == "0.25000000"
    assert decimal_text(-5, 0) == "-5"


@given(st.integers(-(2**62), 2**62))
def test_a_time_reads_back_to_the_nanosecond(ts_ns: int) -> None:
    text = time_text(ts_ns)
    assert text.endswith("Z")
    assert read_time(text, field="at") == ts_ns


@pytest.mark.parametrize(
    ("ts_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.500Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_has_as_many_decimals_as_it_needs(ts_ns: int, text: str) -> None:
    assert time_text(ts_ns) == text


@pytest.mark.parametrize("text", ["2026-07-01T02:00:00+02:00", "2026-07-01 00:00:00z", "2026-06-30T19:00:00.0-05:00"])
def test_offsets_are_understood(text: str) -> None:
    assert read_time(text, field="since") == read_time("2026-07-01T00:00:00Z", field="since")


@pytest.mark.parametrize("text", ["", "now", "2026-07-01", "2026-07-01T00:00:00", "2026-13-01T00:00:00Z", "2026-07-01T00:00:00+99:00",
                                  "9999-01-01T00:00:00Z", "2026-07-01T00:00:00.1234567890Z", "٢٠٢٦-07-01T00:00:00Z"])  # fmt: skip
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="since"):
        read_time(text, field="since")
