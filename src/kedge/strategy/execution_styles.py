"""What each style of execution wants at one moment: children to send now, when they expire, and when to look again.

Rules: a leg that reduces comes first, at the market, and what is to be opened is planned when it has closed; no child is larger than a
slice and its dust, or smaller than the venue takes unless nothing larger is left; the same moment gives the same plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.strategy.execution import (
    ChaseThen,
    Child,
    ExecutionPolicy,
    SliceEntry,
    Style,
    WithoutQuote,
    closing_lots,
    market_slices,
    plan,
    within_slice,
)

BPS: Final = 10_000


class Moment(NamedTuple):
    """What a plan is made from.

    Attributes
    ----------
    slice_lots, minimum_lots : int
        The usual child, and the smallest order that the venue takes at this mark.
    begun_ns, begun_lots, begun_ticks : int
        When the work towards this target began, the position then, and the mark that its decision saw.
    volume_lots : int
        Traded in the market since the last slice, or since the work began.
    tries : int
        Passive orders of this decision that expired, or were cancelled because they would have taken.
    bid_ticks, ask_ticks : int
        The touch of a quote that may be used; 0 where there is none.
    posted : bool
        A passive order was sent or moved since the last bar closed.
    only_market : bool
        Less risk is asked for: nothing rests.
    """

    position_lots: int
    target_lots: int
    mark_ticks: int
    slice_lots: int
    minimum_lots: int
    now_ns: int
    begun_ns: int
    begun_lots: int
    begun_ticks: int
    volume_lots: int
    tries: int
    bid_ticks: int
    ask_ticks: int
    posted: bool = False
    only_market: bool = False

    @property
    def is_quoted(self) -> bool:
        return self.bid_ticks > 0


class Plan(NamedTuple):
    """Children to send now; `expires_ns` cancels the resting ones, `again_ns` looks again. 0 for neither."""

    children: tuple[Child, ...] = ()
    expires_ns: int = 0
    again_ns: int = 0


NOTHING: Final = Plan()


def plan_now(at: Moment, policy: ExecutionPolicy) -> Plan:
    """What `policy` wants at this moment; empty when the target is reached, or when it is time to wait."""
    if at.position_lots == at.target_lots:
        return NOTHING
    style = policy.working_style
    if style is Style.MARKET or style is Style.LIMIT:
        return Plan(plan(at.position_lots, at.target_lots, at.mark_ticks, at.slice_lots, policy), at.now_ns + policy.limit_life_ns)
    closing = closing_lots(at.position_lots, at.target_lots)
    if not closing:
        return _STYLES[style](at, policy)
    if style is Style.CHASE and policy.chase_exits and not at.only_market:
        return _chase(at, policy, -closing, reduce_only=True)
    return Plan(market_slices(-closing, at.slice_lots, reduce_only=True))


def touch_ticks(side: Side, at: Moment, policy: ExecutionPolicy) -> int:
    """Where a passive order of `side` rests: the best price of its own side, or as the policy says without a quote; 0 for nowhere."""
    touch = at.bid_ticks if side is Side.BUY else at.ask_ticks
    return touch or (at.mark_ticks if policy.without_quote is WithoutQuote.LAST_CLOSE else 0)


def looks_again(at: Moment, policy: ExecutionPolicy) -> bool:
    """Whether a chase has anything to see between two bars: a quote, or the wish for one."""
    return at.is_quoted or policy.without_quote is WithoutQuote.WAIT


# styles ----------------------------------------------------------------------------------------------------------------


def _chase_entry(at: Moment, policy: ExecutionPolicy) -> Plan:
    return _chase(at, policy, at.target_lots - at.position_lots, reduce_only=False)


def _chase(at: Moment, policy: ExecutionPolicy, signed_lots: int, *, reduce_only: bool) -> Plan:
    over_ns = at.begun_ns + policy.chase_life_ns
    if at.now_ns >= over_ns or at.tries >= policy.chase_tries_max:
        crosses = policy.chase_then is ChaseThen.MARKET
        return Plan(market_slices(signed_lots, at.slice_lots, reduce_only=reduce_only)) if crosses else NOTHING
    side = Side.BUY if signed_lots > 0 else Side.SELL
    ticks = touch_ticks(side, at, policy)
    again_ns = min(at.now_ns + policy.chase_every_ns, over_ns) if looks_again(at, policy) else 0
    if not ticks or (at.tries and at.posted and not at.is_quoted):  # the close at which it would have taken is still the last one
        return Plan(again_ns=again_ns)
    lots = within_slice(abs(signed_lots), at.slice_lots)
    child = Child(side, OrderKind.LIMIT, TimeInForce.POST_ONLY, lots, ticks, reduce_only)
    return Plan((child,), over_ns, again_ns)


def _twap(at: Moment, policy: ExecutionPolicy) -> Plan:
    count, span_ns = policy.twap_slices, policy.twap_ns
    start = min(max(at.begun_lots, min(0, at.target_lots)), max(0, at.target_lots))
    sign = 1 if at.target_lots > at.position_lots else -1
    slices_due = min(count, (at.now_ns - at.begun_ns) * count // span_ns + 1)
    is_last = slices_due == count
    again_ns = 0 if is_last else at.begun_ns - (-slices_due * span_ns // count)
    due = start + sign * (abs(at.target_lots - start) * slices_due // count)
    lots = max(0, sign * (due - at.position_lots))
    rest = abs(at.target_lots - at.position_lots) - lots
    if not lots or (not is_last and (lots < at.minimum_lots or 0 < rest < at.minimum_lots)):
        return Plan(again_ns=again_ns)  # a slice too small for the venue, or one that leaves such a rest, waits for the next
    sliced = _slice(at, policy, sign * within_slice(lots, at.slice_lots))
    return sliced._replace(again_ns=min(again_ns, sliced.again_ns) if again_ns and sliced.again_ns else again_ns or sliced.again_ns)


def _participation(at: Moment, policy: ExecutionPolicy) -> Plan:
    gap = at.target_lots - at.position_lots
    lots = min(within_slice(abs(gap), at.slice_lots), at.volume_lots * policy.participation_e8 // E8)
    if 0 < abs(gap) - lots < at.minimum_lots:
        lots = abs(gap) - at.minimum_lots  # what stays behind must be large enough for an order
    if lots < min(at.minimum_lots, abs(gap)) or lots < 1:
        return NOTHING
    return _slice(at, policy, lots if gap > 0 else -lots)


def _slice(at: Moment, policy: ExecutionPolicy, signed_lots: int) -> Plan:
    """One slice: at the market, or resting first where the policy says so and no passive try of it has expired."""
    side = Side.BUY if signed_lots > 0 else Side.SELL
    if policy.slice_entry is SliceEntry.MARKET or at.tries:
        return Plan((Child(side, OrderKind.MARKET, TimeInForce.IOC, abs(signed_lots), 0, False),))
    ticks = touch_ticks(side, at, policy)
    if not ticks:
        return Plan(again_ns=at.now_ns + policy.slice_life_ns)
    return Plan((Child(side, OrderKind.LIMIT, TimeInForce.GTC, abs(signed_lots), ticks, False),), at.now_ns + policy.slice_life_ns)


def _stop_entry(at: Moment, policy: ExecutionPolicy) -> Plan:
    gap = at.target_lots - at.position_lots
    children = market_slices(gap, at.slice_lots)
    away = at.begun_ticks * policy.trigger_bps
    if gap > 0:
        trigger = at.begun_ticks + max(1, -(-away // BPS))
        reached = at.mark_ticks >= trigger
    else:
        trigger = max(1, at.begun_ticks - max(1, -(-away // BPS)))
        reached = at.mark_ticks <= trigger
    if reached:
        return Plan(children)
    return Plan(tuple(child._replace(trigger_ticks=trigger, trigger_rises=gap > 0) for child in children))


_STYLES: Final[dict[Style, Callable[[Moment, ExecutionPolicy], Plan]]] = {
    Style.CHASE: _chase_entry,
    Style.TWAP: _twap,
    Style.PARTICIPATION: _participation,
    Style.STOP_ENTRY: _stop_entry,
}
