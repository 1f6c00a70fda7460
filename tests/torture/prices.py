"""Recorded bars to replay: quarter hours of a synthetic market, so that a short drill meets many settlements."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kedge.domain.events import BarClosed
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.demo import SyntheticFeed

INTERVAL_NS = 900 * 10**9
COLUMNS = ("open", "high", "low", "close")


def write_bars(folder: Path, symbols: tuple[str, ...], seed: int, count: int = 2_000) -> list[Path]:
    """One file of `count` bars for each symbol."""
    records = {f"{VENUE}:{symbol}": CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in symbols}
    start_ns = -(-max(one.valid_from_ns for one in records.values()) // INTERVAL_NS) * INTERVAL_NS
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in records}
    for event in SyntheticFeed(tuple(records.values()), seed, INTERVAL_NS, start_ns, count).events():
        if isinstance(event, BarClosed):
            grid = records[event.instrument]
            row: dict[str, float] = {name: getattr(event, f"{name}_ticks") * grid.tick_e8 / 10**8 for name in COLUMNS}
            rows[event.instrument].append({"ts": event.open_ts_ns // 10**6, **row, "volume": event.volume_lots * grid.lot_e8 / 10**8})
    paths = []
    for name, bars in rows.items():
        paths.append(folder / f"{name.replace(':', '-')}-15m.parquet")
        pl.DataFrame(bars).write_parquet(paths[-1])
    return paths
