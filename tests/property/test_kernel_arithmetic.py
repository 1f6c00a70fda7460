"""Products and ratios against exact fractions, up to the bounds that their intermediates are proved for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.arithmetic import (
    RATIO_DENOMINATOR_MAX,
    WIDE_RESULT_MAX,
    mul_div_ceil,
    mul_div_floor,
    mul_div_half_even,
    mul_div_toward_zero,
    mul_div_wide_ceil,
    ratio_e8_ceil,
    ratio_e8_floor,
)

EXACT = {mul_div_floor: math.floor, mul_div_ceil: math.ceil, mul_div_half_even: round, mul_div_toward_zero: math.trunc}


@st.composite
def factors(draw: st.DrawFn) -> tuple[int, int, int]:
    """`a, b, d` such that `d * b` and `|a| // d * b + b` reach 2^63 - 1 and never pass it."""
    d = draw(st.integers(1, INT64_MAX // 2) | st.sampled_from([1, 2, 3, E8, 10_000, INT64_MAX // 2]))
    b = draw(st.integers(0, INT64_MAX // d) | st.just(INT64_MAX // d))
    a_max = min(INT64_MAX, max(d - 1, (INT64_MAX // max(b, 1) - 2) * d))
    a = draw(st.integers(-a_max, a_max) | st.sampled_from([a_max, -a_max, 0]))
    return a, b, d


@given(factors())
@example((5, 1, 2))
@example((-5, 1, 2))
@example((7, 1, 2))
@example((5_000_000_000_000, 2_000_000, E8))
def test_mul_div_equals_the_exact_fraction_rounded(abd: tuple[int, int, int]) -> None:
    a, b, d = abd
    for law, rounded in EXACT.items():
        twin: Any = law.py_func  # type: ignore[attr-defined]
        assert law(a, b, d) == twin(a, b, d) == rounded(Fraction(a * b, d))


@given(st.integers(0, INT64_MAX), st.integers(1, RATIO_DENOMINATOR_MAX))
@example(INT64_MAX, 1)
@example(INT64_MAX, RATIO_DENOMINATOR_MAX)
@example(RATIO_DENOMINATOR_MAX - 1, RATIO_DENOMINATOR_MAX)
@example(92_233_720_368_54775807, E8)
@example(0, RATIO_DENOMINATOR_MAX)
@example(1, INT64_MAX // E8)
@example(1, INT64_MAX // E8 + 1)
@example(2, INT64_MAX // 10_000)
@example(2, INT64_MAX // 10_000 + 1)
def test_ratios_equal_the_exact_fraction_or_saturate(num: int, den: int) -> None:
    exact = Fraction(num * E8, den)
    assert ratio_e8_floor(num, den) == ratio_e8_floor.py_func(num, den) == min(INT64_MAX, math.floor(exact))  # type: ignore[attr-defined]
    assert ratio_e8_ceil(num, den) == ratio_e8_ceil.py_func(num, den) == min(INT64_MAX, math.ceil(exact))  # type: ignore[attr-defined]


@given(st.integers(1, RATIO_DENOMINATOR_MAX).flatmap(lambda den: st.tuples(st.integers(0, den), st.just(den))))
def test_a_part_of_a_whole_is_between_nothing_and_one(part: tuple[int, int]) -> None:
    assert 0 <= ratio_e8_floor(*part) <= ratio_e8_ceil(*part) <= E8


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(1, 2**62 - 1))
def test_wide_product_equals_python_integers_up_to_its_ceiling(a: int, b: int, d: int) -> None:
    expected = min(WIDE_RESULT_MAX, -(-a * b // d))
    assert mul_div_wide_ceil(a, b, d) == mul_div_wide_ceil.py_func(a, b, d) == expected  # type: ignore[attr-defined]
