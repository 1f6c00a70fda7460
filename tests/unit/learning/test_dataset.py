"""Frozen data sets: canonical bytes, names by hash, cuts by time, and what cannot be one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.builders import AAA, BBB, CCC, HOUR, T0
from tests.unit.learning.dataset_builder import INTERVAL, dataset, grid_walk, part, without

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.dataset import BAR_COLUMNS, NO_FUNDINGS, Dataset, Frozen, decode_columns, encode_columns, freeze, thaw
from kedge.learning.dataset_manifest import DatasetManifest, dataset_sha256, decode_manifest
from kedge.learning.feature_rows import Settlements


def same(one: Dataset, other: Dataset) -> bool:
    return freeze(one).sha256 == freeze(other).sha256


def test_columns_read_back_and_their_bytes_are_fixed_for_ever() -> None:
    columns = {"a": np.array([1, -1, 2**63 - 1], np.int64), "b": np.array([0, 256, -(2**63)], np.int64)}
    data = encode_columns(columns)
    assert {name: column.tolist() for name, column in decode_columns(data).items()} == {n: c.tolist() for n, c in columns.items()}
    assert data.startswith(b'{"columns":["a","b"],"format":"kedge/columns/v1","rows":3}\n\x01\x00\x00\x00\x00\x00\x00\x00\xff')
    assert digest(data) == "03c63da3077c9bdc9a5ce068d6e43897031d4004fd30423ed28bd5411626a81e"


def test_no_rows_are_columns_too() -> None:
    data = encode_columns({"ts_ns": NO_FUNDINGS.ts_ns, "rate_e8": NO_FUNDINGS.rate_e8})
    assert [len(column) for column in decode_columns(data).values()] == [0, 0]


def test_columns_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[2, 3\] rows"):
        encode_columns({"a": np.zeros(2, np.int64), "b": np.zeros(3, np.int64)})
    with pytest.raises(InvalidInput, match="float64"):
        encode_columns({"a": np.zeros(2)})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: data.replace(b"/v1", b"/v2"),
        lambda data: data.replace(b'"rows":3', b'"rows":"x"'),
        lambda data: data.replace(b"\n", b" "),
    ],
)
def test_spoilt_columns_are_refused(spoil: Any) -> None:
    with pytest.raises(IntegrityError, match="columns"):
        decode_columns(spoil(encode_columns({"a": np.array([1, 2, 3])})))


def test_a_data_set_reads_back_and_its_name_is_the_hash_of_its_document() -> None:
    one = dataset()
    frozen = freeze(one)
    assert frozen.sha256 == digest(frozen.blobs[frozen.sha256]) == dataset_sha256(frozen.manifest)
    back, manifest = thaw(frozen.sha256, frozen.blobs.__getitem__)
    assert manifest == frozen.manifest
    assert freeze(back) == frozen
    assert back.parts[0].bars.close_ticks.tolist() == one.parts[0].bars.close_ticks.tolist()
    assert back.parts[1].fundings.rate_e8.tolist() == one.parts[1].fundings.rate_e8.tolist()


def test_the_document_tells_what_is_in_it() -> None:
    bars = without(grid_walk(3, 100), 40, 43)
    manifest = freeze(Dataset(INTERVAL, (part(bars=bars),))).manifest
    told = manifest.parts[0]
    assert (manifest.rows, told.rows, told.gaps, told.missing_bars) == (97, 97, 1, 3)
    assert (manifest.first_ts_ns, manifest.last_ts_ns) == (T0, T0 + 100 * INTERVAL)
    assert (told.funding_rows, told.quarantined, told.sources[0].label) == (3, {"OFF_TICK": 2}, "walk")


def test_one_changed_cell_changes_the_name() -> None:
    one = dataset()
    names = {freeze(one).sha256}
    for column in BAR_COLUMNS[2:]:
        changed = getattr(one.parts[0].bars, column).copy()
        changed[7] += 1
        names.add(
            freeze(Dataset(INTERVAL, (replace(one.parts[0], bars=replace(one.parts[0].bars, **{column: changed})), one.parts[1]))).sha256
        )
    rate = one.parts[1].fundings.rate_e8.copy()
    rate[0] += 1
    funded = replace(one.parts[1], fundings=Settlements(one.parts[1].fundings.ts_ns, rate))
    names.add(freeze(Dataset(INTERVAL, (one.parts[0], funded))).sha256)
    assert len(names) == len(BAR_COLUMNS)


def test_the_first_two_thirds_and_the_rest_share_no_bar_and_lose_none() -> None:
    one = dataset(count=301)
    cut = one.time_at(2, 3)
    first, rest = one.take(None, cut), one.take(cut, None)
    assert (first.rows, rest.rows) == (2 * 200, 2 * 101)
    assert first.last_ts_ns == cut == rest.first_ts_ns
    assert same(one.take(), one)


def test_a_cut_keeps_settlements_of_its_span() -> None:
    low, high = T0 + 16 * HOUR, T0 + 32 * HOUR
    cut = dataset((AAA,)).take(low, high)
    assert cut.parts[0].fundings.ts_ns.tolist() == [low, T0 + 24 * HOUR, high]
    assert (cut.first_ts_ns, cut.last_ts_ns) == (low, high)


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 3), (3, 3), (4, 3), (-1, 3), (1, -3)])
def test_a_fraction_that_leaves_one_side_empty_is_refused(numerator: int, denominator: int) -> None:
    with pytest.raises(InvalidInput, match="fraction"):
        dataset().time_at(numerator, denominator)


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no bars in the data set"):
        dataset().take(T0 + 10_000 * INTERVAL, None)
    with pytest.raises(InvalidInput, match="no bars in the data set"):
        dataset().take(T0 + 5 * INTERVAL, T0 + 5 * INTERVAL)


@pytest.mark.parametrize("ids", [(), (BBB, AAA), (AAA, AAA)])
def test_parts_that_are_not_one_per_instrument_in_order_are_refused(ids: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="one part per instrument|data set of"):
        Dataset(INTERVAL, tuple(part(one) for one in ids))


def test_bars_of_another_interval_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a bar of 60000000000 ns"):
        Dataset(INTERVAL, (part(CCC, bars=grid_walk(1, 50, interval_ns=60_000_000_000)),))


def test_time_that_runs_backwards_is_refused() -> None:
    bars = grid_walk(1, 50)
    turned = replace(bars, open_ts_ns=bars.open_ts_ns[::-1].copy(), close_ts_ns=bars.close_ts_ns[::-1].copy())
    with pytest.raises(InvalidInput, match="do not ascend"):
        Dataset(INTERVAL, (part(bars=turned),))
    twice = Settlements(np.array([T0, T0]), np.array([1, 1]))
    with pytest.raises(InvalidInput, match="do not ascend"):
        Dataset(INTERVAL, (part(fundings=twice),))


def retold(frozen: Frozen, manifest: DatasetManifest) -> tuple[str, dict[str, bytes]]:
    data = encode(manifest)
    return digest(data), {**frozen.blobs, digest(data): data}


def test_an_altered_blob_is_refused() -> None:
    frozen = freeze(dataset())
    for sha256, data in frozen.blobs.items():
        with pytest.raises(IntegrityError, match="other bytes than its name says"):
            thaw(frozen.sha256, {**frozen.blobs, sha256: data[:-1] + bytes([data[-1] ^ 1])}.__getitem__)


def test_a_document_of_another_format_is_refused() -> None:
    frozen = freeze(dataset())
    sha256, blobs = retold(frozen, msgspec.structs.replace(frozen.manifest, format="kedge/dataset/v9"))
    with pytest.raises(IntegrityError, match="kedge/dataset/v9"):
        thaw(sha256, blobs.__getitem__)
    other = b'{"format":"kedge/dataset/v1"}'
    with pytest.raises(IntegrityError, match="another format"):
        thaw(digest(other), {digest(other): other}.__getitem__)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"format":"\xff"}', encode_columns({"ts_ns": NO_FUNDINGS.ts_ns})])
def test_bytes_that_are_no_manifest_are_refused_by_the_name_they_were_asked_for(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"data set {digest(data)[:16]}"):
        decode_manifest(data, sha256=digest(data))


def test_a_manifest_reads_back_as_itself_and_names_every_blob_beside_itself() -> None:
    frozen = freeze(dataset())
    read = decode_manifest(frozen.blobs[frozen.sha256], sha256=frozen.sha256)
    assert read == frozen.manifest
    assert {name for _, name in read.columns()} == set(frozen.blobs) - {frozen.sha256}


def test_columns_that_are_not_those_of_bars_are_refused() -> None:
    frozen = freeze(dataset((AAA,)))
    swapped = msgspec.structs.replace(frozen.manifest.parts[0], columns_sha256=frozen.manifest.parts[0].funding_sha256)
    sha256, blobs = retold(frozen, msgspec.structs.replace(frozen.manifest, parts=(swapped,)))
    with pytest.raises(IntegrityError, match="columns ts_ns, rate_e8"):
        thaw(sha256, blobs.__getitem__)
