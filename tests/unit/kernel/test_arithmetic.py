"""Roundings by example, and the refusals."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel import arithmetic as ar


@pytest.mark.parametrize(
    ("a", "floor", "ceil", "half_even", "toward_zero"),
    [(5, 2, 3, 2, 2), (7, 3, 4, 4, 3), (-5, -3, -2, -2, -2), (-7, -4, -3, -4, -3), (6, 3, 3, 3, 3), (-6, -3, -3, -3, -3), (0, 0, 0, 0, 0)],
)
def test_halves_round_as_the_name_says(a: int, floor: int, ceil: int, half_even: int, toward_zero: int) -> None:
    assert ar.mul_div_floor(a, 1, 2) == floor
    assert ar.mul_div_ceil(a, 1, 2) == ceil
    assert ar.mul_div_half_even(a, 1, 2) == half_even
    assert ar.mul_div_toward_zero(a, 1, 2) == toward_zero


def test_the_product_that_wrapped_to_minus_844_is_exact() -> None:
    assert ar.mul_div_ceil(50_000 * E8, 2_000_000, E8) == 1_000 * E8


@pytest.mark.parametrize("law", [ar.mul_div_floor, ar.mul_div_ceil, ar.mul_div_half_even, ar.mul_div_toward_zero])
@pytest.mark.parametrize(("b", "d"), [(-1, 1), (1, 0), (1, -1), (0, 0)])
@pytest.mark.parametrize("a", [7, -7])
def test_a_negative_factor_or_a_divisor_that_is_not_positive_is_refused(law: Any, a: int, b: int, d: int) -> None:
    for form in (law, law.py_func):
        with pytest.raises(InvalidInput, match="mul_div"):
            form(a, b, d)


@pytest.mark.parametrize("law", [ar.ratio_e8_floor, ar.ratio_e8_ceil])
@pytest.mark.parametrize(("num", "den"), [(-1, 1), (1, 0), (1, -1), (1, ar.RATIO_DENOMINATOR_MAX + 1)])
def test_a_ratio_outside_its_domain_is_refused(law: Any, num: int, den: int) -> None:
    for form in (law, law.py_func):
        with pytest.raises(InvalidInput, match="ratio"):
            form(num, den)


def test_a_third_has_eight_digits_and_a_rounding() -> None:
    assert ar.ratio_e8_floor(1, 3) == 33_333_333
    assert ar.ratio_e8_ceil(1, 3) == 33_333_334
    assert ar.ratio_e8_floor(INT64_MAX, 1) == INT64_MAX
