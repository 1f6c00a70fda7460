"""The order book against a naive twin, and the laws of the `book` matcher, on random sequences.

The twin keeps one flat list of orders and sorts it for every question: slow, short and obviously in priority order. Both see the
same operations, and every trade, outcome and queue must be equal.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

from hypothesis import event, given, settings
from hypothesis import strategies as st

from kedge.domain.events import BarClosed
from kedge.domain.orders import Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.simulation.book_matcher import BookMatcher
from kedge.simulation.matching import Done, Match, WorkingOrder
from kedge.simulation.orderbook import OrderBook, Outcome, SelfTrade

BUY, SELL = Side.BUY, Side.SELL
FOK, IOC, POST_ONLY = TimeInForce.FOK, TimeInForce.IOC, TimeInForce.POST_ONLY


# --- the book and its twin -----------------------------------------------------------------------------------------------


@dataclass
class NaiveOrder:
    order_id: str
    owner: str
    side: Side
    price: int
    lots: int
    arrival: int
    post_only: bool
    mode: SelfTrade


class NaiveBook:
    def __init__(self) -> None:
        self.resting: list[NaiveOrder] = []
        self.arrivals = 0

    def queue(self, side: Side) -> list[NaiveOrder]:
        sign = -1 if side is BUY else 1
        return sorted((o for o in self.resting if o.side is side), key=lambda o: (sign * o.price, o.arrival))

    def add(self, order_id: str, owner: str, side: Side, lots: int, price: int, market: bool, force: TimeInForce, mode: SelfTrade) -> tuple:
        reach = [
            o for o in self.queue(SELL if side is BUY else BUY) if not price or (o.price <= price if side is BUY else o.price >= price)
        ]
        if force is POST_ONLY and reach:
            return [], 0, lots, []
        plan, removed, left, stopped = [], [], lots, False
        for maker in reach:
            if not left:
                break
            if mode is not SelfTrade.ALLOW and maker.owner == owner:
                removed += [maker] if mode is not SelfTrade.CANCEL_TAKER else []
                stopped = mode is not SelfTrade.CANCEL_MAKER
                if stopped:
                    break
                continue
            plan.append((maker, min(left, maker.lots)))
            left -= plan[-1][1]
        if force is FOK and left:
            return [], 0, lots, []
        for maker, traded in plan:
            maker.lots -= traded
        gone = [(m.order_id, m.lots) for m in removed]
        self.resting = [o for o in self.resting if o.lots and o not in removed]
        rests = left and not stopped and not market and force not in (IOC, FOK)
        if rests:
            self.arrivals += 1
            self.resting.append(NaiveOrder(order_id, owner, side, price, left, self.arrivals, force is POST_ONLY, mode))
        return [(m.order_id, m.price, traded) for m, traded in plan], left if rests else 0, 0 if rests else left, gone

    def amend(self, order_id: str, lots: int, price: int) -> tuple:
        o = next(o for o in self.resting if o.order_id == order_id)
        if price == o.price and lots <= o.lots:
            o.lots = lots
            return [], lots, 0, []
        self.resting.remove(o)
        return self.add(order_id, o.owner, o.side, lots, price, False, POST_ONLY if o.post_only else TimeInForce.GTC, o.mode)


def plain(outcome: Outcome) -> tuple:
    trades = [(t.maker_id, t.price_ticks, t.qty_lots) for t in outcome.trades]
    return trades, outcome.resting_lots, outcome.cancelled_lots, [tuple(c) for c in outcome.removed]


adds = st.tuples(
    st.just("add"),
    st.sampled_from("xyz"),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 9),
    st.integers(96, 104),
    st.sampled_from(["market", "bounded", *TimeInForce]),
    st.sampled_from(list(SelfTrade)),
)
cancels = st.tuples(st.just("cancel"), st.integers(0, 99))
amends = st.tuples(st.just("amend"), st.integers(0, 99), st.integers(1, 12), st.integers(96, 104))
operations = st.lists(st.one_of(adds, adds, cancels, amends), max_size=60)


class Twins:
    """Applies each operation to both books and keeps the tally of lots."""

    def __init__(self) -> None:
        self.book, self.naive = OrderBook(), NaiveBook()
        self.added = self.traded = self.cancelled = 0
        self.owners: dict[str, str] = {}

    def add(self, n: int, owner: str, side: Side, lots: int, price: int, how: str, mode: SelfTrade) -> None:
        name, market = f"{n}", how in ("market", "bounded")
        force = IOC if market else TimeInForce(how)
        price = 0 if how == "market" else price
        before = {o.order_id: o.price_ticks for s in Side for o in self.book.orders(s)}
        kind = OrderKind.MARKET if market else OrderKind.LIMIT
        outcome = self.book.add(name, owner, side, lots, price, kind=kind, time_in_force=force, self_trade=mode)
        assert plain(outcome) == self.naive.add(name, owner, side, lots, price, market, force, mode)
        self.owners[name] = owner
        self.added += lots
        self.tally(outcome)
        self.check_one(outcome, lots, force, before)
        if mode is not SelfTrade.ALLOW:
            assert all(self.owners[t.maker_id] != owner for t in outcome.trades)

    def check_one(self, outcome: Outcome, lots: int, force: TimeInForce, before: dict[str, int]) -> None:
        assert outcome.traded_lots + outcome.resting_lots + outcome.cancelled_lots == lots
        assert bool(outcome.reason) == bool(outcome.cancelled_lots)
        assert all(t.price_ticks == before[t.maker_id] for t in outcome.trades)
        if force is FOK:
            assert outcome.traded_lots in (0, lots)
        if force in (IOC, FOK):
            assert not outcome.resting_lots
        if force is POST_ONLY:
            assert not outcome.trades

    def cancel(self, pick: int) -> None:
        if self.naive.resting:
            o = self.naive.resting.pop(pick % len(self.naive.resting))
            assert self.book.cancel(o.order_id) == o.lots
            self.cancelled += o.lots

    def amend(self, pick: int, lots: int, price: int) -> None:
        if self.naive.resting:
            o = self.naive.resting[pick % len(self.naive.resting)]
            self.added += lots - o.lots
            outcome = self.book.amend(o.order_id, leaves_lots=lots, limit_ticks=price)
            assert plain(outcome) == self.naive.amend(o.order_id, lots, price)
            self.tally(outcome)

    def tally(self, outcome: Outcome) -> None:
        self.traded += 2 * outcome.traded_lots
        self.cancelled += outcome.cancelled_lots + sum(c.qty_lots for c in outcome.removed)

    def check_all(self) -> None:
        book, resting = self.book, 0
        for side in Side:
            queue = list(book.orders(side))
            assert [(o.order_id, o.price_ticks, o.leaves_lots) for o in queue] == [
                (o.order_id, o.price, o.lots) for o in self.naive.queue(side)
            ]
            levels: dict[int, list[int]] = defaultdict(list)
            for o in queue:
                levels[o.price_ticks].append(o.leaves_lots)
            assert [tuple(d) for d in book.depth(side, 99)] == [(p, sum(lots), len(lots)) for p, lots in levels.items()]
            resting += sum(o.leaves_lots for o in queue)
        bid, ask = book.best_bid_ticks(), book.best_ask_ticks()
        assert bid is None or ask is None or bid < ask
        assert len(book) == len(self.naive.resting)
        assert self.added == self.traded + self.cancelled + resting


@settings(max_examples=200, deadline=None)
@given(operations)
def test_book_equals_its_naive_twin_and_keeps_the_laws(script: list[tuple]) -> None:
    twins = Twins()
    for n, (what, *rest) in enumerate(script):
        if what == "add":
            twins.add(n, *rest)
        elif what == "cancel":
            twins.cancel(*rest)
        else:
            twins.amend(*rest)
        twins.check_all()


def test_one_long_day_in_both_books() -> None:
    """What short random scripts seldom reach: deep queues and long life, from one seed."""
    r, twins, deepest = random.Random(20240501), Twins(), 0
    hows = ["gtc"] * 6 + ["post_only", "ioc", "fok", "market", "bounded"]
    for n in range(2_500):
        draw, pick = r.random(), r.randrange(999)
        if draw < 0.7:
            side, price = r.choice([(BUY, r.randint(90, 101)), (SELL, r.randint(99, 110))])
            twins.add(n, r.choice("xyz"), side, r.randint(1, 30), price, r.choice(hows), r.choice(list(SelfTrade)))
        elif draw < 0.8:
            twins.cancel(pick)
        elif twins.naive.resting:
            price = twins.naive.resting[pick % len(twins.naive.resting)].price
            twins.amend(pick, r.randint(1, 30), price + r.choice([0, 0, -1, 1]))
        deepest = max(deepest, len(twins.book))
        if n % 5 == 0:
            twins.check_all()
    assert twins.traded > 4_000
    assert deepest > 50


@settings(max_examples=60, deadline=None)
@given(operations, st.sampled_from([BUY, SELL]), st.integers(1, 60), st.integers(95, 105))
def test_walk_foretells_the_order(script: list[tuple], side: Side, lots: int, limit: int) -> None:
    twins = Twins()
    for n, (what, *rest) in enumerate(script):
        if what == "add":
            twins.add(n, *rest)
    walk = twins.book.walk(side, lots, limit)
    outcome = twins.book.add("t", "t", side, lots, limit, time_in_force=IOC)
    assert walk.qty_lots == outcome.traded_lots
    assert walk.cost_ticks_lots == sum(t.price_ticks * t.qty_lots for t in outcome.trades)
    assert walk.worst_ticks == (outcome.trades[-1].price_ticks if outcome.trades else 0)


# --- the matcher ---------------------------------------------------------------------------------------------------------

MINUTE = 60_000_000_000
INSTRUMENT = "bybit-linear:BTCUSDT"
SPREAD = 3


@st.composite
def bars(draw: st.DrawFn) -> list[BarClosed]:
    """Bars in a row; some gap away from the close before, some hold no volume."""
    found, price, n = [], 1_000, draw(st.integers(1, 5))
    for k in range(n):
        o = max(30, price + draw(st.sampled_from([0, 0, 0, -15, 15])))
        h, low = o + draw(st.integers(0, 12)), o - draw(st.integers(0, 12))
        c = draw(st.integers(low, h))
        volume = draw(st.sampled_from([0, 7, 400, 5_000, 100_000]))
        found.append(BarClosed((k + 1) * MINUTE, INSTRUMENT, k * MINUTE, o, h, low, c, volume))
        price = c
    return found


@st.composite
def order_flow(draw: st.DrawFn, count: int) -> list[WorkingOrder]:
    found = []
    for n in range(draw(st.integers(1, count))):
        market = draw(st.booleans()) and draw(st.booleans())
        intent = OrderIntent(
            client_order_id=f"o{n}",
            decision_id="d",
            strategy="s",
            instrument=INSTRUMENT,
            side=draw(st.sampled_from([BUY, SELL])),
            kind=OrderKind.MARKET if market else OrderKind.LIMIT,
            time_in_force=IOC if market else draw(st.sampled_from(list(TimeInForce))),
            qty_lots=draw(st.sampled_from([1, 5, 40, 700, 20_000])),
            limit_ticks=0 if market else 1_000 + draw(st.integers(-25, 25)),
        )
        found.append(WorkingOrder(intent, f"v{n}", draw(st.integers(-1, 4 * 60)) * MINUTE // 60, intent.qty_lots))
    return sorted(found, key=lambda w: w.arrival_ts_ns)


def matcher(seed: int = 1) -> BookMatcher:
    return BookMatcher(seed=seed, steps=9, spread_ticks=SPREAD, levels=4, depth_bps=1_500, participation_bps=1_000)


def play(rules: BookMatcher, path: list[BarClosed], working: list[WorkingOrder]) -> list[tuple]:
    """What a core would do: book the matches, drop the finished, check every law on the way."""
    told, live = [], list(working)
    for bar in path:
        leaves = {w.order.client_order_id: w.leaves_lots for w in live}
        resting_before = {w.order.client_order_id for w in live if w.is_resting}
        results = rules.match(bar, live)
        assert leaves == {w.order.client_order_id: w.leaves_lots for w in live}
        check_bar_laws(bar, results, resting_before)
        for r in results:
            if isinstance(r, Match):
                r.working.leaves_lots -= r.qty_lots
                assert r.working.leaves_lots >= 0
                told.append((r.working.order.client_order_id, r.qty_lots, r.price_ticks, r.liquidity, r.ts_ns))
            else:
                told.append((r.working.order.client_order_id, r.reason, r.ts_ns))
        finished = [r.working for r in results if isinstance(r, Done)]
        live = [w for w in live if w.leaves_lots and w not in finished]
        check_survivors(bar, live)
    return told


def check_bar_laws(bar: BarClosed, results: list[Match | Done], resting_before: set[str]) -> None:
    matches = [r for r in results if isinstance(r, Match)]
    assert sum(m.qty_lots for m in matches) <= bar.volume_lots // 10
    assert [r.ts_ns for r in results] == sorted(r.ts_ns for r in results)
    over: set[str] = set()
    filled: dict[str, int] = defaultdict(int)
    for r in results:
        o = r.working.order
        assert max(bar.open_ts_ns, r.working.arrival_ts_ns) <= r.ts_ns <= bar.ts_ns
        assert o.client_order_id not in over
        if isinstance(r, Done):
            over.add(o.client_order_id)
            continue
        filled[o.client_order_id] += r.qty_lots
        entered_now = o.client_order_id not in resting_before
        check_price(bar, r, entered_now=entered_now)
        if o.time_in_force is POST_ONLY:
            assert r.liquidity is Liquidity.MAKER
        if o.time_in_force in (IOC, FOK):
            assert r.liquidity is Liquidity.TAKER
        if r.liquidity is Liquidity.TAKER:
            assert entered_now
    for r in matches:
        if r.working.order.time_in_force is FOK:
            assert filled[r.working.order.client_order_id] == r.working.order.qty_lots


def check_price(bar: BarClosed, r: Match, *, entered_now: bool) -> None:
    o = r.working.order
    inside = bar.low_ticks - SPREAD <= r.price_ticks <= bar.high_ticks + SPREAD
    if r.liquidity is Liquidity.TAKER:
        assert inside
        assert not o.limit_ticks or (r.price_ticks <= o.limit_ticks if o.side is BUY else r.price_ticks >= o.limit_ticks)
    else:
        assert r.price_ticks == o.limit_ticks
        assert o.limit_ticks >= bar.low_ticks if o.side is BUY else o.limit_ticks <= bar.high_ticks
        assert inside or not entered_now  # only a gap, or a lack of capacity, leaves an older order outside


def check_survivors(bar: BarClosed, live: list[WorkingOrder]) -> None:
    for w in live:
        assert w.arrival_ts_ns >= bar.ts_ns or w.order.time_in_force in (TimeInForce.GTC, POST_ONLY)
        assert w.is_resting or w.arrival_ts_ns >= bar.ts_ns or w.order.time_in_force is TimeInForce.GTC


def copies(working: list[WorkingOrder]) -> list[WorkingOrder]:
    return [WorkingOrder(w.order, w.venue_order_id, w.arrival_ts_ns, w.leaves_lots, w.is_resting) for w in working]


@settings(max_examples=200, deadline=None)
@given(bars(), order_flow(8))
def test_matcher_keeps_its_laws_and_repeats_itself(path: list[BarClosed], working: list[WorkingOrder]) -> None:
    again = copies(working)
    told = play(matcher(), path, working)
    assert told == play(matcher(), path, again)
    for line in told:
        event(line[1] if len(line) == 3 else line[3])


@settings(max_examples=60, deadline=None)
@given(bars(), order_flow(6))
def test_our_orders_do_not_move_the_background(path: list[BarClosed], working: list[WorkingOrder]) -> None:
    with_us, alone = matcher(), matcher()
    for bar in path:
        live = [w for w in copies(working) if w.arrival_ts_ns < bar.open_ts_ns]
        with_us.match(bar, live)
        alone.match(bar, [])
        for k in range(9):
            assert with_us.quotes(bar, k, bar.close_ticks) == alone.quotes(bar, k, bar.close_ticks)
    probe = BarClosed(path[-1].ts_ns + MINUTE, INSTRUMENT, path[-1].ts_ns, 1_000, 1_003, 998, 1_001, 9_000)
    with_us.match(probe, [])
    alone.match(probe, [])
    for side in Side:
        assert with_us.book(INSTRUMENT).depth(side, 9) == alone.book(INSTRUMENT).depth(side, 9)


@settings(max_examples=60, deadline=None)
@given(bars(), order_flow(6), st.integers(0, 4))
def test_a_restart_needs_no_memory(path: list[BarClosed], working: list[WorkingOrder], cut: int) -> None:
    whole = play(matcher(), path, copies(working))
    live, told = copies(working), []
    for bar in path:
        told += play(matcher(), [bar], live)  # a new matcher for every bar
        over = {t[0] for t in told if len(t) == 3}
        live = [w for w in live if w.leaves_lots and w.order.client_order_id not in over]
    assert told == whole


@settings(max_examples=60, deadline=None)
@given(bars(), order_flow(6))
def test_letting_arrivals_in_first_changes_nothing(path: list[BarClosed], working: list[WorkingOrder]) -> None:
    whole = play(matcher(), path, copies(working))
    rules, live, told = matcher(), copies(working), []
    for bar in path:
        for ask in (rules.arrive, rules.match):
            done = set()
            for r in ask(bar, live):
                if isinstance(r, Match):
                    r.working.leaves_lots -= r.qty_lots
                    told.append((r.working.order.client_order_id, r.qty_lots, r.price_ticks, r.liquidity, r.ts_ns))
                else:
                    done.add(r.working.order.client_order_id)
                    told.append((r.working.order.client_order_id, r.reason, r.ts_ns))
            live = [w for w in live if w.leaves_lots and w.order.client_order_id not in done]
    assert told == whole
