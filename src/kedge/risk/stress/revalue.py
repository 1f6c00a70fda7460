"""Liquidation-aware revaluation of a cross-margin book: along the path of a scenario, or under one instant shock.

Rules: a path is judged at every bar's open, low, high and close (all assets at their lows, then all at their highs), with tiers by the
value at that mark and funding paid at each settlement. Equity at or below maintenance margin is a liquidation: the margin is gone,
closing what gapped past it is paid on top, and nothing bounces back. Where the account survives, the loss is the worst moment's
with all positions closed there: slippage of the visible book times the multiplier, and the taker fee.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.account import loss_frac_e8
from kedge.kernel.arithmetic import ratio_e8_ceil
from kedge.risk.stress.account import CrossAccount
from kedge.risk.stress.scenario import BY_BETA, BY_DEFAULT, Scenario
from kedge.risk.stress.types import BPS, Assumptions, Book, PositionStress, StressResult
from kedge.risk.stress.walk import State, walk

SHOCK: Final = "shock"


class _Label(NamedTuple):
    """What a result is called, where each position's moves come from, and what a reader must know."""

    scenario_id: str
    title: str
    origins: list[str]
    flags: list[str]


class _Verdict(NamedTuple):
    """The worst moment, what was left there and at the end, and whether the venue closed it all."""

    worst: State
    after_e8: int
    end_e8: int
    liquidated: bool
    coincident: bool


def revalue(book: Book, scenario: Scenario, assumptions: Assumptions | None = None) -> StressResult:
    """Walk the book through a scenario.

    Raises
    ------
    InvalidInput
        A mark past what an instrument's arithmetic is proved for.
    """
    assumed = assumptions or Assumptions()
    account = CrossAccount(book, assumed)
    flags = _origin_flags(book, scenario)
    open_assets = [position.asset for position in book.positions if position.lots]
    flags += [f"funding-assumed:{asset}" for asset in open_assets if asset not in scenario.settlements]
    origins = [scenario.origin(position.asset) for position in book.positions]
    states = walk(account, scenario, assumed) if book.positions or book.collateral else ()
    return _result(account, states, _Label(scenario.scenario_id, scenario.title, origins, flags))


def revalue_all(book: Book, scenarios: Mapping[str, Scenario], assumptions: Assumptions | None = None) -> tuple[StressResult, ...]:
    """Every scenario, the largest loss first."""
    results = [revalue(book, scenario, assumptions) for scenario in scenarios.values()]
    return tuple(sorted(results, key=lambda result: (-result.loss_e8, result.scenario_id)))


def shock(
    book: Book,
    shocks_e8: Mapping[str, int],
    assumptions: Assumptions | None = None,
    *,
    scenario_id: str = SHOCK,
    title: str = SHOCK,
) -> StressResult:
    """Move every asset at once by the fraction named for it, in 1e-8, and let every position pay the funding shock at that mark.

    Raises
    ------
    InvalidInput
        An asset of the book that is not named, a fall of 100 % or more, or a mark past what an instrument's arithmetic is proved for.
    """
    assumed = assumptions or Assumptions()
    account = CrossAccount(book, assumed)
    marks = [account.moved(slot, _named(shocks_e8, position.asset), E8) for slot, position in enumerate(book.positions)]
    funding_e8 = sum(
        assumed.funding_intervals * account.funding_e8(slot, mark, assumed.funding_shock_e8, against=True)
        for slot, mark in enumerate(marks)
    )
    held_e8 = account.collateral_e8([_named(shocks_e8, held.asset) for held in book.collateral], E8)
    state = State(0, marks, account.equity_e8(marks, held_e8) - funding_e8, funding_e8)
    return _result(account, (state,), _Label(scenario_id, title, [SHOCK] * len(marks), []))


def _judge(account: CrossAccount, states: Iterable[State], start: State) -> _Verdict:
    """The first liquidation, else the moment at which closing everything leaves least."""
    held = any(position.lots for position in account.positions)
    worst, worst_e8, end_e8 = None, start.equity_e8, start.equity_e8
    coincident = False
    for state in states:
        gone = held and state.equity_e8 <= account.maintenance_e8(state.marks)
        if state.coincident:
            coincident = coincident or gone
            continue
        end_e8 = state.equity_e8 - sum(account.exit_costs_e8(state.marks))
        if gone:
            return _Verdict(state, min(0, end_e8), min(0, end_e8), True, False)
        if worst is None or end_e8 < worst_e8:
            worst, worst_e8 = state, end_e8
    return _Verdict(worst or start, worst_e8, end_e8, False, coincident)


def _result(account: CrossAccount, states: Iterable[State], label: _Label) -> StressResult:
    before_e8 = account.equity_e8(account.marks(), account.collateral_e8([0] * len(account.book.collateral), 1))
    verdict = _judge(account, states, State(0, account.marks(), before_e8, 0))
    worst = verdict.worst
    costs, maintenance_e8 = account.exit_costs_e8(worst.marks), account.maintenance_e8(worst.marks)
    flags = [*label.flags, *_depth_flags(account), *(["liquidated-if-extremes-coincide"] if verdict.coincident else [])]
    return StressResult(
        scenario_id=label.scenario_id,
        title=label.title,
        equity_before_e8=before_e8,
        equity_e8=worst.equity_e8,
        maintenance_e8=maintenance_e8,
        equity_after_e8=verdict.after_e8,
        equity_end_e8=verdict.end_e8,
        loss_e8=before_e8 - verdict.after_e8,
        loss_frac_e8=loss_frac_e8(before_e8, verdict.after_e8),
        liquidated=verdict.liquidated,
        minutes=worst.minutes,
        margin_ratio_e8=ratio_e8_ceil(maintenance_e8, worst.equity_e8) if worst.equity_e8 > 0 else None,
        funding_e8=worst.funding_e8,
        exit_cost_e8=sum(costs),
        shortfall_e8=max(0, -verdict.after_e8),
        positions=_positions(account, worst.marks, costs, label.origins),
        flags=tuple(dict.fromkeys(flags)),
    )


def _positions(account: CrossAccount, marks: list[int], costs: list[int], origins: list[str]) -> tuple[PositionStress, ...]:
    ranks = account.adl_ranks(marks)
    return tuple(
        PositionStress(
            instrument_id=position.instrument.instrument_id,
            move_bps=(marks[slot] - position.mark_ticks) * BPS // position.mark_ticks,
            mark_ticks=marks[slot],
            pnl_e8=account.pnl_e8(slot, marks[slot]),
            maintenance_e8=account.maintenance_of_e8(slot, marks[slot]),
            exit_cost_e8=costs[slot],
            slippage_e8=-(-account.slippages[slot].share.numerator * E8 // account.slippages[slot].share.denominator),
            unfilled_lots=account.slippages[slot].unfilled_lots,
            adl_rank=ranks[slot],
            origin=origins[slot],
        )
        for slot, position in enumerate(account.positions)
    )


def _named(shocks_e8: Mapping[str, int], asset: str) -> int:
    if asset not in shocks_e8:
        raise InvalidInput(f"shock: {asset} is not named", why="leaving an asset flat understates", fix="name a move for it, 0 if meant")
    if shocks_e8[asset] <= -E8:
        raise InvalidInput(f"shock: {asset} by {shocks_e8[asset]}", why="a price cannot fall by all of itself", fix="use above -100 %")
    return shocks_e8[asset]


def _origin_flags(book: Book, scenario: Scenario) -> list[str]:
    assets = [position.asset for position in book.positions if position.lots] + [held.asset for held in book.collateral]
    words = {BY_BETA: "by-beta", BY_DEFAULT: "default-beta"}
    return [f"{words[scenario.origin(asset)]}:{asset}" for asset in assets if scenario.origin(asset) in words]


def _depth_flags(account: CrossAccount) -> list[str]:
    flags = []
    for position, slip in zip(account.positions, account.slippages, strict=True):
        if position.lots and not slip.known:
            flags.append(f"no-depth:{position.asset}")
        if slip.unfilled_lots:
            flags.append(f"thin-book:{position.asset}")
    return flags
