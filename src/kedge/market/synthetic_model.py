"""One block of a synthetic market: states in, bars and states out.

Rules: a block's numbers depend on the seed, the block's index, the instrument's own name and record, and the states at
its start, nothing else; so blocks can be made in any portion, and adding an instrument does not change the others.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.market import synthetic_profile as shape
from kedge.market.synthetic_noise import BlockNoise, Floats, Ints, decay, exp, filtered, nearest, stream_key

BLOCK: Final = 1024
_VOLUME_MAX: Final = 1e15
_LOWEST_TICKS: Final = 1


class WeatherState(NamedTuple):
    """What the whole market carries from one block to the next."""

    regime: int = 0
    slow: float = 0.0
    fast: float = 0.0


class PriceState(NamedTuple):
    """What one instrument carries: log-price parts relative to the start, own volatility, premium, last close."""

    close_ticks: int
    lasting: float = 0.0
    passing: float = 0.0
    own: float = 0.0
    premium_e8: float = 0.0


class Weather(NamedTuple):
    """The shared forces over one block, each shape (BLOCK,)."""

    regimes: Ints
    log_vol: Floats
    season: Floats
    shock: Floats
    jump: Floats


class BlockBars(NamedTuple):
    """Bars of one instrument over one block, int64, each shape (BLOCK,)."""

    open_ticks: Ints
    high_ticks: Ints
    low_ticks: Ints
    close_ticks: Ints
    volume_lots: Ints
    premium_e8: Ints


def season(open_ts_ns: Ints) -> Floats:
    """Activity by hour of the day and day of the week, linear between hours, mean square near 1."""
    seconds = (open_ts_ns % NS_PER_DAY) // NS_PER_S
    hour, part = seconds // 3600, (seconds % 3600).astype(np.float64) / shape.HOUR_S
    hours = np.array(shape.HOUR_OF_DAY)
    by_hour = hours[hour] * (1.0 - part) + hours[(hour + 1) % 24] * part
    weekday = (open_ts_ns // NS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday
    by_day: Floats = np.array(shape.DAY_OF_WEEK)[weekday]
    return by_hour * by_day * _SEASON_SCALE


def _mean_square(values: tuple[float, ...]) -> float:
    total = 0.0
    for value in values:
        total += value * value
    return total / len(values)


def _regime_mean_square() -> float:
    stay = total = 0.0
    for regime in shape.REGIMES:
        stay += regime.weight * regime.days
        total += regime.weight * regime.days * regime.vol * regime.vol
    return total / stay


_SEASON_SCALE: Final = float(1.0 / np.sqrt(_mean_square(shape.HOUR_OF_DAY) * _mean_square(shape.DAY_OF_WEEK)))
_REGIME_SCALE: Final = float(1.0 / np.sqrt(_regime_mean_square()))
# The mean square of exp(h) is exp(2 var h), jumps add their own; this brings the total back to the profile's volatility.
_LOG_VOL_SHIFT: Final = -3.0 * _mean_square((shape.SLOW_LOG_SD, shape.FAST_LOG_SD, shape.OWN_LOG_SD))
_DIFFUSION_FRAC: Final = float(np.sqrt(1.0 - 4.0 * shape.JUMPS_PER_DAY * _mean_square((shape.JUMP_SD_DAYS, shape.JUMP_MEAN_DAYS))))
_NEXT_REGIME: Final = np.cumsum([regime.weight for regime in shape.REGIMES])


def weather(seed: int, block: int, open_ts_ns: Ints, interval_ns: int, state: WeatherState) -> tuple[Weather, WeatherState]:
    """The market-wide forces of one block."""
    noise = BlockNoise(seed, stream_key("weather"), block, BLOCK)
    step_s = interval_ns / NS_PER_S
    regimes = _regimes(noise.uniform(), noise.uniform(), step_s, state.regime)
    slow = _factor(state.slow, shape.SLOW_LOG_SD, shape.SLOW_HALF_LIFE_S, step_s, noise.normal())
    fast = _factor(state.fast, shape.FAST_LOG_SD, shape.FAST_HALF_LIFE_S, step_s, noise.normal())
    made = Weather(regimes, slow + fast, season(open_ts_ns), noise.normal(), _jumps(noise, step_s))
    return made, WeatherState(int(regimes[-1]), float(slow[-1]), float(fast[-1]))


def _regimes(leave: Floats, choose: Floats, step_s: float, regime: int) -> Ints:
    """The regime of each bar: stays are geometric with the regime's mean, the next one is drawn by weight."""
    path = np.empty(leave.size, dtype=np.int64)
    start = 0
    while start < leave.size:
        chance = step_s / (shape.REGIMES[regime].days * shape.DAY_S)
        left = np.flatnonzero(leave[start:] < chance)
        stop = start + int(left[0]) + 1 if left.size else leave.size
        path[start:stop] = regime
        if left.size:
            regime = min(int(np.searchsorted(_NEXT_REGIME, choose[stop - 1], side="right")), len(shape.REGIMES) - 1)
            path[stop - 1] = regime
        start = stop
    return path


def _factor(start: float, log_sd: float, half_life_s: float, step_s: float, shocks: Floats) -> Floats:
    keep = decay(step_s, half_life_s)
    return filtered(start, keep, shocks * (log_sd * float(np.sqrt(1.0 - keep * keep))))


def _jumps(noise: BlockNoise, step_s: float) -> Floats:
    """Jumps in daily volatilities, mostly zero; at most one a bar."""
    hit = noise.uniform() < shape.JUMPS_PER_DAY * step_s / shape.DAY_S
    return np.where(hit, noise.normal() * shape.JUMP_SD_DAYS + shape.JUMP_MEAN_DAYS, 0.0)


class InstrumentModel:
    """One instrument's own process on top of the weather."""

    def __init__(self, instrument: Instrument, seed: int, interval_ns: int, correlation_frac: float) -> None:
        self.instrument = instrument
        self._seed, self._key = seed, stream_key(instrument.instrument_id)
        self._step_s = interval_ns / NS_PER_S
        profile = shape.profile_of(instrument)
        self._start_ticks = shape.start_ticks(instrument, profile)
        self._year_vol = profile.annual_vol_frac
        self._bar_vol = profile.annual_vol_frac * float(np.sqrt(self._step_s / shape.YEAR_S))
        self._shared, self._own = float(np.sqrt(correlation_frac)), float(np.sqrt(1.0 - correlation_frac))
        lot_value = self._start_ticks * instrument.tick_value_e8 / E8
        self._bar_lots = profile.daily_notional * self._step_s / shape.DAY_S / lot_value

    def first_state(self) -> PriceState:
        return PriceState(close_ticks=self._start_ticks)

    def block(self, number: int, forces: Weather, state: PriceState) -> tuple[BlockBars, PriceState]:
        """Bars of block `number` and the state after them."""
        noise = BlockNoise(self._seed, self._key, number, BLOCK)
        own = _factor(state.own, shape.OWN_LOG_SD, shape.OWN_HALF_LIFE_S, self._step_s, noise.normal())
        vol = self._volatility(forces, own)
        lasting, passing = self._log_price(noise, forces, vol, state)
        close = self._on_grid(exp(lasting + passing) * float(self._start_ticks))
        opens = np.concatenate((np.array([state.close_ticks]), close[:-1]))
        high, low = self._extremes(noise, opens, close, vol)
        volume = self._volume(noise, vol, (high - low) / close)
        slow_premium, premium = self._premium(noise, forces, state.premium_e8)
        after = PriceState(int(close[-1]), float(lasting[-1]), float(passing[-1]), float(own[-1]), float(slow_premium[-1]))
        return BlockBars(opens, high, low, close, volume, nearest(premium)), after

    def _volatility(self, forces: Weather, own: Floats) -> Floats:
        """Standard deviation of each bar's diffusive log return."""
        level = np.array([regime.vol for regime in shape.REGIMES])[forces.regimes] * (_REGIME_SCALE * _DIFFUSION_FRAC * self._bar_vol)
        return level * forces.season * exp(forces.log_vol + own + _LOG_VOL_SHIFT)

    def _log_price(self, noise: BlockNoise, forces: Weather, vol: Floats, state: PriceState) -> tuple[Floats, Floats]:
        """The part of the log price that lasts and the part that is taken back."""
        day_vol = self._year_vol * float(np.sqrt(shape.DAY_S / shape.YEAR_S))
        shock = forces.shock * self._shared + noise.normal() * self._own
        move = shock * vol + (forces.jump + _jumps(noise, self._step_s)) * day_vol
        drift = np.array([regime.drift for regime in shape.REGIMES])[forces.regimes] * (self._year_vol * self._step_s / shape.YEAR_S)
        back = np.array([regime.revert_frac for regime in shape.REGIMES])[forces.regimes]
        lasting = filtered(state.lasting, decay(self._step_s, shape.ANCHOR_HALF_LIFE_S), move * (1.0 - back) + drift)
        return lasting, filtered(state.passing, decay(self._step_s, shape.REVERT_HALF_LIFE_S), move * back)

    def _on_grid(self, ticks: Floats) -> Ints:
        return nearest(np.clip(ticks, float(_LOWEST_TICKS), float(self.instrument.price_max_ticks)))

    def _extremes(self, noise: BlockNoise, opens: Ints, close: Ints, vol: Floats) -> tuple[Ints, Ints]:
        """High and low of a Brownian bridge between open and close (its maximum needs only a root)."""
        up, down = np.maximum(opens, close), np.minimum(opens, close)
        gap = (up - down) / down
        over = self._overshoot(noise, gap, vol)
        under = self._overshoot(noise, gap, vol)
        high = np.maximum(self._on_grid(up * (1.0 + over)), up)
        return high, np.minimum(self._on_grid(down / (1.0 + under)), down)

    @staticmethod
    def _overshoot(noise: BlockNoise, gap: Floats, vol: Floats) -> Floats:
        first, second = noise.normal(), noise.normal()
        energy = (first * first + second * second) * vol * vol  # -2 ln U times the variance, without a logarithm
        return (np.sqrt(gap * gap + energy) - gap) * 0.5

    def _volume(self, noise: BlockNoise, vol: Floats, bar_range: Floats) -> Ints:
        """Traded lots: grow with volatility and with the bar's own range; at least one."""
        activity = (vol * 0.5 + bar_range * 0.35) * (1.0 / self._bar_vol)
        lots = activity * exp(noise.normal() * 0.35) * self._bar_lots
        return nearest(np.clip(lots, 1.0, _VOLUME_MAX))

    def _premium(self, noise: BlockNoise, forces: Weather, start_e8: float) -> tuple[Floats, Floats]:
        """The slow premium that leans with the regime, and what is seen of it, both in 1e-8."""
        keep = decay(self._step_s, shape.PREMIUM_HALF_LIFE_S)
        lean = np.array([regime.premium_e8 for regime in shape.REGIMES])[forces.regimes]
        shocks = noise.normal() * (shape.PREMIUM_SD_E8 * float(np.sqrt(1.0 - keep * keep)))
        slow = filtered(start_e8, keep, lean * (1.0 - keep) + shocks)
        return slow, slow + noise.normal() * shape.PREMIUM_NOISE_E8
