"""Whether a model is judged on what it has learned from: counted in bars, and never guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.apps.market_files import bars_file

from kedge.domain.errors import NotFound
from kedge.learning.dataset import Dataset, freeze
from kedge.services.market_data import MarketData, load_market
from kedge.services.training import dataset_of, first_part
from kedge.services.training.overlap import overlap_words

from .training_world import small_dataset


@pytest.fixture
def market(tmp_path: Path) -> MarketData:
    return load_market([bars_file(tmp_path)])


def words(learned: Dataset, played: MarketData) -> str:
    frozen = freeze(learned)
    return overlap_words(frozen.sha256, frozen.blobs.__getitem__, played)


def test_bars_that_were_learned_from_are_counted(market: MarketData) -> None:
    whole = dataset_of(market)
    assert f"learned from {whole.rows:,} of these {whole.rows:,} bars" in words(whole, market)
    part = first_part(whole, "2/3")
    assert f"learned from {part.rows:,} of these {whole.rows:,} bars" in words(part, market)


def test_later_bars_are_no_overlap(market: MarketData) -> None:
    whole = dataset_of(market)
    rest = whole.take(whole.time_at(2, 3), None).parts[0].bars
    later = market._replace(series=(market.series[0]._replace(bars=rest),))
    assert words(first_part(whole, "2/3"), later) == ""


def test_another_copy_of_the_same_times_is_an_overlap_and_a_synthetic_market_none(market: MarketData) -> None:
    whole = dataset_of(market)
    for label, is_overlap in (("another.csv", True), ("synthetic seed 3", False)):
        source = msgspec.structs.replace(whole.parts[0].sources[0], label=label, sha256="f" * 64)
        other = Dataset(whole.interval_ns, (replace(whole.parts[0], sources=(source,)),))
        assert (words(other, market) != "") is is_overlap


def test_other_instruments_are_no_overlap(market: MarketData) -> None:
    assert words(small_dataset("XRPUSDT"), market) == ""


def test_a_data_set_that_cannot_be_read_is_said() -> None:
    def gone(sha256: str) -> bytes:
        raise NotFound(f"blob {sha256}", why="it is gone", fix="restore it")

    assert "is not known" in overlap_words("a" * 64, gone, None)  # type: ignore[arg-type]
    assert "is not known" in overlap_words("a" * 64, lambda _: b"{", None)  # type: ignore[arg-type]
