"""How long each step of a braking took, counted from the breach."""

from __future__ import annotations

from typing import Final

from kedge.services.guard.status import Times

STEPS: Final = ("latched", "permits_stopped", "first_cancel", "cancels", "orders_zero", "positions_zero", "flat")


class Timeline:
    """One braking; a later one that is more severe begins anew.

    Attributes
    ----------
    equity_e8 : int or None
        Equity when the breach was read.
    flows_e8 : int
        What came or went since.
    slices : int
        Orders sent to close.
    """

    def __init__(self) -> None:
        self.breach_ns: int | None = None
        self.equity_e8: int | None = None
        self.flows_e8 = 0
        self.slices = 0
        self._at_ns: dict[str, int] = {}

    def begin(self, breach_ns: int) -> None:
        """A breach, or a person's word."""
        self.breach_ns = breach_ns
        self.equity_e8, self.flows_e8, self.slices = None, 0, 0
        self._at_ns.clear()

    def clear(self) -> None:
        """The brake was released."""
        self.breach_ns = self.equity_e8 = None
        self._at_ns.clear()

    def mark(self, step: str, now_ns: int) -> bool:
        """A step is done; the first time counts. Whether this was the first."""
        if step in self._at_ns:
            return False
        self._at_ns[step] = now_ns
        return True

    def unmark(self, step: str) -> None:
        """A step is undone, as when an order appears on an account that had none."""
        self._at_ns.pop(step, None)

    def times(self) -> Times:
        """Every step's time since the breach."""
        since = self.breach_ns
        if since is None:
            return Times()
        return Times(**{f"{step}_ns": self._at_ns[step] - since for step in STEPS if step in self._at_ns})
