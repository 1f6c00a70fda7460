from __future__ import annotations

import math
from decimal import Decimal

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import (
    CEILING,
    E8,
    EXACT,
    FLOOR,
    HALF_EVEN,
    INT64_MAX,
    money_e8,
    money_text,
    parse_decimal,
    to_float,
    to_grid,
    to_steps,
)


@pytest.mark.parametrize("text", [0.1, True, "", "1,5", "0x10", "NaN", "-inf", "Infinity", None, [1]])
def test_what_is_no_finite_decimal_is_refused_by_field_and_value(text: object) -> None:
    with pytest.raises(InvalidInput) as told:
        parse_decimal(text, field="qty")  # type: ignore[arg-type]
    assert told.value.what == f"qty is {text!r}"
    assert told.value.why
    assert told.value.fix


def test_a_decimal_keeps_its_digits() -> None:
    assert str(parse_decimal("0.10", field="x")) == "0.10"
    assert parse_decimal(7, field="x") == 7


@pytest.mark.parametrize(
    ("value", "rounding", "steps"),
    [("0.30", EXACT, 3), ("0.35", FLOOR, 3), ("0.35", CEILING, 4), ("0.35", HALF_EVEN, 4), ("0.25", HALF_EVEN, 2), ("-0.35", FLOOR, -4)],
)
def test_steps_are_counted_with_a_named_rounding(value: str, rounding: str, steps: int) -> None:
    assert to_steps(Decimal(value), Decimal("0.1"), field="x", rounding=rounding) == steps


def test_off_the_grid_is_refused_with_both_neighbours() -> None:
    with pytest.raises(InvalidInput) as told:
        to_steps(Decimal("0.37"), Decimal("0.1"), field="price")
    assert (told.value.what, told.value.fix) == ("price is 0.37", "use 0.3 or 0.4")


def test_steps_beyond_int64_are_refused() -> None:
    assert to_steps(Decimal(INT64_MAX), Decimal(1), field="x") == INT64_MAX
    with pytest.raises(InvalidInput, match=r"2\^63"):
        to_steps(Decimal(INT64_MAX + 1), Decimal(1), field="x")


def test_money_goes_there_and_back() -> None:
    assert money_e8("12.5") == 1_250_000_000
    assert money_e8("0.123456785", rounding=HALF_EVEN) == 12_345_678
    assert money_text(1_250_000_000) == "12.50000000"
    assert money_text(12_500_000, places=2) == "0.12"
    assert money_text(-1) == "-0.00000001"
    with pytest.raises(InvalidInput, match="amount is 1E-9"):
        money_e8("1E-9")


@pytest.mark.parametrize(("value", "per_one"), [(math.nan, E8), (math.inf, E8), (-math.inf, 1), (0.1, 0), (0.1, -1)])
def test_a_figure_that_is_not_finite_never_reaches_the_grid(value: float, per_one: int) -> None:
    with pytest.raises(InvalidInput, match="not finite"):
        to_grid(value, per_one)


def test_the_crossing_to_statistics_and_back() -> None:
    assert to_float(25, 0.01) == 0.25
    assert to_grid(0.12345678, E8) == 12_345_678
    assert (to_grid(0.5, 1), to_grid(1.5, 1), to_grid(-0.5, 1)) == (0, 2, 0)
    with pytest.raises(InvalidInput, match=r"2\^63"):
        to_grid(1e11, E8)
