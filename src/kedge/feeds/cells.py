"""Cells as numbers and times. Rule: a cell that cannot be read becomes NaN or `NO_TS`, marked missing only when it is empty."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kedge.domain.errors import InvalidInput
from kedge.feeds.mapping import ColumnMapping
from kedge.market.bars import NO_TS, Floats, Ints, Mask

KNOWN_FORMATS: Final = ("%Y-%m-%d %I-%p", "%Y%m%d %H:%M:%S")
_PER_MS: Final = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_floats(column: pa.ChunkedArray) -> tuple[Floats, Mask]:
    """Numbers, NaN where unreadable, and where the cell is empty; shapes (n,)."""
    column = _blank_to_null(column)
    missing = column.is_null().to_numpy().astype(np.bool_)
    try:
        cast = column.cast(pa.float64())
    except pa.ArrowInvalid:
        cast = pa.chunked_array([pa.array([_float_or_nan(cell) for cell in column.to_pylist()], type=pa.float64())])
    return np.asarray(cast.fill_null(math.nan).to_numpy(), dtype=np.float64), missing


def _blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(["", "null", "none"], type=column.type))
    return pc.if_else(blank, pa.scalar(None, type=column.type), trimmed)


def _float_or_nan(cell: Any) -> float:
    try:
        return float(cell) if cell is not None else math.nan
    except (TypeError, ValueError):
        return math.nan


def to_ts_ms(column: pa.ChunkedArray, mapping: ColumnMapping) -> tuple[Ints, Mask]:
    """UTC milliseconds, `NO_TS` where unreadable, and where the cell is empty; shapes (n,).

    Raises
    ------
    InvalidInput
        An unknown zone, a zone given for times that name their own, or a fraction of a millisecond.
    """
    column = _blank_to_null(column)
    missing = column.is_null().to_numpy().astype(np.bool_)
    if pa.types.is_temporal(column.type):
        ts_ms = _from_timestamps(column, mapping.tz)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        ts_ms = _from_text(column, mapping)
    else:
        ts_ms = _shifted(_from_numbers(column, mapping.unit), mapping.tz)
    ts_ms[missing] = NO_TS
    return ts_ms, missing


def _from_timestamps(column: pa.ChunkedArray, tz: str | None) -> Ints:
    aware = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if aware and tz is not None:
        raise _own_zone(tz)
    stamps = column if pa.types.is_timestamp(column.type) else column.cast(pa.timestamp("ms"))
    return _shifted(_from_numbers(stamps.cast(pa.int64()), stamps.type.unit), tz)


def _from_numbers(column: pa.ChunkedArray, unit: str | None) -> Ints:
    if pa.types.is_floating(column.type):
        floats = np.asarray(column.fill_null(math.nan).to_numpy(), dtype=np.float64)
        whole = np.isfinite(floats) & (floats == np.rint(floats)) & (np.abs(floats) < 2.0**63)
        numbers = np.where(whole, floats, 0).astype(np.int64)
    else:
        numbers = np.array(column.cast(pa.int64()).fill_null(0).to_numpy(), dtype=np.int64)
        whole = np.ones(len(numbers), dtype=np.bool_)
    times, divide = _PER_MS[unit or _unit_by_size(numbers[whole])]
    fits = np.abs(numbers) < 2**62 // times
    return np.where(whole & fits & (numbers % divide == 0), numbers * times // divide, NO_TS).astype(np.int64)


def _unit_by_size(numbers: Ints) -> str:
    """Seconds of this century are below 1e11, milliseconds below 1e14, microseconds below 1e17."""
    typical = float(np.median(np.abs(numbers))) if len(numbers) else 0.0
    return "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"


def _from_text(column: pa.ChunkedArray, mapping: ColumnMapping) -> Ints:
    numbers = pc.match_substring_regex(column.drop_null(), r"^-?[0-9]{8,}(\.0*)?$")
    if len(numbers) and mapping.time_format is None and float(pc.mean(numbers.cast(pa.int8())).as_py()) > 0.5:
        return _shifted(_from_digits(column, mapping.unit), mapping.tz)
    if mapping.time_format is None:
        try:  # the common case at C speed: ISO, all naive
            fast = column.cast(pa.timestamp("ms")).cast(pa.int64()).fill_null(NO_TS).to_numpy()
            return _shifted(np.array(fast, dtype=np.int64), mapping.tz)
        except pa.ArrowInvalid:
            pass
        try:  # ISO, all with a zone
            aware = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).fill_null(NO_TS).to_numpy()
        except pa.ArrowInvalid:
            return _cell_by_cell(column, mapping)
        if mapping.tz is not None:
            raise _own_zone(mapping.tz)
        return np.array(aware, dtype=np.int64)
    return _cell_by_cell(column, mapping)


def _from_digits(column: pa.ChunkedArray, unit: str | None) -> Ints:
    floats, _ = to_floats(column)
    whole = np.isfinite(floats) & (np.abs(floats) < 2.0**63)
    exact = [int(cell.partition(".")[0]) if ok else 0 for cell, ok in zip(column.to_pylist(), whole.tolist(), strict=True)]
    ts_ms = _from_numbers(pa.chunked_array([pa.array(exact, type=pa.int64())]), unit)
    ts_ms[~whole] = NO_TS
    return ts_ms


def _cell_by_cell(column: pa.ChunkedArray, mapping: ColumnMapping) -> Ints:
    cells = column.to_pylist()
    parse = _parser(cells, mapping.time_format)
    moments = [parse(cell) if cell is not None else None for cell in cells]
    if mapping.tz is not None and any(moment is not None and moment.tzinfo is not None for moment in moments):
        raise _own_zone(mapping.tz)
    naive = np.asarray([moment is not None and moment.tzinfo is None for moment in moments], dtype=np.bool_)
    ts_ms = np.asarray([NO_TS if moment is None else _ms(moment) for moment in moments], dtype=np.int64)
    shifted = _shifted(ts_ms.copy(), mapping.tz)
    return np.where(naive, shifted, ts_ms)


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _parser(cells: list[str | None], time_format: str | None) -> Callable[[str], datetime | None]:
    """The given format, or the first known one that reads the first cells; ISO 8601 otherwise."""
    sample = [cell for cell in cells if cell is not None][:3]
    formats = (time_format,) if time_format else KNOWN_FORMATS
    chosen = next((form for form in formats if time_format or all(_strptime(cell, form) for cell in sample)), None)
    if chosen is None:
        return _iso
    return lambda cell: _strptime(cell, chosen)


def _strptime(cell: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(cell, form)
    except ValueError:
        return None


def _iso(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _own_zone(tz: str) -> InvalidInput:
    return InvalidInput(f"--tz {tz}", why="the file's times name their own zone", fix="leave --tz out")


def _shifted(ts_ms: NDArray[np.int64], tz: str | None) -> Ints:
    """Local times to UTC."""
    if tz is None:
        return ts_ms
    known = ts_ms != NO_TS
    offset_ms = _fixed_offset_ms(tz)
    if offset_ms is not None:
        return np.where(known, ts_ms - offset_ms, ts_ms)
    try:
        ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"--tz {tz}", why="not a known zone", fix="write it like UTC+3, +05:30 or Europe/Istanbul") from None
    local = pa.array(np.where(known, ts_ms, 0)).cast(pa.timestamp("ms"))
    try:
        utc = pc.assume_timezone(local, tz, ambiguous="raise", nonexistent="raise").cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"--tz {tz}", why=f"a time is not unique there: {error}", fix="use a fixed offset such as UTC+3") from error
    return np.where(known, utc, ts_ms)


def _fixed_offset_ms(tz: str) -> int | None:
    match = re.fullmatch(r"(?:UTC|GMT)?(?:([+-])(\d{1,2})(?::?(\d{2}))?)?", tz.strip(), re.IGNORECASE)
    if match is None or not tz.strip():
        return None
    minutes = int(match[2] or 0) * 60 + int(match[3] or 0)
    return (-1 if match[1] == "-" else 1) * minutes * 60_000
