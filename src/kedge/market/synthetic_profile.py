"""How each synthetic instrument behaves, and the shape that all share: plain numbers, each with its unit and source.

Rules: a number here is either read off real bars (docs/synthetic-market.md says which) or a stated choice. Nothing is
fitted at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.units import HALF_EVEN

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
YEAR_S: Final = 365.0 * DAY_S


class Profile(NamedTuple):
    """One instrument: where it starts, how much it moves in a year (1.0 is 100 %), how much it trades in a day."""

    start_price: str
    annual_vol_frac: float
    daily_notional: float


class Regime(NamedTuple):
    """One weather of the market.

    `vol` multiplies volatility, `drift` is in annual volatilities per year, `revert_frac` is the part of each move that
    is later taken back, `premium_e8` is where the perpetual's premium settles, `days` the mean stay, `weight` how
    often it comes next.
    """

    name: str
    vol: float
    drift: float
    revert_frac: float
    premium_e8: float
    days: float
    weight: float


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "BTC": Profile("60000", 0.50, 8.0e9),
        "ETH": Profile("3000", 0.70, 4.0e9),
        "SOL": Profile("150", 0.90, 1.8e9),
        "BNB": Profile("600", 0.60, 1.0e8),
        "XRP": Profile("0.6", 0.80, 1.0e9),
        "DOGE": Profile("0.15", 0.95, 1.0e9),
    }
)
OTHER: Final = Profile("", 0.90, 5.0e7)

REGIMES: Final = (
    Regime("quiet", 0.6, 0.0, 0.15, 5_000.0, 2.0, 0.35),
    Regime("trend up", 1.0, 9.0, 0.05, 45_000.0, 3.0, 0.22),
    Regime("trend down", 1.1, -9.0, 0.05, -35_000.0, 2.5, 0.18),
    Regime("mean reverting", 0.9, 0.0, 0.45, 10_000.0, 2.0, 0.22),
    Regime("crash", 3.0, -150.0, 0.25, -150_000.0, 0.25, 0.03),
)

# Volatility is the product of three log-Ornstein-Uhlenbeck factors: sd of the log, and half-life.
SLOW_LOG_SD, SLOW_HALF_LIFE_S = 0.30, 7.0 * DAY_S
FAST_LOG_SD, FAST_HALF_LIFE_S = 0.35, 4.0 * HOUR_S
OWN_LOG_SD, OWN_HALF_LIFE_S = 0.15, 1.0 * DAY_S

REVERT_HALF_LIFE_S: Final = 2.0 * HOUR_S
"""How soon the part of a move that is taken back is half gone."""
ANCHOR_HALF_LIFE_S: Final = 0.5 * YEAR_S
"""A weak pull of the price to its start, so that a long run neither dies nor explodes."""

JUMPS_PER_DAY: Final = 0.15
"""Market-wide, and again as many of each instrument's own."""
JUMP_SD_DAYS: Final = 0.5
"""Standard deviation of a jump, in daily volatilities."""
JUMP_MEAN_DAYS: Final = -0.1

PREMIUM_SD_E8: Final = 65_000.0
PREMIUM_HALF_LIFE_S: Final = 16.0 * HOUR_S
PREMIUM_NOISE_E8: Final = 15_000.0

# Mean |return| by UTC hour over the day's mean, BTCUSDT perpetual 2023-12 to 2025-12, rounded.
HOUR_OF_DAY: Final = (
    *(1.03, 1.04, 0.97, 0.82, 0.77, 0.75, 0.77, 0.81, 0.84, 0.82, 0.76, 0.78),
    *(0.94, 1.20, 1.57, 1.43, 1.24, 1.23, 1.11, 1.09, 1.06, 1.02, 0.99, 0.86),
)
# Monday to Sunday, same bars.
DAY_OF_WEEK: Final = (1.16, 1.14, 1.10, 1.09, 1.12, 0.63, 0.76)


def profile_of(instrument: Instrument) -> Profile:
    """The profile of an instrument's base, or a volatile small one for a base that is not listed."""
    return PROFILES.get(instrument.base, OTHER)


def start_ticks(instrument: Instrument, profile: Profile) -> int:
    """The first open; without a listed price, 10,000 ticks or a hundredth of the highest price, whichever is lower."""
    if not profile.start_price:
        return max(1, min(10_000, instrument.price_max_ticks // 100))
    ticks = instrument.price_ticks(profile.start_price, rounding=HALF_EVEN)
    if not 1 <= ticks <= instrument.price_max_ticks:
        raise InvalidInput(
            f"{instrument.instrument_id}: start price {profile.start_price} is {ticks} ticks",
            why=f"prices lie between 1 and price_max_ticks {instrument.price_max_ticks}",
            fix="use a finer tick or a higher price_max_ticks",
        )
    return ticks
