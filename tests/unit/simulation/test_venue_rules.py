"""What the venue refuses and with which code, what it clamps, and the life of every kind of order.

The last price is 100.0 (1,000 ticks), one lot is worth 0.1 USDT there; the crowd quotes five levels of about 20,000 lots from 1,000.
"""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.errors import Conflict, InvalidInput, NotFound
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import (
    CancelType,
    Crowd,
    OrderRequest,
    OrderRow,
    Reject,
    RejectReason,
    Status,
    VenueLimits,
    VenueSettings,
)

from ...builders import AAA, T0, instrument

BUY, SELL = Side.BUY, Side.SELL
QUIET = Crowd(levels=5, notional_e8=2_000 * E8, flow_notional_e8=0)
TICK_E8 = 10_000_000


def venue(crowd: Crowd = QUIET, **given: Any) -> Venue:
    made = Venue([instrument(AAA, **given.pop("spec", {}))], VenueSettings(crowd=crowd, **given), T0)
    for name in ("a", "b"):
        made.open_account(name, 10_000 * E8, T0)
    price(made, 1_000)
    made.drain()
    return made


def price(made: Venue, last: int, ts_ns: int = T0, mark_e8: int | None = None, flow: int = 0) -> None:
    mark = last * TICK_E8 if mark_e8 is None else mark_e8
    made.set_prices(AAA, last, mark, mark, ts_ns, flow_lots=flow)


def ask(side: Side = BUY, qty: int = 100, limit: int = 0, **given: Any) -> OrderRequest:
    kind = OrderKind.LIMIT if limit else OrderKind.MARKET
    return OrderRequest(instrument=AAA, side=side, kind=kind, qty_lots=qty, limit_ticks=limit, **given)


def took(answer: OrderRow | Reject) -> OrderRow:
    assert isinstance(answer, OrderRow), answer
    return answer


def code(answer: object) -> int:
    assert isinstance(answer, Reject), answer
    return answer.code


REFUSED = {
    "an unlisted symbol": (ask(), {"instrument": "test:ZZZUSDT"}, 10001),
    "hedge mode": (ask(position_idx=1), {}, 10001),
    "too few lots": (ask(qty=0), {}, 10001),
    "too many lots": (ask(qty=1_000_001, limit=1_000), {}, 10001),
    "too many lots at market": (ask(qty=500_001), {}, 10001),
    "post-only at market": (ask(time_in_force=TimeInForce.POST_ONLY), {}, 10001),
    "a limit order without a limit": (ask(), {"kind": OrderKind.LIMIT}, 110003),
    "a price past the largest": (ask(limit=10_000_001), {}, 110003),
    "below five dollars": (ask(qty=49, limit=1_000), {}, 110094),
    "a long link id": (ask(link_id="x" * 37), {}, 10001),
    "a link id with a space": (ask(link_id="x y"), {}, 10001),
    "more than the wallet bears": (ask(qty=1_000_000, limit=1_000), {}, 110007),
    "reduce-only when flat": (ask(reduce_only=True), {}, 110017),
    "a trigger without direction": (ask(trigger_ticks=1_100), {}, 10001),
    "a rise to a price below": (ask(trigger_ticks=900, trigger_direction=1), {}, 110092),
    "a take profit that loses": (ask(take_profit_ticks=990), {}, 10001),
    "a stop loss that gains": (ask(SELL, stop_loss_ticks=990), {}, 10001),
    "a stop on a reduce-only order": (ask(reduce_only=True, stop_loss_ticks=990), {}, 10001),
    "a fall to a price above": (ask(trigger_ticks=1_100, trigger_direction=2), {}, 110093),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_venues_code(case: str) -> None:
    request, changes, expected = REFUSED[case]
    fields = {name: getattr(request, name) for name in request.__struct_fields__} | changes
    made = venue()
    assert code(made.place("a", OrderRequest(**fields), T0)) == expected
    assert made.drain() == []
    assert made.open_orders("a").rows == []


def test_before_the_first_price_nothing_trades() -> None:
    made = Venue([instrument(AAA)], VenueSettings(), T0)
    made.open_account("a", 10_000 * E8, T0)
    assert code(made.place("a", ask(), T0)) == 110074


def test_a_link_id_is_used_once_even_after_its_order_is_gone() -> None:
    made = venue()
    took(made.place("a", ask(limit=995, link_id="once"), T0))
    assert code(made.place("a", ask(limit=995, link_id="once"), T0)) == 110072
    took(made.cancel("a", AAA, T0, link_id="once"))
    assert code(made.place("a", ask(limit=995, link_id="once"), T0)) == 110072
    took(made.place("b", ask(limit=995, link_id="once"), T0))


def test_counts_are_bounded() -> None:
    made = venue(limits=VenueLimits(orders_max=2, conditionals_max=1))
    for _ in range(2):
        took(made.place("a", ask(limit=995), T0))
    assert code(made.place("a", ask(limit=995), T0)) == 110020
    took(made.place("a", ask(trigger_ticks=1_100, trigger_direction=1), T0))
    assert code(made.place("a", ask(trigger_ticks=1_100, trigger_direction=1), T0)) == 110009


def test_a_price_beyond_the_limit_is_moved_to_it_or_refused() -> None:
    highest, lowest = venue().price_limits(AAA) or (0, 0)
    assert (highest, lowest) == (1_010, 990)
    assert took(venue().place("a", ask(limit=2_000), T0)).price_ticks == 1_010
    assert took(venue().place("a", ask(SELL, limit=500), T0)).price_ticks == 990
    assert code(venue(clamps_prices=False).place("a", ask(limit=2_000), T0)) == 110003


def test_order_cost_is_the_documented_one() -> None:
    """1 BTC at 50,000, ten times: 5,000 + 27.5 + 24.75."""
    made = venue(Crowd(levels=0, flow_notional_e8=0), spec={"price_max_ticks": 1_000_000})
    made.open_account("enough", 505_225_000_000, T0)
    made.open_account("short", 505_224_999_999, T0)
    made.set_prices(AAA, 500_000, 500_000 * TICK_E8, 500_000 * TICK_E8, T0, flow_lots=0)
    assert code(made.place("short", ask(qty=1_000, limit=500_000), T0)) == 110007
    took(made.place("enough", ask(qty=1_000, limit=500_000), T0))
    assert made.wallet("enough").available_e8 == 0


def test_leverage_above_the_tier_is_refused() -> None:
    made = venue(leverage_e2=5_000)
    made.open_account("whale", 1_000_000 * E8, T0)
    took(made.place("whale", ask(qty=199_000, limit=990), T0))
    assert code(made.place("whale", ask(qty=2_000, limit=990), T0)) == 110086
    assert code(made.place("whale", ask(qty=1_000_000, limit=990), T0)) == 110086
    made.set_leverage("whale", AAA, 100, T0)
    took(made.place("whale", ask(qty=1_000_000, limit=990), T0))
    assert code(made.place("whale", ask(qty=1_000_000, limit=990), T0)) == 110090


def test_only_the_larger_side_binds_and_closing_lots_bind_nothing() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 1_000, 990), T0))
    buys = made.wallet("a").order_initial_e8
    took(made.place("a", ask(SELL, 500, 1_009), T0))
    assert made.wallet("a").order_initial_e8 == buys > 0
    made.cancel_all("a", None, T0)
    assert made.wallet("a").order_initial_e8 == 0
    took(made.place("a", ask(BUY, 1_000), T0))
    took(made.place("a", ask(SELL, 1_000, 1_009), T0))
    assert made.wallet("a").order_initial_e8 == 0
    took(made.place("a", ask(SELL, 500, 1_009), T0))
    assert made.wallet("a").order_initial_e8 > 0


def test_times_in_force() -> None:
    made = venue()
    best = made.depth(AAA, 1).asks[0]
    ioc = took(made.place("a", ask(BUY, best[1] + 100, best[0], time_in_force=TimeInForce.IOC), T0))
    assert (ioc.status, ioc.cum_lots, ioc.reject_reason) == (Status.CANCELLED, best[1], RejectReason.NO_IMMEDIATE)
    fok = took(made.place("a", ask(BUY, 500_000, made.depth(AAA, 1).asks[0][0], time_in_force=TimeInForce.FOK), T0))
    assert (fok.status, fok.cum_lots, fok.reject_reason) == (Status.CANCELLED, 0, RejectReason.NOT_WHOLE)
    post = took(made.place("a", ask(BUY, 100, made.depth(AAA, 1).asks[0][0], time_in_force=TimeInForce.POST_ONLY), T0))
    assert (post.status, post.cum_lots, post.reject_reason) == (Status.CANCELLED, 0, RejectReason.WOULD_TAKE)
    assert took(made.place("a", ask(BUY, 100, 991, time_in_force=TimeInForce.POST_ONLY), T0)).status is Status.NEW


def test_amend_keeps_or_loses_the_place_in_the_queue() -> None:
    made = venue(Crowd(levels=0, flow_notional_e8=0))
    first, second = (took(made.place(name, ask(BUY, 200, 995), T0)) for name in ("a", "b"))
    took(made.amend("a", AAA, T0, order_id=first.order_id, qty_lots=150))
    price(made, 995, flow=150)
    filled = made.find_order("a", AAA, first.order_id)
    assert filled is not None
    assert filled.status is Status.FILLED
    took(made.amend("b", AAA, T0, order_id=second.order_id, qty_lots=300))
    assert code(made.amend("b", AAA, T0, order_id=second.order_id, qty_lots=300)) == 10001
    assert code(made.amend("a", AAA, T0, order_id=first.order_id, qty_lots=300)) == 110001
    assert code(made.cancel("a", AAA, T0, order_id=first.order_id)) == 110001


def test_amend_below_what_is_filled() -> None:
    made = venue(Crowd(levels=0, flow_notional_e8=0))
    order = took(made.place("a", ask(BUY, 200, 995), T0))
    price(made, 995, flow=150)
    assert code(made.amend("a", AAA, T0, order_id=order.order_id, qty_lots=150)) == 110064
    gone = took(made.cancel("a", AAA, T0, order_id=order.order_id))
    assert (gone.status, gone.cum_lots, gone.leaves_lots, gone.cancel_type) == (Status.CANCELLED, 150, 0, CancelType.USER)


def test_reduce_only_is_cut_to_the_position_and_goes_with_it() -> None:
    made = venue()
    took(made.place("a", ask(BUY, 300), T0))
    assert code(made.place("a", ask(BUY, 100, reduce_only=True), T0)) == 110017
    resting = took(made.place("a", ask(SELL, 1_000, 1_009, reduce_only=True), T0))
    assert resting.qty_lots == 300
    assert code(made.place("a", ask(SELL, 100, 1_008, reduce_only=True), T0)) == 110017
    took(made.place("a", ask(SELL, 200), T0))
    left = made.find_order("a", AAA, resting.order_id)
    assert left is not None
    assert left.leaves_lots == 100
    took(made.place("a", ask(SELL, 100), T0))
    gone = made.find_order("a", AAA, resting.order_id)
    assert gone is not None
    assert (gone.status, gone.cancel_type) == (Status.CANCELLED, CancelType.REDUCE_ONLY)


@pytest.mark.parametrize(
    ("choice", "maker", "taker"),
    [
        (SelfTrade.CANCEL_MAKER, Status.CANCELLED, Status.NEW),
        (SelfTrade.CANCEL_TAKER, Status.NEW, Status.CANCELLED),
        (SelfTrade.CANCEL_BOTH, Status.CANCELLED, Status.CANCELLED),
        (SelfTrade.ALLOW, Status.FILLED, Status.FILLED),
    ],
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_self_trade_prevention(choice: SelfTrade, maker: Status, taker: Status, one_by_one: bool) -> None:
    made = venue(Crowd(levels=0, flow_notional_e8=0))
    if one_by_one:  # a reduce-only order that rests makes takers meet the book step by step
        took(made.place("a", ask(BUY, 200, 1_001), T0))
        took(made.place("b", ask(SELL, 200, 1_001), T0))
        took(made.place("b", ask(BUY, 200, 991, reduce_only=True), T0))
    resting = took(made.place("a", ask(SELL, 100, 1_005), T0))
    coming = took(made.place("a", ask(BUY, 100, 1_005, self_trade=choice), T0))
    found = made.find_order("a", AAA, resting.order_id)
    assert found is not None
    assert (found.status, coming.status) == (maker, taker)


def test_leverage() -> None:
    made = venue()
    assert code(made.set_leverage("a", AAA, 1_000, T0)) == 110043
    assert code(made.set_leverage("a", AAA, 5_100, T0)) == 110013
    took(made.place("a", ask(BUY, 100_000), T0))
    assert code(made.set_leverage("a", AAA, 100, T0)) == 110007
    before = made.position("a", AAA).initial_e8
    made.set_leverage("a", AAA, 2_000, T0)
    assert made.position("a", AAA).initial_e8 < before


def test_pages_do_not_shift_when_rows_are_added() -> None:
    made = venue()
    for _ in range(5):
        took(made.place("a", ask(BUY, 100), T0))
    first = made.executions("a", limit=2)
    took(made.place("a", ask(BUY, 100), T0))
    second = made.executions("a", before=first.next_before, limit=2)
    third = made.executions("a", before=second.next_before, limit=2)
    numbers = [row.number for page in (first, second, third) for row in page.rows]
    assert numbers == [5, 4, 3, 2, 1]
    assert third.next_before is None


def test_callers_errors() -> None:
    made = venue()
    with pytest.raises(NotFound):
        made.place("nobody", ask(), T0)
    with pytest.raises(Conflict):
        made.open_account("a", 1, T0)
    with pytest.raises(InvalidInput):
        made.place("a", ask(), T0 - 1)
    with pytest.raises(InvalidInput):
        made.set_prices(AAA, 0, 1, 1, T0)
    with pytest.raises(InvalidInput):
        made.klines(AAA, "7")
