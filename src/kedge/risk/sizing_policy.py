"""Which caps act on a run's sizes, in the integers that its first record holds."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from kedge.domain.units import E8
from kedge.risk.sizing_caps import SizingCaps

Frac = Annotated[int, msgspec.Meta(ge=0, le=E8)]

RESIZE_BAND_E2: Final = 10
"""Per cent of a cap by which what is wanted may come to exceed it before it is cut again: marks and volatilities move with every bar, and a
size that followed them would trade with every bar. The hard limits lie further above the caps."""


class SizingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Caps on what a strategy may ask for, as fractions of equity or of notional in 1e-8.

    Attributes
    ----------
    trade_risk_frac_e8, book_es_975_frac_e8, leverage_max_e8 : int
        As in `SizingCaps`: of equity.
    stop_frac_e8 : int
        Distance to the stop, of notional; 0 where there is none, and then nothing new is sized.
    gap_frac_e8 : int
        What the market may move beyond the stop until it is filled, of notional. The default is what the worst of ten thousand five-minute
        bars moved: 2.9 % of BTC, 4.0 % of ETH, 5.8 % of BNB and 6.1 % of SOL on Bybit, September to December 2025.
    cost_frac_e8 : int
        Fees and slippage of both sides, of notional, at least the instrument's own taker fee twice. The default is a taker fee of 0.055 %
        twice, and two basis points of slippage on each side.

    Raises
    ------
    InvalidConfig
        A cap outside its bounds, such as `book_es_975_frac` above 10 %.
    """

    trade_risk_frac_e8: int = 2_000_000
    book_es_975_frac_e8: int = 2_500_000
    leverage_max_e8: int = 150_000_000
    stop_frac_e8: Frac = 10_000_000
    gap_frac_e8: Frac = 5_000_000
    cost_frac_e8: Frac = 150_000

    def __post_init__(self) -> None:
        self.caps()

    def caps(self) -> SizingCaps:
        """The caps as the statistics of sizing take them."""
        return SizingCaps(
            trade_risk_frac=self.trade_risk_frac_e8 / E8,
            book_es_975_frac=self.book_es_975_frac_e8 / E8,
            leverage_max=self.leverage_max_e8 / E8,
        )

    def lost_fracs(self, taker_fee_e8: int) -> tuple[float, float, float]:
        """Distance to the stop, gap beyond it and cost of an instrument with this taker fee, as fractions of notional."""
        return self.stop_frac_e8 / E8, self.gap_frac_e8 / E8, max(self.cost_frac_e8, 2 * taker_fee_e8) / E8
