"""Small makers of perpetuals, books and scenarios for stress tests."""

from __future__ import annotations

from typing import Any

from tests.builders import DAY, HOUR, T0, instrument

from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.units import E8
from kedge.risk.stress.scenario import Scenario
from kedge.risk.stress.types import Assumptions, Book, Collateral, Depth, Level, Position, Settlement

CALM = Assumptions(funding_shock_e8=0, slip_multiplier_e2=100, margin_closing_fee=False)
"""No funding, the book as it is, margin by tiers alone."""

QUIET = Depth(bids=(Level(9_999, 10**6),), asks=(Level(10_001, 10**6),))
"""A book one tick either side of 10,000 ticks."""


def tiers(*rows: tuple[float, float]) -> tuple[RiskTier, ...]:
    """Tiers from (limit in quote, rate), deductions by the recurrence."""
    made: list[RiskTier] = []
    for limit, rate in rows:
        rate_e8, below = round(rate * E8), made[-1] if made else None
        deduction = below.deduction_e8 + below.notional_max_e8 * (rate_e8 - below.maintenance_rate_e8) // E8 if below else 0
        made.append(
            RiskTier(notional_max_e8=round(limit * E8), maintenance_rate_e8=rate_e8, deduction_e8=deduction, leverage_max_e2=10_000)
        )
    return tuple(made)


def perp(asset: str = "BTC", **changes: Any) -> Instrument:
    """A perpetual with a tick of 0.1 and a lot of 0.001, without taker fee, a single tier of 1 %."""
    given = {"base": asset, "taker_fee_e8": 0, "maker_fee_e8": 0, "tiers": tiers((1e7, 0.01)), "price_max_ticks": 50_000_000, **changes}
    return instrument(f"test:{asset}USDT", **given)


def position(asset: str = "BTC", lots: int = 1_000, mark_ticks: int = 10_000, **changes: Any) -> Position:
    """By default one coin bought at its mark of 1,000."""
    spec = changes.pop("instrument", None) or perp(asset)
    entry_ticks = changes.pop("entry_ticks", mark_ticks)
    given = {"leverage_e2": 1_000, "cost_e8": lots * entry_ticks * spec.tick_value_e8, **changes}
    return Position(instrument=spec, lots=lots, mark_ticks=mark_ticks, **given)


def book(wallet: float, *positions: Position, collateral: tuple[Collateral, ...] = ()) -> Book:
    return Book(wallet_e8=round(wallet * E8), positions=positions, collateral=collateral)


def scenario(rows: dict[str, str], *, settlements: dict[str, tuple[Settlement, ...]] | None = None, **changes: Any) -> Scenario:
    """A day of hourly bars; every asset with a path settles nothing unless told."""
    given: dict[str, Any] = {
        "scenario_id": "test",
        "title": "Test",
        "start_ns": T0,
        "end_ns": T0 + DAY,
        "bar_minutes": HOUR // 60_000_000_000,
        "factor": "BTC",
        "settlements": dict.fromkeys(rows, ()) if settlements is None else settlements,
        **changes,
    }
    return Scenario(rows=rows, **given)
