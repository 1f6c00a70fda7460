"""From files and synthetic markets to data sets: settlements and raw files stay with their instrument, cuts share no bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.dataset import freeze
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.market_data import load_market
from kedge.services.training import data as module
from kedge.services.training import dataset_of, default_leader, first_part, synthetic_dataset

from .training_world import INTERVAL_NS, START_NS, small_dataset

T0_MS = 1_704_067_200_000
HOUR_MS = 3_600_000


def bars_file(folder: Path, symbol: str, scale: float) -> Path:
    path = folder / f"bybit-linear-{symbol}-1h.csv"
    rows = [f"{T0_MS + n * HOUR_MS},{scale:.1f},{scale + 1:.1f},{scale - 1:.1f},{scale:.1f},5" for n in range(60)]
    path.write_text("ts,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return path


def funding_file(folder: Path, symbol: str, rate: str) -> Path:
    path = folder / f"bybit-linear-{symbol}-funding.csv"
    rows = [f"{T0_MS + n * 8 * HOUR_MS},{symbol},{rate}" for n in range(8)]
    path.write_text("ts,symbol,rate\n" + "\n".join(rows) + "\n")
    return path


def test_each_instrument_keeps_its_bars_settlements_and_raw_files(tmp_path: Path) -> None:
    bars = [bars_file(tmp_path, "ETHUSDT", 2000.0), bars_file(tmp_path, "BTCUSDT", 40000.0)]
    funding = [funding_file(tmp_path, "BTCUSDT", "0.0001"), funding_file(tmp_path, "ETHUSDT", "-0.0002")]
    dataset = dataset_of(load_market(bars, funding))
    assert dataset.instruments == ("bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT")
    assert [set(part.fundings.rate_e8.tolist()) for part in dataset.parts] == [{10_000}, {-20_000}]
    assert [part.sources[0].label for part in dataset.parts] == ["bybit-linear-BTCUSDT-1h.csv", "bybit-linear-ETHUSDT-1h.csv"]
    assert [part.funding_sources[0].label for part in dataset.parts] == [
        "bybit-linear-BTCUSDT-funding.csv",
        "bybit-linear-ETHUSDT-funding.csv",
    ]
    without = dataset_of(load_market(bars))
    assert [len(part.fundings.ts_ns) for part in without.parts] == [0, 0]
    assert freeze(without).sha256 != freeze(dataset).sha256


def test_a_synthetic_data_set_depends_on_its_seed_alone() -> None:
    one, again, other = (small_dataset("ETHUSDT", "BTCUSDT", bars=200, seed=seed) for seed in (3, 3, 4))
    assert freeze(one).sha256 == freeze(again).sha256 != freeze(other).sha256
    assert one.instruments == ("bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT")
    assert all(part.sources[0].label == "synthetic seed 3" for part in one.parts)
    assert all(len(part.fundings.ts_ns) for part in one.parts)


def test_the_first_part_and_the_rest_share_no_bar() -> None:
    dataset = small_dataset(bars=300)
    first, rest = first_part(dataset, "2/3"), dataset.take(dataset.time_at(2, 3), None)
    assert len(first.parts[0].bars) == 200
    assert len(rest.parts[0].bars) == 100
    assert first.last_ts_ns == rest.first_ts_ns


@pytest.mark.parametrize("text", ["", "2", "3/3", "0/3", "4/3", "-1/3", "0.66", "a/b", "1/0"])
def test_fractions_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="train fraction"):
        module.parse_fraction(text)


def test_bitcoin_leads_where_it_is_not_alone() -> None:
    assert default_leader(["v:ETHUSDT", "v:BTCUSDT", "v:ADAUSDT"]) == "v:BTCUSDT"
    assert default_leader(["v:ETHUSDT", "v:ADAUSDT"]) == "v:ADAUSDT"
    assert default_leader(["v:BTCUSDT"]) == ""
    assert default_leader([]) == ""


def test_more_bars_than_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BARS_MAX", 50)
    with pytest.raises(InvalidInput, match="60 bars"):
        dataset_of(load_market([bars_file(tmp_path, "ETHUSDT", 2000.0)]))
    instrument = CATALOGUE[f"{VENUE}:ETHUSDT"][-1]
    for bars in (51, 0, -5):
        with pytest.raises(InvalidInput, match=f"{bars} bars"):
            synthetic_dataset([instrument], seed=1, bars=bars, interval_ns=INTERVAL_NS, start_ts_ns=START_NS)


def test_synthetic_bars_are_those_of_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    short, longer = small_dataset(bars=100), small_dataset(bars=150)
    assert np.array_equal(short.parts[0].bars.close_ticks, longer.parts[0].bars.close_ticks[:100])
