"""The moments of a path at which an account is judged: every bar's open, lows, highs and close, funding paid as it falls due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kedge.risk.stress.account import CrossAccount
from kedge.risk.stress.scenario import Scenario
from kedge.risk.stress.types import BPS, NS_PER_MINUTE, Assumptions, Move, Position, Settlement


class State(NamedTuple):
    """The account at one moment.

    `coincident` marks the moment at which every position stands at its own worst price of the bar, which may never have been.
    """

    minutes: int
    marks: list[int]
    equity_e8: int
    funding_e8: int
    coincident: bool = False


class _Line:
    """One asset's path, played bar by bar; where it has no bar it stands at its last close."""

    def __init__(self, path: tuple[Move, ...]) -> None:
        self.bars = {move.minutes: move for move in path}
        self._last_bps = 0

    def at(self, minute: int) -> Move:
        bar = self.bars.get(minute) or Move(minute, *[self._last_bps] * 4)
        self._last_bps = bar.close_bps
        return bar


class _Funding:
    """What one position pays along the path: as it was, else the funding shock against it at its own interval."""

    def __init__(self, account: CrossAccount, slot: int, scenario: Scenario, assumed: Assumptions, last_minute: int) -> None:
        self._account, self._slot = account, slot
        asset = account.positions[slot].asset
        self._against = asset not in scenario.settlements
        self._due = list(_assumed(account.positions[slot], assumed, last_minute) if self._against else scenario.settlements[asset])

    def paid_e8(self, bar: Move) -> int:
        """What falls due up to the opening of this bar, at its opening mark."""
        paid_e8 = 0
        while self._due and self._due[0].minutes <= bar.minutes:
            mark_ticks = self._account.moved(self._slot, bar.open_bps, BPS)
            paid_e8 += self._account.funding_e8(self._slot, mark_ticks, self._due.pop(0).rate_e8, against=self._against)
        return paid_e8


def walk(account: CrossAccount, scenario: Scenario, assumed: Assumptions) -> Iterator[State]:
    """Every moment that is judged, oldest first."""
    positions = account.positions
    lines = [_Line(scenario.path(position.asset, short=position.lots < 0)) for position in positions]
    held_lines = [_Line(scenario.path(held.asset)) for held in account.book.collateral]
    minutes = sorted({minute for line in (*lines, *held_lines) for minute in line.bars})
    fundings = [_Funding(account, slot, scenario, assumed, minutes[-1]) for slot in range(len(positions))]
    paid_e8 = 0
    for minute in minutes:
        bars, held = [line.at(minute) for line in lines], [line.at(minute) for line in held_lines]
        paid_e8 += sum(funding.paid_e8(bar) for funding, bar in zip(fundings, bars, strict=True))
        for moves, held_moves, coincident in _moments(positions, bars, held):
            marks = [account.moved(slot, move, BPS) for slot, move in enumerate(moves)]
            equity_e8 = account.equity_e8(marks, account.collateral_e8(held_moves, BPS)) - paid_e8
            yield State(minute, marks, equity_e8, paid_e8, coincident)


def _moments(positions: tuple[Position, ...], bars: list[Move], held: list[Move]) -> Iterator[tuple[list[int], list[int], bool]]:
    yield [bar.open_bps for bar in bars], [bar.open_bps for bar in held], False
    yield [bar.low_bps for bar in bars], [bar.low_bps for bar in held], False
    yield [bar.high_bps for bar in bars], [bar.high_bps for bar in held], False
    adverse = [bar.low_bps if position.lots > 0 else bar.high_bps for bar, position in zip(bars, positions, strict=True)]
    yield adverse, [bar.low_bps for bar in held], True
    yield [bar.close_bps for bar in bars], [bar.close_bps for bar in held], False


def _assumed(position: Position, assumed: Assumptions, last_minute: int) -> list[Settlement]:
    every = position.instrument.funding_interval_ns // NS_PER_MINUTE
    times = [min(every * number, last_minute) for number in range(1, assumed.funding_intervals + 1)] if every else []
    return [Settlement(minute, assumed.funding_shock_e8) for minute in times]
