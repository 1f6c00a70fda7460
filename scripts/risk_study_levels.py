"""How often each level of the limits table fires on the path of an account: soft, hard and brake, and which comes first.

A level fires when its measure reaches it at a bar's close, and again only after the measure was back under the row's soft level (over it,
for a distance), as alerts and reduce-only do. The guard's levels are judged by the guard's own rule, on a view made from the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.kernel.margin import Tiers, liquidation_ticks, slot_maintenance_e8
from kedge.risk.brake.triggers import TriggerLimits, judge
from kedge.risk.brake.view import GuardView, PositionView
from kedge.risk.limits_table import TABLE, Row
from kedge.risk.var.book import VarBook
from scripts.risk_study_runs import Account

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BookOf = Callable[[int], tuple[VarBook, FloatArray]]
"""The book of a UTC day (days since 1970), of closes before it, and the daily sigma of each instrument then."""

LEVERAGE_E2: Final = 1_000
"""The leverage at which the study's accounts hold positions: it only moves the closing fee inside the margin."""
FAR_MULTIPLE: Final = 20
"""Liquidation is looked for up to so many times the mark, and down to one tick."""
WORKED_OUT: Final = ("var99", "es975", "margin_ratio", "liquidation_distance")
"""Measures that this module works out; the others are the engine's own."""


class Path(NamedTuple):
    """Measures of the limits table at every bar's close, by the name of their row, shape (bars,); fractions, NaN where there is none.

    `sigma` is the largest daily sigma of what is held, 0 when flat: distances are judged with it.
    """

    end_ns: IntArray
    measures: dict[str, FloatArray]
    sigma: FloatArray
    views: list[GuardView]


class Fired(NamedTuple):
    """How often one level fired, on how many UTC days it stood, and when first (None: never)."""

    times: int
    days: int
    first_ns: int | None


class RowFired(NamedTuple):
    """One row of the limits table on one path; `worst` is the worst reading, None where there was none."""

    row: Row
    worst: float | None
    soft: Fired | None
    hard: Fired | None
    brake: tuple[tuple[BrakeLevel, Fired], ...]


def path_of(account: Account, instruments: Sequence[Instrument], book_of: BookOf) -> Path:
    """Every measure at every bar's close.

    Parameters
    ----------
    book_of : callable
        What VaR is worked out with on a day.
    """
    margins = _Margins(instruments)
    bars, count = account.notional_frac.shape
    measures = {name: np.full(bars, np.nan) for name in WORKED_OUT}
    measures["drawdown"], measures["daily_loss"] = account.drawdown_frac, account.day_loss_frac
    measures["gross_leverage"] = account.gross_leverage
    measures["position_notional"] = np.abs(account.notional_frac).max(axis=1)
    sigma = np.zeros(bars)
    views: list[GuardView] = []
    day = -1
    book, sigmas = None, np.zeros(count)
    for bar in range(bars):
        opened = (int(account.end_ns[bar]) - NS_PER_S) // NS_PER_DAY
        if opened != day:
            day = opened
            book, sigmas = book_of(day)
        assert book is not None
        for index in range(count):
            book.set_notional(index, float(account.notional_frac[bar, index]))
        measures["var99"][bar], measures["es975"][bar] = book.var_es()
        held = margins.positions(account, bar, sigmas)
        equity_e8 = int(account.equity_e8[bar])
        measures["margin_ratio"][bar] = sum(one.maintenance_e8 for one in held) / equity_e8
        known = [one.liquidation_e8 / E8 for one in held if one.liquidation_e8 is not None]
        measures["liquidation_distance"][bar] = min(known, default=np.nan)
        sigma[bar] = max((one.sigma_e8 / E8 for one in held), default=0.0)
        views.append(_view(account, bar, held, float(measures["var99"][bar])))
    return Path(account.end_ns, measures, sigma, views)


def _view(account: Account, bar: int, held: tuple[PositionView, ...], var99: float) -> GuardView:
    """What a guard would see; heartbeats, clocks and ages are in order: only what the market did is judged."""
    equity_e8 = int(account.equity_e8[bar])
    return GuardView(
        view_age_ns=0,
        equity_e8=equity_e8,
        loss_equity_e8=equity_e8,
        high_water_e8=round(equity_e8 / (1 - float(account.drawdown_frac[bar]))),
        day_start_e8=round(equity_e8 / (1 - float(account.day_loss_frac[bar]))),
        positions=held,
        var99_e8=round(var99 * E8),
        var_method="study",
    )


class _Margins:
    """The venue's margin of the study's instruments, in the shape that the kernel takes."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        count, longest = len(instruments), max(len(one.tiers) for one in instruments)
        self.names = [one.instrument_id for one in instruments]
        self.values = np.array([one.tick_value_e8 for one in instruments], np.int64)
        self.leverages = np.full(count, LEVERAGE_E2, np.int64)
        self.fees = np.array([one.taker_fee_e8 for one in instruments], np.int64)
        self.tiers: Tiers = np.zeros((count, longest, 3), np.int64)
        self.counts = np.array([len(one.tiers) for one in instruments], np.int64)
        for at, one in enumerate(instruments):
            for row, tier in enumerate(one.tiers):
                self.tiers[at, row] = (tier.notional_max_e8, tier.maintenance_rate_e8, tier.deduction_e8)

    @property
    def terms(self) -> tuple[IntArray, IntArray, IntArray, Tiers, IntArray]:
        return self.values, self.leverages, self.fees, self.tiers, self.counts

    def positions(self, account: Account, bar: int, sigmas: FloatArray) -> tuple[PositionView, ...]:
        """Every open position, with its distance to liquidation in a cross account."""
        lots, marks = account.lots[bar].copy(), account.mark_ticks[bar].copy()
        costs = lots * marks * self.values  # as if opened at the mark: then the wallet is the equity
        found = []
        for slot in np.flatnonzero(lots).tolist():
            mark = int(marks[slot])
            towards = 1 if lots[slot] > 0 else mark * FAR_MULTIPLE
            ticks = liquidation_ticks(slot, mark, towards, int(account.equity_e8[bar]), lots, costs, marks, *self.terms)
            found.append(
                PositionView(
                    instrument=self.names[slot],
                    lots=int(lots[slot]),
                    notional_e8=int(lots[slot]) * mark * int(self.values[slot]),
                    maintenance_e8=int(slot_maintenance_e8(slot, mark, lots, *self.terms)),
                    liquidation_e8=abs(int(ticks) - mark) * E8 // mark if ticks else None,
                    sigma_e8=round(float(sigmas[slot]) * E8),
                )
            )
        return tuple(found)


def fired(path: Path, limits: TriggerLimits | None = None) -> tuple[RowFired, ...]:
    """Every row that a path can speak of, in the table's order."""
    braked = _braked(path, limits if limits is not None else TriggerLimits())
    return tuple(_row(path, row, braked) for row in TABLE if row.measure in path.measures)


def _row(path: Path, row: Row, braked: dict[tuple[Trigger, BrakeLevel], npt.NDArray[np.bool_]]) -> RowFired:
    sign = -1.0 if row.reversed else 1.0
    values = sign * path.measures[row.measure]
    soft = _level(row.soft, row.soft_sigmas_e2, path.sigma, sign)
    hard = _level(row.hard, row.hard_sigmas_e2, path.sigma, sign)
    calm = ~(values >= soft) if soft is not None else None
    brake = []
    for _, level in row.brake:
        on = braked[Trigger(row.measure), level]
        brake.append((level, episodes(on, calm if calm is not None else ~on, path.end_ns)))
    known = values[~np.isnan(values)]
    return RowFired(
        row,
        float(sign * known.max()) if known.size else None,
        None if soft is None or calm is None else episodes(values >= soft, calm, path.end_ns),
        None if hard is None or calm is None else episodes(values >= hard, calm, path.end_ns),
        tuple(brake),
    )


def _level(floor_e8: int | None, sigmas_e2: int, sigma: FloatArray, sign: float) -> FloatArray | None:
    return None if floor_e8 is None else sign * np.maximum(floor_e8 / E8, sigmas_e2 / 100 * sigma)


def _braked(path: Path, limits: TriggerLimits) -> dict[tuple[Trigger, BrakeLevel], npt.NDArray[np.bool_]]:
    """Where the guard's rule says that a trigger is breached, by trigger and level."""
    found = {(Trigger(row.measure), level): np.zeros(len(path.end_ns), np.bool_) for row in TABLE for _, level in row.brake}
    for bar, view in enumerate(path.views):
        for breach in judge(view, limits):
            found[breach.trigger, breach.level][bar] = True
    return found


def guard_text(path: Path) -> str:
    """When the guard would first have braked on a path, by which trigger, and when it would have closed every position."""
    told: list[str] = []
    for bar, view in enumerate(path.views):
        breaches = judge(view, TriggerLimits())
        if not breaches:
            continue
        worst = breaches[0]
        is_flatten = worst.level is BrakeLevel.FLATTENING
        if not told or is_flatten:
            drawdown = path.measures["drawdown"][bar] * 100
            told.append(f"{worst.level} {date_of(int(path.end_ns[bar]))} by {worst.trigger}, {drawdown:.1f} % under the peak")
        if is_flatten:
            break
    return "; ".join(told) or "never"


def episodes(on: npt.NDArray[np.bool_], calm: npt.NDArray[np.bool_], end_ns: IntArray) -> Fired:
    """Count the crossings: one begins where `on` is, and the next only after a bar that is `calm`."""
    times, armed = 0, True
    first: int | None = None
    for at in _changes(on, calm):
        if on[at] and armed:
            times, armed = times + 1, False
            first = int(end_ns[at]) if first is None else first
        elif calm[at]:
            armed = True
    days = np.unique((end_ns[on] - NS_PER_S) // NS_PER_DAY)
    return Fired(times, len(days), first)


def _changes(on: npt.NDArray[np.bool_], calm: npt.NDArray[np.bool_]) -> Iterator[int]:
    """Bars at which anything differs from the bar before; the first bar is one."""
    code = on.astype(np.int8) * 2 + calm
    yield from np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]])).tolist()


def date_of(ns: int) -> date:
    """The UTC day that a bar belongs to, by its end."""
    return datetime.fromtimestamp((ns - NS_PER_S) // NS_PER_S, UTC).date()
