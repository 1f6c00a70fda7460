"""Data sets addressed by their content: accepted bars, quarantined rows and a manifest, written once.

Rules: the hash covers canonical column bytes, so compression and file format do not matter; a snapshot appears whole (written
aside, synced, renamed) or not at all, is never overwritten, and is checked against its hash whenever it is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound, RecordingFailed
from kedge.market.bars import FIELDS, BarTable
from kedge.market.findings import QuarantinedRow, Rule, count_by_code
from kedge.market.gaps import find_gaps
from kedge.storage.blobs import make_folder

FORMAT: Final = "kedge/bars/v1"
BARS_FILE: Final = "bars.parquet"
QUARANTINE_FILE: Final = "quarantine.parquet"
MANIFEST_FILE: Final = "manifest.json"
PREFIX_MIN: Final = 8


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The grid that the bars were validated on, in 1e-8."""

    tick_e8: int
    lot_e8: int


class SnapshotMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller knows: where the rows came from (a label, never a path), how many, and on which grid they were judged."""

    source: str
    source_sha256: str
    source_rows: int
    grid: Grid | None = None
    findings: dict[str, int] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot holds. `gaps` are (first missing bar's `ts_ms`, count of missing bars)."""

    sha256: str
    data_sha256: str
    symbol: str
    interval_ms: int
    rows: int
    first_ts_ms: int
    last_ts_ms: int
    gaps: tuple[tuple[int, int], ...]
    quarantine_rows: int
    quarantine_codes: dict[str, int]
    meta: SnapshotMeta
    format: str = FORMAT


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot read back and checked."""

    manifest: Manifest
    bars: BarTable
    quarantine: tuple[QuarantinedRow, ...]


def data_sha256(bars: BarTable) -> str:
    """SHA-256 of the six columns: a header line, then each column as little-endian 8-byte values, -0.0 as 0.0."""
    sha = hashlib.sha256(encode({"columns": FIELDS, "format": FORMAT, "interval_ms": bars.interval_ms, "rows": len(bars)}) + b"\n")
    sha.update(bars.ts_ms.astype("<i8").tobytes())
    for column in bars.columns[1:]:
        sha.update((column + 0.0).astype("<f8").tobytes())
    return sha.hexdigest()


def snapshot_sha256(bars: BarTable, quarantine: Sequence[QuarantinedRow], grid: Grid | None) -> str:
    """The address: the bars, the label, the grid they were judged on, and every quarantined row."""
    head = {
        "data": data_sha256(bars),
        "grid": grid,
        "quarantine": [[row.row_number, [code.value for code in row.codes], row.values] for row in quarantine],
        "symbol": bars.symbol,
    }
    return hashlib.sha256(encode(head)).hexdigest()


class SnapshotStore:
    """Snapshots in one folder, `<first two digits>/<hash>/`.

    Parameters
    ----------
    folder : Path
        Created when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, accepted: BarTable, quarantine: Sequence[QuarantinedRow], meta: SnapshotMeta) -> Manifest:
        """Keep a validated table; the same content again returns the manifest that is there.

        Raises
        ------
        InvalidInput
            No bars, or bars that do not ascend.
        RecordingFailed
            The disk is full or refuses; nothing is left behind.
        """
        manifest = _manifest(accepted, quarantine, meta)
        target = self._path(manifest.sha256)
        if target.is_dir():
            return self._read_manifest(target)
        try:
            return self._write(target, accepted, quarantine, manifest)
        except OSError as error:
            raise RecordingFailed(
                f"snapshot {manifest.sha256[:12]} could not be written: {error.strerror or error}",
                why="the disk is full or refuses; nothing was kept",
                fix=f"free space under {self.folder}, or name another folder with --store",
            ) from error

    def get(self, sha256: str) -> Snapshot:
        """Read a snapshot by its hash, or by its first 8 digits or more, and check it.

        Raises
        ------
        NotFound
            None, or more than one, has this hash.
        IntegrityError
            The files do not give the hash.
        """
        target = self._find(sha256)
        manifest = self._read_manifest(target)
        try:
            table = pa_parquet.read_table(target / BARS_FILE)
            rows = pa_parquet.read_table(target / QUARANTINE_FILE).to_pylist()
            columns = [table.column(name).to_numpy() for name in FIELDS]
            quarantine = tuple(QuarantinedRow(row["row"], tuple(Rule(code) for code in row["codes"]), tuple(row["values"])) for row in rows)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _damaged(target.name, str(error)) from error
        bars = BarTable.of(*columns, interval_ms=manifest.interval_ms, symbol=manifest.symbol)
        if snapshot_sha256(bars, quarantine, manifest.meta.grid) != target.name or manifest.sha256 != target.name:
            raise _damaged(target.name, "its content gives another hash")
        if _manifest(bars, quarantine, manifest.meta) != manifest:
            raise _damaged(target.name, "its manifest does not describe its bars")
        return Snapshot(manifest=manifest, bars=bars, quarantine=quarantine)

    def manifests(self) -> list[Manifest]:
        """Every snapshot's manifest, in the order of their hashes."""
        return [self._read_manifest(path) for path in sorted(self.folder.glob("??/" + "[0-9a-f]" * 64))]

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _find(self, sha256: str) -> Path:
        if not re.fullmatch(rf"[0-9a-f]{{{PREFIX_MIN},64}}", sha256):
            raise NotFound(
                f"snapshot {sha256!r}",
                why=f"not {PREFIX_MIN} to 64 hexadecimal digits",
                fix="copy the hash that `kedge data import` printed",
            )
        found = sorted(self.folder.glob(f"{sha256[:2]}/{sha256}*"))
        if len(found) != 1:
            why = "the store holds none" if not found else f"{len(found)} snapshots begin so"
            raise NotFound(
                f"snapshot {sha256}", why=why, fix="give more digits" if found else "import the file again, or name the store with --store"
            )
        return found[0]

    def _read_manifest(self, target: Path) -> Manifest:
        try:
            return msgspec.json.decode((target / MANIFEST_FILE).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise _damaged(target.name, str(error)) from error

    def _write(self, target: Path, bars: BarTable, quarantine: Sequence[QuarantinedRow], manifest: Manifest) -> Manifest:
        make_folder(self.folder)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder))
        try:
            pa_parquet.write_table(_bars_table(bars), aside / BARS_FILE, compression="zstd")
            pa_parquet.write_table(_quarantine_table(quarantine), aside / QUARANTINE_FILE, compression="zstd")
            (aside / MANIFEST_FILE).write_bytes(msgspec.json.format(encode(manifest)) + b"\n")
            for name in (BARS_FILE, QUARANTINE_FILE, MANIFEST_FILE):
                _sync(aside / name)
            _sync(aside)
            target.parent.mkdir(exist_ok=True)
            try:
                aside.rename(target)
            except OSError:
                if target.is_dir():  # somebody else was faster with the same content
                    return self._read_manifest(target)
                raise
            _sync(target.parent)
            _sync(self.folder)
            return manifest
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _manifest(bars: BarTable, quarantine: Sequence[QuarantinedRow], meta: SnapshotMeta) -> Manifest:
    if len(bars) == 0:
        raise InvalidInput(f"{meta.source}: no bar was accepted", why="a snapshot of nothing has no span", fix="see the quarantine")
    if bool((np.diff(bars.ts_ms) <= 0).any()):
        raise InvalidInput(f"{meta.source}: bars do not ascend", why="a snapshot holds validated bars", fix="validate the table first")
    return Manifest(
        sha256=snapshot_sha256(bars, quarantine, meta.grid),
        data_sha256=data_sha256(bars),
        symbol=bars.symbol,
        interval_ms=bars.interval_ms,
        rows=len(bars),
        first_ts_ms=int(bars.ts_ms[0]),
        last_ts_ms=int(bars.ts_ms[-1]),
        gaps=tuple((gap.start_ms, gap.count) for gap in find_gaps(bars.ts_ms, bars.interval_ms)),
        quarantine_rows=len(quarantine),
        quarantine_codes=count_by_code(quarantine),
        meta=meta,
    )


def _bars_table(bars: BarTable) -> pa.Table:
    return pa.table({name: column if name == "ts" else column + 0.0 for name, column in zip(FIELDS, bars.columns, strict=True)})


def _quarantine_table(quarantine: Sequence[QuarantinedRow]) -> pa.Table:
    texts = pa.list_(pa.string())
    return pa.table(
        {
            "row": pa.array([row.row_number for row in quarantine], type=pa.int64()),
            "codes": pa.array([[code.value for code in row.codes] for row in quarantine], type=texts),
            "values": pa.array([list(row.values) for row in quarantine], type=texts),
        }
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(name: str, why: str) -> IntegrityError:
    return IntegrityError(f"snapshot {name[:12]} is damaged", why=why, fix="import the file again; keep the damaged folder as evidence")
