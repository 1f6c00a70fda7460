"""The venue under random orders and violent prices: what it tells is what it books, and nothing is ever owed.

Positions of up to ten times the wallet walk through bars that move by up to a tenth, so that liquidations of every kind happen.
"""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.canonical import encode
from kedge.domain.events import BarClosed, CashMoved, Event, FundingSettled, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected
from kedge.domain.orders import ApprovedOrder, FillCause, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import CancelSent, OrderSent, Output
from kedge.kernel.account import EQUITY, WALLET
from kedge.simulation.bar_matcher import BarCosts, BarMatcher
from kedge.simulation.book_matcher import BookMatcher
from kedge.simulation.exchange import ExchangeCore
from kedge.simulation.matching import Matcher
from kedge.simulation.session import Session

from ..builders import AAA, BBB, MINUTE, WALLET_E8, fundings, instrument, order, venue, walk

NAMES = (AAA, BBB)
BARS = 50


def market(seed: int, step: int) -> list[BarClosed]:
    return walk(seed, BARS, NAMES, step=step, start=10_000)


def matcher(name: str, seed: int) -> Matcher:
    return BookMatcher(seed=seed) if name == "book" else BarMatcher(BarCosts(participation_e8=50_000_000))


def wish(rng: random.Random, n: int, close: int) -> OrderIntent:
    kind = rng.choice(list(OrderKind))
    force = rng.choice(list(TimeInForce)) if kind is OrderKind.LIMIT else TimeInForce.IOC
    limit = max(1, close + rng.randint(-150, 150)) if kind is OrderKind.LIMIT else 0
    lots = rng.choice((100, 5_000, 60_000))
    return order(
        f"o{n}", rng.choice(list(Side)), lots, limit, rng.choice(NAMES), kind=kind, time_in_force=force, reduce_only=rng.random() < 0.25
    )


class Auditor:
    """Books of its own from what the venue told, and the rules that every report must keep."""

    def __init__(self, core: ExchangeCore) -> None:
        self.core = core
        self.cash = Decimal(WALLET_E8)
        self.lots = dict.fromkeys(NAMES, 0)
        self.marks = dict.fromkeys(NAMES, 0)
        self.orders: dict[str, OrderIntent] = {}
        self.left: dict[str, int] = {}
        self.fills: set[str] = set()
        self.on_its_way: set[str] = set()
        self.seen: Counter[str] = Counter()

    def check(self, event: Event) -> None:
        self.seen[type(event).__name__] += 1
        if isinstance(event, OrderAccepted):
            assert event.client_order_id in self.orders
        elif isinstance(event, OrderRejected):
            assert self.left.pop(event.client_order_id) == self.orders[event.client_order_id].qty_lots
        elif isinstance(event, OrderCanceled):
            assert self.left.pop(event.client_order_id) > 0, "cancelled once, and not after it was filled"
        elif isinstance(event, OrderFilled):
            self.fill(event)
        elif isinstance(event, FundingSettled):
            assert event.position_lots == self.lots[event.instrument] != 0
            assert event.paid_e8 * event.rate_e8 * event.position_lots > 0
            self.cash -= event.paid_e8
        elif isinstance(event, CashMoved):
            assert event.amount_e8 > 0
            self.cash += event.amount_e8
            assert self.cash == 0
            assert not any(self.lots.values()), "covered only when nothing is left to close"
        elif isinstance(event, BarClosed):
            self.marks[event.instrument] = event.close_ticks

    def fill(self, event: OrderFilled) -> None:
        assert event.fill_id not in self.fills
        self.fills.add(event.fill_id)
        signed = event.qty_lots if event.side is Side.BUY else -event.qty_lots
        before = self.lots[event.instrument]
        after = self.lots[event.instrument] = before + signed
        self.cash -= signed * event.price_ticks * 10_000 + event.fee_e8
        if event.cause is FillCause.LIQUIDATION:
            self.seen["liquidation"] += 1
            assert after == 0
            return
        intent = self.orders[event.client_order_id]
        self.left[event.client_order_id] -= event.qty_lots
        assert self.left[event.client_order_id] == event.leaves_lots >= 0
        if not event.leaves_lots:
            del self.left[event.client_order_id]
        assert (event.side, event.instrument) == (intent.side, intent.instrument)
        if intent.limit_ticks:
            assert event.price_ticks <= intent.limit_ticks if intent.side is Side.BUY else event.price_ticks >= intent.limit_ticks
        if intent.reduce_only:
            assert abs(after) < abs(before)
            assert after * before >= 0
        if intent.time_in_force is TimeInForce.FOK and not intent.reduce_only:
            self.seen["fok"] += 1
        if intent.time_in_force is TimeInForce.POST_ONLY:
            assert event.liquidity == "maker"

    def settle(self) -> None:
        """At the end of an instant the venue's books are these, nothing is owed, and what is open is covered."""
        core = self.core
        assert dict(zip(NAMES, core.lots.tolist(), strict=True)) == self.lots
        equity = self.cash + sum(self.lots[name] * self.marks[name] * 10_000 for name in NAMES)
        assert core.account[EQUITY] == equity
        assert core.account[WALLET] >= 0 or any(self.lots.values())
        assert equity > core._maintenance() or not any(self.lots.values())
        working = {name for held in core.working.values() for name in held}
        assert working <= set(self.left)
        assert set(self.left) - working <= self.on_its_way, "an order that works no more was told to have ended, or will be"


def drive(seed: int, step: int, latency_ns: int, name: str) -> tuple[Auditor, list[bytes]]:
    core = venue([instrument(n) for n in NAMES], matcher(name, seed), latency_ns=latency_ns)
    session = Session(core, market(seed, step), fundings(7, NAMES, every=7 * MINUTE))
    audit, rng, told = Auditor(core), random.Random(seed), []
    for event in session:
        audit.check(event)
        told.append(encode(event))
        if not isinstance(event, BarClosed):
            continue
        if event.instrument == BBB:
            audit.settle()
        outputs: list[Output] = []
        for n in range(rng.randint(0, 3)):
            intent = wish(rng, len(audit.orders), event.close_ticks + n)
            audit.orders[intent.client_order_id] = intent
            audit.left[intent.client_order_id] = intent.qty_lots
            outputs.append(OrderSent(approved=ApprovedOrder(order=intent, limits_version="v")))
        cancelled = [left for left in audit.left if rng.random() < 0.1]
        session.send([*outputs, *(CancelSent(client_order_id=name, reason="r") for name in cancelled)])
        audit.on_its_way |= set(audit.left) - {name for held in core.working.values() for name in held}
    return audit, told


@settings(max_examples=40)
@given(
    st.integers(0, 100_000),
    st.sampled_from((50, 300, 1_000)),
    st.sampled_from((0, 50_000_000, 90_000_000_000)),
    st.sampled_from(("bar", "book")),
)
def test_what_the_venue_tells_is_what_it_books(seed: int, step: int, latency_ns: int, name: str) -> None:
    drive(seed, step, latency_ns, name)


@pytest.mark.parametrize("name", ["bar", "book"])
def test_the_same_seed_tells_the_same_story_and_everything_happens(name: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(12):
        audit, told = drive(seed, 2_500, 50_000_000, name)
        assert told == drive(seed, 2_500, 50_000_000, name)[1]
        seen += audit.seen
    for what in ("OrderFilled", "OrderCanceled", "OrderRejected", "FundingSettled", "liquidation", "CashMoved", "fok"):
        assert seen[what] > 0, f"{what} never happened: {seen}"
