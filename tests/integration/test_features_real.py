"""Features on the recorded Bybit files: what the engine saw at each bar, event by event, against batch over columns, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kedge.domain.units import NS_PER_MS
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.feeds.funding_files import read_funding
from kedge.learning.feature_rows import Float64Array, Settlements, closes_of, resets_of, rows_of
from kedge.learning.feature_sets import feature_set
from kedge.learning.features import FeatureSet
from kedge.services.market_data import MarketData, load_market
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.exchange import ExchangeCore, VenueSettings
from kedge.simulation.session import Session
from kedge.strategy.base import NO_TARGETS, Target, View

SYMBOLS = ("BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")
LEADER = "bybit-linear:BTCUSDT"
MONEY = 10_000 * 10**8


class Watcher:
    """Looks and never trades."""

    name = "watcher"
    features = feature_set("core", LEADER).features

    def __init__(self, names: Sequence[str]) -> None:
        self.seen: dict[str, list[bytes]] = {name: [] for name in names}

    def on_event(self, view: View) -> Sequence[Target]:
        self.seen[view.instrument].append(memoryview(view.features).tobytes())  # type: ignore[arg-type]
        return NO_TARGETS


def files(data_folder: Path, symbols: Sequence[str], interval: str) -> tuple[list[Path], list[Path]]:
    return (
        [data_folder / "ohlcv" / f"bybit-linear-{s}-{interval}.parquet" for s in symbols],
        [data_folder / "funding" / f"bybit-linear-{s}.parquet" for s in symbols],
    )


def cut(paths: Sequence[Path], days: tuple[str, str], lost: range, folder: Path) -> list[Path]:
    """Some days of each file, under the same name, without the bars whose numbers are lost."""
    first, last = (pl.Series([day]).str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms")[0] for day in days)
    made = []
    for n, path in enumerate(paths):
        part = pl.read_parquet(path).filter(pl.col("ts").is_between(first, last, closed="left"))
        assert len(part) > 1_000
        rows = pl.int_range(len(part), eager=True)
        part = part.filter(~rows.is_in(list(lost)) & ~rows.is_in([500 + n, 501 + n]))
        part.write_parquet(folder / path.name)
        made.append(folder / path.name)
    return made


def settlements(market: MarketData, name: str) -> Settlements:
    own = [rate for rate in market.fundings if rate.instrument == name]
    return Settlements(np.array([r.ts_ns for r in own], np.int64), np.array([r.rate_e8 for r in own], np.int64))


def batches(market: MarketData) -> dict[str, Float64Array]:
    features, interval_ns = FeatureSet(Watcher.features), market.interval_ns
    leader = next(one for one in market.series if one.instrument_id == LEADER)
    closes = closes_of(leader.records, leader.bars)
    return {
        one.instrument_id: features.batch(
            rows_of(one.records, one.bars, interval_ns=interval_ns, funding=settlements(market, one.instrument_id), leader=closes),
            resets_of(one.bars, interval_ns=interval_ns),
        )
        for one in market.series
    }


def watched(market: MarketData) -> dict[str, list[bytes]]:
    """Every bar through session and engine, with settlements told."""
    watcher = Watcher([one.instrument_id for one in market.series])
    settings = EngineSettings(
        run_id="r", account="a", strategy="watcher", params={}, wallet_e8=MONEY, start_ts_ns=market.start_ts_ns,
        interval_ns=market.interval_ns,
    )  # fmt: skip
    engine = Engine(settings, market.instruments, watcher)
    core = ExchangeCore(market.instruments, VenueSettings(wallet_e8=MONEY), BarMatcher(BarCosts()), market.start_ts_ns)
    for event in Session(core, market.events(), market.fundings, tell_funding=True):
        engine.step(event)
    return watcher.seen


def differing(seen: dict[str, list[bytes]], batch: dict[str, Float64Array]) -> dict[str, int]:
    """Bars whose features differ in any bit, by instrument."""
    assert {name: len(rows) for name, rows in seen.items()} == {name: len(rows) for name, rows in batch.items()}
    return {name: sum(a != b.tobytes() for a, b in zip(rows, batch[name], strict=True)) for name, rows in seen.items()}


@pytest.mark.parametrize("days", [("2024-03-20", "2024-04-20"), ("2025-07-15", "2025-08-12")], ids=["sol-grid-change", "bnb-grid-change"])
def test_batch_equals_stream_across_grid_changes_and_holes(days: tuple[str, str], data_folder: Path, tmp_path: Path) -> None:
    bars, funding = files(data_folder, SYMBOLS, "15m")
    market = load_market(cut(bars, days, range(1_500, 1_512), tmp_path), funding)
    assert sum(len(one.records) for one in market.series) == len(SYMBOLS) + 1
    batch = batches(market)
    assert differing(watched(market), batch) == {f"bybit-linear:{s}": 0 for s in SYMBOLS}
    for values in batch.values():
        assert np.isfinite(values[-1]).all()
        assert np.isnan(values[1_500]).sum() > 15  # three hours were missing: everything warms up again


@pytest.mark.slow
def test_batch_equals_stream_on_the_whole_files(data_folder: Path) -> None:
    market = load_market(*files(data_folder, SYMBOLS, "15m"))
    assert market.bar_count > 280_000
    assert differing(watched(market), batches(market)) == {f"bybit-linear:{s}": 0 for s in SYMBOLS}


def test_the_future_changes_nothing_before_it_on_the_real_file(data_folder: Path) -> None:
    (bars,), (funding,) = files(data_folder, ("BTCUSDT",), "15m")
    market = load_market([bars], [funding])
    (one,) = market.series
    closes, features = closes_of(one.records, one.bars), FeatureSet(Watcher.features)
    funded = settlements(market, one.instrument_id)
    rows = rows_of(one.records, one.bars, interval_ns=market.interval_ns, funding=funded, leader=closes)[-20_000:]
    whole = features.batch(rows)
    rng = np.random.default_rng(3)
    for at in (1, 97, 9_000, len(rows) - 1):
        shuffled = np.concatenate((rows[:at], rng.permutation(rows[at:])))
        assert features.batch(rows[:at]).tobytes() == whole[:at].tobytes()
        assert features.batch(shuffled)[:at].tobytes() == whole[:at].tobytes()


def test_a_funding_file_tells_times_in_whole_seconds(data_folder: Path) -> None:
    """The row holds whole seconds; a settlement inside a second would move."""
    for path in files(data_folder, SYMBOLS, "15m")[1]:
        table = read_funding(path).funding.accepted
        assert len(table) > 2_000
        assert (table.ts_ms * NS_PER_MS % 1_000_000_000 == 0).all()
