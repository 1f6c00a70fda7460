"""Execution over random markets: the same run twice, recovered runs, targets reached within their caps, and slippage to the last unit."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.events import BarClosed, Event, OrderFilled, QuoteLost, QuoteSampled
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.outputs import Decided, OrderSent, Output, TimerSet
from kedge.engine.costs import CostLedger, half_text
from kedge.engine.engine import Engine
from kedge.engine.fold import AGAIN_TIMER
from kedge.kernel.account import EQUITY, WALLET
from kedge.risk.limits import Limits
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.book_matcher import BookMatcher
from kedge.simulation.exchange import ExchangeCore
from kedge.simulation.session import Session
from kedge.strategy.execution import ChaseThen, ExecutionPolicy, SliceEntry, Style, WithoutQuote
from kedge.strategy.execution_styles import Moment, plan_now

from ..builders import AAA, BBB, MINUTE, S, Scripted, engine, instrument, order, venue, walk

IDS = (AAA, BBB)
EXPOSURES = st.sampled_from([-0.2, -0.12, -0.05, 0.0, 0.04, 0.1, 0.2])
POLICIES = st.builds(
    ExecutionPolicy,
    style=st.sampled_from(list(Style)),
    limit_life_ns=st.just(2 * MINUTE),
    chase_life_ns=st.sampled_from([30 * S, 3 * MINUTE]),
    chase_then=st.sampled_from(list(ChaseThen)),
    chase_exits=st.booleans(),
    chase_ticks=st.integers(1, 5),
    without_quote=st.sampled_from(list(WithoutQuote)),
    quote_age_max_ns=st.sampled_from([S, 2 * MINUTE]),
    twap_ns=st.sampled_from([20 * S, 3 * MINUTE]),
    twap_slices=st.integers(1, 5),
    slice_entry=st.sampled_from(list(SliceEntry)),
    participation_e8=st.sampled_from([100_000, 1_000_000]),
    trigger_bps=st.integers(1, 60),
    slice_notional_frac_e8=st.sampled_from([3_000_000, 10_000_000]),
)
SEEDS = st.integers(0, 2**32)


class Quoted:
    """A session whose bars may be preceded by news of the book, from a seed."""

    def __init__(self, session: Session, seed: int) -> None:
        self._session, self._random = session, random.Random(seed)

    def __iter__(self) -> Any:
        for event in self._session:
            if isinstance(event, BarClosed):
                draw, mid = self._random.randrange(4), event.close_ticks
                if draw == 0:
                    yield QuoteLost(event.ts_ns, event.instrument, "drill")
                elif draw < 3:
                    yield QuoteSampled(event.ts_ns, event.instrument, mid - draw, mid + self._random.randint(1, 3), 5, 5)
            yield event


def played(table: tuple[float, ...], policy: ExecutionPolicy, seed: int, *, book: bool = False) -> tuple[Engine, ExchangeCore, list[Any]]:
    """One run over forty bars of two instruments, with every event and its outputs."""
    specs = [instrument(name) for name in IDS]
    one = engine(Scripted(table, span=4 * MINUTE), specs, execution=policy, limits=Limits(drawdown_halt_e8=100_000_000))
    matcher: Any = BookMatcher(seed=seed) if book else BarMatcher(BarCosts(participation_e8=2_000_000))
    core = venue(specs, matcher, latency_ns=50_000_000)
    session = Session(core, walk(seed, 40, IDS), [])
    told: list[tuple[Event, tuple[Output, ...]]] = []
    for event in Quoted(session, seed):
        outputs = one.step(event)
        session.send(outputs)
        told.append((event, outputs))
    return one, core, told


@given(st.lists(EXPOSURES, min_size=2, max_size=6).map(tuple), POLICIES, SEEDS, st.booleans())
def test_books_agree_whatever_the_style(table: tuple[float, ...], policy: ExecutionPolicy, seed: int, book: bool) -> None:
    one, core, told = played(table, policy, seed, book=book)
    assert one.state.lots.tolist() == core.lots.tolist()
    assert one.state.account_view[WALLET] == int(core.account[WALLET])
    assert one.state.account_view[EQUITY] == int(core.account[EQUITY])
    assert one.state.last_trouble == ""
    names = [o.approved.order.client_order_id for _, outputs in told for o in outputs if isinstance(o, OrderSent)]
    assert len(names) == len(set(names)), "no order twice"
    again = played(table, policy, seed, book=book)
    assert (again[2], again[0].snapshot()) == (told, one.snapshot()), "the same seed gives the same bytes"


@given(st.lists(EXPOSURES, min_size=2, max_size=6).map(tuple), POLICIES, SEEDS)
def test_a_run_recovered_anywhere_goes_on_to_the_same_bytes(table: tuple[float, ...], policy: ExecutionPolicy, seed: int) -> None:
    one, _, told = played(table, policy, seed)
    specs, cut = [instrument(name) for name in IDS], seed % len(told)
    limits = Limits(drawdown_halt_e8=100_000_000)
    first = engine(Scripted(table, span=4 * MINUTE), specs, execution=policy, limits=limits)
    for event, outputs in told[:cut]:
        first.apply(event, outputs)
    second = engine(Scripted(table, span=4 * MINUTE), specs, execution=policy, limits=limits)
    second.restore(first.snapshot())
    for event, outputs in told[cut:]:
        assert second.step(event) == outputs
    assert second.snapshot() == one.snapshot()


@given(st.lists(EXPOSURES, min_size=2, max_size=6).map(tuple), POLICIES, SEEDS, st.booleans())
def test_slippage_is_the_sum_over_fills_of_price_less_mid_times_quantity(
    table: tuple[float, ...], policy: ExecutionPolicy, seed: int, book: bool
) -> None:
    one, _, told = played(table, policy, seed, book=book)
    seen: dict[str, tuple[int, bool]] = {}
    decision_of: dict[str, str] = {}
    sums, ledger = {True: 0, False: 0}, CostLedger({name: instrument(name) for name in IDS})
    per_fill = 0
    for event, outputs in told:
        if isinstance(event, OrderFilled):
            twice, is_mid = seen[decision_of[event.client_order_id]]
            signed = event.qty_lots if event.side is Side.BUY else -event.qty_lots
            sums[is_mid] += (2 * event.price_ticks - twice) * signed * instrument().tick_value_e8
            per_fill += ledger.fill(event).slippage2_e8 or 0
        ledger.took(outputs)
        for output in outputs:
            if isinstance(output, Decided):
                seen[output.decision_id] = (output.mid2_ticks or 2 * output.mark_ticks, output.mid2_ticks is not None)
            elif isinstance(output, OrderSent):
                decision_of[output.approved.order.client_order_id] = output.approved.order.decision_id
    assert (one.state.slippage2_mid_e8, one.state.slippage2_mark_e8) == (sums[True], sums[False])
    assert per_fill == sum(sums.values()) == sum(row.slippage2_e8 for row in ledger.decisions.values())
    assert one.summary()["slippage"] == half_text(sum(sums.values()))


moments = st.builds(
    Moment,
    position_lots=st.integers(-5_000, 5_000), target_lots=st.integers(-5_000, 5_000), mark_ticks=st.integers(500, 2_000),
    slice_lots=st.integers(60, 3_000), minimum_lots=st.integers(1, 50), now_ns=st.integers(0, 1_000), begun_ns=st.integers(0, 100),
    begun_lots=st.integers(-5_000, 5_000), begun_ticks=st.integers(500, 2_000), volume_lots=st.integers(0, 100_000),
    tries=st.integers(0, 12), bid_ticks=st.sampled_from([0, 999]), ask_ticks=st.sampled_from([0, 1_001]), only_market=st.booleans(),
)  # fmt: skip
spans = st.integers(1, 1_500)


@given(moments, POLICIES, spans, spans)
def test_children_never_pass_the_target_or_a_cap(at: Moment, policy: ExecutionPolicy, twap_ns: int, chase_ns: int) -> None:
    policy = msgspec.structs.replace(policy, twap_ns=twap_ns, chase_life_ns=chase_ns)
    wanted = plan_now(at, policy)
    assert wanted == plan_now(at, policy)
    assert wanted.again_ns == 0 or wanted.again_ns > at.now_ns or policy.style in (Style.TWAP, Style.CHASE)
    after = at.position_lots
    for child in wanted.children:
        assert 1 <= child.qty_lots <= at.slice_lots + at.slice_lots // 10
        before, after = after, after + (child.qty_lots if child.side is Side.BUY else -child.qty_lots)
        assert child.reduce_only == (abs(after) < abs(before) and before * after >= 0) or policy.style is Style.LIMIT
        assert (child.kind is OrderKind.LIMIT) == (child.limit_ticks > 0)
        assert not (at.only_market and child.reduce_only and child.kind is OrderKind.LIMIT)
        if child.time_in_force is TimeInForce.POST_ONLY:
            assert wanted.expires_ns > at.now_ns
    low, high = sorted((at.position_lots, at.target_lots))
    assert low <= after <= high


@pytest.mark.parametrize("style", list(Style))
def test_every_style_reaches_its_target_in_a_quiet_market(style: Style) -> None:
    policy = ExecutionPolicy(style=style, twap_ns=3 * MINUTE, chase_life_ns=2 * MINUTE, limit_life_ns=MINUTE, trigger_bps=1)
    one, _, told = played((0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), policy, 11)
    slots = one.state.by_index
    assert [slot.position_lots for slot in slots] == [slot.target_lots for slot in slots]
    assert all(slot.position_lots for slot in slots)
    timers = [o for _, outputs in told for o in outputs if isinstance(o, TimerSet) and o.timer_id.startswith(AGAIN_TIMER)]
    assert bool(timers) == (style in (Style.CHASE, Style.TWAP))
    assert order().client_order_id not in one.state.orders.by_id
