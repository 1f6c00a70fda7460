"""Stress tests of the book: dated scenarios, factor and funding shocks, liquidation-aware, and the smallest shock that breaches."""

from kedge.risk.stress.revalue import revalue, revalue_all, shock
from kedge.risk.stress.scenario import Scenario
from kedge.risk.stress.scenarios import SCENARIOS
from kedge.risk.stress.standard import standard_shocks
from kedge.risk.stress.types import Assumptions, Book, Collateral, Depth, Level, Move, Position, PositionStress, StressResult

__all__ = [
    "SCENARIOS",
    "Assumptions",
    "Book",
    "Collateral",
    "Depth",
    "Level",
    "Move",
    "Position",
    "PositionStress",
    "Scenario",
    "StressResult",
    "revalue",
    "revalue_all",
    "shock",
    "standard_shocks",
]
