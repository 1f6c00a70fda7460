"""Columns of a data set as canonical bytes: one header line, then int64 after int64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.domain.instrument import NonNegativeInt
from kedge.market.bars import Ints

COLUMNS_FORMAT: Final = "kedge/columns/v1"


def encode_columns(columns: Mapping[str, Ints]) -> bytes:
    """Columns as canonical bytes: a JSON header line (format, names, rows), LF, then each column as little-endian int64.

    Raises
    ------
    InvalidInput
        The columns differ in length or are not int64.
    """
    rows = {len(column) for column in columns.values()}
    kinds = {str(column.dtype) for column in columns.values()}
    if len(rows) != 1 or kinds != {"int64"}:
        raise InvalidInput(f"columns of {sorted(rows)} rows and types {sorted(kinds)}", why="one length, int64", fix="align them first")
    header = encode({"columns": list(columns), "format": COLUMNS_FORMAT, "rows": rows.pop()})
    return b"".join([header, b"\n", *(np.ascontiguousarray(column, "<i8").tobytes() for column in columns.values())])


class _Header(msgspec.Struct, frozen=True):
    columns: list[str]
    format: str
    rows: NonNegativeInt


def decode_columns(data: bytes) -> dict[str, Ints]:
    """The inverse of `encode_columns`; arrays of its own, shape (rows,).

    Raises
    ------
    IntegrityError
        The header cannot be read, or the bytes are more or fewer than it says.
    """
    head, _, body = data.partition(b"\n")
    fix = "restore the blob, or freeze the data set again from its raw files"
    try:
        header = msgspec.json.decode(head, type=_Header)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise IntegrityError(f"columns without a readable header: {error}", why=f"expected {COLUMNS_FORMAT}", fix=fix) from None
    if header.format != COLUMNS_FORMAT or len(body) != 8 * header.rows * len(header.columns):
        raise IntegrityError(
            f"columns of format {header.format!r}, {len(body)} bytes",
            why=f"{header.rows} rows of {len(header.columns)} columns in {COLUMNS_FORMAT} are 8 bytes a cell",
            fix=fix,
        )
    cells = np.frombuffer(body, "<i8").astype(np.int64).reshape(len(header.columns), header.rows)
    return {name: cells[n].copy() for n, name in enumerate(header.columns)}
