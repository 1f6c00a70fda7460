"""The grid of an instrument that nobody has described: worked out from its prices and volumes.

Rules: every price is held exactly or the derivation is refused; volumes are held exactly where tick x lot allows it,
else rounded down and said so. Whatever the data cannot tell (fees, tiers, funding) is the dearest that ships, and
every assumption comes back as a sentence to print.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId, RiskTier, tick_value_e8
from kedge.domain.units import E8, INT64_MAX
from kedge.market.catalogue import COLLAR_OTHER_BPS, FUNDING_INTERVAL_NS, MAKER_FEE_E8, NOTIONAL_MIN_E8, TAKER_FEE_E8
from kedge.market.catalogue_record import load_instrument_record
from kedge.market.catalogue_tiers import STRICTEST_TIERS, risk_tiers

__all__ = ["decimals_of", "derive_instrument", "load_instrument_record", "split_symbol"]

DECIMALS_MAX: Final = 8
PRICE_HEADROOM: Final = 10
_FLOAT_EXACT: Final = 2**53
_NOTIONAL_MAX_E8: Final = INT64_MAX // 32  # so that a portfolio of twenty derived instruments still adds up below 2^63
_USEFUL_E8: Final = 1_000_000 * 10**8  # where the square of a position would pass 2^63, the lot stays as fine as this allows
_LOTS_MAX: Final = isqrt(INT64_MAX // 2) * 2 // 3  # leaves room for the order that flips a position
_DOLLARS: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD")
_QUOTES: Final = (*_DOLLARS, "EUR", "BTC", "ETH", "BNB")
_SUFFIXES: Final = ("PERP", "SWAP", "P")
UNKNOWN_QUOTE: Final = "QUOTE"

Array = NDArray[np.float64]


def decimals_of(values: Array) -> int | None:
    """The fewest decimals k, up to 8, with every value on the grid 10^-k; None where eight do not hold them all.

    A value is on the grid where the float nearest to its k-decimal text is the value itself; beyond 2^53 steps that
    would hold for any float, so it counts as not held.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    for k in range(DECIMALS_MAX + 1):
        scale = float(10**k)
        if largest * scale < _FLOAT_EXACT and bool(np.all(np.rint(values * scale) / scale == values)):
            return k
    return None


def derive_instrument(instrument_id: InstrumentId, prices: Array, volumes: Array) -> tuple[Instrument, dict[str, str]]:
    """Work out a tradable record from data alone, with its assumptions as sentences by topic.

    Parameters
    ----------
    instrument_id : str
        VENUE:SYMBOL; base and quote are read from the symbol.
    prices : float64 array, any shape
        Every price that must be on the grid, positive.
    volumes : float64 array, any shape
        Base units, zero allowed.

    Raises
    ------
    InvalidInput
        Empty, NaN, infinite, non-positive price, negative volume, or prices that eight decimals do not hold.
    """
    prices = _clean(prices, f"{instrument_id} price", zero_allowed=False)
    volumes = _clean(volumes, f"{instrument_id} volume", zero_allowed=True)
    base, quote = split_symbol(instrument_id)
    tiers = STRICTEST_TIERS if quote in _DOLLARS else _SINGLE_TIER
    found = _price_decimals(instrument_id, prices)
    size = _sizes(found, float(prices.max()), float(prices.min()), tiers[-1].notional_max_e8)
    lot_decimals, lot_words = _lot_decimals(volumes, size)
    if _lots(volumes, lot_decimals) > _FLOAT_EXACT:
        raise InvalidInput(
            f"{instrument_id}: volume {volumes.max()} on a lot of 1e{-lot_decimals}",
            why="more than 2^53 lots, which no float holds exactly",
            fix="check the unit of the volume column, or name a record with --instrument FILE",
        )
    if size.position_max_lots(lot_decimals) < 1:
        raise InvalidInput(
            f"{instrument_id}: prices from {prices.min()} to {prices.max()} on a tick of 1e-{found}",
            why="one lot at ten times the highest price is past 2^63 in 1e-8 of the quote currency",
            fix="name a record with --instrument FILE",
        )
    instrument = Instrument(
        instrument_id=instrument_id,
        base=base,
        quote=quote,
        tick_e8=size.tick_e8,
        lot_e8=10 ** (DECIMALS_MAX - lot_decimals),
        tick_value_e8=size.tick_value_e8(lot_decimals),
        price_max_ticks=size.price_max_ticks,
        order_qty_min_lots=1,
        order_qty_max_lots=max(1, size.position_max_lots(lot_decimals) // 2),
        market_qty_max_lots=max(1, size.position_max_lots(lot_decimals) // 4),
        position_max_lots=size.position_max_lots(lot_decimals),
        notional_min_e8=NOTIONAL_MIN_E8 if quote in _DOLLARS else 0,
        maker_fee_e8=MAKER_FEE_E8,
        taker_fee_e8=TAKER_FEE_E8,
        leverage_max_e2=tiers[0].leverage_max_e2,
        tiers=tiers,
        funding_interval_ns=FUNDING_INTERVAL_NS,
        price_collar_bps=COLLAR_OTHER_BPS,
        grid="derived",
    )
    tick_words = "the finest decimal tick that holds every price" + (
        "; made finer so that a mark price off the grid stays in bounds" if size.price_decimals > found else ""
    )
    return instrument, _assumptions(instrument, tick_words, lot_words)


# Without a dollar quote the ladder's limits mean nothing, so its last and dearest rung holds from the first unit on.
_SINGLE_TIER: Final[tuple[RiskTier, ...]] = risk_tiers(((5_000_000, 100, 50_000_000),))


class _Sizes:
    """How far an instrument may reach on a given lot before a product passes 2^63 (see `prove_bounds`)."""

    def __init__(self, price_decimals: int, price_max: float, price_min: float, top_e8: int) -> None:
        self.price_decimals = price_decimals
        self.tick_e8: int = 10 ** (DECIMALS_MAX - price_decimals)
        self.price_max = price_max
        self.price_min_ticks = max(1, int(price_min * 10**price_decimals))
        self.price_max_ticks = PRICE_HEADROOM * (int(price_max * 10**price_decimals) + 1)
        self.top_e8 = top_e8

    def tick_value_e8(self, lot_decimals: int) -> int:
        return tick_value_e8(self.tick_e8, 10 ** (DECIMALS_MAX - lot_decimals), name="derived grid")

    def wanted_lots(self, lot_decimals: int) -> int:
        """Lots that reach the last tier even at the lowest price, if notionals and marks at the highest stay in bounds."""
        value_e8 = self.tick_value_e8(lot_decimals)
        top = self.top_e8 // (self.price_min_ticks * value_e8) + 1
        notional = _NOTIONAL_MAX_E8 // ((self.price_max_ticks + 1) * value_e8)
        mark = INT64_MAX // (self.tick_e8 * value_e8)
        return min(top, notional * 2 // 3, mark * 2 // 3)

    def largest_e8(self, lot_decimals: int) -> int:
        """The largest position's notional at the highest price of the data, in 1e-8 of the quote currency."""
        return self.position_max_lots(lot_decimals) * (self.price_max_ticks // PRICE_HEADROOM) * self.tick_value_e8(lot_decimals)

    def position_max_lots(self, lot_decimals: int) -> int:
        return min(self.wanted_lots(lot_decimals), _LOTS_MAX)


def _sizes(decimals: int, price_max: float, price_min: float, top_e8: int) -> _Sizes:
    """The tick as found, made finer where a mark between two ticks (tick x lots x tick value) could pass 2^63."""
    while decimals < DECIMALS_MAX:
        size = _Sizes(decimals, price_max, price_min, top_e8)
        units = top_e8 * 3 // 2 // (size.price_min_ticks * size.tick_e8) + 1
        if size.tick_e8 * size.tick_e8 * units <= INT64_MAX:
            return size
        decimals += 1
    return _Sizes(decimals, price_max, price_min, top_e8)


def _lot_decimals(volumes: Array, size: _Sizes) -> tuple[int, str]:
    """Decimals of the lot (negative: tens, hundreds) and the sentence that says why."""
    wanted, words = _wanted_decimals(volumes, size)
    decimals = min(wanted, DECIMALS_MAX - size.price_decimals)
    while size.wanted_lots(decimals) > _LOTS_MAX and size.largest_e8(decimals) < _USEFUL_E8:
        decimals -= 1
    if decimals < wanted:
        words += "; coarsened so that money on the grid stays whole and below 2^63, volumes are rounded down"
    return decimals, words


def _lots(volumes: Array, lot_decimals: int) -> Fraction:
    """The largest volume in lots, as an exact number."""
    return Fraction(float(volumes.max())) * Fraction(10) ** lot_decimals


def _wanted_decimals(volumes: Array, size: _Sizes) -> tuple[int, str]:
    found = decimals_of(volumes) if bool(volumes.any()) else None
    if found is not None:
        return found, "the finest decimal lot that holds every volume"
    why = "volumes carry float noise beyond eight decimals and are rounded down" if bool(volumes.any()) else "no volume was traded"
    worth = next(k for k in range(32) if size.price_max <= 10**k)
    decimals = min(worth, DECIMALS_MAX - size.price_decimals)
    return decimals, f"{why}: a lot worth at most one unit of the quote currency where the tick allows it"


def _price_decimals(instrument_id: InstrumentId, prices: Array) -> int:
    decimals = decimals_of(prices)
    if decimals is None:
        scale = float(10**DECIMALS_MAX)
        small = prices[prices < _FLOAT_EXACT / scale]
        off = small[np.rint(small * scale) / scale != small]
        example = f"{off.size} prices, such as {float(off[0])!r}," if off.size else f"prices up to {float(prices.max())!r}"
        raise InvalidInput(
            f"{instrument_id}: {example} are not on a grid of 1e-8",
            why="money is counted in 1e-8, and rounding a price would invent one",
            fix="name a record with --instrument FILE, or use data with the venue's own prices",
        )
    return decimals


def _clean(values: Any, what: str, *, zero_allowed: bool) -> Array:
    array = np.asarray(values, dtype=np.float64).ravel()
    if array.size == 0:
        raise InvalidInput(f"{what}: no values", why="a grid cannot be worked out from nothing", fix="pass the data's own columns")
    bad = ~np.isfinite(array) | ((array < 0) if zero_allowed else (array <= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InvalidInput(
            f"{what} number {first} is {float(array[first])!r}",
            why=f"{int(bad.sum())} of {array.size} values are not finite or not {'at least zero' if zero_allowed else 'positive'}",
            fix="validate the data first: kedge data validate FILE",
        )
    return array


def split_symbol(instrument_id: InstrumentId) -> tuple[str, str]:
    """Base and quote as the symbol spells them; the quote is `UNKNOWN_QUOTE` where it names none."""
    symbol = instrument_id.partition(":")[2].upper()
    parts = [part for part in symbol.replace("/", "-").replace("_", "-").replace(".", "-").split("-") if part]
    while len(parts) > 1 and parts[-1] in _SUFFIXES:
        parts.pop()
    if len(parts) > 1:
        return parts[0], parts[1]
    whole = parts[0] if parts else symbol
    for quote in _QUOTES:
        if whole.endswith(quote) and len(whole) > len(quote):
            return whole.removesuffix(quote), quote
    return whole, UNKNOWN_QUOTE


def _assumptions(i: Instrument, tick_words: str, lot_words: str) -> dict[str, str]:
    dollars = i.quote in _DOLLARS
    rates = f"maintenance {i.tiers[0].maintenance_rate_e8 / E8:.1%} to {i.tiers[-1].maintenance_rate_e8 / E8:.1%}"
    words = {
        "grid": "derived from the data, not taken from the venue",
        "hindsight": "the grid is worked out from the whole file, so early bars trade on what later ones needed",
        "tick_size": f"{_plain(i.tick_size)}: {tick_words}",
        "lot_size": f"{_plain(i.lot_size)}: {lot_words}",
        "fees": f"base tier: maker {i.maker_fee_e8 / E8:.3%}, taker {i.taker_fee_e8 / E8:.3%}",
        "tiers": f"the strictest table that ships: {rates}, leverage at most {i.leverage_max_e2 / 100:g}",
        "funding": "settles every 8 hours where a funding file is given; none is charged without one",
        "limits": f"position at most {_plain(i.position_max_lots * i.lot_size)} {i.base}, order at most "
        f"{_plain(i.order_qty_max_lots * i.lot_size)}, price at most {_plain(i.price_max_ticks * i.tick_size)}, by overflow and last tier",
        "order_minimum": "one lot" + (" and 5 units of the quote currency" if dollars else ""),
    }
    if i.quote == UNKNOWN_QUOTE:
        words["quote"] = f"{i.venue_symbol} names no quote currency; money is counted in the unit of its prices"
    return words


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
