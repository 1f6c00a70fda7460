"""From files of bars and funding to what a run needs: instruments, events in order, settlements, and what was assumed.

Rules: nothing is dropped silently (quarantined rows are counted by rule and shown), nothing is invented (a hole becomes
a gap event), and everything that had to be assumed is said in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.events import BarClosed, Event, FeedGap, InstrumentChanged
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.record import DataSource
from kedge.domain.units import NS_PER_MS
from kedge.feeds.bar_files import read_bars
from kedge.feeds.funding_files import read_funding
from kedge.market.bars import PRICES, BarTable, Ints
from kedge.market.catalogue import CATALOGUE, instruments_for
from kedge.market.findings import Report, by_code, count_by_code
from kedge.market.funding import ValidatedFunding
from kedge.market.grid import derive_instrument
from kedge.market.grid_bars import GridBars, bar_events, to_grid_bars
from kedge.market.intervals import interval_text, parse_interval
from kedge.market.validation import validate
from kedge.simulation.exchange import FundingRate
from kedge.storage.snapshots import SnapshotStore

QUARANTINE_FRAC_MAX = 0.1
"""A file that loses more of its rows than this is no series to trade on."""
OFF_GRID_FRAC_MAX = 0.01
"""More bars than this off an instrument's grid, and it is the wrong instrument record."""


class Series(NamedTuple):
    """One instrument's bars on its grid, with the dated records in force and what came of the file."""

    instrument_id: InstrumentId
    records: tuple[Instrument, ...]
    bars: GridBars
    interval_ms: int
    source: DataSource
    quarantined: dict[str, int]
    assumptions: dict[str, str]


class MarketData(NamedTuple):
    """Everything a run reads: first records, ordered settlements, sources, and what was assumed or set aside."""

    instruments: tuple[Instrument, ...]
    series: tuple[Series, ...]
    fundings: tuple[FundingRate, ...]
    data: tuple[DataSource, ...]
    assumptions: dict[str, str]
    quarantined: dict[str, int]
    interval_ns: int
    start_ts_ns: int

    @property
    def bar_count(self) -> int:
        return sum(len(one.bars) for one in self.series)

    def events(self) -> Iterator[Event]:
        """Bars, gaps and instrument changes, ordered by time."""
        pairs = [(one.records[0], one.bars) for one in self.series]
        changes = sorted(
            (InstrumentChanged(new.valid_from_ns, new) for one in self.series for new in one.records[1:]),
            key=lambda change: (change.ts_ns, change.instrument.instrument_id),
        )
        return _with_changes(bar_events(pairs), changes) if changes else bar_events(pairs)


def load_market(
    data: Sequence[Path],
    funding: Sequence[Path] = (),
    *,
    instrument: Instrument | None = None,
    store: SnapshotStore | None = None,
    tz: str | None = None,
) -> MarketData:
    """Read, validate and put on the grid the files of one run.

    Parameters
    ----------
    data : sequence of Path
        One file per instrument, all of one interval; a name that is no file may be a hash in `store`.
    funding : sequence of Path
        Settlements; each file belongs to the instrument that its name or column says.
    instrument : Instrument, optional
        The record to use instead of the shipped or derived one; only with a single data file.

    Raises
    ------
    InvalidInput
        Mixed intervals, one instrument twice, funding of an instrument without bars, too many bars off the grid.
    """
    if not data:
        raise InvalidInput("no data file was given", why="a backtest needs bars", fix="add --data FILE")
    if instrument is not None and len(data) > 1:
        raise InvalidInput(
            f"{len(data)} data files with one instrument record", why="which file it describes is unclear", fix="pass one data file"
        )
    series = sorted((load_series(name, instrument, store=store, tz=tz) for name in data), key=lambda one: one.instrument_id)
    ids = [one.instrument_id for one in series]
    if len(set(ids)) != len(ids):
        raise InvalidInput(f"data files of {', '.join(ids)}", why="one file per instrument", fix="join the files of one instrument first")
    intervals = {one.interval_ms for one in series}
    if len(intervals) > 1:
        told = ", ".join(f"{one.instrument_id} {interval_text(one.interval_ms)}" for one in series)
        raise InvalidInput(f"bars of different length: {told}", why="a run has one clock of bars", fix="use files of one interval")
    rates, sources, words = _load_fundings(funding, series, tz)
    assumptions = {f"{one.instrument_id} {key}": text for one in series for key, text in one.assumptions.items()}
    return MarketData(
        instruments=tuple(one.records[0] for one in series),
        series=tuple(series),
        fundings=tuple(rates),
        data=(*(one.source for one in series), *sources),
        assumptions={**assumptions, **words},
        quarantined=_totals([one.quarantined for one in series]),
        interval_ns=intervals.pop() * NS_PER_MS,
        start_ts_ns=min(int(one.bars.open_ts_ns[0]) for one in series),
    )


class Bars(NamedTuple):
    """Validated bars of one source, with what is known of where they came from."""

    table: BarTable
    label: str
    sha256: str
    rows: int
    quarantined: dict[str, int]


def read_source(name: Path, store: SnapshotStore | None, *, tz: str | None = None) -> Bars:
    """A file, or a snapshot that `kedge data import` kept, by its hash.

    A file that needs a mapping or a choice of instrument is imported first: the importer takes those, a run takes its result.
    """
    if store is not None and not name.exists() and re.fullmatch(r"[0-9a-f]{8,64}", str(name)):
        kept = store.get(str(name))
        meta = kept.manifest.meta
        return Bars(kept.bars, meta.source, meta.source_sha256, meta.source_rows, kept.manifest.quarantine_codes)
    try:
        file = read_bars(name, tz=tz)
    except InvalidInput as error:
        if "--map" in error.fix or "--symbol" in error.fix:
            fix = f"{error.fix}, to kedge data import; then give --data the hash that it prints"
            raise InvalidInput(error.what, why=error.why, fix=fix) from None
        raise
    _refuse_other_interval(name, file.raw.table.interval_ms)
    validated = validate(file.raw, keep_outliers=True)  # an outlier is known by the bar after it: dropping it would look ahead
    return Bars(validated.accepted, file.label, file.sha256, validated.rows, count_by_code(validated.quarantine))


def load_series(name: Path, instrument: Instrument | None = None, *, store: SnapshotStore | None = None, tz: str | None = None) -> Series:
    """One source of bars, validated and on its instrument's grid."""
    found = read_source(name, store, tz=tz)
    table = found.table
    lost = sum(found.quarantined.values())
    if len(table) and lost > QUARANTINE_FRAC_MAX * found.rows:
        raise InvalidInput(
            f"{found.label}: {lost} of {found.rows} rows are broken",
            why=", ".join(f"{code} {count}" for code, count in found.quarantined.items()),
            fix=f"kedge data validate {name.name}, then mend the file or import it with the right mapping",
        )
    if not len(table):
        raise InvalidInput(f"{found.label}: no bar passed validation", why=str(found.quarantined), fix=f"kedge data validate {name.name}")
    records, assumptions = _records_of(instrument_id_of(found.label, table.symbol), table, instrument)
    bars, off_grid = _on_grid(table, records, found.label)
    quarantined = _totals([found.quarantined, {"OFF_TICK": off_grid} if off_grid else {}])
    source = DataSource(
        label=found.label,
        sha256=found.sha256,
        rows=found.rows,
        first_ts_ns=int(bars.open_ts_ns[0]),
        last_ts_ns=int(bars.close_ts_ns[-1]),
        instrument=records[0].instrument_id,
    )
    if quarantined:
        assumptions["quarantined rows"] = ", ".join(f"{code} {count}" for code, count in sorted(quarantined.items()))
    return Series(records[0].instrument_id, records, bars, table.interval_ms, source, quarantined, assumptions)


def _refuse_other_interval(path: Path, interval_ms: int) -> None:
    """A name such as `BTCUSDT-5m.parquet` that contradicts the bars inside: one of the two is wrong, and which is not ours to guess."""
    named = re.findall(r"(?<![0-9A-Za-z])[1-9][0-9]{0,4}[smhdw](?![0-9A-Za-z])", path.name)
    if named and interval_ms not in map(parse_interval, named):
        raise InvalidInput(
            f"{path.name} holds bars of {interval_text(interval_ms)}",
            why=f"its name says {', '.join(named)}",
            fix="fetch it again, or give it the right name",
        )


def instrument_id_of(label: str, symbol: str) -> InstrumentId:
    """Venue and symbol from a name such as `bybit-linear-BTCUSDT-5m.parquet`; the venue is 'file' where none is named."""
    plain = re.sub(r"[^0-9A-Za-z_.]", "", symbol) or "DATA"
    before = label.partition(plain)[0].rstrip("-_ ") if plain in label else ""
    venue = before if re.fullmatch(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", before) else "file"
    return f"{venue}:{plain}"


def _records_of(instrument_id: InstrumentId, table: BarTable, given: Instrument | None) -> tuple[tuple[Instrument, ...], dict[str, str]]:
    """The record that was given, the shipped dated ones, or one derived from the data."""
    if given is not None:
        return (given,), {"instrument": "record given with --instrument"}
    first_ns, last_ns = int(table.ts_ms[0]) * NS_PER_MS, int(table.ts_ms[-1]) * NS_PER_MS
    if instrument_id in CATALOGUE:
        try:
            records = instruments_for(instrument_id, first_ns, last_ns)
        except NotFound:
            pass  # the data begin before the first shipped record: derive, and say so
        else:
            ticks = ", then ".join(f"tick {r.tick_size:f} lot {r.lot_size:f}" for r in records)
            return records, {"instrument": f"shipped record: {ticks}"}
    prices = np.concatenate([getattr(table, name) for name in PRICES])
    derived, assumptions = derive_instrument(instrument_id, prices, table.volume)
    return (derived,), assumptions


def _on_grid(table: BarTable, records: tuple[Instrument, ...], label: str) -> tuple[GridBars, int]:
    """Each stretch on the grid of its own dated record; returns the joined columns and the bars that were off."""
    pieces, off_grid = [], 0
    starts = [0, *(int(np.searchsorted(table.ts_ms, r.valid_from_ns // NS_PER_MS)) for r in records[1:]), len(table)]
    for record, low, high in zip(records, starts, starts[1:], strict=False):
        part = _rows(table, low, high)
        bars, report = to_grid_bars(part, record)
        pieces.append(bars)
        off_grid += len(report.quarantine)
    if off_grid > OFF_GRID_FRAC_MAX * len(table):
        raise InvalidInput(
            f"{label}: {off_grid} of {len(table)} bars are off the tick of {records[0].instrument_id}",
            why=f"tick {records[0].tick_size:f}: this looks like another instrument's record",
            fix="name the right record with --instrument FILE",
        )
    return GridBars(*(np.concatenate([getattr(p, name) for p in pieces]) for name in GridBars.__dataclass_fields__)), off_grid


def _rows(table: BarTable, low: int, high: int) -> BarTable:
    cut = slice(low, high)
    return BarTable(
        table.symbol,
        table.interval_ms,
        table.ts_ms[cut],
        table.open[cut],
        table.high[cut],
        table.low[cut],
        table.close[cut],
        table.volume[cut],
    )


def _load_fundings(
    paths: Sequence[Path], series: Sequence[Series], tz: str | None
) -> tuple[list[FundingRate], list[DataSource], dict[str, str]]:
    by_symbol = {one.instrument_id.partition(":")[2]: one for one in series}
    rates: list[FundingRate] = []
    sources, covered = [], {}
    for path in paths:
        file = read_funding(path, tz=tz)
        checked, table = file.funding, file.funding.accepted
        if table.symbol not in by_symbol:
            raise InvalidInput(
                f"{path.name} is funding of {table.symbol}",
                why=f"bars were given for {', '.join(by_symbol)}",
                fix="drop it, or add its bars",
            )
        if table.symbol in covered:
            raise InvalidInput(
                f"{path.name}: second funding file of {table.symbol}", why="a settlement happens once", fix="drop one of them"
            )
        _refuse_local_times(path, checked)
        one = by_symbol[table.symbol]
        ts_ns = table.ts_ms * NS_PER_MS
        inside = (ts_ns > int(one.bars.open_ts_ns[0])) & (ts_ns <= int(one.bars.close_ts_ns[-1]))
        rates += [
            FundingRate(ts, one.instrument_id, rate)
            for ts, rate in zip(ts_ns[inside].tolist(), table.rate_e8[inside].tolist(), strict=True)
        ]
        covered[table.symbol] = _coverage_text(one, file.label, ts_ns[inside])
        sources.append(
            DataSource(
                label=file.label,
                sha256=file.sha256,
                rows=checked.rows,
                first_ts_ns=int(ts_ns[0]) if len(ts_ns) else 0,
                last_ts_ns=int(ts_ns[-1]) if len(ts_ns) else 0,
                instrument=one.instrument_id,
            )
        )
    words = {
        f"{one.instrument_id} funding": covered.get(symbol, "none charged: no funding file was given") for symbol, one in by_symbol.items()
    }
    return sorted(rates), sorted(sources, key=lambda source: source.instrument), words  # a run's name does not depend on their order


def _refuse_local_times(path: Path, checked: ValidatedFunding) -> None:
    suspect = by_code(checked.findings).get(Report.TIMEZONE_SUSPECT)
    if suspect is not None:
        raise InvalidInput(
            f"{path.name}: {suspect.text}", why="funding would be paid at the wrong time", fix="pass --tz, such as --tz UTC+3"
        )


def _coverage_text(one: Series, label: str, settled_ns: Ints) -> str:
    """How much of the bars' span the settlements cover, and whether they are another venue's."""
    every, first, last = one.records[0].funding_interval_ns, int(one.bars.open_ts_ns[0]), int(one.bars.close_ts_ns[-1])
    due = last // every - first // every if every else len(settled_ns)
    words = f"{len(settled_ns)} settlements from {label}"
    if len(settled_ns) < due:
        words += f"; {due - len(settled_ns)} of {due} due in the span of the bars are missing and were not charged"
    venue = one.instrument_id.partition(":")[0]
    return words if venue == "file" or label.startswith(venue) else f"{words}; the file does not name {venue}: rates of another venue?"


def _with_changes(events: Iterator[BarClosed | FeedGap], changes: Sequence[InstrumentChanged]) -> Iterator[Event]:
    """Insert each change before the first event that belongs to the new record."""
    left = list(reversed(changes))
    for event in events:
        while left and event.ts_ns > left[-1].ts_ns:
            yield left.pop()
        yield event


def _totals(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for code, count in one.items():
            total[code] = total.get(code, 0) + count
    return total
