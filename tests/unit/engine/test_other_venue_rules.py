"""Other rules, fees or margin tiers of the venue on the same grid: they hold at once, whatever rests, and nothing that is counted moves."""

from __future__ import annotations

import pytest

from kedge.domain.events import DailyHistory, Event, InstrumentChanged, OrderAccepted, PositionAdopted, StopPlaced
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.outputs import CancelSent, OrderRefused, StopWanted
from kedge.engine.engine import Engine
from kedge.kernel.account import WALLET
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, BBB, E8, MINUTE, T0, S, Wish, bar, engine, filled, instrument, sent


def tiers(last_e8: int, rate_e8: int = 1_000_000, leverage_e2: int = 5_000) -> tuple[RiskTier, ...]:
    return (RiskTier(notional_max_e8=last_e8, maintenance_rate_e8=rate_e8, deduction_e8=0, leverage_max_e2=leverage_e2),)


def changed(at_s: int = 121, **rules: object) -> InstrumentChanged:
    return InstrumentChanged(T0 + at_s * S, instrument(AAA, **rules))


def resting(wish: Wish) -> tuple[Engine, list[str]]:
    """Two orders that rest: 5 % in AAA, 9 % in BBB."""
    run = engine(wish, [instrument(AAA), instrument(BBB, base="BBB")], execution=ExecutionPolicy(style=Style.LIMIT))
    names = []
    for n, (name, exposure) in enumerate(((AAA, 0.05), (BBB, 0.09))):
        run.step(bar(1, instrument_id=name))
        wish.say(exposure, name)
        (made,) = sent(run.step(bar(2, instrument_id=name)))
        run.step(OrderAccepted(T0 + 2 * MINUTE, made.client_order_id, f"v{n}"))
        names.append(made.client_order_id)
    return run, names


def test_a_lower_bracket_takes_back_what_rests_beyond_it_and_leaves_the_others() -> None:
    run, (mine, other) = resting(Wish())
    assert run.step(changed(tiers=tiers(400 * E8))) == (CancelSent(client_order_id=mine, reason="INSTRUMENT_CHANGED"),)
    assert run.state.orders.by_id[other].is_live
    assert run.state.risk_state is RiskState.RUNNING


def test_rules_that_nothing_breaks_change_nothing_but_the_record() -> None:
    run, names = resting(Wish())
    before = run.summary()
    assert run.step(changed(tiers=tiers(10_000 * E8), taker_fee_e8=60_000)) == ()
    assert {**run.summary(), "ts_ns": 0} == {**before, "ts_ns": 0}
    assert all(run.state.orders.by_id[name].is_live for name in names)
    assert run.state.slots[AAA].spec.taker_fee_e8 == 60_000


def test_the_next_order_is_judged_by_the_new_brackets() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(bar(1))
    run.step(changed(61, tiers=tiers(400 * E8)))
    wish.say(0.05)
    (refused,) = (one for one in run.step(bar(2)) if isinstance(one, OrderRefused))
    assert (refused.code, refused.limit) == ("VENUE_TIER", "400.00")


def test_the_margin_of_what_is_held_counts_by_the_new_brackets() -> None:
    wish = Wish()
    run = engine(wish, limits=Limits(margin_ratio_soft_e8=500_000, margin_ratio_max_e8=1_000_000, position_notional_frac_max_e8=E8))
    run.step(bar(1))
    wish.say(0.1)
    (made,) = sent(run.step(bar(2)))
    run.step(filled(made, T0 + 2 * MINUTE + 1, 1_000))
    run.step(changed(tiers=tiers(100_000 * E8, rate_e8=20_000_000)))
    wish.say(0.12)
    (refused,) = (one for one in run.step(bar(3)) if isinstance(one, OrderRefused))
    assert refused.code == "MARGIN_RATIO"


def test_a_stop_that_stands_is_not_wanted_anew() -> None:
    run = engine(Wish(), stop_distance_frac_e8=10_000_000)
    run.step(bar(1))
    run.step(PositionAdopted(T0 + 61 * S, AAA, 100, 100 * 1_000 * run.state.slots[AAA].spec.tick_value_e8))
    run.step(StopPlaced(T0 + 62 * S, AAA, 900))
    assert run.step(changed(63, taker_fee_e8=60_000)) == ()
    assert not run.state.slots[AAA].is_bare


def test_a_stop_is_wanted_nearer_where_more_margin_is_asked_for() -> None:
    run = engine(Wish(), stop_distance_frac_e8=50_000_000)
    run.step(bar(1))
    lots = 3 * run.state.account_view[WALLET] // 2 // (1_000 * run.state.slots[AAA].spec.tick_value_e8)
    (first,) = (
        one
        for one in run.step(PositionAdopted(T0 + 61 * S, AAA, lots, lots * 1_000 * run.state.slots[AAA].spec.tick_value_e8))
        if isinstance(one, StopWanted)
    )
    run.step(StopPlaced(T0 + 62 * S, AAA, first.stop_ticks))
    (nearer,) = run.step(changed(63, tiers=tiers(100_000 * E8, rate_e8=40_000_000)))
    assert isinstance(nearer, StopWanted)
    assert nearer.stop_ticks > first.stop_ticks


@pytest.mark.parametrize("restores", [False, True], ids=["applied", "from a snapshot"])
def test_whoever_folds_the_journal_has_the_same_books_and_rules(restores: bool) -> None:
    events: list[Event] = [bar(1), changed(61, tiers=tiers(400 * E8)), bar(2), DailyHistory(T0 + 2 * MINUTE, AAA, T0, ()), bar(3)]

    def made() -> Engine:
        return engine(Wish().say(0.02).say(0.03))

    one, two = made(), made()
    for n, event in enumerate(events):
        two.apply(event, one.step(event))
        if restores and n == 2:
            snapshot, two = two.snapshot(), made()
            two.restore(snapshot)
    assert one.snapshot() == two.snapshot()
    spec: Instrument = two.state.slots[AAA].spec
    assert spec.tiers == tiers(400 * E8)
