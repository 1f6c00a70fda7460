"""Small series that market tests share: a calm walk on the 0.1 tick, and the instrument for it."""

from __future__ import annotations

import numpy as np

from kedge.domain.instrument import Instrument, RiskTier
from kedge.market.bars import BarTable

START_MS = 1_700_006_400_000  # 2023-11-15 00:00 UTC
MINUTE_MS = 60_000


def calm(n: int, *, interval_ms: int = MINUTE_MS, start_ms: int = START_MS, seed: int = 7) -> BarTable:
    """`n` joined bars: each opens where the last one closed."""
    random = np.random.default_rng(seed)
    close = np.round(1_000 + np.cumsum(random.integers(-5, 6, n)) * 0.1, 1)
    open_ = np.concatenate(([1_000.0], close[:-1]))
    high = np.round(np.maximum(open_, close) + 0.2, 1)
    low = np.round(np.minimum(open_, close) - 0.2, 1)
    volume = np.round(random.integers(1, 5_000, n) * 0.001, 3)
    ts_ms = start_ms + np.arange(n) * interval_ms
    return BarTable.of(ts_ms, open_, high, low, close, volume, interval_ms=interval_ms, symbol="TESTUSDT")


def changed(table: BarTable, row: int, **values: float) -> BarTable:
    """The table with one row's fields replaced."""
    columns = {name: getattr(table, name).copy() for name in ("ts_ms", "open", "high", "low", "close", "volume")}
    for name, value in values.items():
        columns[name][row] = value
    return BarTable(table.symbol, table.interval_ms, *columns.values())


def instrument(name: str = "bybit-linear:TESTUSDT", *, tick_e8: int = 10_000_000, lot_e8: int = 100_000) -> Instrument:
    tier = RiskTier(notional_max_e8=10**15, maintenance_rate_e8=500_000, deduction_e8=0, leverage_max_e2=10_000)
    return Instrument(
        instrument_id=name,
        base="TEST",
        quote="USDT",
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        tick_value_e8=tick_e8 * lot_e8 // 10**8,
        price_max_ticks=10_000_000,
        order_qty_min_lots=1,
        order_qty_max_lots=100_000,
        market_qty_max_lots=100_000,
        position_max_lots=1_000_000,
        notional_min_e8=0,
        maker_fee_e8=20_000,
        taker_fee_e8=55_000,
        leverage_max_e2=10_000,
        tiers=(tier,),
        funding_interval_ns=0,
        price_collar_bps=500,
    )
