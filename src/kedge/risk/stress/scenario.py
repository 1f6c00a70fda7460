"""A scenario: dated paths of relative moves per asset, their sources, and how assets without a path of their own follow the factor.

An asset that did not trade then moves with the scenario's factor by its beta: bar by bar, the factor's log move times beta, so that
paths compound and never pass -100 %. An asset without an estimated beta gets a stated default, and everything that shows it says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_DAY, to_float, to_grid
from kedge.risk.stress.types import BPS, NS_PER_MINUTE, Beta, Move, Settlement, Source

HISTORY: Final = "history"
BY_BETA: Final = "beta"
BY_DEFAULT: Final = "default-beta"

DEFAULT_BETA_E4: Final = 15_000
"""What a holder of an unknown coin is assumed to suffer: half as much again as the factor."""

DEFAULT_SHORT_BETA_E4: Final = 5_000
"""What a short of an unknown coin is assumed to gain: half of the factor's fall, so that a guess never hedges in full."""

_BETA_UNIT: Final = 10_000
_LOWEST_BPS: Final = 1 - BPS


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One stress scenario.

    Attributes
    ----------
    scenario_id, title : str
    start_ns, end_ns : int
        UTC, the end excluded.
    bar_minutes : int
        How long a bar lasts; equities have sessions of a day.
    factor : str
        What assets without a path of their own follow: `BTC` or `SPY`.
    rows : Mapping[str, str]
        Per asset its path as text, see `parse_path`.
    settlements : Mapping[str, tuple[Settlement, ...]]
        Funding of that window, per asset, where it is known.
    sources : Mapping[str, Source]
        Per asset, and `ASSET funding` for its settlements.
    betas : Mapping[str, Beta]
        To the factor, per asset.
    """

    scenario_id: str
    title: str
    start_ns: int
    end_ns: int
    bar_minutes: int
    factor: str
    rows: Mapping[str, str]
    settlements: Mapping[str, tuple[Settlement, ...]] = MappingProxyType({})
    sources: Mapping[str, Source] = MappingProxyType({})
    betas: Mapping[str, Beta] = MappingProxyType({})

    @property
    def assets(self) -> tuple[str, ...]:
        """Those with a path of their own, in order."""
        return tuple(sorted(self.rows))

    @property
    def days(self) -> float:
        """How long it lasts."""
        return (self.end_ns - self.start_ns) / NS_PER_DAY

    def origin(self, asset: str) -> str:
        """`history`, `beta` or `default-beta`: where the moves of an asset come from."""
        if asset in self.rows:
            return HISTORY
        return BY_BETA if asset in self.betas else BY_DEFAULT

    def path(self, asset: str, *, short: bool = False) -> tuple[Move, ...]:
        """The moves of a base coin such as `BTC`, oldest first.

        `short` matters only where the beta is a guess: a guess takes more from a long than it gives to a short.
        """
        if asset in self.rows:
            return parse_path(self.rows[asset], self.bar_minutes)
        default_e4 = DEFAULT_SHORT_BETA_E4 if short else DEFAULT_BETA_E4
        beta_e4 = self.betas[asset].beta_e4 if asset in self.betas else default_e4
        return scaled(parse_path(self.rows[self.factor], self.bar_minutes), beta_e4)

    def worst_bps(self, asset: str) -> int:
        """The lowest move of an asset's path."""
        return min(move.low_bps for move in self.path(asset))


@lru_cache(maxsize=256)
def parse_path(text: str, bar_minutes: int) -> tuple[Move, ...]:
    """A path from its text: bars separated by blanks, `open,high,low,close` in bps each, `-` for a bar that does not exist.

    Raises
    ------
    InvalidInput
        A bar that is not four whole numbers, or whose high and low do not hold its open and close.
    """
    moves = []
    for number, bar in enumerate(text.split()):
        if bar == "-":
            continue
        try:
            opened, high, low, close = (int(cell) for cell in bar.split(","))
        except ValueError:
            raise InvalidInput(f"path: bar {number} is {bar!r}", why="not four whole numbers", fix="refresh the table") from None
        if not _LOWEST_BPS <= low <= min(opened, close) <= max(opened, close) <= high:
            raise InvalidInput(
                f"path: bar {number} is {bar!r}", why="high and low hold open and close, above -100 %", fix="refresh the table"
            )
        moves.append(Move(number * bar_minutes, opened, high, low, close))
    return tuple(moves)


def single_spaced(rows: Mapping[str, str]) -> dict[str, str]:
    """Paths as `refresh.path_text` makes them, from text broken into lines."""
    return {asset: " ".join(text.split()) for asset, text in rows.items()}


def parse_settlements(rows: Mapping[str, str]) -> dict[str, tuple[Settlement, ...]]:
    """Settlements per asset from text: `minutes:rate in 1e-8`, separated by blanks."""
    return {asset: tuple(_settlement(cell) for cell in text.split()) for asset, text in rows.items()}


def scaled(path: tuple[Move, ...], beta_e4: int) -> tuple[Move, ...]:
    """The path of an asset that follows this one by `beta`: (1 + move) to the power of beta, less one, in bps.

    A beta below zero turns highs into lows.
    """
    beta = to_float(beta_e4, 1 / _BETA_UNIT)

    def follow(move_bps: int) -> int:
        return max(_LOWEST_BPS, to_grid(math.expm1(beta * math.log1p(to_float(move_bps, 1 / BPS))), BPS))

    moves = []
    for move in path:
        opened, close = follow(move.open_bps), follow(move.close_bps)
        one, other = follow(move.high_bps), follow(move.low_bps)
        moves.append(Move(move.minutes, opened, max(one, other), min(one, other), close))
    return tuple(moves)


def _settlement(cell: str) -> Settlement:
    minutes, _, rate_e8 = cell.partition(":")
    return Settlement(int(minutes), int(rate_e8))


def minutes_between(start_ns: int, ts_ns: int) -> int:
    """Whole minutes from the start of a scenario."""
    return (ts_ns - start_ns) // NS_PER_MINUTE
