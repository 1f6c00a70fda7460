"""What the venue refuses, with its own codes. Every check comes before anything changes."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.venue_account import Slot
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_triggers import FALL, RISE
from kedge.simulation.venue_types import OrderRequest, Reject, TriggerBy, VenueSettings

LINK_ID_MAX: Final = 36
_BUY: Final = Side.BUY
_MARKET: Final = OrderKind.MARKET
_POST_ONLY: Final = TimeInForce.POST_ONLY
_LINK_MARKS: Final = str.maketrans("", "", "-_")

BAD_SYMBOL: Final = Reject(10001, "Not supported symbols")
NOT_LIVE: Final = Reject(110074, "This contract is not live")
NOT_FOUND_CANCEL: Final = Reject(110001, "order not exists or too late to cancel")
NOT_FOUND_AMEND: Final = Reject(110001, "order not exists or too late to replace")
UNCHANGED: Final = Reject(10001, "The order remains unchanged as the parameters entered match the existing ones.")
NOT_ENOUGH: Final = Reject(110007, "ab not enough for new order")
QTY_INVALID: Final = Reject(10001, "Qty invalid")
PRICE_INVALID: Final = Reject(110003, "price is invalid")
PRICE_OUT: Final = Reject(110003, "Order price is out of permissible range")
DUPLICATE: Final = Reject(110072, "OrderLinkedID is duplicate")
TOO_MANY: Final = Reject(110020, "You cannot have more than 500 active orders")
TOO_MANY_STOPS: Final = Reject(110009, "The number of stop orders exceeds the maximum allowable limit")
NO_POSITION: Final = Reject(110017, "current position is zero, cannot fix reduce-only order qty")
NOT_REDUCING: Final = Reject(110017, "Reduce-only rule not satisfied")
POSITION_MAX: Final = Reject(110090, "Order placement failed as your position may exceed the max limit")
TIER_LEVERAGE: Final = Reject(110086, "The leverage is above the maximum of the risk limit tier")
AMEND_QTY: Final = Reject(110064, "The amended quantity is not above the filled quantity")
LEVERAGE_SAME: Final = Reject(110043, "leverage not modified")
LEVERAGE_HIGH: Final = Reject(110013, "cannot set leverage due to risk limit")
STOPS_SAME: Final = Reject(34040, "not modified")


class Terms(NamedTuple):
    """What an accepted order comes to: lots after cutting a reduce-only order, ticks after moving the price to the limit."""

    qty_lots: int
    price_ticks: int


def order_terms(request: OrderRequest, slot: Slot, settings: VenueSettings) -> Terms | Reject:
    """Check a new order against everything but money."""
    return plain_terms(request, slot, settings) or full_terms(request, slot, settings)


def plain_terms(request: OrderRequest, slot: Slot, settings: VenueSettings) -> Terms | None:
    """What `full_terms` answers to a plain order that nothing speaks against, in one look; None for whatever needs a second one."""
    market, qty, price = slot.market, request.qty_lots, request.limit_ticks
    if (
        request.trigger_ticks or request.reduce_only or request.take_profit_ticks or request.stop_loss_ticks or request.position_idx
        or not market.mark_e8 or slot.active >= settings.limits.orders_max
    ):  # fmt: skip
        return None
    if request.link_id and _link(request.link_id, slot) is not None:
        return None
    spec, (highest, lowest) = market.spec, market.price_limits
    if request.kind is _MARKET:
        if request.time_in_force is _POST_ONLY:
            return None
        price, base, largest = highest if request.side is _BUY else lowest, market.last_ticks, spec.market_qty_max_lots
    else:
        if not 1 <= price <= spec.price_max_ticks or (price > highest if request.side is _BUY else price < lowest):
            return None
        base, largest = price, spec.order_qty_max_lots
    if spec.order_qty_min_lots <= qty <= largest and qty * base * spec.tick_value_e8 >= spec.notional_min_e8:
        return tuple.__new__(Terms, (qty, price))  # what the constructor makes, in a third of its time
    return None


def full_terms(request: OrderRequest, slot: Slot, settings: VenueSettings) -> Terms | Reject:
    """`order_terms` rule by rule."""
    refusal = _shape(request, slot) or _counts(request, slot, settings) or _trigger(request, slot.market)
    if refusal is not None:
        return refusal
    price = order_price(slot.market, request.kind, request.side, request.limit_ticks, settings, bool(request.trigger_ticks))
    if isinstance(price, Reject):
        return price
    qty = _quantity(request, slot)
    if isinstance(qty, Reject):
        return qty
    refusal = _attached(request, slot.market, price) or notional_refusal(slot.market, request.kind, qty, price, request.reduce_only)
    return refusal or Terms(qty, price)


def order_price(market: Market, kind: OrderKind, side: Side, limit_ticks: int, settings: VenueSettings, conditional: bool) -> int | Reject:
    """The price an order works with: its limit inside the price limits, or for a market order the limit itself."""
    highest, lowest = market.price_limits
    if kind is OrderKind.MARKET:
        return highest if side is Side.BUY else lowest
    if not 1 <= limit_ticks <= market.spec.price_max_ticks:
        return PRICE_INVALID
    beyond = limit_ticks > highest if side is Side.BUY else limit_ticks < lowest
    if not beyond or conditional:
        return limit_ticks
    if not settings.clamps_prices:
        return PRICE_OUT
    return highest if side is Side.BUY else lowest


def qty_refusal(market: Market, kind: OrderKind, qty_lots: int) -> Reject | None:
    """The instrument's smallest and largest order."""
    spec = market.spec
    largest = spec.market_qty_max_lots if kind is OrderKind.MARKET else spec.order_qty_max_lots
    return None if spec.order_qty_min_lots <= qty_lots <= largest else QTY_INVALID


def notional_refusal(market: Market, kind: OrderKind, qty_lots: int, price_ticks: int, reduce_only: bool) -> Reject | None:
    """The smallest notional, from which reduce-only orders are exempt; a market order counts at the last price."""
    spec = market.spec
    price = market.last_ticks if kind is OrderKind.MARKET else price_ticks
    if reduce_only or qty_lots * price * spec.tick_value_e8 >= spec.notional_min_e8:
        return None
    least = f"{spec.notional_min_e8 / 1e8:g}"
    return Reject(110094, f"Order does not meet minimum order value {least}{spec.quote}")


def money_refusal(slot: Slot, side: Side, lots: int, price_ticks: int, released_lots: int = 0, released_ticks: int = 0) -> Reject | None:
    """Whether position limit, risk tier and available balance bear `lots` more at a price, with an old order's lots released first.

    A sale is costed at the mark when its price is lower, and what the order would lose at once against the mark is costed too.
    """
    market, spec = slot.market, slot.market.spec
    is_buy = side is _BUY
    held = slot.lots if is_buy else -slot.lots
    queued = (slot.buy_lots if is_buy else slot.sell_lots) + lots - released_lots
    reach = held + queued if held > 0 else queued
    if reach > spec.position_max_lots:
        return POSITION_MAX
    if reach <= -held:
        return None
    added = lots * price_ticks * spec.tick_value_e8
    at_mark = lots * market.mark_e8 * spec.tick_value_e8 // spec.tick_e8
    cost = added if is_buy or added > at_mark else at_mark
    moved = cost - released_lots * released_ticks * spec.tick_value_e8
    notional = slot.buy_notional_e8 if is_buy else slot.sell_notional_e8
    bound, other = slot.side_e8(side, queued, notional + moved), slot.sell_bound_e8 if is_buy else slot.buy_bound_e8
    more = (bound if bound > other else other) - slot.order_initial_e8
    if more <= 0:
        return None
    loss = added - at_mark if is_buy else at_mark - added
    if (more + loss if loss > 0 else more) > slot.account.available_e8:
        return NOT_ENOUGH
    return tier_refusal(slot, reach * market.mark_e8 * spec.tick_value_e8 // spec.tick_e8, slot.leverage_e2)


def tier_refusal(slot: Slot, value_e8: int, leverage_e2: int) -> Reject | None:
    """Whether a position of this value may have this leverage."""
    limits = slot.market.tier_limits
    if value_e8 <= limits[0]:
        return None
    tier = bisect_left(limits, value_e8)
    if tier >= len(limits):
        return POSITION_MAX
    return TIER_LEVERAGE if slot.market.spec.tiers[tier].leverage_max_e2 < leverage_e2 else None


def trigger_refusal(direction: int, trigger_e8: int, price_e8: int) -> Reject | None:
    """Whether a trigger lies ahead of the price it watches."""
    if direction == RISE and trigger_e8 <= price_e8:
        return Reject(110092, f"expect Rising, but trigger_price[{trigger_e8}] <= current[{price_e8}]")
    if direction == FALL and trigger_e8 >= price_e8:
        return Reject(110093, f"expect Falling, but trigger_price[{trigger_e8}] >= current[{price_e8}]")
    return None


def watched_e8(market: Market, by: TriggerBy) -> int:
    """The price that a trigger watches, 1e-8."""
    if by is TriggerBy.LAST:
        return market.last_ticks * market.spec.tick_e8
    return market.mark_e8 if by is TriggerBy.MARK else market.index_e8


def _shape(request: OrderRequest, slot: Slot) -> Reject | None:
    if not slot.market.is_live:
        return NOT_LIVE
    if request.position_idx:
        return Reject(10001, "position idx not match position mode")
    if request.kind is OrderKind.MARKET and request.time_in_force is TimeInForce.POST_ONLY:
        return Reject(10001, "a market order cannot be post only")
    if request.reduce_only and (request.take_profit_ticks or request.stop_loss_ticks):
        return Reject(10001, "reduce-only orders may not set take profit or stop loss")
    return _link(request.link_id, slot)


def _link(link_id: str, slot: Slot) -> Reject | None:
    if not link_id:
        return None
    if len(link_id) > LINK_ID_MAX:
        return Reject(10001, "order link id is longer than 45")
    letters = link_id.translate(_LINK_MARKS)
    if letters and not (letters.isascii() and letters.isalnum()):
        return Reject(10001, "order link id has a character other than letters, digits, - and _")
    return DUPLICATE if link_id in slot.account.links else None


def _counts(request: OrderRequest, slot: Slot, settings: VenueSettings) -> Reject | None:
    if request.trigger_ticks:
        return TOO_MANY_STOPS if slot.conditional >= settings.limits.conditionals_max else None
    return TOO_MANY if slot.active >= settings.limits.orders_max else None


def _trigger(request: OrderRequest, market: Market) -> Reject | None:
    if not request.trigger_ticks:
        return None
    if request.trigger_direction not in (RISE, FALL):
        return Reject(10001, "triggerDirection is required: 1 rises, 2 falls")
    trigger_e8 = request.trigger_ticks * market.spec.tick_e8
    return trigger_refusal(request.trigger_direction, trigger_e8, watched_e8(market, request.trigger_by))


def _attached(request: OrderRequest, market: Market, price_ticks: int) -> Reject | None:
    """A take profit lies where the position would gain, a stop loss where it would lose, seen from the order's price."""
    if not (request.take_profit_ticks or request.stop_loss_ticks):
        return None
    base = market.last_ticks if request.kind is OrderKind.MARKET else price_ticks
    sign = 1 if request.side is Side.BUY else -1
    for name, ticks, gain in (("TakeProfit", request.take_profit_ticks, sign), ("StopLoss", request.stop_loss_ticks, -sign)):
        if ticks and (ticks - base) * gain <= 0:
            return Reject(10001, f"{name}:{ticks} set for {request.side} position should be on the other side of base_price:{base}")
    return None


def _quantity(request: OrderRequest, slot: Slot) -> int | Reject:
    """Lots of the order; a reduce-only order that is not conditional is cut to what it may close."""
    market, lots = slot.market, request.qty_lots
    spec = market.spec
    whole = not lots and request.reduce_only and request.close_on_trigger
    if whole:
        lots = min(abs(slot.lots), spec.market_qty_max_lots if request.kind is OrderKind.MARKET else spec.order_qty_max_lots)
        lots = lots or (spec.order_qty_min_lots if request.trigger_ticks else 0)
    if (not request.reduce_only or request.trigger_ticks) and (refusal := qty_refusal(market, request.kind, lots)):
        return refusal
    if not request.reduce_only or request.trigger_ticks:
        return lots
    if not slot.lots:
        return NO_POSITION
    room = slot.room_to_reduce(request.side)
    if room < 1:
        return NOT_REDUCING
    return qty_refusal(market, request.kind, lots) or min(lots, room)
