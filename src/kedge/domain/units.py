"""Units of money, price, quantity and time, and the only crossings between them.

Money is an integer in 1e-8 of the quote currency (`*_e8`), prices and quantities are integers on the
instrument's grid (`*_ticks`, `*_lots`), rates are integers in 1e-8 (`*_e8`, 55_000 is 0.055 %), time is UTC
nanoseconds (`ts_ns`). Text and `Decimal` exist at the edges only and cross here, with a named rounding.
Statistics are float64 and cross in exactly two places: `to_float` and `to_grid`.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from typing import Final

from kedge.domain.errors import InvalidInput

E8: Final = 100_000_000
INT64_MAX: Final = 2**63 - 1
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S

EXACT: Final = "exact"
FLOOR: Final = "floor"
CEILING: Final = "ceiling"
HALF_EVEN: Final = "half-even"
_DECIMAL_ROUNDING: Final = {FLOOR: ROUND_FLOOR, CEILING: ROUND_CEILING, HALF_EVEN: ROUND_HALF_EVEN, EXACT: ROUND_HALF_EVEN}


def parse_decimal(text: str | int | Decimal, *, field: str) -> Decimal:
    """Read a finite decimal from text; floats are refused because their digits are not what was written."""
    if isinstance(text, (float, bool)):
        raise InvalidInput(f"{field} is {text!r}", why="a float or a flag is not a decimal", fix="pass text such as '0.001'")
    try:
        value = Decimal(text)
    except (InvalidOperation, ValueError, TypeError):
        raise InvalidInput(f"{field} is {text!r}", why="not a decimal number", fix="pass text such as '0.001'") from None
    if not value.is_finite():
        raise InvalidInput(f"{field} is {text!r}", why="not finite", fix="pass a finite number")
    return value


def to_steps(value: Decimal, step: Decimal, *, field: str, rounding: str = EXACT) -> int:
    """Count the `step`s in `value`, rounding as named; `EXACT` refuses what is off the grid."""
    with localcontext() as exact:
        exact.prec = 60
        quotient = value / step
        steps = quotient.to_integral_value(_DECIMAL_ROUNDING[rounding])
        if rounding == EXACT and steps * step != value:
            below = quotient.to_integral_value(ROUND_FLOOR) * step
            raise InvalidInput(
                f"{field} is {value}",
                why=f"not a multiple of {step}",
                fix=f"use {below.normalize():f} or {(below + step).normalize():f}",
            )
        count = int(steps)
    if abs(count) > INT64_MAX:
        raise InvalidInput(f"{field} is {value}", why=f"more than 2^63 steps of {step}", fix="use a coarser grid")
    return count


def money_e8(text: str | int | Decimal, *, field: str = "amount", rounding: str = EXACT) -> int:
    """Money as written ('12.5') to 1e-8 of the quote currency."""
    return to_steps(parse_decimal(text, field=field), Decimal(1).scaleb(-8), field=field, rounding=rounding)


def money_text(amount_e8: int, *, places: int = 8) -> str:
    """Money in 1e-8 as plain decimal text, rounded half-even to `places`."""
    with localcontext() as exact:
        exact.prec = 60
        value = Decimal(amount_e8).scaleb(-8).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return f"{value:f}"


def to_float(integer: int, unit: float) -> float:
    """Cross from the grid into statistics: `integer` steps of `unit`."""
    return integer * unit


def to_grid(value: float, steps_per_one: int) -> int:
    """Cross from statistics back to the grid: whole steps nearest to `value`, half to even.

    A fraction in 1e-8 uses `steps_per_one=E8`, so what was written with up to eight decimals returns unchanged.

    Raises
    ------
    InvalidInput
        `value` is not finite, or the count leaves int64.
    """
    if not math.isfinite(value) or steps_per_one < 1:
        raise InvalidInput(f"{value!r} in {steps_per_one} steps", why="not finite", fix="refuse the signal that made it")
    count = round(value * steps_per_one)
    if abs(count) > INT64_MAX:
        raise InvalidInput(f"{value!r} in {steps_per_one} steps", why="past 2^63", fix="use a coarser unit")
    return count


def float_hex(value: float) -> str:
    """A float64 exactly, as the 16 hex digits of its bytes, big-endian: how records carry statistics."""
    return struct.pack(">d", value).hex()


def hex_float(text: str) -> float:
    """The float64 that `float_hex` wrote, to the bit.

    Raises
    ------
    InvalidInput
        Not 16 hex digits.
    """
    try:
        value: float = struct.unpack(">d", bytes.fromhex(text))[0]
    except (ValueError, struct.error):
        raise InvalidInput(f"{text!r} is no float64", why="16 hex digits make one", fix="pass what a record holds") from None
    return value
