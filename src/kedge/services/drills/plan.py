"""What a drill is meant to show, and with what: crash, trigger, positions, and the configuration that moves the other triggers away."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.services.drills.crash import Crash, Timing
from kedge.services.drills.report import Change

DRAWDOWN: Final = "drawdown"
VAR99: Final = "var99"
DEFAULTS: Final = "defaults"
KINDS: Final = (DRAWDOWN, VAR99, DEFAULTS)

OFF: Final = "0"
_MEASURES: Final = {
    "drawdown_halt_frac": "0.08",
    "drawdown_flatten_frac": "0.10",
    "var99_flatten_frac": "0.05",
    "day_loss_halt_frac": "0.02",
    "day_loss_flatten_frac": "0.03",
    "gross_leverage_reduce": "2.0",
    "position_notional_reduce_frac": "0.35",
    "margin_ratio_flatten": "0.5",
    "liquidation_flatten_frac": "0.15",
    "liquidation_sigmas": "4",
}
"""The triggers that measure risk, with their defaults; those of operation, such as a lost heartbeat, are never moved."""
_OWN: Final = {
    DRAWDOWN: {"drawdown_flatten_frac": "0.10"},
    VAR99: {"var99_flatten_frac": "0.05"},
    DEFAULTS: _MEASURES,
}

BREACH_FRAC: Final = {DRAWDOWN: Decimal("0.10"), DEFAULTS: Decimal("0.02")}
"""The loss that the independent reader takes for the breach; value at risk shows in no price."""
MARGIN: Final = Decimal("1.3")
"""Positions are so large that the fall loses this much more than the limit."""
GROSS_MOST: Final = Decimal(4)
VAR_LIMIT: Final = Decimal("0.05")
VAR_FIRST_GROSS: Final = Decimal("0.1")
VAR_SHARE: Final = {VAR99: Decimal("0.9"), DEFAULTS: Decimal("0.7")}
"""At which share of its limit value at risk stands before the crash: right below it, or at 3.5 %, which is all that a trader may have."""


class DrillPlan(NamedTuple):
    """One drill.

    Attributes
    ----------
    gross_frac : Decimal or None
        Sum of positions over equity; None works it out from the fall.
    stop_frac : Decimal
        How far below the entry the positions' own stops lie at the venue: far, so that the guard is what acts.
    fault : str
        What will be broken meanwhile, in words; for the report.
    within_s : float
        Wall time from the market's beginning within which the drill must be over.
    resting : int
        Orders in the book that add risk, to be cancelled.
    config : mapping
        Further sections of the configuration, of all processes of the drill.
    """

    crash: Crash
    timing: Timing
    kind: str = DRAWDOWN
    gross_frac: Decimal | None = None
    stop_frac: Decimal = Decimal("0.6")
    fault: str = ""
    seed: int = 1
    within_s: float = 90.0
    resting: int = 4
    config: Mapping[str, Any] = MappingProxyType({})

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(sorted(self.crash.bars))


def moved(kind: str) -> tuple[Change, ...]:
    """What a drill of this kind moves in the guard's configuration.

    Raises
    ------
    InvalidInput
        There is no such kind.
    """
    if kind not in _OWN:
        raise InvalidInput(f"kind of drill {kind!r}", why=f"known are {', '.join(KINDS)}", fix="name one of these")
    wanted = {name: _OWN[kind].get(name, OFF) for name in _MEASURES}
    return tuple(Change(f"guard.triggers.{name}", usual, wanted[name]) for name, usual in _MEASURES.items() if wanted[name] != usual)


def gross_for(plan: DrillPlan) -> Decimal:
    """Positions over equity that lose more than the limit in the fall, shared equally among the symbols.

    Raises
    ------
    InvalidInput
        The crash is too mild for it.
    """
    if plan.gross_frac is not None:
        return plan.gross_frac
    if plan.kind in VAR_SHARE:
        return VAR_FIRST_GROSS
    fall = Decimal(str(sum(plan.crash.fall_frac(symbol) for symbol in plan.symbols) / len(plan.symbols)))
    limit = BREACH_FRAC[DRAWDOWN]
    gross = (MARGIN * limit / fall).quantize(Decimal("0.01")) if fall > 0 else GROSS_MOST + 1
    if gross > GROSS_MOST:
        raise InvalidInput(
            f"{plan.crash.name} falls {fall:.1%}", why=f"a loss of {limit:.0%} would take {gross} times equity", fix="play a deeper crash"
        )
    return gross


def qty_of(instrument: Instrument, notional: Decimal, price: Decimal) -> str:
    """A quantity worth at most this, on the instrument's grid, as the venue writes it.

    Raises
    ------
    InvalidInput
        It is below the smallest order.
    """
    lots = int((notional / price / instrument.lot_size).to_integral_value(ROUND_DOWN))
    if lots < instrument.order_qty_min_lots:
        raise InvalidInput(
            f"{notional:.2f} of {instrument.venue_symbol} at {price}", why="less than its smallest order", fix="give the account more money"
        )
    return f"{lots * instrument.lot_size:f}"


def price_text(instrument: Instrument, price: Decimal) -> str:
    """A price rounded down to the instrument's grid, as the venue writes it."""
    ticks = int((price / instrument.tick_size).to_integral_value(ROUND_DOWN))
    return f"{max(1, ticks) * instrument.tick_size:f}"
