"""What the guard knows at one moment, as plain numbers. Everything comes from the venue; ages are on the guard's own clock.

Rules: money in 1e-8 of the settlement coin, fractions in 1e-8 unless a name says frac; unknown is None, never zero.
"""

from __future__ import annotations

import msgspec

from kedge.domain.instrument import InstrumentId


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open position.

    Attributes
    ----------
    lots, notional_e8 : int
        Signed; the notional at the venue's mark.
    maintenance_e8 : int
        Maintenance margin by the venue's tiers, closing fee included.
    liquidation_e8 : int or None
        How far the mark is from the first mark at which equity meets maintenance margin, as a fraction of the mark in 1e-8, the other
        marks standing still. None where no mark does.
    sigma_e8 : int
        Daily volatility of returns in 1e-8.
    unstopped_ns : int
        How long the venue has shown no stop for it; 0 with one.
    """

    instrument: InstrumentId
    lots: int
    notional_e8: int
    maintenance_e8: int
    liquidation_e8: int | None
    sigma_e8: int
    unstopped_ns: int = 0


class GuardView(msgspec.Struct, frozen=True, kw_only=True):
    """The account at one moment.

    Attributes
    ----------
    view_age_ns : int
        Since the venue was last read whole: positions, orders and wallet.
    equity_e8 : int
        Wallet and unrealised profit, as the venue says.
    loss_equity_e8 : int
        What losses are judged on. Equity, but while a change of the wallet is not explained: then equity when it last was, and of the
        change since then as much as trading can have done; see `earnings`. So a withdrawal is no loss before its ledger row comes, and
        a deposit hides none.
    high_water_e8, day_start_e8 : int
        Highest equity, and equity when the UTC day began; both scaled with every deposit and withdrawal.
    unmarked : int
        Positions whose mark nobody knows, which are not among `positions`.
    var99_e8 : int or None
        One-day VaR at 99 % as a fraction of equity in 1e-8, by the method in `var_method`; None where it could not be worked out.
    risk_orders : int
        Open orders that are not reduce-only and not the guard's.
    heartbeat_ns : int
        Since the trader was last heard, counted from the guard's start before the first time.
    clock_off_ms : int or None
        This machine's clock against the venue's.
    rejects : int
        Orders refused at the venue in the last minute.
    unexplained_ns : int
        How long the wallet or a position has differed from what ledger and executions explain; 0 while they agree.
    unexplained : str
        What differs, with figures.
    strange_e8 : int
        As much of equity no trade can have done and no row of the ledger explains yet; new risk is not permitted while there is any.
    """

    view_age_ns: int
    equity_e8: int
    loss_equity_e8: int
    high_water_e8: int
    day_start_e8: int
    positions: tuple[PositionView, ...] = ()
    unmarked: int = 0
    var99_e8: int | None = None
    var_method: str = ""
    open_orders: int = 0
    risk_orders: int = 0
    heartbeat_ns: int = 0
    clock_off_ms: int | None = None
    rejects: int = 0
    unexplained_ns: int = 0
    unexplained: str = ""
    strange_e8: int = 0

    @property
    def has_risk(self) -> bool:
        """Whether there is a position, or an order that could make one."""
        return bool(self.positions) or self.risk_orders > 0 or self.unmarked > 0

    @property
    def gross_e8(self) -> int:
        return sum(abs(position.notional_e8) for position in self.positions)

    @property
    def maintenance_e8(self) -> int:
        return sum(position.maintenance_e8 for position in self.positions)
