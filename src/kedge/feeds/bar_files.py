"""Bars from a file: find the columns, choose the instrument, keep every cell's text.

Rule: a file with several instruments is refused until the caller names one; the rows left out are counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kedge.domain.errors import InvalidInput
from kedge.feeds.cells import to_floats, to_ts_ms
from kedge.feeds.mapping import ColumnMapping, resolve
from kedge.feeds.tables import SourceTable, file_sha256, read_table
from kedge.market.bars import FIELDS, NO_TS, BarTable, Mask, RawBars
from kedge.market.intervals import check_interval, infer_interval


@dataclass(frozen=True, slots=True, eq=False)
class BarFile:
    """A file read: its raw rows, its label (the file's name), and the SHA-256 of its bytes."""

    raw: RawBars
    label: str
    sha256: str


def read_bars(
    path: Path, *, mapping: ColumnMapping | None = None, symbol: str | None = None, interval_ms: int | None = None, tz: str | None = None
) -> BarFile:
    """Read bars of one instrument from CSV (also .gz), Parquet, Feather or freqtrade JSON.

    Parameters
    ----------
    mapping : ColumnMapping, optional
        Only what the detection cannot tell.
    symbol : str, optional
        The instrument to take from a file with several, and the label of the table.
    interval_ms : int, optional
        Checked against the data; worked out from it when not given.
    tz : str, optional
        Zone of times that name none; default UTC.

    Raises
    ------
    NotFound
        No such file.
    InvalidInput
        Damaged or empty, a column missing, the interval wrong, or several instruments and none named.
    """
    mapping = (mapping or ColumnMapping()).with_tz(tz)
    source = read_table(path, header=mapping.header)
    at = resolve(mapping, source.names, named=source.named, wanted=FIELDS, file=path.name)
    label, foreign, others = choose_instrument(source, at, symbol, path)
    source, foreign = leave_out(source, foreign, others)
    raw = _raw_rows(source, at, mapping, label, foreign, int(others.sum()))
    known = raw.table.ts_ms[raw.table.ts_ms != NO_TS]
    if interval_ms is None:
        interval_ms = infer_interval(known)
    else:
        check_interval(known, interval_ms)
    table = BarTable(label, interval_ms, *raw.table.columns)
    return BarFile(replace(raw, table=table), path.name, file_sha256(path))


def _raw_rows(source: SourceTable, at: dict[str, int], mapping: ColumnMapping, label: str, foreign: Mask | None, others: int) -> RawBars:
    ts_ms, ts_missing = to_ts_ms(source.columns[at["ts"]], mapping)
    numbers = [to_floats(source.columns[at[name]]) for name in FIELDS[1:]]
    confirmed = _flags(source.columns[at["confirm"]]) if "confirm" in at else None
    return RawBars(
        table=BarTable(label, 1, ts_ms, *(values for values, _ in numbers)),
        missing=np.stack([ts_missing, *(missing for _, missing in numbers)], axis=1),
        row_number=source.row_number,
        texts=source.texts(tuple(at[name] for name in FIELDS)),
        confirmed=confirmed,
        foreign=foreign,
        malformed=source.malformed,
        other_instrument_rows=others,
    )


def _flags(column: pa.ChunkedArray) -> Mask:
    """Only a clear yes is a confirmed bar."""
    return np.asarray([str(cell).strip().lower() in ("true", "1", "yes") for cell in column.to_pylist()], dtype=np.bool_)


def _plain(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def choose_instrument(source: SourceTable, at: dict[str, int], symbol: str | None, path: Path) -> tuple[str, Mask | None, Mask]:
    """The label, where a row names no instrument, and which rows belong to others."""
    nobody = np.zeros(len(source), dtype=np.bool_)
    if "symbol" not in at:
        return symbol or guess_symbol(path.name), None, nobody
    encoded = pc.dictionary_encode(source.columns[at["symbol"]].cast(pa.string()).combine_chunks())
    spelled = [(value or "").strip() for value in encoded.dictionary.to_pylist()]
    plain = [_plain(value) for value in spelled]
    present = sorted({value for value in spelled if value})
    codes = encoded.indices.fill_null(-1).to_numpy()
    if symbol is not None:
        wanted = _plain(symbol)
        if wanted not in plain:
            raise InvalidInput(
                f"{path.name}: no rows of {symbol}", why=f"it holds {', '.join(present)}", fix="name one of these with --symbol"
            )
    elif len({value for value in plain if value}) > 1:
        listed = ", ".join(present[:8]) + (f" and {len(present) - 8} more" if len(present) > 8 else "")
        raise InvalidInput(
            f"{path.name} holds several instruments: {listed}", why="one table is one instrument", fix="choose one with --symbol"
        )
    else:
        wanted = next((value for value in plain if value), "")
    blank = np.asarray([value == "" for value in plain] + [True], dtype=np.bool_)[codes]
    other = np.asarray([value not in ("", wanted) for value in plain] + [False], dtype=np.bool_)[codes]
    return symbol or wanted or guess_symbol(path.name), blank, other


def leave_out(source: SourceTable, foreign: Mask | None, others: Mask) -> tuple[SourceTable, Mask | None]:
    """The rows of the chosen instrument only."""
    if not others.any():
        return source, foreign
    keep = pa.array(~others)
    chosen = replace(source, columns=tuple(column.filter(keep) for column in source.columns), row_number=source.row_number[~others])
    return chosen, None if foreign is None else foreign[~others]


def guess_symbol(name: str) -> str:
    """The part of a file's name that looks like a venue symbol, else the name without suffixes."""
    match = re.search(r"[A-Z0-9]{2,12}(?:USDT|USDC|BUSD|USD|_PERP)(?:_PERP)?(?![A-Za-z0-9])", name)
    return match[0] if match else name.partition(".")[0]
