"""The planner of a closing: sizes, collars, ids, and what must be known before the next slice; and the last look before one is signed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.world import listing

from kedge.domain.errors import IntegrityError
from kedge.domain.instrument import Instrument
from kedge.domain.orders import GUARD_PREFIX, OrderKind, Side, TimeInForce
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Depth, Refused, Taken, Unanswered, VenueOrder, VenueOrderState
from kedge.risk.brake.flatten import (
    LINGERS_NS,
    PAUSE_MOST_NS,
    WAIT_NS,
    Closing,
    LookUp,
    Plan,
    Slice,
    Wait,
    collar_bps,
    collar_ticks,
    sized,
    slice_id,
)
from kedge.risk.brake.gate import approved

SPEC = listing()[0]
MARK = 10_000 * SPEC.tick_e8
CLOSING = Closing()
S = NS_PER_S
KNOWN_AFTER = S + S // 2


def book(bids: list[tuple[int, int]] | None = None, asks: list[tuple[int, int]] | None = None) -> Depth:
    bids = [(9_990, 400), (9_900, 600), (9_600, 5_000)] if bids is None else bids
    asks = [(10_010, 400), (10_100, 600), (10_400, 5_000)] if asks is None else asks
    return Depth(instrument=SPEC.instrument_id, bids=tuple(bids), asks=tuple(asks), ts_ns=0)


def plan() -> Plan:
    return Plan("acc", 4, CLOSING, KNOWN_AFTER)


def row(state: VenueOrderState, cum: int = 0) -> VenueOrder:
    return VenueOrder(
        client_order_id="x", venue_order_id="v", instrument=SPEC.instrument_id, side=Side.SELL, kind=OrderKind.LIMIT,
        time_in_force=TimeInForce.IOC, qty_lots=250, cum_lots=cum, limit_ticks=9_700, reduce_only=True, is_conditional=False, state=state,
        reason="", created_ts_ns=0, updated_ts_ns=0,
    )  # fmt: skip


def sent(at: Plan, held: int = 900, *, read_ns: int = 0, now_ns: int = 0) -> Slice:
    action = at.next(SPEC, held, MARK, book(), read_ns=read_ns, now_ns=now_ns)
    assert isinstance(action, Slice), action
    at.left(action, now_ns)
    return action


# sizes and collars --------------------------------------------------------------------------------------------------------


def test_majors_have_a_narrow_collar_others_a_wide_one_and_none_is_wider_than_the_instruments() -> None:
    major = msgspec.structs.replace(SPEC, base="BTC")
    narrow = msgspec.structs.replace(SPEC, price_collar_bps=50)
    assert [collar_bps(one, CLOSING) for one in (major, SPEC, narrow)] == [100, 300, 50]
    assert collar_bps(SPEC, Closing(collar_bps=20)) == 20


def test_a_collar_is_rounded_towards_the_mark() -> None:
    assert collar_ticks(Side.SELL, 10_000 * 10 + 1, 10, 300) == 9_701
    assert collar_ticks(Side.BUY, 10_000 * 10 + 9, 10, 300) == 10_300


def test_a_slice_takes_a_quarter_of_what_lies_within_the_collar() -> None:
    assert sized(SPEC, 900, MARK, book(), CLOSING) == (250, 9_700)
    assert sized(SPEC, -900, MARK, book(), CLOSING) == (250, 10_300)
    assert sized(SPEC, 100, MARK, book(), CLOSING) == (100, 9_700)


def test_a_slice_is_at_least_the_smallest_order_and_at_most_the_largest() -> None:
    assert sized(SPEC, 900, MARK, book(bids=[(9_990, 2)]), CLOSING) == (1, 9_700)
    small = msgspec.structs.replace(SPEC, order_qty_max_lots=40, market_qty_max_lots=40)
    assert sized(small, 900, MARK, book(), CLOSING) == (40, 9_700)
    coarse = msgspec.structs.replace(SPEC, order_qty_min_lots=30)
    assert sized(coarse, 900, MARK, book(bids=[(9_990, 2)]), CLOSING) == (30, 9_700)
    assert sized(coarse, 7, MARK, book(bids=[(9_990, 2)]), CLOSING) == (7, 9_700), "never more than the position"


@pytest.mark.parametrize(
    ("mark", "depth", "why"),
    [
        (None, book(), "no mark"),
        (0, book(), "no mark"),
        (MARK, None, "cannot be had"),
        (MARK, book(bids=[]), "nothing within 300 bps"),
        (MARK, book(bids=[(9_699, 5_000)]), "nothing within 300 bps"),
        (MARK, book(bids=[(10_010, 5)]), "crossed"),
    ],
)
def test_a_book_that_offers_nothing_is_waited_for(mark: int | None, depth: Depth | None, why: str) -> None:
    found = sized(SPEC, 900, mark, depth, CLOSING)
    assert isinstance(found, str)
    assert why in found


def test_a_mark_so_small_that_its_collar_is_no_price_is_waited_for() -> None:
    assert sized(SPEC, -5, 1, book(), CLOSING) == "the collar lies below the smallest price"


STORIES = ["fill", "part", "none", "refuse", "silent", "lost", "empty", "stale"]
LEVELS = st.lists(st.tuples(st.integers(1, 30_000), st.integers(1, 5_000)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(-20_000, 20_000).filter(bool), st.integers(1, 20_000 * SPEC.tick_e8), LEVELS, LEVELS, st.integers(1, 10**8),
    st.integers(1, 2_000),
)  # fmt: skip
def test_no_slice_is_larger_than_the_position_or_trades_beyond_the_collar(
    held: int, mark_e8: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]], participation: int, bps: int
) -> None:
    closing = Closing(participation_e8=participation, collar_bps=bps)
    depth = book(bids=sorted(bids, reverse=True), asks=sorted(asks))
    found = sized(SPEC, held, mark_e8, depth, closing)
    if isinstance(found, str):
        return
    qty, limit = found
    assert 0 < qty <= min(abs(held), SPEC.order_qty_max_lots)
    side = Side.SELL if held > 0 else Side.BUY
    against_us = (mark_e8 - limit * SPEC.tick_e8) * (1 if side is Side.SELL else -1)
    assert against_us * 10_000 <= mark_e8 * collar_bps(SPEC, closing)
    one = Slice(
        client_order_id=slice_id("a", 1, SPEC.instrument_id, held, 0), instrument=SPEC.instrument_id, side=side, qty_lots=qty,
        limit_ticks=limit, held_lots=held, attempt=0,
    )  # fmt: skip
    assert approved(one, 1, SPEC, mark_e8, closing).order.reduce_only


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-30_000, 30_000).filter(bool),
    st.lists(
        st.tuples(st.sampled_from(["fill", "part", "none", "refuse", "silent", "lost", "empty", "stale"]), st.integers(0, 2_000)),
        max_size=30,
    ),
)
def test_a_closing_ends_with_nothing_held_when_depth_comes_whatever_came_before(held: int, story: list[tuple[str, int]]) -> None:
    """A venue that carries out, refuses, forgets or hides; every slice against a position that was read after the last one's end."""
    at, position, now_ns, read_ns, ids = plan(), held, 0, 0, set()
    for what, lots in [*story, *[("fill", 0)] * 400]:
        now_ns += 2 * PAUSE_MOST_NS
        if what != "stale":
            read_ns = now_ns
        depth = book(bids=[], asks=[]) if what == "empty" else book()
        action = at.next(SPEC, position, MARK, depth, read_ns=read_ns, now_ns=now_ns)
        if not position and not at.pending:
            assert action is None
            break
        if not isinstance(action, Slice):
            assert action is None or isinstance(action, Wait)
            continue
        assert 0 < action.qty_lots <= abs(position)
        assert (action.side is Side.SELL) == (position > 0)
        assert action.held_lots == position
        at.left(action, now_ns)
        if what == "refuse":
            at.answered(action, Refused("110007", "no"), now_ns)
            continue
        if what == "lost":
            at.answered(action, Unanswered("timeout"), now_ns)
            assert at.found(SPEC.instrument_id, now_ns + KNOWN_AFTER + 1, None, now_ns + KNOWN_AFTER + 2) == "lost"
            continue
        assert action.client_order_id not in ids, "an id that was carried out is never used again"
        ids.add(action.client_order_id)
        at.answered(action, Unanswered("timeout") if what == "silent" else Taken("v"), now_ns)
        assert isinstance(at.next(SPEC, position, MARK, depth, read_ns=now_ns, now_ns=now_ns + 1), LookUp)
        done = {"part": min(lots, action.qty_lots), "none": 0}.get(what, action.qty_lots)
        position -= done if position > 0 else -done
        state = VenueOrderState.FILLED if done == action.qty_lots else VenueOrderState.CANCELED
        assert at.found(SPEC.instrument_id, now_ns + 1, row(state, done), now_ns + 1) == state
        assert at.next(SPEC, position or 1, MARK, depth, read_ns=now_ns, now_ns=now_ns + 10**11) is None, "a newer read is needed"
    assert position == 0


# one after the other ------------------------------------------------------------------------------------------------------


def test_ids_follow_from_account_latch_position_and_attempt() -> None:
    first = slice_id("acc", 4, "i", 900, 0)
    assert first.startswith(GUARD_PREFIX)
    assert len(first) <= 36
    others = [
        slice_id("acd", 4, "i", 900, 0), slice_id("acc", 5, "i", 900, 0), slice_id("acc", 4, "j", 900, 0), slice_id("acc", 4, "i", 899, 0),
        slice_id("acc", 4, "i", 900, 1), slice_id("acc", 4, "i", -900, 0),
    ]  # fmt: skip
    assert len({first, *others}) == 7
    assert sent(plan()).client_order_id == sent(plan()).client_order_id == slice_id("acc", 4, SPEC.instrument_id, 900, 0)


def test_nothing_else_is_sent_while_the_end_of_a_slice_is_not_known() -> None:
    at = plan()
    one = sent(at)
    assert at.next(SPEC, 900, MARK, book(), read_ns=5, now_ns=5) == LookUp(
        instrument=SPEC.instrument_id, client_order_id=one.client_order_id
    )
    assert not at.is_ready(SPEC.instrument_id, read_ns=5, now_ns=5)
    assert at.found(SPEC.instrument_id, 6, row(VenueOrderState.OPEN), 6) == ""
    assert at.pending == [one]


def test_an_order_that_no_list_shows_is_lost_only_when_it_cannot_arrive_any_more_and_keeps_its_id() -> None:
    at = plan()
    one = sent(at)
    assert at.found(SPEC.instrument_id, KNOWN_AFTER, None, KNOWN_AFTER) == ""
    assert at.found(SPEC.instrument_id, KNOWN_AFTER + 1, None, KNOWN_AFTER + 2) == "lost"
    again = at.next(SPEC, 900, MARK, book(), read_ns=KNOWN_AFTER + 3, now_ns=KNOWN_AFTER + 3)
    assert isinstance(again, Slice)
    assert again.client_order_id == one.client_order_id


def test_a_refused_slice_keeps_its_id_and_waits_longer_each_time() -> None:
    at, now_ns, waited = plan(), 0, []
    for _ in range(8):
        one = sent(at, read_ns=now_ns, now_ns=now_ns)
        at.answered(one, Refused("10006", "too many"), now_ns)
        pause_ns = 0
        while not at.is_ready(SPEC.instrument_id, read_ns=now_ns + pause_ns, now_ns=now_ns + pause_ns):
            pause_ns += S // 20
        waited.append(pause_ns)
        now_ns += pause_ns
    assert waited == sorted(waited)
    assert waited[-1] == PAUSE_MOST_NS
    assert one.attempt == 0


def test_an_empty_book_is_looked_at_again_after_a_moment() -> None:
    at = plan()
    assert isinstance(at.next(SPEC, 900, MARK, book(bids=[]), read_ns=0, now_ns=0), Wait)
    assert at.next(SPEC, 900, MARK, book(), read_ns=1, now_ns=WAIT_NS - 1) is None
    assert isinstance(at.next(SPEC, 900, MARK, book(), read_ns=1, now_ns=WAIT_NS), Slice)


def test_an_immediate_order_that_stays_open_lingers() -> None:
    at = plan()
    sent(at)
    assert not at.lingers(SPEC.instrument_id, LINGERS_NS)
    assert at.lingers(SPEC.instrument_id, LINGERS_NS + 1)
    assert not at.lingers("sim:other", 10**15)


def test_an_answer_about_another_slice_and_a_look_up_of_none_change_nothing() -> None:
    at = plan()
    one = sent(at)
    at.answered(msgspec.structs.replace(one, attempt=9), Refused("1", "x"), 0)
    assert at.pending == [one]
    assert plan().found(SPEC.instrument_id, 0, None, 0) == ""


# the last look ------------------------------------------------------------------------------------------------------------


GOOD = Slice(
    client_order_id=slice_id("a", 1, SPEC.instrument_id, 900, 0), instrument=SPEC.instrument_id, side=Side.SELL, qty_lots=900,
    limit_ticks=9_700, held_lots=900, attempt=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"qty_lots": 901}, "larger than the position"),
        ({"qty_lots": 0}, "larger than the position"),
        ({"side": Side.BUY, "limit_ticks": 10_000}, "against the position"),
        ({"limit_ticks": 9_699}, "within the collar"),
        ({"held_lots": -900, "side": Side.BUY, "limit_ticks": 10_301}, "within the collar"),
        ({"client_order_id": "mine"}, "prefix"),
    ],
)
def test_an_order_that_is_no_closing_order_is_not_sent(changed: dict[str, object], why: str) -> None:
    order = approved(GOOD, 1, SPEC, MARK, CLOSING).order
    assert (order.kind, order.time_in_force, order.reduce_only) == (OrderKind.LIMIT, TimeInForce.IOC, True)
    with pytest.raises((IntegrityError, msgspec.ValidationError)) as caught:
        approved(msgspec.structs.replace(GOOD, **changed), 1, SPEC, MARK, CLOSING)
    assert why in str(caught.value)


def test_the_gate_reads_the_record_in_force() -> None:
    tight: Instrument = msgspec.structs.replace(SPEC, price_collar_bps=100)
    with pytest.raises(IntegrityError, match="collar"):
        approved(GOOD, 1, tight, MARK, CLOSING)
