from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pa_parquet
import pytest

from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.market.bars import BarTable
from kedge.market.findings import QuarantinedRow, Rule
from kedge.storage.snapshots import BARS_FILE, MANIFEST_FILE, QUARANTINE_FILE, Grid, Manifest, SnapshotMeta, SnapshotStore, data_sha256

META = SnapshotMeta(source="x.csv", source_sha256="0" * 64, source_rows=52)
BAD = (QuarantinedRow(7, (Rule.NOT_FINITE, Rule.NEGATIVE_VOLUME), ("1", "x", "3", "4", "5", "-6")),)


def bars(n: int = 50) -> BarTable:
    ts = np.concatenate((np.arange(n), np.arange(n + 3, n + 4))) * 60_000
    price = 100.0 + np.arange(n + 1)
    return BarTable.of(ts, price, price + 1, price - 1, price, price * 0.001, interval_ms=60_000, symbol="TESTUSDT")


def folder_of(store: SnapshotStore, manifest: Manifest) -> Path:
    return store.folder / manifest.sha256[:2] / manifest.sha256


def test_what_is_kept_comes_back_checked(tmp_path: Path):
    store = SnapshotStore(tmp_path / "new" / "store")
    manifest = store.put(bars(), BAD, META)
    got = store.get(manifest.sha256)
    assert got.manifest == manifest == store.get(manifest.sha256[:8]).manifest
    assert got.quarantine == BAD
    assert all(np.array_equal(a, b) for a, b in zip(got.bars.columns, bars().columns, strict=True))
    assert store.manifests() == [manifest]


def test_the_manifest_says_what_is_there(tmp_path: Path):
    manifest = SnapshotStore(tmp_path).put(bars(), BAD, META)
    assert (manifest.rows, manifest.first_ts_ms, manifest.last_ts_ms) == (51, 0, 53 * 60_000)
    assert manifest.gaps == ((50 * 60_000, 3),)
    assert (manifest.quarantine_rows, manifest.quarantine_codes) == (1, {"NOT_FINITE": 1})
    assert (manifest.meta, manifest.symbol, manifest.interval_ms) == (META, "TESTUSDT", 60_000)


def test_the_same_content_is_kept_once_and_never_rewritten(tmp_path: Path):
    store = SnapshotStore(tmp_path)
    first = store.put(bars(), BAD, META)
    before = {path.name: path.stat().st_mtime_ns for path in folder_of(store, first).iterdir()}
    assert store.put(bars(), BAD, SnapshotMeta(source="y.csv.gz", source_sha256="1" * 64, source_rows=52)) == first
    assert {path.name: path.stat().st_mtime_ns for path in folder_of(store, first).iterdir()} == before


def test_the_hash_covers_content_and_nothing_else():
    table = bars()
    again = BarTable(table.symbol, table.interval_ms, *(column.copy() for column in table.columns))
    negative_zero = dataclasses.replace(table, volume=np.where(np.arange(51) == 0, -0.0, table.volume))
    positive_zero = dataclasses.replace(table, volume=np.where(np.arange(51) == 0, 0.0, table.volume))
    assert data_sha256(table) == data_sha256(again)
    assert data_sha256(negative_zero) == data_sha256(positive_zero)
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(table, name).copy()
        column[30] = np.nextafter(column[30], np.inf)
        assert data_sha256(dataclasses.replace(table, **{name: column})) != data_sha256(table)
    assert data_sha256(dataclasses.replace(table, interval_ms=30_000)) != data_sha256(table)


@pytest.mark.parametrize("change", ["quarantine", "symbol", "grid"])
def test_another_quarantine_label_or_grid_is_another_snapshot(change: str, tmp_path: Path):
    store = SnapshotStore(tmp_path)
    first = store.put(bars(), BAD, META)
    table = dataclasses.replace(bars(), symbol="OTHER") if change == "symbol" else bars()
    grid = Grid(tick_e8=1, lot_e8=1) if change == "grid" else None
    meta = SnapshotMeta(source="x.csv", source_sha256="0" * 64, source_rows=52, grid=grid)
    second = store.put(table, () if change == "quarantine" else BAD, meta)
    assert second.sha256 != first.sha256
    assert second.data_sha256 == first.data_sha256


def test_the_known_hash_of_a_known_table():
    table = BarTable.of([0, 60_000], [1.0, 2.0], [1.5, 2.5], [0.5, 1.5], [1.25, 2.25], [0.0, 3.0], interval_ms=60_000)
    import hashlib
    import struct

    plain = b'{"columns":["ts","open","high","low","close","volume"],"format":"kedge/bars/v1","interval_ms":60000,"rows":2}\n'
    plain += struct.pack("<2q10d", 0, 60_000, 1.0, 2.0, 1.5, 2.5, 0.5, 1.5, 1.25, 2.25, 0.0, 3.0)
    assert data_sha256(table) == hashlib.sha256(plain).hexdigest()


def change_a_price(folder: Path) -> None:
    table = pa_parquet.read_table(folder / BARS_FILE).to_pydict()
    table["close"][3] += 0.5
    import pyarrow as pa

    pa_parquet.write_table(pa.table(table), folder / BARS_FILE)


def cut_the_bars(folder: Path) -> None:
    os.truncate(folder / BARS_FILE, 100)


def lose_the_quarantine(folder: Path) -> None:
    (folder / QUARANTINE_FILE).unlink()


def edit_the_manifest(folder: Path) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(path.read_text().replace('"rows": 51', '"rows": 50'))


def break_the_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_text("{")


@pytest.mark.parametrize("damage", [change_a_price, cut_the_bars, lose_the_quarantine, edit_the_manifest, break_the_manifest])
def test_damage_is_found_when_read(damage, tmp_path: Path):
    store = SnapshotStore(tmp_path)
    manifest = store.put(bars(), BAD, META)
    damage(folder_of(store, manifest))
    with pytest.raises(IntegrityError, match=manifest.sha256[:12]):
        store.get(manifest.sha256)


def test_a_change_of_compression_is_no_damage(tmp_path: Path):
    store = SnapshotStore(tmp_path)
    manifest = store.put(bars(), BAD, META)
    path = folder_of(store, manifest) / BARS_FILE
    pa_parquet.write_table(pa_parquet.read_table(path), path, compression="none")
    assert store.get(manifest.sha256).manifest == manifest


@pytest.mark.parametrize("name", ["", "abc", "0" * 64, "0" * 8, "../../etc", "Z" * 64])
def test_an_unknown_hash_is_not_found(name: str, tmp_path: Path):
    with pytest.raises(NotFound, match="snapshot"):
        SnapshotStore(tmp_path).get(name)


def test_nothing_and_disorder_are_not_kept(tmp_path: Path):
    store = SnapshotStore(tmp_path / "store")
    with pytest.raises(InvalidInput, match="no bar was accepted"):
        store.put(bars().take(slice(0, 0)), BAD, META)
    with pytest.raises(InvalidInput, match="do not ascend"):
        store.put(bars().take(slice(None, None, -1)), BAD, META)
    assert not store.folder.exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_snapshots import BAD, META, bars
from kedge.domain.errors import RecordingFailed
from kedge.storage.snapshots import SnapshotStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    SnapshotStore(Path({folder!r})).put(bars(20_000), BAD, META)
except RecordingFailed as error:
    print(error.code, error.fix)
"""


def test_a_disk_that_takes_no_more_gives_a_clear_error_and_leaves_nothing(tmp_path: Path):
    store = tmp_path / "store"
    script = FULL_DISK.format(tests=str(Path(__file__).parent), folder=str(store))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.stdout.startswith("RECORDING_FAILED free space under"), done.stderr
    assert list(store.iterdir()) == []
