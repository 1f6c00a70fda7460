"""How the guard of one account watches and closes."""

from __future__ import annotations

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.instrument import InstrumentId
from kedge.risk.brake.flatten import Closing
from kedge.risk.brake.triggers import TriggerLimits

ClosingSettings = Closing


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See `TriggerLimits` and `Closing`; the rest are paces, in seconds of wall time.

    Attributes
    ----------
    account : str
        The venue's account; stands in the latch and in the ids of the guard's orders.
    name : str
        The guard's, for permits and people.
    instruments : tuple
        What the account is expected to trade; others are watched and closed alike.
    poll_risk_s, poll_flat_s : float
        Between reads of positions and wallet, with risk and without.
    orders_every_s : float
        Between reads of open orders while there is risk.
    permit_view_s : float
        The oldest view under which a permit is granted.
    quiet_s : float
        From the latch on, so long may an order that was signed before still be accepted: the permit's age and the receive window.
    zero_s : float
        How long orders and positions must be zero thereafter.
    whole_room_s : float
        From the latch on, so long the guard keeps to its share of the venue's limits.
    history_days : int
        Daily closes that VaR is worked out from.
    prior_sigma_e8 : int
        Daily volatility that is assumed where there is too little history.
    page_every_s : float
        Between two calls about the same thing.
    """

    account: str
    name: str = "guard"
    instruments: tuple[InstrumentId, ...] = ()
    triggers: TriggerLimits = TriggerLimits()
    closing: Closing = Closing()
    poll_risk_s: float = 0.1
    poll_flat_s: float = 0.5
    orders_every_s: float = 0.2
    ledger_every_s: float = 5.0
    clock_every_s: float = 10.0
    read_within_s: float = 2.0
    permit_view_s: float = 1.0
    quiet_s: float = 3.0
    zero_s: float = 1.0
    recv_window_s: float = 1.0
    whole_room_s: float = 3.0
    history_days: int = 1_000
    prior_sigma_e8: int = 5_000_000
    page_every_s: float = 30.0
    seen_every_s: float = 1.0
    seen_flat_every_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("poll_risk_s", "poll_flat_s", "orders_every_s", "read_within_s", "permit_view_s"):
            if getattr(self, name) <= 0:
                raise InvalidConfig(f"guard.{name} is {getattr(self, name)}", why="it must be above zero", fix=f"set {name}, in seconds")
        if self.poll_flat_s >= self.permit_view_s:
            raise InvalidConfig(
                f"guard.poll_flat_s is {self.poll_flat_s:g}",
                why=f"a view may be {self.permit_view_s:g} s old at most for a permit",
                fix="poll more often",
            )
