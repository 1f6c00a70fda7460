"""What a stress test is made of: a dated path of relative moves, a book, what is assumed, and what came out.

Rules: moves are whole basis points of the price at the scenario's start, rates and shocks are integers in 1e-8, money is an integer
in 1e-8 of the quote currency. Assets are base coins, such as `BTC`. Nothing here holds a float, so that all of it can be recorded.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import E8

BPS: Final = 10_000
NS_PER_MINUTE: Final = 60_000_000_000


class Move(NamedTuple):
    """One bar of a path: prices as moves from the scenario's starting price, in bps of it (-2_500 is 25 % below the start).

    `minutes` is when the bar opens, counted from the scenario's start; how long it lasts is the scenario's `bar_minutes`. Hours in
    which a venue was down have no bar. Lows are rounded down and highs up: a table is never milder than what happened.
    """

    minutes: int
    open_bps: int
    high_bps: int
    low_bps: int
    close_bps: int


class Settlement(NamedTuple):
    """One funding settlement of a path: minutes from the start, and the rate in 1e-8; longs pay a positive one."""

    minutes: int
    rate_e8: int


class Source(NamedTuple):
    """Where a path comes from: whose bars they are, in words, and the SHA-256 of the file they were taken from."""

    words: str
    sha256: str


class Beta(NamedTuple):
    """How an asset moves with a factor: the slope of daily log returns, in 1e-4 (13_000 is 1.3), and on which days it was measured."""

    asset: str
    factor: str
    beta_e4: int
    n_days: int
    first_day: str
    last_day: str


class Level(NamedTuple):
    """One level of an order book, best first."""

    price_ticks: int
    lots: int


class Depth(NamedTuple):
    """What can be seen of an order book; both sides empty when it is unknown."""

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A position of a cross-margin account.

    Attributes
    ----------
    lots, cost_e8 : int
        Signed, as the kernel books them.
    mark_ticks : int
        At least 1: a position without a mark cannot be stressed.
    leverage_e2 : int
        Hundredths; 100 is one.
    depth : Depth
        The book to close into; without one the price collar is assumed as the slippage and the result says so.
    """

    instrument: Instrument
    lots: int
    cost_e8: int
    mark_ticks: int
    leverage_e2: int = 100
    depth: Depth = Depth()

    def __post_init__(self) -> None:
        name = self.instrument.instrument_id
        if self.mark_ticks < 1:
            raise InvalidInput(f"position {name}: mark_ticks is {self.mark_ticks}", why="unknown is not zero", fix="wait for a mark")
        if self.leverage_e2 < 100:
            raise InvalidInput(f"position {name}: leverage_e2 is {self.leverage_e2}", why="below one", fix="pass hundredths")

    @property
    def asset(self) -> str:
        """The base coin."""
        return self.instrument.base

    @property
    def value_e8(self) -> int:
        """Signed notional at the mark."""
        return self.lots * self.mark_ticks * self.instrument.tick_value_e8


class Collateral(msgspec.Struct, frozen=True, kw_only=True):
    """Other coins that count as margin: their worth in quote, and the share of it that does not count, in 1e-8."""

    asset: str
    value_e8: int
    haircut_e8: int

    def __post_init__(self) -> None:
        if self.value_e8 < 0 or not 0 <= self.haircut_e8 <= E8:
            raise InvalidInput(
                f"collateral {self.asset}: value_e8 {self.value_e8}, haircut_e8 {self.haircut_e8}",
                why="a worth is not negative and a haircut lies within 0 .. 100 %",
                fix="pass what the venue reports",
            )


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A cross-margin account: its wallet in quote, its positions, and what else stands as margin."""

    wallet_e8: int
    positions: tuple[Position, ...] = ()
    collateral: tuple[Collateral, ...] = ()


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a stress test assumes beside the moves.

    Attributes
    ----------
    funding_shock_e8, funding_intervals : int
        Rate per interval that every position pays where no funding is known, and how often; an instant shock pays it too.
    slip_multiplier_e2 : int
        Slippage of the book as seen now, times this, in hundredths: books thin out when it matters.
    depth_divisor : int
        Liquidity shock: every visible level holds so many times less.
    margin_closing_fee : bool
        Whether maintenance margin holds the fee of closing, as the venue has it since 2 September 2025.
    """

    funding_shock_e8: int = 300_000
    funding_intervals: int = 3
    slip_multiplier_e2: int = 300
    depth_divisor: int = 1
    margin_closing_fee: bool = True

    def __post_init__(self) -> None:
        for name, least, most in (
            ("funding_shock_e8", 0, E8),
            ("funding_intervals", 0, 1_000),
            ("slip_multiplier_e2", 100, 100_000),
            ("depth_divisor", 1, 1_000_000),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidInput(f"stress: {name} is {value}", why=f"must lie within {least} .. {most}", fix=f"correct {name}")


class PositionStress(msgspec.Struct, frozen=True, kw_only=True):
    """One position at the worst moment of a stress.

    `origin` says where its moves come from: `history`, `beta` or `default-beta` (a guess), or `shock` for a given one.
    `slippage_e8` is the fraction of notional lost to the book when closing (times the multiplier), `unfilled_lots` what the visible
    book would not take, `adl_rank` 1 for the first profitable position the venue would deleverage, 0 for one that loses.
    """

    instrument_id: InstrumentId
    move_bps: int
    mark_ticks: int
    pnl_e8: int
    maintenance_e8: int
    exit_cost_e8: int
    slippage_e8: int
    unfilled_lots: int
    adl_rank: int
    origin: str


class StressResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario does to a book.

    Attributes
    ----------
    equity_before_e8, equity_after_e8, loss_e8 : int
        Before it began; at the worst moment, all positions closed there (or after a liquidation); the difference, positive when lost.
    equity_e8, maintenance_e8 : int
        At the worst moment, as marked, before anything is closed.
    loss_frac_e8 : int
        Of the equity before, in 1e-8, rounded up; may pass 100 %, 0 where something was gained.
    equity_end_e8 : int
        At the end of the path, positions closed there; after a liquidation nothing bounces back and it equals `equity_after_e8`.
    liquidated : bool
    minutes : int
        When the worst moment (the liquidation) came, from the start.
    margin_ratio_e8 : int | None
        Maintenance over equity at that moment; None when equity is gone.
    funding_e8, exit_cost_e8 : int
        Funding paid until then (negative: received), and the cost of closing there.
    shortfall_e8 : int
        By how much equity is negative after a liquidation: what the venue's insurance fund or we would owe.
    flags : tuple[str, ...]
        What a reader must know: guessed betas, unknown depth, assumed funding, a liquidation only where extremes coincide.
    """

    scenario_id: str
    title: str
    equity_before_e8: int
    equity_e8: int
    maintenance_e8: int
    equity_after_e8: int
    equity_end_e8: int
    loss_e8: int
    loss_frac_e8: int
    liquidated: bool
    minutes: int
    margin_ratio_e8: int | None
    funding_e8: int
    exit_cost_e8: int
    shortfall_e8: int
    positions: tuple[PositionStress, ...]
    flags: tuple[str, ...]
