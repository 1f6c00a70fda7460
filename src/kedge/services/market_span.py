"""A part of a market: what lies before it is its past, told to whoever asks and played to nobody.

Rules: a bar belongs to the part in which it lies whole; a settlement at the very beginning is past. What is played has one grid from
its beginning to its end: a change of tick or lot is refused, or, where that is asked for, everything is put on the finest grid, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, Event, FundingKnown
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.market.grid_bars import GridBars, bar_events
from kedge.market.intervals import utc_text
from kedge.services.demo import SyntheticFeed
from kedge.services.market_data import MarketData, Series
from kedge.simulation.exchange import FundingRate


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Which part is played, in Unix ns, and how many bars of each instrument before it are remembered.

    Without `from_ts_ns` the remembered bars are the first ones of the market. `one_grid` plays an instrument whose tick or lot changes
    on the finest of its grids.
    """

    from_ts_ns: int | None = None
    to_ts_ns: int | None = None
    history_bars: int = 0
    one_grid: bool = False


class Part(NamedTuple):
    """What is played from `start_ts_ns` on, with its past: bars and settlements, oldest first; and what was assumed, in words."""

    instruments: tuple[Instrument, ...]
    events: Iterator[Event]
    fundings: Sequence[FundingRate]
    start_ts_ns: int
    past: tuple[BarClosed, ...]
    past_rates: tuple[FundingKnown, ...]
    assumptions: tuple[str, ...] = ()


def recorded_part(market: MarketData, span: Span) -> Part:
    """The part of recorded bars.

    Raises
    ------
    InvalidInput
        No bar lies in it, or an instrument changes its tick or lot in what is played and its grids do not fit into each other, or
        `one_grid` was not asked for. What is remembered begins after an earlier change.
    """
    start_ns = _start_of(market, span)
    end_ns = span.to_ts_ns if span.to_ts_ns is not None else 1 << 62
    past, played, words = [], [], []
    for one in market.series:
        bars = one.bars
        first = int(np.searchsorted(bars.open_ts_ns, start_ns, side="left"))
        last = int(np.searchsorted(bars.close_ts_ns, end_ns, side="right"))
        ended = int(np.searchsorted(bars.close_ts_ns, start_ns, side="right"))
        if first >= last:
            raise _empty(one, start_ns, span)
        records = _in_force(one.records, int(bars.open_ts_ns[first]), int(bars.close_ts_ns[last - 1]))
        record = _one_grid(one, records, span)
        if len(records) > 1:
            words.append(f"{one.instrument_id}: {_changes(records)}; played on tick {record.tick_size:f} lot {record.lot_size:f}")
        since = 0 if records[0] is one.records[0] else int(np.searchsorted(bars.open_ts_ns, records[0].valid_from_ns, side="left"))
        remembered = min(ended, max(since, ended - span.history_bars))
        past.append((record, _rows(bars, remembered, ended, records, record)))
        played.append((record, _rows(bars, first, last, records, record)))
    begins_ns = min(int(bars.open_ts_ns[0]) for _, bars in played)
    return Part(
        instruments=tuple(record for record, _ in played),
        events=iter(bar_events(played)),
        fundings=[rate for rate in market.fundings if rate.ts_ns > begins_ns],
        start_ts_ns=begins_ns,
        past=tuple(event for event in bar_events(past) if isinstance(event, BarClosed)),
        past_rates=tuple(FundingKnown(*rate) for rate in market.fundings if rate.ts_ns <= begins_ns),
        assumptions=tuple(words),
    )


def synthetic_part(
    instruments: tuple[Instrument, ...], seed: int, interval_ns: int, start_ts_ns: int, bars: int | None, history_bars: int
) -> Part:
    """A synthetic market whose first `history_bars` bars are its past; `bars` more are played, without end for None."""
    feed = SyntheticFeed(instruments, seed, interval_ns, start_ts_ns, None if bars is None else bars + history_bars)
    events = feed.events()
    past = tuple(event for event in islice(events, history_bars * len(instruments)) if isinstance(event, BarClosed))
    begins_ns = start_ts_ns + history_bars * interval_ns
    known = tuple(FundingKnown(*rate) for rate in feed.fundings if rate.ts_ns <= begins_ns)
    return Part(instruments, events, feed.fundings, begins_ns, past, known)


def _start_of(market: MarketData, span: Span) -> int:
    if span.from_ts_ns is not None:
        return span.from_ts_ns
    times = np.unique(np.concatenate([one.bars.open_ts_ns for one in market.series]))
    if span.history_bars >= len(times):
        raise InvalidInput(
            f"{span.history_bars} bars of the past", why=f"the files hold {len(times)} bar times", fix="remember fewer, or name a start"
        )
    return int(times[span.history_bars])


def _in_force(records: Sequence[Instrument], first_ns: int, last_ns: int) -> list[Instrument]:
    """The records in force from `first_ns` to `last_ns`, oldest first."""
    begun = [found for found in records if found.valid_from_ns <= first_ns] or [records[0]]
    return [begun[-1], *(found for found in records if first_ns < found.valid_from_ns < last_ns and found is not begun[-1])]


def _one_grid(one: Series, records: list[Instrument], span: Span) -> Instrument:
    """The record to play all of it on: the only one, or the one with the finest grid."""
    if len(records) == 1:
        return records[0]
    finest = min(records, key=lambda found: (found.tick_e8, found.lot_e8))
    fits = all(found.tick_e8 % finest.tick_e8 == 0 and found.lot_e8 % finest.lot_e8 == 0 for found in records)
    if span.one_grid and fits:
        return msgspec.structs.replace(finest, valid_from_ns=records[0].valid_from_ns)
    raise InvalidInput(
        f"{one.source.label}: tick or lot of {one.instrument_id} change: {_changes(records)}",
        why="open orders and positions of a running exchange cannot be put on another grid",
        fix="play one part, with --from or --to" + (", or all of it on the finest grid with --one-grid" if fits else ""),
    )


def _changes(records: Sequence[Instrument]) -> str:
    grids = [f"tick {found.tick_size:f} lot {found.lot_size:f}" for found in records]
    times = [utc_text(found.valid_from_ns // NS_PER_MS) for found in records]
    return ", ".join([grids[0], *(f"from {at} {grid}" for at, grid in zip(times[1:], grids[1:], strict=True))])


def _rows(bars: GridBars, low: int, high: int, records: Sequence[Instrument], to: Instrument) -> GridBars:
    """Rows `low` to `high`, put from the grids of their records onto that of `to`, which divides them."""
    columns = {name: getattr(bars, name)[low:high].copy() for name in GridBars.__dataclass_fields__}
    place = np.searchsorted([found.valid_from_ns for found in records[1:]], columns["open_ts_ns"], side="right")
    ticks = np.array([found.tick_e8 // to.tick_e8 for found in records], np.int64)[place]
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        columns[name] *= ticks
    columns["volume_lots"] *= np.array([found.lot_e8 // to.lot_e8 for found in records], np.int64)[place]
    return GridBars(**columns)


def _empty(one: Series, start_ns: int, span: Span) -> InvalidInput:
    until = "the end" if span.to_ts_ns is None else utc_text(span.to_ts_ns // NS_PER_MS)
    return InvalidInput(
        f"{one.source.label}: no bar from {utc_text(start_ns // NS_PER_MS)} to {until}",
        why=f"its bars are of {utc_text(one.source.first_ts_ns // NS_PER_MS)} to {utc_text(one.source.last_ts_ns // NS_PER_MS)}",
        fix="name a time within them",
    )
