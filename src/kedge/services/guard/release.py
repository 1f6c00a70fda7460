"""Letting go of the brake: what must hold at the account before it is let go. Signatures and people are checked before it comes here.

Rules: the venue is read anew; what is breached or not explained keeps the brake on; an approval is used once, and written down before the
latch changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kedge.domain.brake import BrakeLevel, Latch
from kedge.domain.errors import Conflict
from kedge.risk.brake.triggers import TriggerLimits, judge
from kedge.risk.brake.view import GuardView

KEEP: Final = "keep"
RESET: Final = "reset"


class ReleaseOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A release whose approval was verified: signature, people, expiry and payload.

    Attributes
    ----------
    high_water : str
        'keep', or 'reset': the drawdown counts from now, and what the books could not explain is taken as it stands.
    allow_positions : bool
        Whether HALTED or REDUCE_ONLY may be released with positions; after a flattening there are none.
    """

    approval_id: str
    account: str
    generation: int
    reason: str
    root_cause: str
    actors: tuple[str, ...]
    high_water: str = KEEP
    solo: bool = False
    allow_positions: bool = True


def refusals_of_latch(order: ReleaseOrder, latch: Latch) -> list[str]:
    """What of the latch forbids this release."""
    found = []
    if order.account != latch.account:
        found.append(f"the release is for account {order.account}, this is {latch.account}")
    if order.generation != latch.generation:
        found.append(f"the release is for generation {order.generation}, the brake is at {latch.generation}: something happened since")
    if latch.level is BrakeLevel.RUNNING:
        found.append("the brake is not on")
    if latch.level is BrakeLevel.FLATTENING:
        found.append("positions are still being closed")
    if order.high_water not in (KEEP, RESET):
        found.append(f"high_water is {order.high_water!r}: it is keep or reset")
    if not order.reason.strip() or not order.root_cause.strip():
        found.append("a reason and a root cause are needed")
    return found


def refusals_of_account(order: ReleaseOrder, latch: Latch, view: GuardView, limits: TriggerLimits, orders: int, pending: int) -> list[str]:
    """What of the account, as it was read just now, forbids it."""
    found = []
    if pending:
        found.append(f"nobody knows the end of {pending} of the guard's orders")
    if latch.level is BrakeLevel.HALTED_FLAT and (view.positions or orders):
        found.append(f"the account is not flat: {len(view.positions)} positions, {orders} orders")
    if view.positions and not order.allow_positions:
        found.append(f"there are {len(view.positions)} positions")
    if order.high_water == RESET:
        view = msgspec.structs.replace(view, high_water_e8=view.loss_equity_e8, unexplained_ns=0, unexplained="", strange_e8=0)
    if view.unexplained:
        found.append(f"the books are not clean: {view.unexplained}")
    found += [f"{one.trigger} is still breached: {one.observed} against {one.limit}" for one in judge(view, limits)]
    return found


def refusal(whys: Sequence[str]) -> Conflict:
    """The error of a release that is not carried out."""
    return Conflict("the brake is not released", why="; ".join(whys), fix="mend what it names, then ask for a release anew")
