"""Ids of orders: one for each decision, leg, slice and attempt, the same after any crash, and another one only after a no or a proof."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import hypothesis.strategies as st
from hypothesis import given

from kedge.domain.events import BarClosed, Event, OrderProvenAbsent, OrderRejected, OrderUnanswered
from kedge.domain.orders import GUARD_PREFIX, OrderIntent, client_order_id
from kedge.domain.outputs import Output
from kedge.engine.engine import Engine
from kedge.strategy.execution import ExecutionPolicy

from ..builders import MINUTE, T0, Scripted, accepted, bar, canceled, engine, filled, sent

ALPHABET: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")
parts = st.tuples(st.text(max_size=8), st.text(max_size=8), st.integers(0, 1), st.integers(0, 99), st.integers(0, 9))
fates = st.lists(st.sampled_from(["filled", "part", "refused", "lost", "absent", "canceled", "silent"]), min_size=8, max_size=40)

Played = list[tuple[Event, tuple[Output, ...]]]


@given(st.lists(parts.filter(lambda part: "|" not in part[0] + part[1]), unique=True, max_size=20))
def test_every_part_of_an_orders_name_makes_another_id_that_a_venue_takes_and_no_guard_uses(names: list[tuple[str, str, int, int, int]]):
    ids = [client_order_id(*name) for name in names]
    assert len(set(ids)) == len(names)
    assert ids == [client_order_id(*name) for name in names]
    assert all(ALPHABET.fullmatch(one) and not one.startswith(GUARD_PREFIX) for one in ids)


def fresh() -> Engine:
    policy = ExecutionPolicy(slice_notional_frac_e8=4_000_000)
    return engine(Scripted((0.1, 0.1, 0.1, 0.1, -0.1, -0.1, -0.1, 0.12, 0.12, 0.0)), execution=policy, attempts_max=4)


def answers(order: OrderIntent, fate: str, number: int) -> list[Event]:
    """What becomes of one order."""
    ts_ns, name = T0 + MINUTE, order.client_order_id
    whole = filled(order, ts_ns, 1_000, fill_id=f"f{number}")
    part = filled(
        order, ts_ns, 1_000, lots=max(1, order.qty_lots // 2), leaves=order.qty_lots - max(1, order.qty_lots // 2), fill_id=f"p{number}"
    )
    return {
        "filled": [accepted(order, ts_ns), whole],
        "part": [part, canceled(order, ts_ns)] if part.leaves_lots else [whole],
        "refused": [OrderRejected(ts_ns, name, "110007", "no money")],
        "lost": [OrderUnanswered(ts_ns, name), accepted(order, ts_ns), whole],
        "absent": [OrderUnanswered(ts_ns, name), OrderProvenAbsent(ts_ns, name)],
        "canceled": [accepted(order, ts_ns), canceled(order, ts_ns)],
        "silent": [OrderUnanswered(ts_ns, name)],
    }[fate]


def play(one: Engine, told: Sequence[str]) -> Played:
    """Bars, and to each order the next fate; the steps as a journal holds them."""
    steps: Played = []
    waiting: list[Event] = []
    left, number = list(told), 0
    bars = [bar(n, 1_000 + n % 5) for n in range(1, len(told) + 1)]
    for one_bar in bars:
        waiting.append(one_bar)
        while waiting:
            event = waiting.pop(0)
            outputs = one.step(event)
            steps.append((event, outputs))
            for order in sent(outputs):
                number += 1
                waiting[:0] = answers(order, left.pop(0) if left else "filled", number)
    return steps


def orders_of(steps: Played) -> list[OrderIntent]:
    return [order for _, outputs in steps for order in sent(outputs)]


@given(fates)
def test_no_two_orders_share_an_id_and_an_attempt_counts_what_was_refused_or_proven_absent_of_its_decision(told: list[str]):
    steps = play(fresh(), told)
    orders = orders_of(steps)
    assert len({order.client_order_id for order in orders}) == len(orders)
    by_id = {order.client_order_id: order for order in orders}
    failed: dict[str, int] = {}
    for event, outputs in steps:
        if isinstance(event, OrderRejected | OrderProvenAbsent):
            decision = by_id[event.client_order_id].decision_id
            failed[decision] = failed.get(decision, 0) + 1
        for order in sent(outputs):
            assert order.attempt == failed.get(order.decision_id, 0)


@given(fates, st.integers(0, 10**6))
def test_after_a_crash_anywhere_the_same_ids_follow_and_what_was_recorded_is_not_sent_again(told: list[str], cut: int):
    steps = play(fresh(), told)
    kept = cut % (len(steps) + 1)
    back = fresh()
    for event, outputs in steps[:kept]:
        back.apply(event, outputs)
    assert set(back.state.orders.by_id) == {order.client_order_id for order in orders_of(steps[:kept])}
    for event, outputs in steps[kept:]:
        assert back.step(event) == outputs
    assert any(isinstance(event, BarClosed) for event, _ in steps)
