"""A frozen data set: what a model was trained on, as bytes that anyone can hash again.

Rules: columns are int64 on the instrument's grid, little-endian, one after another behind a header line; their SHA-256 stands in the
manifest, and the manifest's SHA-256 is the data set's name. Bars and settlements keep the hash of the raw file they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.record import DataSource
from kedge.learning.dataset_columns import decode_columns, encode_columns
from kedge.learning.dataset_manifest import DatasetManifest, PartManifest, decode_manifest
from kedge.learning.feature_rows import Settlements
from kedge.market.grid_bars import GridBars

__all__ = [
    "BAR_COLUMNS",
    "FUNDING_COLUMNS",
    "NO_FUNDINGS",
    "Dataset",
    "Frozen",
    "Part",
    "decode_columns",
    "encode_columns",
    "freeze",
    "thaw",
]

BAR_COLUMNS: Final = ("open_ts_ns", "close_ts_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
FUNDING_COLUMNS: Final = ("ts_ns", "rate_e8")


NO_FUNDINGS: Final = Settlements(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One instrument's share of a data set.

    Attributes
    ----------
    records : tuple of Instrument
        The dated records in force over the bars, ascending by `valid_from_ns`; ticks of a bar are those of its record.
    sources, funding_sources : tuple of DataSource
        The raw files, by hash.
    quarantined : mapping
        Rows of the raw files that were set aside, by rule.
    """

    records: tuple[Instrument, ...]
    bars: GridBars
    sources: tuple[DataSource, ...]
    fundings: Settlements = NO_FUNDINGS
    funding_sources: tuple[DataSource, ...] = ()
    quarantined: Mapping[str, int] = field(default_factory=dict)

    @property
    def instrument_id(self) -> InstrumentId:
        return self.records[0].instrument_id


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Bars and settlements of one or more instruments, all of one interval, ordered by instrument id."""

    interval_ns: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        _check(self)

    @property
    def instruments(self) -> tuple[InstrumentId, ...]:
        return tuple(part.instrument_id for part in self.parts)

    @property
    def rows(self) -> int:
        return sum(len(part.bars) for part in self.parts)

    @property
    def first_ts_ns(self) -> int:
        """Opening time of the first bar."""
        return min(int(part.bars.open_ts_ns[0]) for part in self.parts)

    @property
    def last_ts_ns(self) -> int:
        """Closing time of the last bar."""
        return max(int(part.bars.close_ts_ns[-1]) for part in self.parts)

    def time_at(self, numerator: int, denominator: int) -> int:
        """The moment at which this fraction of the span has passed, rounded down to a whole interval from the first bar.

        `time_at(2, 3)` ends the first two thirds: `take(None, cut)` and `take(cut, None)` share no bar.
        """
        if not 0 < numerator < denominator:
            raise InvalidInput(f"fraction {numerator}/{denominator}", why="both sides of a cut need bars", fix="use one such as 2/3")
        span_ns = self.last_ts_ns - self.first_ts_ns
        return self.first_ts_ns + span_ns * numerator // denominator // self.interval_ns * self.interval_ns

    def take(self, from_ns: int | None = None, to_ns: int | None = None) -> Dataset:
        """Bars that open at or after `from_ns` and close at or before `to_ns`, settlements in `[from_ns, to_ns]`.

        Raises
        ------
        InvalidInput
            An instrument has no bar in the span.
        """
        return Dataset(self.interval_ns, tuple(_take(part, from_ns, to_ns) for part in self.parts))


class Frozen(NamedTuple):
    """A data set as it is stored: its name, its document, and the bytes that the document names, by SHA-256."""

    sha256: str
    manifest: DatasetManifest
    blobs: dict[str, bytes]


def freeze(dataset: Dataset) -> Frozen:
    """The document of a data set with all the bytes it names (columns of bars, columns of settlements, and the document itself)."""
    blobs: dict[str, bytes] = {}
    manifest = DatasetManifest(
        interval_ns=dataset.interval_ns,
        rows=dataset.rows,
        first_ts_ns=dataset.first_ts_ns,
        last_ts_ns=dataset.last_ts_ns,
        parts=tuple(_freeze(part, dataset.interval_ns, blobs) for part in dataset.parts),
    )
    return Frozen(_keep(encode(manifest), blobs), manifest, blobs)


def thaw(sha256: str, blob: Callable[[str], bytes]) -> tuple[Dataset, DatasetManifest]:
    """Read a data set back by its name; `blob` gives the bytes of a hash.

    Raises
    ------
    IntegrityError
        Bytes that do not have the hash they are asked for by, another format, or columns that are not those of bars.
    """
    manifest = decode_manifest(_verified(sha256, blob), sha256=sha256)
    parts = tuple(_thaw(part, blob) for part in manifest.parts)
    return Dataset(manifest.interval_ns, parts), manifest


def _check(dataset: Dataset) -> None:
    ids = list(dataset.instruments)
    if not ids or ids != sorted(set(ids)):
        raise InvalidInput(f"data set of {ids}", why="one part per instrument, ordered by instrument id", fix="sort the parts, join files")
    for part in dataset.parts:
        lengths = part.bars.close_ts_ns - part.bars.open_ts_ns
        if not len(lengths):
            raise InvalidInput(f"{part.instrument_id} has no bars in the data set", why="nothing to learn from", fix="widen the span")
        if bool((lengths != dataset.interval_ns).any()):
            raise InvalidInput(
                f"{part.instrument_id}: a bar of {int(lengths[lengths != dataset.interval_ns][0])} ns",
                why=f"the data set's interval is {dataset.interval_ns} ns",
                fix="use files of one interval",
            )
        if bool((np.diff(part.bars.open_ts_ns) < dataset.interval_ns).any()) or bool((np.diff(part.fundings.ts_ns) <= 0).any()):
            raise InvalidInput(
                f"{part.instrument_id}: bars or settlements do not ascend", why="time runs forwards", fix="validate the files first"
            )


def _take(part: Part, from_ns: int | None, to_ns: int | None) -> Part:
    low = 0 if from_ns is None else int(np.searchsorted(part.bars.open_ts_ns, from_ns, "left"))
    high = len(part.bars) if to_ns is None else int(np.searchsorted(part.bars.close_ts_ns, to_ns, "right"))
    bars = GridBars(**{name: getattr(part.bars, name)[low : max(low, high)] for name in BAR_COLUMNS})
    first = 0 if from_ns is None else int(np.searchsorted(part.fundings.ts_ns, from_ns, "left"))
    last = len(part.fundings.ts_ns) if to_ns is None else int(np.searchsorted(part.fundings.ts_ns, to_ns, "right"))
    return replace(part, bars=bars, fundings=Settlements(part.fundings.ts_ns[first:last], part.fundings.rate_e8[first:last]))


def _keep(data: bytes, blobs: dict[str, bytes]) -> str:
    sha256 = digest(data)
    blobs[sha256] = data
    return sha256


def _freeze(part: Part, interval_ns: int, blobs: dict[str, bytes]) -> PartManifest:
    bars = part.bars
    holes_ns = bars.open_ts_ns[1:] - bars.close_ts_ns[:-1]
    return PartManifest(
        instrument=part.instrument_id,
        records=part.records,
        sources=part.sources,
        rows=len(bars),
        first_ts_ns=int(bars.open_ts_ns[0]),
        last_ts_ns=int(bars.close_ts_ns[-1]),
        gaps=int(np.count_nonzero(holes_ns)),
        missing_bars=int(holes_ns.sum()) // interval_ns,
        quarantined=dict(sorted(part.quarantined.items())),
        columns_sha256=_keep(encode_columns({name: getattr(bars, name) for name in BAR_COLUMNS}), blobs),
        funding_rows=len(part.fundings.ts_ns),
        funding_sources=part.funding_sources,
        funding_sha256=_keep(encode_columns({name: getattr(part.fundings, name) for name in FUNDING_COLUMNS}), blobs),
    )


def _verified(sha256: str, blob: Callable[[str], bytes]) -> bytes:
    data = blob(sha256)
    found = digest(data)
    if found != sha256:
        raise IntegrityError(
            f"blob {sha256[:16]} has other bytes than its name says",
            why=f"SHA-256 is {found}",
            fix="keep it as evidence; restore the blob, or freeze the data set again from its raw files",
        )
    return data


def _thaw(part: PartManifest, blob: Callable[[str], bytes]) -> Part:
    bars, fundings = decode_columns(_verified(part.columns_sha256, blob)), decode_columns(_verified(part.funding_sha256, blob))
    if tuple(bars) != BAR_COLUMNS or tuple(fundings) != FUNDING_COLUMNS:
        raise IntegrityError(
            f"{part.instrument}: columns {', '.join(bars)} and {', '.join(fundings)}",
            why=f"bars have {', '.join(BAR_COLUMNS)}, settlements {', '.join(FUNDING_COLUMNS)}",
            fix="freeze the data set again from its raw files",
        )
    return Part(
        records=part.records,
        bars=GridBars(**bars),
        sources=part.sources,
        fundings=Settlements(**fundings),
        funding_sources=part.funding_sources,
        quarantined=part.quarantined,
    )
