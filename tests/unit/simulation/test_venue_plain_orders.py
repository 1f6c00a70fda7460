"""The quick look at a plain order answers as the rule-by-rule one does, or leaves the order to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.venue import Venue
from kedge.simulation.venue_account import Slot
from kedge.simulation.venue_rules import Terms, full_terms, order_terms, plain_terms
from kedge.simulation.venue_types import Crowd, OrderRequest, OrderRow, VenueLimits, VenueSettings

from ...builders import AAA, T0, instrument

LAST, TICK_E8 = 1_000, 10_000_000
seldom = st.sampled_from((0, 0, 0, 0, LAST - 50, LAST + 50))

requests = st.builds(
    OrderRequest,
    instrument=st.just(AAA),
    side=st.sampled_from(Side),
    kind=st.sampled_from(OrderKind),
    qty_lots=st.sampled_from((0, 1, 40, 100, 5_000, 10**6, 10**9)),
    limit_ticks=st.sampled_from((0, 1, LAST - 400, LAST - 1, LAST, LAST + 1, LAST + 400, 10**9)),
    time_in_force=st.sampled_from(TimeInForce),
    link_id=st.sampled_from(("", "", "", "new", "taken", "not good", "x" * 37)),
    reduce_only=st.sampled_from((False, False, False, True)),
    trigger_ticks=seldom,
    trigger_direction=st.integers(0, 2),
    take_profit_ticks=seldom,
    stop_loss_ticks=seldom,
    position_idx=st.sampled_from((0, 0, 0, 1)),
)


def slot_of(settings: VenueSettings, live: bool = True) -> Slot:
    venue = Venue([instrument(AAA)], settings, T0)
    venue.open_account("a", 10_000 * E8, T0)
    if live:
        venue.set_prices(AAA, LAST, LAST * TICK_E8, LAST * TICK_E8, T0, flow_lots=0)
        request = OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.LIMIT, qty_lots=100, limit_ticks=LAST - 20, link_id="taken")
        assert isinstance(venue.place("a", request, T0), OrderRow)
    return venue._slot(venue._account("a"), venue._market(AAA))


def settings(**given_: Any) -> VenueSettings:
    return VenueSettings(crowd=Crowd(levels=5, flow_notional_e8=0), **given_)


ROOMY, FULL = slot_of(settings()), slot_of(settings(limits=VenueLimits(orders_max=1)))
STRICT, WAITING = slot_of(settings(clamps_prices=False)), slot_of(settings(), live=False)
CASES = (
    (ROOMY, settings()),
    (FULL, settings(limits=VenueLimits(orders_max=1))),
    (STRICT, settings(clamps_prices=False)),
    (WAITING, settings()),
)


@given(requests, st.sampled_from(CASES))
def test_the_quick_look_agrees_with_the_rules_or_stands_back(request: OrderRequest, case: tuple[Slot, VenueSettings]) -> None:
    slot, rules = case
    quick, slow = plain_terms(request, slot, rules), full_terms(request, slot, rules)
    assert quick is None or quick == slow
    assert order_terms(request, slot, rules) == slow


def test_the_quick_look_takes_the_ordinary_orders() -> None:
    limit = OrderRequest(instrument=AAA, side=Side.SELL, kind=OrderKind.LIMIT, qty_lots=100, limit_ticks=LAST + 3, link_id="new")
    market = OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100)
    assert plain_terms(limit, ROOMY, settings()) == Terms(100, LAST + 3)
    assert plain_terms(market, ROOMY, settings()) == Terms(100, ROOMY.market.price_limits.buy_max_ticks)
