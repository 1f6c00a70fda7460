"""A synthetic market that looks like crypto, from a seed: bars on each instrument's grid, and funding.

Rules: the label is always 'synthetic'. The same arguments give the same integers on every IEEE-754 machine; a portion equals
the same stretch of a longer request to the bit; asking for more never changes what was given. What it resembles and where it
does not is in docs/synthetic-market.md, with numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import INT64_MAX
from kedge.market.grid_bars import GridBars
from kedge.market.synthetic_model import BLOCK, BlockBars, InstrumentModel, PriceState, WeatherState, weather
from kedge.market.synthetic_noise import Ints

LABEL: Final = "synthetic"
CORRELATION_FRAC: Final = 0.75
INTEREST_8H_E8: Final = 10_000
"""Interest part of funding, 0.01 % per 8 hours."""
FUNDING_DAMP_E8: Final = 50_000
FUNDING_CAP_E8: Final = 500_000

_HOURS_8_NS: Final = 8 * 3600 * 1_000_000_000


class SyntheticFunding(NamedTuple):
    """Settlements of one instrument, int64, each shape (n_settlements,); `rate_e8` > 0 is paid by longs."""

    instrument_id: InstrumentId
    ts_ns: Ints
    rate_e8: Ints
    label: str = LABEL


class _Checkpoint(NamedTuple):
    market: WeatherState
    prices: tuple[PriceState, ...]


class SyntheticMarket:
    """Several correlated instruments from one seed.

    Parameters
    ----------
    instruments : sequence of Instrument
        On whose grids the bars lie; each id once. An instrument's bars do not depend on which others are given.
    seed : int
        At least 0.
    interval_ns, start_ts_ns : int
        Length of a bar, and the open of the first one.
    correlation_frac : float
        Pairwise correlation of diffusive shocks, in [0, 1].

    Raises
    ------
    InvalidInput
        No instruments, one given twice, or an argument out of range.
    """

    label: Final = LABEL

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int,
        interval_ns: int,
        start_ts_ns: int,
        *,
        correlation_frac: float = CORRELATION_FRAC,
    ) -> None:
        _check(instruments, seed, interval_ns, start_ts_ns, correlation_frac)
        self.instruments = tuple(instruments)
        self.seed, self.interval_ns, self.start_ts_ns = seed, interval_ns, start_ts_ns
        self._models = tuple(InstrumentModel(i, seed, interval_ns, correlation_frac) for i in self.instruments)
        self._checkpoints = [_Checkpoint(WeatherState(), tuple(model.first_state() for model in self._models))]
        self._last: tuple[int, tuple[BlockBars, ...]] = (-1, ())

    def bars(self, count: int, *, first: int = 0) -> dict[InstrumentId, GridBars]:
        """Bars number `first` to `first + count - 1` of every instrument, by instrument id."""
        self._check_range(count, first)
        opens = self.start_ts_ns + np.arange(first, first + count, dtype=np.int64) * self.interval_ns
        columns = zip(self.instruments, self._columns(first, count), strict=True)
        return {i.instrument_id: _joined(opens, self.interval_ns, pieces) for i, pieces in columns}

    def chunks(self, size: int, *, first: int = 0) -> Iterator[dict[InstrumentId, GridBars]]:
        """Endless portions of `size` bars, one after the other; together they are `bars` of the same stretch."""
        while True:
            yield self.bars(size, first=first)
            first += size

    def premiums(self, count: int, *, first: int = 0) -> dict[InstrumentId, Ints]:
        """The perpetual's premium over its index at the end of the same bars, 1e-8 of the price, int64, shape (count,)."""
        self._check_range(count, first)
        columns = zip(self.instruments, self._columns(first, count), strict=True)
        return {i.instrument_id: _column(pieces, "premium_e8") for i, pieces in columns}

    def funding(self, count: int, *, first: int = 0) -> dict[InstrumentId, SyntheticFunding]:
        """Settlements after the open of bar `first`, up to the close of bar `first + count - 1`, by instrument id.

        The rate follows the venue's rule: premiums over the interval, weighted 1..n towards settlement, plus the
        interest brought within 0.05 % of it, capped at 0.5 %. Instruments that pay no funding have empty columns.
        """
        self._check_range(count, first)
        from_ns = self.start_ts_ns + first * self.interval_ns
        to_ns = from_ns + count * self.interval_ns
        return {i.instrument_id: self._settlements(n, i, from_ns, to_ns) for n, i in enumerate(self.instruments)}

    def _settlements(self, number: int, instrument: Instrument, from_ns: int, to_ns: int) -> SyntheticFunding:
        every = instrument.funding_interval_ns
        times = range((from_ns // every + 1) * every, to_ns + 1, every) if every else range(0)
        rates = self._rates(number, every, times) if times else []
        return SyntheticFunding(instrument.instrument_id, np.array(times, dtype=np.int64), np.array(rates, dtype=np.int64))

    def _rates(self, number: int, every_ns: int, times: range) -> list[int]:
        start = self._bar_at(times[0] - every_ns)
        premiums = _column(self._columns(start, self._bar_before(times[-1]) + 1 - start)[number], "premium_e8").tolist()
        return [
            funding_rate_e8(premiums[self._bar_at(ts_ns - every_ns) - start : self._bar_before(ts_ns) + 1 - start], every_ns)
            for ts_ns in times
        ]

    def _bar_at(self, ts_ns: int) -> int:
        """The bar that holds the instant, or the first bar for an earlier one."""
        return max(0, (ts_ns - self.start_ts_ns) // self.interval_ns)

    def _bar_before(self, ts_ns: int) -> int:
        """The last bar that opened before the instant."""
        return (ts_ns - self.start_ts_ns - 1) // self.interval_ns

    def _columns(self, first: int, count: int) -> list[list[BlockBars]]:
        """Per instrument the block pieces that make up the bars asked for."""
        pieces: list[list[BlockBars]] = [[] for _ in self._models]
        for number in range(first // BLOCK, (first + count - 1) // BLOCK + 1):
            low, high = max(first - number * BLOCK, 0), min(first + count - number * BLOCK, BLOCK)
            for own, made in zip(pieces, self._block(number), strict=True):
                own.append(BlockBars(*(column[low:high] for column in made)))
        return pieces

    def _block(self, number: int) -> tuple[BlockBars, ...]:
        """The bars of a block, made anew from the state at its start; states are kept, bars only of the last block."""
        for earlier in range(len(self._checkpoints) - 1, number):
            self._make(earlier)
        last, bars = self._last
        return bars if last == number else self._make(number)

    def _make(self, number: int) -> tuple[BlockBars, ...]:
        before = self._checkpoints[number]
        opens = self.start_ts_ns + np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64) * self.interval_ns
        forces, market = weather(self.seed, number, opens, self.interval_ns, before.market)
        made = [model.block(number, forces, state) for model, state in zip(self._models, before.prices, strict=True)]
        if number + 1 == len(self._checkpoints):
            self._checkpoints.append(_Checkpoint(market, tuple(state for _, state in made)))
        bars = tuple(bars for bars, _ in made)
        self._last = number, bars
        return bars

    def _check_range(self, count: int, first: int) -> None:
        end_ns = self.start_ts_ns + (first + count + BLOCK) * self.interval_ns
        if count < 1 or first < 0 or end_ns > INT64_MAX:
            raise InvalidInput(
                f"bars {first} to {first + count - 1}",
                why="at least one bar is asked for, from number 0 on, and time ends in 2262",
                fix="pass count >= 1 and first >= 0",
            )


def funding_rate_e8(premiums_e8: Sequence[int], interval_ns: int) -> int:
    """The rate from the premiums of one interval, oldest first: F = P + clamp(I - P), capped; whole 1e-8, halves up.

    Raises
    ------
    InvalidInput
        No premium: an unknown rate is not zero.
    """
    if not premiums_e8:
        raise InvalidInput("funding without a premium", why="an unknown rate is not zero", fix="pass the interval's premiums")
    weight = len(premiums_e8) * (len(premiums_e8) + 1) // 2
    weighted = sum(k * premium for k, premium in enumerate(premiums_e8, start=1))
    average = (2 * weighted + weight) // (2 * weight)
    interest = INTEREST_8H_E8 * interval_ns // _HOURS_8_NS
    rate = average + max(-FUNDING_DAMP_E8, min(FUNDING_DAMP_E8, interest - average))
    return max(-FUNDING_CAP_E8, min(FUNDING_CAP_E8, rate))


def _joined(opens: Ints, interval_ns: int, pieces: list[BlockBars]) -> GridBars:
    return GridBars(
        open_ts_ns=opens,
        close_ts_ns=opens + interval_ns,
        open_ticks=_column(pieces, "open_ticks"),
        high_ticks=_column(pieces, "high_ticks"),
        low_ticks=_column(pieces, "low_ticks"),
        close_ticks=_column(pieces, "close_ticks"),
        volume_lots=_column(pieces, "volume_lots"),
    )


def _column(pieces: list[BlockBars], name: str) -> Ints:
    return np.concatenate([getattr(piece, name) for piece in pieces])


def _check(instruments: Sequence[Instrument], seed: int, interval_ns: int, start_ts_ns: int, correlation_frac: float) -> None:
    ids = [i.instrument_id for i in instruments]
    rules = (
        ("instruments", ids, bool(ids) and len(set(ids)) == len(ids), "at least one, and each id once"),
        ("seed", seed, seed >= 0, "a whole number from 0"),
        ("interval_ns", interval_ns, interval_ns >= 1_000_000_000, "at least one second"),
        ("start_ts_ns", start_ts_ns, start_ts_ns >= 0, "not before 1970"),
        ("correlation_frac", correlation_frac, 0.0 <= correlation_frac <= 1.0, "a fraction from 0 to 1, NaN is neither"),
    )
    for field, value, kept, why in rules:
        if not kept:
            raise InvalidInput(f"synthetic market: {field} is {value!r}", why=f"must be {why}", fix=f"correct {field}")
