"""A small crash to test with."""

from __future__ import annotations

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.drills.crash import Bar, Crash
from kedge.services.drills.report import DrillReport, Times

BTC, ETH = "BTCUSDT", "ETHUSDT"
START_NS = 18_000 * NS_PER_DAY + 10 * 3_600 * NS_PER_S
WALL_NS = 1_790_000_000 * NS_PER_S
FALL = (Bar(1.0, 1.0, 0.8, 0.85), Bar(0.85, 0.86, 0.7, 0.75))


def instruments() -> dict[str, Instrument]:
    """The newest shipped records."""
    return {symbol: CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in (BTC, ETH)}


def crash(*, price_e8: int = 50_000 * E8, symbols: tuple[str, ...] = (BTC, ETH), bars: tuple[Bar, ...] = FALL) -> Crash:
    """Two hours in which everything falls by three tenths."""
    closes = tuple(price_e8 + number * E8 for number in range(-2, 1))
    return Crash(
        name="small",
        title="A small crash",
        source="a test",
        bar_minutes=60,
        start_ts_ns=START_NS,
        bars=dict.fromkeys(symbols, bars),
        price_e8=dict.fromkeys(symbols, price_e8),
        closes_e8=dict.fromkeys(symbols, closes),
        words=("nothing much",),
    )


def report(**changed: object) -> DrillReport:
    """A drill that went as it must."""
    times = Times(latched_ms=20, blocked_ms=30, cancels_ms=40, orders_zero_ms=100, positions_zero_ms=200, flat_ms=4_200)
    fields: dict[str, object] = {
        "drill_id": "20260901T000000000-small-drawdown",
        "started_wall_ns": WALL_NS,
        "rung": "paper",
        "scenario": "small",
        "title": "A small crash",
        "source": "a test",
        "kind": "drawdown",
        "outcome": "flat",
        "guard": times,
        "seen": times,
    }
    return DrillReport(**{**fields, **changed})  # type: ignore[arg-type]
