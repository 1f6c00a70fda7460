"""A run that follows another one on its account: what held trading holds on, and losses are measured from where they were measured."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.canonical import encode
from kedge.domain.events import AccountInherited, Command, CommandGiven, Event
from kedge.domain.outputs import Output, RiskStateChanged
from kedge.domain.record import Step
from kedge.domain.units import E8, NS_PER_DAY
from kedge.engine.engine import Engine
from kedge.journal import decode_record
from kedge.kernel.account import DAY, DAY_LOSS_E8, DAY_START, DRAWDOWN_E8, DRAWDOWN_MAX_E8, PEAK
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

from ...builders import MINUTE, T0, WALLET_E8, Wish, bar, engine, sent

RUNNING, REDUCE, HALTED = RiskState.RUNNING, RiskState.REDUCE_ONLY, RiskState.HALTED
TODAY = T0 // NS_PER_DAY
FIGURES = {"peak_e8": WALLET_E8, "day": TODAY, "day_start_e8": WALLET_E8}
A_DAY = NS_PER_DAY // MINUTE


def told(**given: Any) -> AccountInherited:
    return AccountInherited(T0, "paper-before", 41, "ab" * 32, **{**FIGURES, **given})


def held(state: RiskState, code: str, **given: Any) -> AccountInherited:
    return told(risk_state=str(state), code=code, reason="what was seen", limit="what was allowed", **given)


def where(run: Engine) -> tuple[RiskState, str]:
    return run.state.risk_state, run.state.halt_code


def resume(at: int = T0 + 2 * MINUTE) -> CommandGiven:
    return CommandGiven(at, Command.RESUME, "p1", "looked at it")


@pytest.mark.parametrize(
    ("state", "code"),
    [(HALTED, "COMMAND"), (HALTED, "POSITION_DIFFERS"), (HALTED, "DRAWDOWN"), (REDUCE, "BRAKE"), (REDUCE, "REPEATED_EXECUTION")],
)
def test_what_held_trading_holds_it_until_a_person_resumes(state: RiskState, code: str) -> None:
    wish = Wish()
    run = engine(wish)
    (change,) = run.step(held(state, code))
    assert change == RiskStateChanged(state=str(state), code=code, observed="inherited: what was seen", limit="what was allowed")
    wish.say(0.1)
    assert not sent(run.step(bar(1)))
    assert where(run) == (state, code)
    run.step(resume())
    assert where(run) == (RUNNING, "")
    assert sent(run.step(bar(3)))


def test_a_halt_that_was_lifted_before_is_not_taken_over() -> None:
    wish = Wish().say(0.1)
    run = engine(wish)
    assert run.step(told()) == ()
    assert sent(run.step(bar(1)))


def test_what_was_inherited_twice_says_so_once() -> None:
    (change,) = engine().step(told(risk_state="halted", code="COMMAND", reason="inherited: ann: stop"))
    assert isinstance(change, RiskStateChanged)
    assert change.observed == "inherited: ann: stop"


def test_drawdown_counts_from_the_mark_of_the_run_before() -> None:
    run = engine(Wish().say(0.1))
    run.step(told(peak_e8=WALLET_E8 * 100 // 93))
    assert not sent(run.step(bar(1)))
    assert where(run) == (REDUCE, "DRAWDOWN")
    deep = engine(Wish().say(0.1))
    deep.step(told(peak_e8=WALLET_E8 * 100 // 91))
    assert not sent(deep.step(bar(1)))
    assert where(deep) == (HALTED, "DRAWDOWN")


def test_the_drawdown_that_was_measured_last_is_judged_at_once_by_the_limits_of_this_run() -> None:
    run = engine()
    run.step(held(REDUCE, "DRAWDOWN", drawdown_e8=7_000_000))
    assert where(run) == (REDUCE, "DRAWDOWN")
    strict = engine(limits=Limits(drawdown_soft_e8=1_000_000, drawdown_reduce_e8=2_000_000, drawdown_halt_e8=3_000_000))
    strict.step(told(drawdown_e8=3_500_000))
    assert where(strict) == (HALTED, "DRAWDOWN")
    assert strict.state.account_view[DRAWDOWN_MAX_E8] == 3_500_000


def test_a_mark_below_what_the_account_holds_now_is_raised_to_it() -> None:
    run = engine()
    run.step(told(peak_e8=WALLET_E8 // 2))
    assert run.state.account_view[PEAK] == WALLET_E8


def test_the_loss_of_the_same_day_is_taken_over_and_ends_with_the_day() -> None:
    wish = Wish()
    run = engine(wish)
    run.step(held(HALTED, "DAILY_LOSS", day_start_e8=WALLET_E8 * 100 // 97, day_loss_e8=3_000_000, peak_e8=WALLET_E8 * 100 // 97))
    wish.say(0.1)
    assert not sent(run.step(bar(1)))
    assert where(run) == (HALTED, "DAILY_LOSS")
    assert run.state.account_view[DAY_LOSS_E8] == pytest.approx(3_000_000, abs=2)
    wish.say(0.1)
    run.step(bar(A_DAY + 1))
    assert where(run) == (RUNNING, "")


def test_a_loss_of_the_same_day_that_held_nothing_yet_counts_on() -> None:
    run = engine(Wish().say(0.1))
    run.step(told(day_start_e8=WALLET_E8 * 1_000 // 984))
    assert not sent(run.step(bar(1)))
    assert where(run) == (REDUCE, "DAILY_LOSS")


def test_the_loss_of_a_day_before_is_over_with_the_first_mark() -> None:
    run = engine(Wish().say(0.1))
    yesterday = {"day": TODAY - 1, "day_start_e8": WALLET_E8 * 100 // 97, "day_loss_e8": 3_000_000}
    run.step(held(HALTED, "DAILY_LOSS", **yesterday))
    assert where(run) == (HALTED, "DAILY_LOSS")
    assert sent(run.step(bar(1)))
    assert where(run) == (RUNNING, "")
    account = run.state.account_view
    assert (account[DAY], account[DAY_START], account[DAY_LOSS_E8]) == (TODAY, WALLET_E8, 0)


def test_an_accepted_drawdown_stays_accepted_while_trading_runs() -> None:
    deep = {"peak_e8": WALLET_E8 * 100 // 93, "drawdown_e8": 7_000_000}
    run = engine(Wish().say(0.1))
    run.step(told(drawdown_accepted=True, **deep))
    assert sent(run.step(bar(1)))
    assert where(run) == (RUNNING, "")
    strange = engine()
    strange.step(held(HALTED, "COMMAND", drawdown_accepted=True, **deep))
    assert not strange.state.drawdown_accepted


def test_a_person_may_accept_the_drawdown_that_was_inherited() -> None:
    run = engine(Wish().say(0.1))
    run.step(held(REDUCE, "DRAWDOWN", peak_e8=WALLET_E8 * 100 // 93, drawdown_e8=7_000_000))
    run.step(resume(T0 + 1))
    assert where(run) == (RUNNING, "")
    assert sent(run.step(bar(1)))


def test_a_run_with_books_of_its_own_takes_over_what_held_trading_and_no_figures() -> None:
    run = engine(Wish())
    run.step(bar(1))
    before = list(run.state.account_view)
    run.step(AccountInherited(T0 + MINUTE, "paper-before", 9, "ab", risk_state="halted", code="COMMAND", reason="ann: stop"))
    assert where(run) == (HALTED, "COMMAND")
    assert list(run.state.account_view) == before


def test_what_holds_harder_already_is_not_loosened() -> None:
    run = engine(Wish())
    run.step(CommandGiven(T0, Command.HALT, "ann", "stop"))
    assert run.step(AccountInherited(T0 + MINUTE, "paper-before", 9, "ab", risk_state="reduce_only", code="DRAWDOWN")) == ()
    assert where(run) == (HALTED, "COMMAND")


def test_recovery_folds_and_a_replay_decides_the_same() -> None:
    events: list[Event] = [held(REDUCE, "DRAWDOWN", drawdown_e8=7_000_000, peak_e8=WALLET_E8 * 100 // 93), bar(1), resume(), bar(3), bar(4)]
    first, again, folded = engine(Wish()), engine(Wish()), engine(Wish())
    made: list[tuple[Output, ...]] = [first.step(event) for event in events]
    assert [again.step(event) for event in events] == made
    for event, outputs in zip(events, made, strict=True):
        folded.apply(event, outputs)
    assert first.snapshot() == again.snapshot() == folded.snapshot()
    restored = engine(Wish())
    restored.restore(first.snapshot())
    assert restored.state.account_view[DRAWDOWN_E8] == first.state.account_view[DRAWDOWN_E8] > 6_000_000


def test_a_record_of_it_is_read_back_whole() -> None:
    step = Step(seq=1, source="test", event=held(HALTED, "COMMAND", flows_e8=-5 * E8, traded_e8=3, unexplained_e8=-1, drawdown_e8=7))
    assert decode_record(1, encode(step)) == step
