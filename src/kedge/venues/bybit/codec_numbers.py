"""Wire text to integers: prices and quantities onto the instrument's grid, money and rates to 1e-8, times to nanoseconds.

Rules: "" and null are None, never 0; a price or quantity off the grid is refused with the field and the value; money with more
than eight decimals is rounded half to even. Plain texts take a path without `Decimal`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import Instrument
from kedge.domain.units import INT64_MAX, NS_PER_MS

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_ONE_E8: Final = Decimal(1).scaleb(-8)


class UnreadablePayload(VenueUnavailable):
    """The venue answered in a shape or with a number that cannot be understood; nothing may be concluded from it."""


def unreadable(field: str, value: object, why: str) -> UnreadablePayload:
    """The error for one field of a payload."""
    return UnreadablePayload(
        f"{field} is {value!r} in the venue's answer",
        why=why,
        fix="compare it with the venue's documentation; the codec or the instrument record may be out of date",
    )


def is_blank(text: str | None) -> bool:
    """Whether the venue says "not applicable"."""
    return text is None or text == ""


def _plain_e8(text: str) -> int | None:
    whole, _, fraction = text.partition(".")
    digits = whole[1:] if whole[:1] == "-" else whole
    if not (text.isascii() and digits.isdigit() and len(fraction) <= 8 and (fraction.isdigit() or not fraction)):
        return None
    return int(whole + fraction.ljust(8, "0"))


def _decimal(text: str, field: str) -> Decimal:
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise unreadable(field, text, "not a decimal number")
    return Decimal(text)


def _bounded(value: int, text: str, field: str) -> int:
    if -INT64_MAX <= value <= INT64_MAX:
        return value
    raise unreadable(field, text, "past 2^63 - 1 in units of 1e-8")


def money_e8(text: str, field: str) -> int:
    """Money, a rate or a price off the grid in 1e-8, rounded half to even past the eighth decimal."""
    value = _plain_e8(text) if isinstance(text, str) else None
    if value is None:
        with localcontext() as exact:
            exact.prec = 60
            value = int((_decimal(text, field) / _ONE_E8).to_integral_value(ROUND_HALF_EVEN))
    return _bounded(value, text, field)


def optional_money_e8(text: str | None, field: str) -> int | None:
    """As `money_e8`; None where the venue left it blank."""
    return None if text is None or text == "" else money_e8(text, field)


def _steps(text: str, step_e8: int, step_name: str, field: str) -> int:
    value = _plain_e8(text) if isinstance(text, str) else None
    if value is None:
        with localcontext() as exact:
            exact.prec = 60
            scaled = _decimal(text, field) / _ONE_E8
            value = int(scaled)
            if value != scaled:
                raise unreadable(field, text, f"not a multiple of the {step_name} {Decimal(step_e8).scaleb(-8).normalize():f}")
    steps, rest = divmod(_bounded(value, text, field), step_e8)
    if rest:
        raise unreadable(field, text, f"not a multiple of the {step_name} {Decimal(step_e8).scaleb(-8).normalize():f}")
    return steps


def price_ticks(text: str, instrument: Instrument, field: str) -> int:
    """A price on the instrument's grid, in ticks."""
    return _steps(text, instrument.tick_e8, "tick", field)


def qty_lots(text: str, instrument: Instrument, field: str) -> int:
    """A quantity on the instrument's grid, in lots."""
    return _steps(text, instrument.lot_e8, "lot", field)


def optional_price_ticks(text: str | None, instrument: Instrument, field: str) -> int | None:
    """As `price_ticks`; None where the venue left it blank."""
    return None if text is None or text == "" else price_ticks(text, instrument, field)


def optional_qty_lots(text: str | None, instrument: Instrument, field: str) -> int | None:
    """As `qty_lots`; None where the venue left it blank."""
    return None if text is None or text == "" else qty_lots(text, instrument, field)


def unset_price_ticks(text: str | None, instrument: Instrument, field: str) -> int:
    """A take-profit, stop-loss or trigger price, of which the venue says "none" as "", "0" or "0.00": 0 ticks then."""
    return 0 if text is None or text == "" else price_ticks(text, instrument, field)


def ns_from_ms(time_ms: int) -> int:
    """Milliseconds as the venue writes them, to nanoseconds."""
    return time_ms * NS_PER_MS
