"""Funding rates from a file, exact in 1e-8. Rule: rates come from text or from the shortest text of a float, never rounded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kedge.feeds.bar_files import choose_instrument, leave_out
from kedge.feeds.cells import to_floats, to_ts_ms
from kedge.feeds.mapping import FUNDING_FIELDS, ColumnMapping, resolve
from kedge.feeds.tables import file_sha256, read_table
from kedge.market.funding import ValidatedFunding, validate_funding


@dataclass(frozen=True, slots=True, eq=False)
class FundingFile:
    """A file read and judged: settlements, its label and the SHA-256 of its bytes."""

    funding: ValidatedFunding
    label: str
    sha256: str


def read_funding(path: Path, *, mapping: ColumnMapping | None = None, symbol: str | None = None, tz: str | None = None) -> FundingFile:
    """Read settlements (`ts`, `rate`) of one instrument; errors as for `read_bars`."""
    mapping = (mapping or ColumnMapping()).with_tz(tz)
    source = read_table(path, header=mapping.header)
    at = resolve(mapping, source.names, named=source.named, wanted=FUNDING_FIELDS, file=path.name)
    label, foreign, others = choose_instrument(source, at, symbol, path)
    source, _ = leave_out(source, foreign, others)
    ts_ms, _ = to_ts_ms(source.columns[at["ts"]], mapping)
    rate, _ = to_floats(source.columns[at["rate"]])
    row = source.texts((at["ts"], at["rate"]))
    texts = tuple((cells[0], cells[1]) for cells in map(row, range(len(source))))
    return FundingFile(validate_funding(label, ts_ms, rate, texts), path.name, file_sha256(path))


def is_funding(path: Path, mapping: ColumnMapping | None = None) -> bool:
    """Whether a file has a rate column and no closing price."""
    names = [name.strip().lower() for name in read_table(path, header=mapping.header if mapping else None).names]
    return any("rate" in name for name in names) and "close" not in names
