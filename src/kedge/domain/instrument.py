"""Instruments: what we trade, on which grid, from which date, under which margin tiers.

An `Instrument` is dated: a venue that changes tick or lot gets a new record with a later `valid_from_ns`.
Building one proves that no product the kernel forms from it can reach 2^63, or refuses it (see `prove_bounds`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, EXACT, INT64_MAX, parse_decimal, to_steps

InstrumentId = str
"""Venue and symbol, such as `bybit-linear:BTCUSDT`; instruments are ordered by this text."""

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]

RATE_MAX_E8 = 100_000_000
"""No rate handed to the kernel (fee, funding, margin) may exceed 100 %."""


class RiskTier(msgspec.Struct, frozen=True, kw_only=True):
    """One bracket of the venue's maintenance margin table; `deduction_e8` makes the brackets marginal."""

    notional_max_e8: PositiveInt
    maintenance_rate_e8: PositiveInt
    deduction_e8: NonNegativeInt
    leverage_max_e2: PositiveInt


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A linear perpetual on its integer grid.

    Attributes
    ----------
    tick_e8 : int
        One price step in 1e-8 of the quote currency; 10_000_000 is 0.1 USDT.
    lot_e8 : int
        One quantity step in 1e-8 of the base currency; 100_000 is 0.001 BTC.
    tick_value_e8 : int
        What one tick is worth on one lot, in 1e-8 of the quote currency. Whole, so that every notional
        on the grid is exact: `price_ticks * qty_lots * tick_value_e8`.
    funding_interval_ns : int
        Time between settlements; 0 where none is paid.
    grid : str
        'venue' for a record taken from the venue, 'derived' for one worked out from data.
    """

    instrument_id: InstrumentId
    base: str
    quote: str
    tick_e8: PositiveInt
    lot_e8: PositiveInt
    tick_value_e8: PositiveInt
    price_max_ticks: PositiveInt
    order_qty_min_lots: PositiveInt
    order_qty_max_lots: PositiveInt
    market_qty_max_lots: PositiveInt
    position_max_lots: PositiveInt
    notional_min_e8: NonNegativeInt
    maker_fee_e8: int
    taker_fee_e8: int
    leverage_max_e2: PositiveInt
    tiers: tuple[RiskTier, ...]
    funding_interval_ns: NonNegativeInt
    price_collar_bps: PositiveInt
    valid_from_ns: int = 0
    grid: str = "venue"

    def __post_init__(self) -> None:
        _check_fields(self)
        prove_bounds(self)

    @property
    def venue_symbol(self) -> str:
        """The venue's spelling, such as `BTCUSDT`."""
        return self.instrument_id.partition(":")[2]

    @property
    def tick_size(self) -> Decimal:
        """One price step in the quote currency, without trailing zeros."""
        return Decimal(self.tick_e8).scaleb(-8).normalize()

    @property
    def lot_size(self) -> Decimal:
        """One quantity step in the base currency, without trailing zeros."""
        return Decimal(self.lot_e8).scaleb(-8).normalize()

    def price_ticks(self, text: str | Decimal, *, rounding: str = EXACT) -> int:
        """A price as written to ticks; off the grid is refused unless a rounding is named."""
        return to_steps(parse_decimal(text, field="price"), self.tick_size, field="price", rounding=rounding)

    def qty_lots(self, text: str | Decimal, *, rounding: str = EXACT) -> int:
        """A quantity as written to lots; off the grid is refused unless a rounding is named."""
        return to_steps(parse_decimal(text, field="qty"), self.lot_size, field="qty", rounding=rounding)

    def price_text(self, price_ticks: int) -> str:
        return f"{price_ticks * self.tick_size:f}"

    def qty_text(self, qty_lots: int) -> str:
        return f"{qty_lots * self.lot_size:f}"

    def notional_e8(self, price_ticks: int, qty_lots: int) -> int:
        """Exact notional in 1e-8 of the quote currency (Python integers: any size)."""
        return price_ticks * qty_lots * self.tick_value_e8


def tick_value_e8(tick_e8: int, lot_e8: int, *, name: str) -> int:
    """Worth of one tick on one lot; refused where it is not a whole number of 1e-8."""
    value, rest = divmod(tick_e8 * lot_e8, E8)
    if rest or value < 1:
        raise InvalidInput(
            f"{name}: tick {Decimal(tick_e8).scaleb(-8):f} x lot {Decimal(lot_e8).scaleb(-8):f}",
            why="one tick on one lot is not a whole number of 1e-8 of the quote currency, so notionals would be inexact",
            fix="use a coarser lot",
        )
    return value


def _check_fields(i: Instrument) -> None:
    def refuse(field: str, value: object, why: str) -> InvalidInput:
        return InvalidInput(
            f"instrument {i.instrument_id!r}: {field} is {value!r}", why=why, fix=f"correct {field} in the instrument record"
        )

    venue, colon, symbol = i.instrument_id.partition(":")
    if not (venue and colon and symbol):
        raise refuse("instrument_id", i.instrument_id, "must be VENUE:SYMBOL")
    if i.tick_value_e8 != tick_value_e8(i.tick_e8, i.lot_e8, name=i.instrument_id):
        raise refuse("tick_value_e8", i.tick_value_e8, "must equal tick x lot")
    for name in ("maker_fee_e8", "taker_fee_e8"):
        if abs(getattr(i, name)) > RATE_MAX_E8:
            raise refuse(name, getattr(i, name), "a rate above 100 %")
    if i.order_qty_min_lots > min(i.order_qty_max_lots, i.market_qty_max_lots):
        raise refuse("order_qty_min_lots", i.order_qty_min_lots, "above the largest order")
    if i.grid not in ("venue", "derived"):
        raise refuse("grid", i.grid, "must be 'venue' or 'derived'")
    if not i.tiers:
        raise refuse("tiers", i.tiers, "at least one risk tier is needed")
    _check_tiers(i, refuse)


def _check_tiers(i: Instrument, refuse: object) -> None:
    below_limit, below_rate, deduction = 0, 0, 0
    for n, tier in enumerate(i.tiers):
        if tier.notional_max_e8 <= below_limit or tier.maintenance_rate_e8 < below_rate or tier.maintenance_rate_e8 > RATE_MAX_E8:
            raise InvalidInput(
                f"instrument {i.instrument_id!r}: tier {n + 1} is {tier}",
                why="limits must rise and rates may not fall",
                fix="sort the tiers by notional_max_e8",
            )
        deduction += below_limit * (tier.maintenance_rate_e8 - below_rate) // E8 if n else 0
        if tier.deduction_e8 != deduction:
            raise InvalidInput(
                f"instrument {i.instrument_id!r}: tier {n + 1} has deduction_e8 {tier.deduction_e8}",
                why=f"marginal brackets give {deduction}",
                fix="use the recurrence D_n = D_(n-1) + limit_(n-1) * (rate_n - rate_(n-1))",
            )
        below_limit, below_rate = tier.notional_max_e8, tier.maintenance_rate_e8


def prove_bounds(i: Instrument) -> dict[str, int]:
    """Prove that no kernel intermediate formed from this instrument reaches 2^63, or refuse it.

    Returns
    -------
    dict
        Name of each bounded intermediate and its largest absolute value. The property tests of the kernel run
        at exactly these bounds.

    Notes
    -----
    The kernel forms products of two scaled integers only through `mul_div(a, b, d)`, whose intermediates are
    `(a // d) * b` and `(a % d) * b`, so `d * b` bounds the second. Positions may be flipped by one order, hence
    the sum of position and order.
    """
    lots = i.position_max_lots + max(i.order_qty_max_lots, i.market_qty_max_lots)
    notional = i.price_max_ticks * lots * i.tick_value_e8
    bounds = {
        "notional = price_ticks * lots * tick_value_e8": notional,
        "two notionals added": 2 * notional,
        "rate on a notional: (n // E8) * rate": (notional // E8 + 1) * RATE_MAX_E8,
        "rate remainder: E8 * rate": E8 * RATE_MAX_E8,
        "cost released: |cost| + lots * lots": notional + lots * lots,
        "mark off the grid: (price_e8 // tick_e8) * lots * tick_value_e8": (i.price_max_ticks + 1) * lots * i.tick_value_e8,
        "mark remainder: tick_e8 * lots * tick_value_e8": i.tick_e8 * lots * i.tick_value_e8,
    }
    for name, value in bounds.items():
        if value > INT64_MAX:
            raise InvalidInput(
                f"instrument {i.instrument_id!r}: {name} reaches {value}",
                why="past 2^63 - 1, where compiled integers wrap silently",
                fix="lower price_max_ticks, position_max_lots or the order limits, or use a coarser grid",
            )
    return bounds
