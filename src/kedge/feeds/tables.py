"""Files as columns of cells, whatever their format: CSV (also compressed), Parquet, Feather, freqtrade JSON.

Rules: CSV cells stay text, so that nothing is lost before validation; a row that cannot be split into cells is kept with its number.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as pa_feather
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from kedge.domain.errors import InvalidInput, NotFound

_SNIFF_BYTES: Final = 65_536
_HASH_BYTES: Final = 1 << 20
_DELIMITERS: Final = (",", ";", "\t")
_COMPRESSED: Final = (".gz", ".zst", ".bz2")


@dataclass(frozen=True, slots=True, eq=False)
class SourceTable:
    """Cells of one file.

    Attributes
    ----------
    names : tuple of str
        Column names, or '1', '2', ... where the file has none.
    named : bool
        Whether the names came from the file.
    columns : tuple of arrow arrays
        One per name, all of one length.
    row_number : int64 array, shape (n,)
        1-based data row of each row.
    malformed : tuple of (row number, text)
        Rows that could not be split into cells.
    """

    names: tuple[str, ...]
    named: bool
    columns: tuple[pa.ChunkedArray, ...]
    row_number: NDArray[np.int64]
    malformed: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.row_number)

    def texts(self, positions: tuple[int, ...]) -> Callable[[int], tuple[str, ...]]:
        """A function from row to the cells at `positions` as text; '' where the cell is empty."""
        chosen = [self.columns[position] for position in positions]

        def row(at: int) -> tuple[str, ...]:
            cells = (column[at].as_py() for column in chosen)
            return tuple("" if cell is None else str(cell) for cell in cells)

        return row


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_HASH_BYTES):
            sha.update(part)
    return sha.hexdigest()


def read_table(path: Path, *, header: bool | None = None) -> SourceTable:
    """Read a file by its suffix.

    Raises
    ------
    NotFound
        No such file.
    InvalidInput
        Empty, of an unknown format, or damaged.
    """
    if not path.is_file():
        raise NotFound(f"no file {path}", why="nothing is there, or it is a folder", fix="check the path")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path.name} is empty", why="it has 0 bytes", fix="fetch it again")
    suffix = Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix
    reader = _READERS.get(suffix.lower())
    if reader is None:
        raise InvalidInput(
            f"{path.name}: format {suffix or 'without suffix'!r}", why="not one that is read", fix=f"use one of {', '.join(_READERS)}"
        )
    try:
        table = reader(path, header)
    except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError, json.JSONDecodeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{path.name} cannot be read", why=why, fix="the file is damaged or not what its suffix says; fetch it again"
        ) from error
    if len(table) == 0 and not table.malformed:
        raise InvalidInput(f"{path.name} has no rows", why="there is nothing to import", fix="fetch it again")
    return table


def _read_arrow(table: pa.Table) -> SourceTable:
    return SourceTable(tuple(table.column_names), True, tuple(table.columns), np.arange(1, table.num_rows + 1, dtype=np.int64))


def _read_parquet(path: Path, _header: bool | None) -> SourceTable:
    return _read_arrow(pa_parquet.read_table(path))


def _read_feather(path: Path, _header: bool | None) -> SourceTable:
    return _read_arrow(pa_feather.read_table(path))


def _read_json(path: Path, _header: bool | None) -> SourceTable:
    """Freqtrade: one list of rows `[ms, open, high, low, close, volume]`."""
    with pa.input_stream(str(path), compression="detect") as stream:
        try:
            rows = json.loads(stream.read())
        except RecursionError:
            raise InvalidInput(
                f"{path.name} is nested too deeply", why="freqtrade JSON is a list of rows", fix="convert it to CSV"
            ) from None
    if not isinstance(rows, list):
        raise InvalidInput(
            f"{path.name} holds no list of rows", why="freqtrade JSON is a list of [ms, o, h, l, c, v]", fix="convert it to CSV"
        )
    width = max((len(row) for row in rows if isinstance(row, list)), default=6)
    whole = [isinstance(row, list) and len(row) == width for row in rows]
    good = [row for row, fits in zip(rows, whole, strict=True) if fits]
    malformed = tuple((n, json.dumps(row)) for n, (row, fits) in enumerate(zip(rows, whole, strict=True), 1) if not fits)
    columns = tuple(pa.chunked_array([_json_column([row[at] for row in good])]) for at in range(width))
    numbers = np.flatnonzero(np.asarray(whole, dtype=np.bool_)).astype(np.int64) + 1
    return SourceTable(tuple(str(at + 1) for at in range(width)), False, columns, numbers, malformed)


def _json_column(cells: list[Any]) -> pa.Array:
    """Numbers as they are; a column with anything else as text, for validation to judge."""
    if all(cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)) for cell in cells):
        integers = all(cell is None or isinstance(cell, int) for cell in cells)
        return pa.array(cells if integers else [None if cell is None else float(cell) for cell in cells])
    return pa.array([None if cell is None else str(cell) for cell in cells], type=pa.string())


def _read_csv(path: Path, header: bool | None) -> SourceTable:
    first, skip, delimiter = _first_cells(path)
    named = _looks_like_header(first) if header is None else header
    names = tuple(cell.strip() for cell in first) if named else tuple(str(at + 1) for at in range(len(first)))
    if len(set(names)) != len(names):
        raise InvalidInput(f"{path.name}: columns {', '.join(names)}", why="two columns have one name", fix="rename one of them")
    dropped: list[tuple[int, str]] = []

    def keep(row: pa_csv.InvalidRow) -> str:
        dropped.append((row.number - skip - (1 if named else 0), row.text))
        return "skip"

    with pa.input_stream(str(path), compression="detect") as stream:
        table = pa_csv.read_csv(
            stream,
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=skip + (1 if named else 0)),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=keep),
            convert_options=pa_csv.ConvertOptions(column_types={name: pa.string() for name in names}),
        )
    numbers = np.arange(1, table.num_rows + len(dropped) + 1, dtype=np.int64)
    numbers = numbers[~np.isin(numbers, [number for number, _ in dropped])]
    return SourceTable(names, named, tuple(table.columns), numbers, tuple(dropped))


def _first_cells(path: Path) -> tuple[list[str], int, str]:
    """The cells of the first line that is not a source's address, how many lines came before it, and the delimiter."""
    with pa.input_stream(str(path), compression="detect") as stream:
        lines = stream.read(_SNIFF_BYTES).decode("utf-8-sig").splitlines()
    skip = 1 if lines and lines[0].startswith(("http://", "https://", "#")) else 0
    if len(lines) <= skip or not lines[skip].strip():
        raise InvalidInput(f"{path.name} has no rows", why="the first line is empty", fix="fetch it again")
    delimiter = next((mark for mark in _DELIMITERS if mark in lines[skip]), _DELIMITERS[0])
    return next(csv.reader([lines[skip]], delimiter=delimiter)), skip, delimiter


def _looks_like_header(cells: list[str]) -> bool:
    def is_number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    return not any(is_number(cell) for cell in cells)


_READERS: Final[dict[str, Callable[[Path, bool | None], SourceTable]]] = {
    ".csv": _read_csv,
    ".txt": _read_csv,
    ".parquet": _read_parquet,
    ".feather": _read_feather,
    ".arrow": _read_feather,
    ".json": _read_json,
}
