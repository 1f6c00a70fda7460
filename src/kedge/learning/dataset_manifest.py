"""The document of a frozen data set: what is in it, from which raw files, and by which hashes its bytes are found.

SHA-256 of its canonical bytes names the data set in every record. `dataset` builds it from bars, and reads the bars back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import IntegrityError
from kedge.domain.instrument import Instrument, InstrumentId, NonNegativeInt
from kedge.domain.record import DataSource

DATASET_FORMAT: Final = "kedge/dataset/v1"


class PartManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one instrument's share; `columns_sha256` and `funding_sha256` name its bytes."""

    instrument: InstrumentId
    records: tuple[Instrument, ...]
    sources: tuple[DataSource, ...]
    rows: NonNegativeInt
    first_ts_ns: int
    last_ts_ns: int
    gaps: NonNegativeInt
    missing_bars: NonNegativeInt
    quarantined: dict[str, int]
    columns_sha256: str
    funding_rows: NonNegativeInt
    funding_sources: tuple[DataSource, ...]
    funding_sha256: str


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The data set's document: SHA-256 of its canonical bytes is the data set's name.

    `first_ts_ns` and `last_ts_ns` are the span that is in it (first opening, last closing time), after any cut.
    """

    interval_ns: int
    rows: NonNegativeInt
    first_ts_ns: int
    last_ts_ns: int
    parts: tuple[PartManifest, ...]
    format: str = DATASET_FORMAT

    def columns(self) -> Iterator[tuple[str, str]]:
        """`(what, SHA-256)` of the bytes that the manifest names."""
        for part in self.parts:
            yield f"bars of {part.instrument}", part.columns_sha256
            yield f"settlements of {part.instrument}", part.funding_sha256


def dataset_sha256(manifest: DatasetManifest) -> str:
    """The data set's name in every record."""
    return digest(encode(manifest))


def decode_manifest(data: bytes, *, sha256: str) -> DatasetManifest:
    """Read the document of a data set whose bytes were checked against its name.

    Raises
    ------
    IntegrityError
        It is no data set of this format.
    """
    try:
        manifest = msgspec.json.decode(data, type=DatasetManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"data set {sha256[:16]}: {error}", why="another format", fix="read it with the version that wrote it"
        ) from None
    if manifest.format != DATASET_FORMAT:
        raise IntegrityError(
            f"data set {sha256[:16]} is of format {manifest.format!r}", why=f"this version reads {DATASET_FORMAT}", fix="freeze it again"
        )
    return manifest
