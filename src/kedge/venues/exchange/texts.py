"""Numbers as the venue writes them, and back: integers to decimal texts and decimal texts to integers, without floats.

Rules: no exponent, no plus sign; prices and quantities carry the digits of their step, money and rates none that are zero.
What a client writes may be text or a JSON number; it is read exactly or refused.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8

_POWERS: Final[tuple[int, ...]] = tuple(10**n for n in range(9))
_DIGITS: Final = 8
_LONGEST: Final = 40
"""Longer texts are no number that an instrument could hold."""
_LARGEST: Final = 10**19
_REMEMBERED: Final = 4_096


def e8_text(value_e8: int) -> str:
    """Exact decimal text of a number in 1e-8, without trailing zeros."""
    if value_e8 >= E8:
        text = str(value_e8)
        rest = text[-8:].rstrip("0")
        return f"{text[:-8]}.{rest}" if rest else text[:-8]
    if value_e8 > 0:
        return f"0.{value_e8:08d}".rstrip("0")
    return f"-{e8_text(-value_e8)}" if value_e8 else "0"


known_e8_text: Final = lru_cache(_REMEMBERED)(e8_text)
"""`e8_text` for what comes again and again, such as rates, fees and prices. A look-up costs a fifth of writing, a miss as much again."""


@lru_cache(_REMEMBERED)
def e2_text(value_e2: int) -> str:
    """Exact decimal text of a number in hundredths, such as a leverage."""
    return e8_text(value_e2 * _POWERS[6])


def share_e4(part_e8: int, whole_e8: int) -> int:
    """`part / whole` in 1e-4, half up; `whole_e8` > 0."""
    return (2 * part_e8 * _POWERS[4] + whole_e8) // (2 * whole_e8)


def read_e8(given: object) -> int | None:
    """A number as sent, in 1e-8; None for what is no finite number from 0 to 10^19, or has digits beyond the eighth decimal."""
    if isinstance(given, str):
        whole, dot, rest = given.partition(".")
        if whole.isdecimal() and len(given) < 20 and given.isascii():
            if not dot:
                return int(whole) * E8
            if rest.isdecimal() and len(rest) <= _DIGITS:
                return int(whole) * E8 + int(rest) * _POWERS[_DIGITS - len(rest)]
        return _read_slowly(given)
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return given * E8 if 0 <= given < _LARGEST else None
    return _read_slowly(repr(given)) if isinstance(given, float) else None


def _read_slowly(text: str) -> int | None:
    try:
        value = Decimal(text.strip()) if len(text) <= _LONGEST and text.isascii() and "_" not in text else None
    except InvalidOperation:
        return None
    if value is None or not value.is_finite() or value < 0 or value.adjusted() > 18:
        return None
    scaled = value.scaleb(_DIGITS)
    whole = int(scaled)
    return whole if whole == scaled else None


class Grid:
    """One instrument's numbers as text. Built once per instrument; prices in ticks, quantities in lots."""

    __slots__ = (
        "symbol", "coin", "tick_e8", "lot_e8", "tick_value_e8", "price_max_ticks", "price_digits", "qty_digits", "price", "qty",
        "price_e8", "zero", "_tick", "_lot",
    )  # fmt: skip

    price: Callable[[int], str]
    """A price with the digits of the tick; ticks >= 0."""
    qty: Callable[[int], str]
    """A quantity with the digits of the lot; negative ones carry their sign."""
    price_e8: Callable[[int], str]
    """A price in 1e-8: with the digits of the tick where it lies on the grid, else exactly."""
    zero: str
    """A quantity of nothing."""

    def __init__(self, instrument: Instrument) -> None:
        self.symbol = instrument.venue_symbol
        self.coin = instrument.quote
        self.tick_e8, self.lot_e8, self.tick_value_e8 = instrument.tick_e8, instrument.lot_e8, instrument.tick_value_e8
        self.price_max_ticks = instrument.price_max_ticks
        self.price_digits, self._tick = _digits(instrument.tick_e8)
        self.qty_digits, self._lot = _digits(instrument.lot_e8)
        self.zero = self.write_qty(0)
        self.price = lru_cache(_REMEMBERED)(self.write_price)
        self.qty = lru_cache(_REMEMBERED)(self.write_qty)
        self.price_e8 = lru_cache(_REMEMBERED)(self.write_price_e8)

    def write_price(self, ticks: int) -> str:
        """What `price` remembers."""
        return _scaled(ticks * self._tick, self.price_digits)

    def write_qty(self, lots: int) -> str:
        """What `qty` remembers."""
        return f"-{self.write_qty(-lots)}" if lots < 0 else _scaled(lots * self._lot, self.qty_digits)

    def write_price_e8(self, price_e8: int) -> str:
        """What `price_e8` remembers."""
        ticks, off = divmod(price_e8, self.tick_e8)
        return e8_text(price_e8) if off else self.write_price(ticks)

    def price_or_none(self, ticks: int) -> str:
        """A price, or nothing for the 0 that stands for none."""
        return self.price(ticks) if ticks else ""

    def price_or_zero(self, ticks: int) -> str:
        """A price, or a bare 0 for none."""
        return self.price(ticks) if ticks else "0"

    def value(self, lots: int, ticks: int) -> str:
        """Notional in the quote currency, exact."""
        return e8_text(lots * ticks * self.tick_value_e8)

    def average(self, value_e8: int, lots: int) -> str:
        """`value / quantity` as a price, half up at 1e-8; both positive."""
        base = lots * self.lot_e8
        return known_e8_text((2 * value_e8 * E8 + base) // (2 * base))


def _scaled(units: int, digits: int) -> str:
    if not digits:
        return str(units)
    text = str(units).zfill(digits + 1)
    return f"{text[:-digits]}.{text[-digits:]}"


def _digits(step_e8: int) -> tuple[int, int]:
    """How many decimals a step needs, and what it is in units of the last one."""
    digits = _DIGITS
    while digits and not step_e8 % 10:
        digits, step_e8 = digits - 1, step_e8 // 10
    return digits, step_e8
