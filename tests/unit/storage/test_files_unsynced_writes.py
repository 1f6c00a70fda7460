"""Power cuts while blobs, data sets and commands are kept: what was promised is there and whole, and nothing is there by half."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tests.unit.storage.power_cut import PLAIN, Image, Trace, drawn
from tests.unit.storage.power_cut_files import watched

from kedge.domain.errors import KedgeError
from kedge.domain.events import Command
from kedge.market.bars import BarTable
from kedge.services.inbox import Inbox
from kedge.storage.blobs import BlobStore
from kedge.storage.snapshots import SnapshotMeta, SnapshotStore

BODIES = [b"one" * 900, b"two" * 5, b"three" * 2_000]
NAMES = ("first", "second", "third")
WAYS = {**PLAIN, "drawn": drawn(5), "drawn again": drawn(6)}
Cut = Callable[[Callable[[Path, Trace], None], Callable[[Path, Image], str]], list[str]]


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Let something be written, cut it at every moment, and hear what each image lacks."""

    def run(life: Callable[[Path, Trace], None], judge: Callable[[Path, Image], str]) -> list[str]:
        whole = tmp_path / "whole"
        whole.mkdir()
        with watched(whole, monkeypatch) as watch:
            life(watch.root, watch.trace)
        numbers, found = count(), []
        for image in watch.trace.images(WAYS):
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            image.write_to(folder)
            try:
                said = judge(folder, image)
            except KedgeError as error:
                said = str(error)
            found += [f"{image}: {said}"] if said else []
        assert next(numbers) > 10, "too few moments to mean anything"
        return found

    return run


def put_blobs(folder: Path, trace: Trace) -> None:
    store = BlobStore(folder / "blobs")
    for number, body in enumerate(BODIES, 1):
        store.put(body)
        trace.told(number)


def blobs_lost(folder: Path, image: Image) -> str:
    """Every promised blob is whole; whatever else lies under a blob's name is whole too."""
    store = BlobStore(folder / "blobs")
    for path in sorted(store.folder.glob("??/" + "[0-9a-f]" * 64)):
        store.get(path.name)
    wanted = [BlobStore.put(BlobStore(folder / "again"), body) for body in BODIES[: image.value]]
    return ", ".join(name for name in wanted if not store.has(name))


def test_a_blob_that_was_put_is_there_after_a_cut(cut: Cut) -> None:
    assert cut(put_blobs, blobs_lost) == []


def test_a_blob_whose_name_was_not_synchronised_is_missed(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kedge.storage.blobs.sync_folder", lambda folder: None)
    assert any("1 promised" in one for one in cut(put_blobs, blobs_lost))


def table(first: int) -> BarTable:
    ones = np.ones(4)
    return BarTable.of(np.arange(first, first + 4) * 60_000, ones, ones, ones, ones, ones, interval_ms=60_000, symbol="BTCUSDT")


def put_snapshots(folder: Path, trace: Trace) -> None:
    store = SnapshotStore(folder / "data")
    for number, name in enumerate(NAMES, 1):
        store.put(table(number), [], SnapshotMeta(source=name, source_sha256="0" * 64, source_rows=4))
        trace.told(number)


def snapshots_lost(folder: Path, image: Image) -> str:
    store = SnapshotStore(folder / "data")
    found = {store.get(manifest.sha256).manifest.meta.source for manifest in store.manifests()}
    return ", ".join(name for name in NAMES[: image.value] if name not in found)


def test_a_data_set_that_was_kept_is_there_after_a_cut(cut: Cut) -> None:
    assert cut(put_snapshots, snapshots_lost) == []


def put_commands(folder: Path, trace: Trace) -> None:
    with Inbox(folder / "inbox.sqlite") as inbox:
        for number, reason in enumerate(NAMES, 1):
            inbox.put(Command.HALT, "drill", reason, wall_ns=number)
            trace.told(number)


def commands_lost(folder: Path, image: Image) -> str:
    with Inbox(folder / "inbox.sqlite") as inbox:
        found = [one.reason for one in inbox.waiting()]
    return "" if found == list(NAMES[: len(found)]) and len(found) >= image.value else f"only {found}"


def test_a_command_that_was_put_is_there_after_a_cut(cut: Cut) -> None:
    assert cut(put_commands, commands_lost) == []
