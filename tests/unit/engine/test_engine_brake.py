"""The guard's brake as the engine hears of it: how hard it holds, what is sent meanwhile, and who lets it go on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.events import BrakeTold, Command, CommandGiven, OrderAccepted, StopUnconfirmed, TimerFired
from kedge.domain.outputs import CancelSent, OrderSent, Output, RiskStateChanged
from kedge.engine.engine import Engine
from kedge.risk.states import BRAKE, FLATTEN, RiskState
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, MINUTE, T0, S, Wish, bar, engine, filled, sent

RUNNING, REDUCE, HALTED = RiskState.RUNNING, RiskState.REDUCE_ONLY, RiskState.HALTED


def told(level: BrakeLevel, generation: int = 1, at: int = T0 + 3 * MINUTE) -> BrakeTold:
    trigger = None if level is BrakeLevel.RUNNING else Trigger.DRAWDOWN
    return BrakeTold(at, level, generation, trigger, "" if trigger is None else "too deep")


def command(word: Command, at: int = T0 + 4 * MINUTE) -> CommandGiven:
    return CommandGiven(at, word, "p1", "because")


def holding(**changes: Any) -> tuple[Engine, Wish]:
    wish = Wish()
    run = engine(wish, **changes)
    run.step(bar(1))
    wish.say(0.1)
    (buy,) = sent(run.step(bar(2)))
    run.step(filled(buy, T0 + 2 * MINUTE + 1, 1_000))
    return run, wish


def where(run: Engine) -> tuple[RiskState, str]:
    return run.state.risk_state, run.state.halt_code


def leaving(outputs: tuple[Output, ...]) -> list[Output]:
    return [one for one in outputs if isinstance(one, OrderSent | CancelSent)]


@pytest.mark.parametrize(
    ("level", "state"),
    [(BrakeLevel.REDUCE_ONLY, REDUCE), (BrakeLevel.HALTED, HALTED), (BrakeLevel.FLATTENING, HALTED), (BrakeLevel.HALTED_FLAT, HALTED)],
)
def test_the_brake_holds_as_hard_as_it_says(level: BrakeLevel, state: RiskState) -> None:
    run, _ = holding()
    (change,) = run.step(told(level))
    assert change == RiskStateChanged(state=state, code=BRAKE, observed=f"{level}: drawdown too deep", limit="released by two people")
    assert where(run) == (state, BRAKE)
    assert run.step(told(level)) == (), "the same word again is no news"


def test_reduce_only_lets_reductions_pass_and_nothing_else() -> None:
    run, wish = holding()
    run.step(told(BrakeLevel.REDUCE_ONLY))
    wish.say(0.15)
    assert leaving(run.step(bar(4))) == []
    wish.say(0.05)
    (reduction,) = sent(run.step(bar(5)))
    assert reduction.reduce_only


def test_halted_sends_nothing_at_all_not_even_what_reduces_or_takes_back() -> None:
    execution = ExecutionPolicy(style=Style.LIMIT)
    wish = Wish()
    run = engine(wish, execution=execution)
    run.step(bar(1))
    wish.say(0.1)
    (resting,) = sent(run.step(bar(2)))
    run.step(OrderAccepted(T0 + 2 * MINUTE + 1, resting.client_order_id, "v1"))
    assert leaving(run.step(told(BrakeLevel.HALTED))) == [], "the guard takes back what rests"
    wish.say(0.0)
    assert leaving(run.step(bar(4))) == []
    life = next(timer.timer_id for timer in run.timers() if timer.timer_id.startswith("life:"))
    assert leaving(run.step(TimerFired(T0 + 5 * MINUTE, life))) == []
    for word in (Command.CANCEL_ALL, Command.FLATTEN):
        assert leaving(run.step(command(word, T0 + 6 * MINUTE))) == []
    assert where(run) == (HALTED, BRAKE)


def test_a_position_without_its_stop_is_the_guard_s_while_the_brake_is_on() -> None:
    run, _ = holding(stop_distance_frac_e8=10_000_000)
    run.step(told(BrakeLevel.FLATTENING))
    assert leaving(run.step(StopUnconfirmed(T0 + 3 * MINUTE + 1, AAA, 15 * S, "nobody answers"))) == []
    assert leaving(run.step(bar(4))) == []


def test_a_release_leaves_trading_held_until_a_person_resumes() -> None:
    run, wish = holding()
    run.step(told(BrakeLevel.HALTED))
    assert run.step(command(Command.RESUME))[0] == RiskStateChanged(
        state="halted", code=BRAKE, observed="the guard has not released it", limit="released by two people"
    )
    assert run.step(told(BrakeLevel.RUNNING, 2)) == ()
    wish.say(0.12)
    assert leaving(run.step(bar(5))) == []
    assert where(run) == (HALTED, BRAKE)
    run.step(command(Command.RESUME, T0 + 6 * MINUTE))
    assert where(run) == (RUNNING, "")
    assert len(sent(run.step(bar(7)))) == 1


def test_reduce_only_ends_by_no_calm_and_a_resume_goes_no_further_than_the_brake() -> None:
    run, _ = holding()
    run.step(command(Command.HALT, T0 + 3 * MINUTE))
    run.step(told(BrakeLevel.REDUCE_ONLY))
    assert where(run) == (HALTED, "COMMAND"), "what is held harder stays so"
    run.step(command(Command.RESUME))
    assert where(run) == (REDUCE, BRAKE)
    run.step(bar(1_500))
    assert where(run) == (REDUCE, BRAKE), "no measure ends it"
    run.step(told(BrakeLevel.RUNNING, 2, T0 + 1_501 * MINUTE))
    run.step(bar(1_502))
    assert where(run) == (REDUCE, BRAKE), "nor does the release alone"
    run.step(command(Command.RESUME, T0 + 1_503 * MINUTE))
    assert where(run) == (RUNNING, "")


def test_a_flattening_of_ours_goes_on_under_reduce_only_and_stops_for_the_guard() -> None:
    run, _ = holding()
    run.step(command(Command.FLATTEN, T0 + 2 * MINUTE + 2))
    run.step(told(BrakeLevel.REDUCE_ONLY))
    assert where(run) == (REDUCE, FLATTEN)
    run.step(told(BrakeLevel.FLATTENING, 2))
    assert where(run) == (HALTED, BRAKE)
    assert leaving(run.step(bar(4))) == []


def test_a_halt_for_the_day_s_loss_does_not_end_with_the_day_while_the_brake_is_on() -> None:
    run, _ = holding()
    limits = msgspec.structs.replace(run.settings.limits, daily_loss_soft_e8=1, daily_loss_reduce_e8=2, daily_loss_halt_e8=3)
    losing, _ = holding(limits=limits)
    losing.step(bar(3, 990))
    assert where(losing) == (HALTED, "DAILY_LOSS")
    losing.step(told(BrakeLevel.HALTED, 1, T0 + 4 * MINUTE))
    assert where(losing) == (HALTED, BRAKE)
    losing.step(bar(1_500, 990))
    assert where(losing) == (HALTED, BRAKE)


def test_another_generation_and_a_latch_that_was_lost_are_the_guard_s_last_word() -> None:
    run, _ = holding()
    run.step(told(BrakeLevel.HALTED, 5))
    run.step(told(BrakeLevel.RUNNING, 6, T0 + 4 * MINUTE))
    run.step(told(BrakeLevel.HALTED, 0, T0 + 5 * MINUTE))
    assert (run.state.brake_level, run.state.brake_generation) == (BrakeLevel.HALTED, 0)
    assert where(run) == (HALTED, BRAKE)


def test_the_brake_outlives_a_restart() -> None:
    run, _ = holding()
    run.step(told(BrakeLevel.HALTED, 5))
    fresh = engine()
    fresh.restore(run.snapshot())
    assert fresh.snapshot() == run.snapshot()
    fresh.step(command(Command.RESUME))
    assert where(fresh) == (HALTED, BRAKE)
