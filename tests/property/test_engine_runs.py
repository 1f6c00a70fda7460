"""Whole runs on random markets: replay, recovery, the venue's books, an independent ledger, and no look at the future.

Each case is a seeded random walk of one to three instruments with funding, one of the shipped strategies or a scripted one, and one of
the two matchers, with caps on sizes and without. Samples are few and short: every case runs the engine several times.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.canonical import encode
from kedge.domain.events import (
    BarClosed,
    CashMoved,
    Event,
    FeedGap,
    FundingSettled,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
)
from kedge.domain.instrument import Instrument
from kedge.domain.orders import Liquidity, OrderKind, Side
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.kernel.account import EQUITY, FEES, FLOWS, FUNDING, GROSS, NET, REALISED, UNREALISED, WALLET
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.backtest import Run, engine_of
from kedge.simulation.exchange import VenueSettings
from kedge.strategy.base import Strategy
from kedge.strategy.execution import ExecutionPolicy

from ..builders import AAA, BBB, CCC, MINUTE, T0, WALLET_E8, ListJournal, Scripted, a_run, filled, fundings, instrument, order, walk
from ..builders import settings as engine_settings

MONEY = (WALLET, UNREALISED, EQUITY, GROSS, NET, REALISED, FEES, FUNDING, FLOWS)
GRIDS = ((10_000_000, 100_000), (1_000_000, 10_000_000), (20_000_000, 50_000))


class Case(NamedTuple):
    seed: int
    instruments: tuple[Instrument, ...]
    strategy: str
    matcher: str
    entry: OrderKind
    latency_ns: int
    volume: int
    sizing: SizingPolicy | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = (AAA, BBB, CCC)[: draw(st.integers(1, 3))]
    grids = [draw(st.sampled_from(GRIDS)) for _ in names]
    return Case(
        draw(st.integers(0, 10_000)),
        tuple(
            instrument(name, tick_e8=tick, lot_e8=lot, price_max_ticks=1_000_000) for name, (tick, lot) in zip(names, grids, strict=True)
        ),
        draw(st.sampled_from(("trend", "mean_reversion", "scripted"))),
        draw(st.sampled_from(("bar", "book"))),
        draw(st.sampled_from(OrderKind)),
        draw(st.sampled_from((0, 50_000_000, 90 * 1_000_000_000))),
        draw(st.sampled_from((3_000, 1_000_000))),
        draw(st.sampled_from((None, SizingPolicy(), SizingPolicy(stop_frac_e8=3_000_000, gap_frac_e8=0)))),
    )


PARAMS: dict[str, dict[str, Any]] = {
    "trend": {"fast": 2, "slow": 5, "exposure_frac": 0.2},
    "mean_reversion": {"window": 6, "entry_z": 1.2, "exit_z": 0.3, "exposure_frac": 0.15},
    "scripted": {},
}


def own(case: Case) -> Strategy | None:
    return Scripted((0.2, 0.2, -0.1, -0.1, 0.0, 0.05)) if case.strategy == "scripted" else None


def market(case: Case, bars: int) -> list[BarClosed]:
    return walk(case.seed, bars, [i.instrument_id for i in case.instruments], volume=case.volume)


def make(case: Case, bars: int = 60, **changes: Any) -> tuple[Run, ListJournal]:
    journal = ListJournal()
    names = [i.instrument_id for i in case.instruments]
    given_engine = engine_settings(
        run_id="", strategy="trend" if case.strategy == "scripted" else case.strategy, params=PARAMS[case.strategy],
        execution=ExecutionPolicy(entry=case.entry, limit_life_ns=3 * MINUTE), gap_bars_carried=0, sizing=case.sizing,
    )  # fmt: skip
    rates = changes.pop("rates", fundings(bars // 7, names, every=7 * MINUTE))
    events = changes.pop("market", None) or market(case, bars)
    spec: dict[str, Any] = {
        "engine": given_engine,
        "matcher": case.matcher,
        "venue": VenueSettings(wallet_e8=WALLET_E8, latency_ns=case.latency_ns),
        "snapshot_every": 17,
        **changes,
    }
    return a_run(events, journal, rates, own(case), case.instruments, **spec), journal


def fresh(journal: ListJournal, case: Case) -> Engine:
    assert journal.started is not None
    return engine_of(journal.started, own(case))


@settings(max_examples=12)
@given(cases())
def test_replay_equals_and_recovery_meets_it_from_everywhere(case: Case) -> None:
    run, journal = make(case)
    run.drive()
    again = fresh(journal, case)
    for event, outputs in journal.steps:
        assert encode(again.step(event)) == encode(outputs)
    end = run.engine.snapshot()
    assert again.snapshot() == end
    folded = fresh(journal, case)
    at = dict(journal.snapshots)
    for n, (event, outputs) in enumerate(journal.steps, 1):
        folded.apply(event, outputs)
        if n in at:
            assert folded.snapshot() == at[n]
    assert folded.snapshot() == end
    assert len(at) == len(journal.steps) // 17
    for seq, body in journal.snapshots:
        restored = fresh(journal, case)
        restored.restore(body)
        for event, outputs in journal.steps[seq:]:
            restored.apply(event, outputs)
        assert restored.snapshot() == end
    stepped = fresh(journal, case)
    seq, body = journal.snapshots[len(journal.snapshots) // 2]
    stepped.restore(body)
    for event, outputs in journal.steps[seq:]:
        assert encode(stepped.step(event)) == encode(outputs), "a restored engine decides as the old one did"


class Ledger:
    """The books again, in decimals and by average price, from reports alone."""

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        self.specs = {i.instrument_id: i for i in instruments}
        self.cash = Decimal(WALLET_E8) / E8
        self.qty = {name: Decimal(0) for name in self.specs}
        self.mark: dict[str, Decimal] = {}
        self.fees = Decimal(0)

    def learn(self, event: Event) -> None:
        if isinstance(event, OrderFilled):
            spec = self.specs[event.instrument]
            qty = event.qty_lots * spec.lot_size * (1 if event.side is Side.BUY else -1)
            price = event.price_ticks * spec.tick_size
            rate = Decimal("0.0002") if event.liquidity is Liquidity.MAKER else Decimal("0.00055")
            fee = Decimal(event.fee_e8) / E8
            assert 0 <= fee - abs(qty) * price * rate < Decimal("0.00000001"), "up to the next 1e-8"
            self.cash -= qty * price + fee  # all of it: equity is cash and goods, and no profit need be told apart
            self.fees += fee
            self.qty[event.instrument] += qty
        elif isinstance(event, FundingSettled):
            due = self.qty[event.instrument] * Decimal(event.mark_e8) / E8 * Decimal(event.rate_e8) / E8
            paid = Decimal(event.paid_e8) / E8
            assert 0 <= paid - due < Decimal("0.00000001")
            self.cash -= paid
        elif isinstance(event, CashMoved):
            self.cash += Decimal(event.amount_e8) / E8
        elif isinstance(event, BarClosed):
            self.mark[event.instrument] = event.close_ticks * self.specs[event.instrument].tick_size

    def equity_e8(self) -> Decimal:
        return (self.cash + sum((self.qty[name] * mark for name, mark in self.mark.items()), Decimal(0))) * E8


@settings(max_examples=20)
@given(cases())
def test_the_engines_books_are_the_venues_and_an_independent_ledgers(case: Case) -> None:
    run, journal = make(case)
    ledger, bars_left = Ledger(case.instruments), 0
    for event in run.session:
        outputs = run.engine.step(event)
        journal.commit(event, outputs)
        run.session.send(outputs)
        ledger.learn(event)
        state = run.engine.state
        assert ledger.equity_e8() == state.account_view[EQUITY]
        assert ledger.fees * E8 == state.account_view[FEES]
        bars_left = bars_left - 1 if bars_left else len(case.instruments) - 1
        if isinstance(event, BarClosed) and event.instrument == case.instruments[-1].instrument_id:
            assert state.account[list(MONEY)].tolist() == run.venue.account[list(MONEY)].tolist()
            assert state.lots.tolist() == run.venue.lots.tolist()
            assert state.costs.tolist() == run.venue.costs.tolist()
            assert state.account_view[WALLET] >= 0
    state = run.engine.state
    assert (state.differences, state.last_trouble, state.risk_state == "halted" and state.halt_code not in ("DRAWDOWN", "DAILY_LOSS")) == (
        0,
        "",
        False,
    )


@settings(max_examples=12)
@given(cases(), st.integers(8, 50))
def test_a_prefix_of_the_market_gives_the_same_beginning(case: Case, cut: int) -> None:
    whole, long = make(case)
    whole.drive()
    other = market(case, 60)[: cut * len(case.instruments)]
    part, short = make(case, market=other, rates=fundings(8, [i.instrument_id for i in case.instruments], every=7 * MINUTE))
    part.drive()
    same = [encode([e, o]) for e, o in short.steps[:-1]]
    assert same == [encode([e, o]) for e, o in long.steps[: len(same)]], "all but how it ended"
    assert any(isinstance(e, BarClosed) for e, _ in short.steps)


def report(rng: random.Random, names: list[str], known: list[str], n: int) -> Event:
    """Some report, as likely wrong as right."""
    name = rng.choice([*known[-4:], "foreign"]) if known else "foreign"
    ts_ns = T0 + rng.randint(0, 100) * MINUTE
    intent = order(name, rng.choice(list(Side)), rng.choice((1, 500, 10_000)), instrument_id=rng.choice([*names, "test:ZZZ"]))
    return rng.choice(
        (
            OrderAccepted(ts_ns, name, f"v{n}"),
            OrderRejected(ts_ns, name, "110007", "no"),
            OrderCanceled(ts_ns, name, "why not"),
            OrderUnanswered(ts_ns, name),
            OrderProvenAbsent(ts_ns, name),
            filled(
                intent, ts_ns, rng.randint(90, 110), leaves=rng.choice((0, 5)), fill_id=f"x{rng.randint(0, 12)}", fee_e8=rng.randint(-5, 9)
            ),
            FundingSettled(ts_ns, intent.instrument, rng.randint(-100, 100), 10 * E8, rng.choice((0, 10_000)), rng.randint(-9, 9)),
            FeedGap(ts_ns, names[0], ts_ns - 9 * MINUTE),
        )
    )


@settings(max_examples=25)
@given(cases(), st.integers(0, 1_000_000))
def test_no_report_however_wrong_crashes_the_engine_or_loses_money(case: Case, seed: int) -> None:
    run, journal = make(case, 25)
    run.drive()
    one, rng = fresh(journal, case), random.Random(seed)
    names = [i.instrument_id for i in case.instruments]
    right = [e for e, _ in journal.steps]
    known: list[str] = []
    booked: dict[tuple[str, str], OrderFilled] = {}
    paid = fees = 0
    for n in range(150):
        event = right[n % len(right)] if rng.random() < 0.4 else report(rng, names, known, n)
        if isinstance(event, OrderFilled) and event.instrument in names:
            legal = (
                event.client_order_id in one.state.orders.by_id and event.fill_id in one.state.orders.by_id[event.client_order_id].fill_ids
            )
            if not legal and event.fill_id not in one.state.orders.strange:
                booked[event.client_order_id, event.fill_id] = event
                fees += event.fee_e8
        if isinstance(event, FundingSettled) and event.instrument in names:
            paid += event.paid_e8
        outputs = one.step(event)
        known += [o.approved.order.client_order_id for o in outputs if hasattr(o, "approved")]
        account = one.state.account_view
        assert (account[FEES], account[FUNDING]) == (fees, paid)
        assert account[EQUITY] == account[WALLET] + account[UNREALISED]
    for name, slot in one.state.slots.items():
        lots = [f.qty_lots if f.side is Side.BUY else -f.qty_lots for f in booked.values() if f.instrument == name]
        assert slot.position_lots == sum(lots)
    two = fresh(journal, case)
    two.restore(one.snapshot())
    assert two.snapshot() == one.snapshot()


@pytest.mark.parametrize("matcher", ["bar", "book"])
def test_the_cases_do_trade(matcher: str) -> None:
    """What the properties above hold for is not the empty run."""
    for strategy in PARAMS:
        for entry in OrderKind:
            case = Case(3, (instrument(), instrument(BBB)), strategy, matcher, entry, 50_000_000, 1_000_000, SizingPolicy())
            run, journal = make(case)
            run.drive()
            figures = run.result()
            assert figures["fills"] >= 10
            assert figures["round_trips"] >= 1
            assert any(isinstance(e, FundingSettled) for e, _ in journal.steps)
            assert msgspec.json.encode(figures)
