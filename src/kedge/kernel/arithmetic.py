"""Products and quotients of scaled integers, exact, with the rounding in the name.

Rules: `a * b / d` is formed only as `(a // d) * b + (a % d) * b // d`. With `b >= 0` and `d > 0` its intermediates are at
most `|a| // d * b + b` and `d * b`, which `domain.instrument.prove_bounds` proves to stay below 2^63. Compiled
integers wrap silently, so no other module multiplies two scaled integers and divides.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.compiling import law

_TEN_TO_4: Final = 10_000
_ONE_STEP_MAX: Final = INT64_MAX // E8
_TWO_STEP_MAX: Final = INT64_MAX // _TEN_TO_4
WIDE_DENOMINATOR_MAX: Final = 2**62 - 1
WIDE_RESULT_MAX: Final = INT64_MAX // 10
"""Where `mul_div_wide_ceil` stops counting: above any amount of money that `prove_account` admits."""
RATIO_DENOMINATOR_MAX: Final = INT64_MAX // 10
"""Largest denominator of `ratio_e8_*`: ten times any remainder still fits; 9.2 billion USDT in 1e-8."""


@law("int64(int64, int64, int64)")
def mul_div_floor(a: int, b: int, d: int) -> int:
    """`a * b / d` rounded down. `a` has any sign, `b >= 0`, `d > 0`; other input raises `InvalidInput`."""
    if b < 0 or d <= 0:
        raise InvalidInput("mul_div: b is negative or d is not positive")
    return (a // d) * b + ((a % d) * b) // d


@law("int64(int64, int64, int64)")
def mul_div_ceil(a: int, b: int, d: int) -> int:
    """`a * b / d` rounded up. `a` has any sign, `b >= 0`, `d > 0`; other input raises `InvalidInput`."""
    if b < 0 or d <= 0:
        raise InvalidInput("mul_div: b is negative or d is not positive")
    return (a // d) * b - (-((a % d) * b)) // d


@law("int64(int64, int64, int64)")
def mul_div_half_even(a: int, b: int, d: int) -> int:
    """`a * b / d` rounded to nearest, ties to even. `a` has any sign, `b >= 0`, `d > 0`; other input raises `InvalidInput`."""
    if b < 0 or d <= 0:
        raise InvalidInput("mul_div: b is negative or d is not positive")
    product = (a % d) * b
    below = (a // d) * b + product // d
    rest = product % d
    gap = d - rest  # compared instead of doubling `rest`, which could pass 2^63
    if rest > gap or (rest == gap and below % 2 != 0):
        return below + 1
    return below


@law("int64(int64, int64, int64)")
def mul_div_toward_zero(a: int, b: int, d: int) -> int:
    """`a * b / d` rounded towards zero. `a` has any sign, `b >= 0`, `d > 0`; other input raises `InvalidInput`."""
    if a < 0:
        return mul_div_ceil(a, b, d)
    return mul_div_floor(a, b, d)


@law("int64(int64, int64, int64)")
def mul_div_wide_ceil(a: int, b: int, d: int) -> int:
    """`a * b / d` rounded up, for `a, b >= 0` and `0 < d <= WIDE_DENOMINATOR_MAX` of any size, at most `WIDE_RESULT_MAX`.

    Bit by bit, so that no product of two large integers is ever formed; slow, for what happens a few times a day.
    """
    if a < 0 or b < 0 or d <= 0 or d > WIDE_DENOMINATOR_MAX:
        raise InvalidInput("mul_div_wide: a factor is negative, or d is not within 1 .. 2^62 - 1")
    whole, part = a // d, a % d
    quotient = rest = 0
    for bit in range(62, -1, -1):
        digit = (b >> bit) & 1
        if quotient > WIDE_RESULT_MAX // 2:
            return WIDE_RESULT_MAX
        quotient, rest = 2 * quotient, 2 * rest
        if rest >= d:
            quotient, rest = quotient + 1, rest - d
        if digit:
            if whole > WIDE_RESULT_MAX - quotient:
                return WIDE_RESULT_MAX
            quotient, rest = quotient + whole, rest + part
            if rest >= d:
                quotient, rest = quotient + 1, rest - d
    return min(WIDE_RESULT_MAX, quotient + (1 if rest > 0 else 0))


@law("UniTuple(int64, 3)(int64, int64)")
def _long_division(num: int, den: int) -> tuple[int, int, int]:
    """Whole part, eight decimals and remainder of `num / den`, in the longest strides that cannot overflow."""
    if num < 0 or den <= 0 or den > RATIO_DENOMINATOR_MAX:
        raise InvalidInput("ratio: num is negative, or den is not in 1 .. 2^63 // 10")
    whole, rest = (0, num) if num < den else (num // den, num % den)  # most ratios are fractions: a division saved
    if den <= _ONE_STEP_MAX:
        return whole, (rest * E8) // den, (rest * E8) % den
    stride, strides = (_TEN_TO_4, 2) if den <= _TWO_STEP_MAX else (10, 8)
    digits = 0
    for _ in range(strides):
        digits = digits * stride + (rest * stride) // den
        rest = (rest * stride) % den
    return whole, digits, rest


@law("int64(int64, int64)")
def _whole_and_fraction(whole: int, fraction: int) -> int:
    if whole > (INT64_MAX - fraction) // E8:
        return INT64_MAX
    return whole * E8 + fraction


@law("int64(int64, int64)")
def ratio_e8_floor(num: int, den: int) -> int:
    """`num / den` in 1e-8, rounded down; at most 2^63 - 1.

    `num >= 0` and `0 < den <= RATIO_DENOMINATOR_MAX`; other input raises `InvalidInput`.
    """
    whole, fraction, _ = _long_division(num, den)
    return _whole_and_fraction(whole, fraction)


@law("int64(int64, int64)")
def ratio_e8_ceil(num: int, den: int) -> int:
    """`num / den` in 1e-8, rounded up; at most 2^63 - 1.

    `num >= 0` and `0 < den <= RATIO_DENOMINATOR_MAX`; other input raises `InvalidInput`.
    """
    whole, fraction, rest = _long_division(num, den)
    return _whole_and_fraction(whole, fraction + 1 if rest > 0 else fraction)
