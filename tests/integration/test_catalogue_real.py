"""Shipped and derived records against real Bybit bars, and the synthetic market beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from kedge.domain.instrument import Instrument
from kedge.market.catalogue import instrument_at, instruments_for, midnight_ns
from kedge.market.grid import derive_instrument
from kedge.market.synthetic import SyntheticMarket

Floats = np.ndarray[Any, np.dtype[np.float64]]
BASES = ("BTC", "ETH", "SOL", "BNB")
MINUTE_NS = 60 * 10**9
INTERVALS = {"5m": 5 * MINUTE_NS, "15m": 15 * MINUTE_NS, "1h": 60 * MINUTE_NS}


def read(folder: Path, name: str) -> tuple[Any, Floats, Floats]:
    """Open times in ns, prices of shape (n, 4), volumes of shape (n,)."""
    table = pq.read_table(folder / "ohlcv" / f"{name}.parquet")
    prices = np.column_stack([table[column].to_numpy() for column in ("open", "high", "low", "close")])
    return table["ts"].to_numpy() * 10**6, prices, table["volume"].to_numpy()


def off_grid(values: Floats, step_e8: int) -> Any:
    """Rows whose value is not the float nearest to a whole number of steps."""
    per_unit = 1e8 / step_e8  # whole, or whole steps of ten and more units: either way one exact division
    steps = np.rint(values * per_unit)
    return np.argwhere(steps / per_unit != values)[:, 0]


def in_force(records: tuple[Instrument, ...], open_ts_ns: Any, index: int) -> Any:
    stop = records[index + 1].valid_from_ns if index + 1 < len(records) else np.iinfo(np.int64).max
    return (open_ts_ns >= records[index].valid_from_ns) & (open_ts_ns < stop)


@pytest.mark.parametrize("interval", list(INTERVALS))
@pytest.mark.parametrize("base", BASES)
def test_records_hold_every_real_bar(data_folder: Path, base: str, interval: str) -> None:
    ts, prices, volumes = read(data_folder, f"bybit-linear-{base}USDT-{interval}")
    records = instruments_for(f"bybit-linear:{base}USDT", int(ts[0]), int(ts[-1]) + INTERVALS[interval])
    held = 0
    for index, record in enumerate(records):
        rows = in_force(records, ts, index)
        assert off_grid(prices[rows], record.tick_e8).size == 0
        assert off_grid(volumes[rows], record.lot_e8).size == 0
        held += int(rows.sum())
    assert held == len(ts)


@pytest.mark.parametrize("base", ["SOL", "BNB"])
def test_grid_changes_on_the_first_midnight_that_no_bar_contradicts(data_folder: Path, base: str) -> None:
    """The coarser grid would not hold the last day of the finer one: the date is not later than it must be."""
    ts, prices, _ = read(data_folder, f"bybit-linear-{base}USDT-15m")
    _, newer = instruments_for(f"bybit-linear:{base}USDT", int(ts[0]), int(ts[-1]))
    last = int(ts[off_grid(prices, newer.tick_e8).max()])
    day_ns = 86_400 * 10**9
    assert newer.valid_from_ns == (last // day_ns + 1) * day_ns


@pytest.mark.parametrize(
    ("name", "tick", "lot"),
    [
        ("binance-usdm-FETUSDT-1h", None, None),
        ("binance-usdm-DOGEUSDT-30m", "0.00001", "1"),
        ("binance-spot-LUNAUSDT-1h", "0.00001", "0.001"),
        ("bybit-linear-BTCUSDT-5m", "0.1", "0.001"),
        ("bybit-linear-SOLUSDT-15m", "0.001", "0.1"),
    ],
)
def test_derived_grid_holds_a_real_file(data_folder: Path, name: str, tick: str | None, lot: str | None) -> None:
    _, prices, volumes = read(data_folder, name)
    instrument, words = derive_instrument(f"x:{name.split('-')[2]}", prices, volumes)
    assert off_grid(prices.ravel(), instrument.tick_e8).size == 0
    assert off_grid(volumes, instrument.lot_e8).size == 0 or "rounded down" in words["lot_size"]
    assert tick in (None, f"{instrument.tick_size.normalize():f}")
    assert lot in (None, f"{instrument.lot_size.normalize():f}")


def facts(close: Floats, high: Floats, low: Floats) -> dict[str, float]:
    """Statistics by which a market is told from another, from close, high and low of equally spaced bars."""
    r = np.diff(np.log(close))
    size = np.abs(r)
    return {
        "vol": float(r.std()),
        "excess_kurtosis": float(((r - r.mean()) ** 4).mean() / r.var() ** 2 - 3.0),
        "memory_1": float(np.corrcoef(size[1:], size[:-1])[0, 1]),
        "memory_96": float(np.corrcoef(size[96:], size[:-96])[0, 1]),
        "echo": float(np.corrcoef(r[1:], r[:-1])[0, 1]),
        "range": float(np.log(high / low).mean() / r.std()),
    }


# The largest ratio allowed either way between real and synthetic, 15-minute bars of two years.
BANDS = {"vol": 1.3, "excess_kurtosis": 10.0, "memory_1": 1.5, "memory_96": 2.0, "range": 1.25}


@pytest.mark.parametrize("base", BASES)
def test_synthetic_bars_look_like_real_ones(data_folder: Path, base: str) -> None:
    _, prices, _ = read(data_folder, f"bybit-linear-{base}USDT-15m")
    real = facts(prices[:, 3], prices[:, 1], prices[:, 2])
    instrument = instrument_at(f"bybit-linear:{base}USDT", midnight_ns("2025-12-01"))
    bars = SyntheticMarket([instrument], 1, 15 * MINUTE_NS, midnight_ns("2024-01-01")).bars(len(prices))[instrument.instrument_id]
    made = facts(bars.close_ticks.astype(np.float64), bars.high_ticks.astype(np.float64), bars.low_ticks.astype(np.float64))
    for name, band in BANDS.items():
        assert 1 / band < made[name] / real[name] < band, (name, made[name], real[name])
    assert min(real["excess_kurtosis"], made["excess_kurtosis"]) > 3.0
    assert max(abs(real["echo"]), abs(made["echo"])) < 0.05


def test_synthetic_instruments_move_together_like_real_ones(data_folder: Path) -> None:
    closes = [read(data_folder, f"bybit-linear-{base}USDT-1h")[1][-17_000:, 3] for base in BASES]
    real = np.corrcoef([np.diff(np.log(c)) for c in closes])
    instruments = [instrument_at(f"bybit-linear:{base}USDT", midnight_ns("2025-12-01")) for base in BASES]
    bars = SyntheticMarket(instruments, 1, 60 * MINUTE_NS, midnight_ns("2024-01-01")).bars(17_000).values()
    made = np.corrcoef([np.diff(np.log(b.close_ticks.astype(np.float64))) for b in bars])
    assert np.abs(made - real).max() < 0.15


def test_synthetic_funding_looks_like_real_funding(data_folder: Path) -> None:
    real = pq.read_table(data_folder / "funding" / "bybit-linear-BTCUSDT.parquet")["rate"].to_numpy()
    instrument = instrument_at("bybit-linear:BTCUSDT", midnight_ns("2025-12-01"))
    paid = SyntheticMarket([instrument], 1, 60 * MINUTE_NS, midnight_ns("2024-01-01")).funding(24 * 730)[instrument.instrument_id]
    made = paid.rate_e8 / 1e8
    assert 0.5 < made.std() / real.std() < 2.0
    assert made.mean() > 0
    assert abs((made == 1e-4).mean() - (real == 1e-4).mean()) < 0.25
    assert np.corrcoef(made[1:], made[:-1])[0, 1] > 0.5
