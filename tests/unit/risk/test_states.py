"""When trading reduces, halts and comes back: every level at its edge."""

from __future__ import annotations

import pytest

from kedge.risk.limits import Limits
from kedge.risk.states import BRAKE, FLATTEN, REPEATED_EXECUTION, Change, RiskState, holds_harder, judge, may_accept

RUNNING, REDUCE, HALTED = RiskState.RUNNING, RiskState.REDUCE_ONLY, RiskState.HALTED


def move(
    state: RiskState, drawdown: int = 0, loss: int = 0, code: str = "", *, day_over: bool = False, accepted: bool = False
) -> tuple[RiskState, str] | None:
    """Levels in units of 0.01 %: 650 is 6.5 %."""
    change = judge(state, code, drawdown * 10_000, loss * 10_000, Limits(), day_over=day_over, is_accepted=accepted)
    return None if change is None else (change.state, change.code)


@pytest.mark.parametrize(
    ("drawdown", "loss", "after"),
    [
        (649, 149, None),
        (650, 0, (REDUCE, "DRAWDOWN")),
        (0, 150, (REDUCE, "DAILY_LOSS")),
        (799, 199, (REDUCE, "DRAWDOWN")),
        (800, 0, (HALTED, "DRAWDOWN")),
        (0, 200, (HALTED, "DAILY_LOSS")),
        (650, 200, (HALTED, "DAILY_LOSS")),
        (800, 200, (HALTED, "DRAWDOWN")),
        (10_000, 10_000, (HALTED, "DRAWDOWN")),
    ],
)
def test_upward_moves_are_immediate(drawdown: int, loss: int, after: tuple[RiskState, str] | None) -> None:
    assert move(RUNNING, drawdown, loss) == after


def test_a_move_names_what_was_observed_and_the_limit() -> None:
    assert judge(RUNNING, "", 8_000_001, 0, Limits(), day_over=False) == Change(HALTED, "DRAWDOWN", "8.0000%", "8.0000%")
    assert judge(RUNNING, "", 0, 1_512_300, Limits(), day_over=False) == Change(REDUCE, "DAILY_LOSS", "1.5123%", "1.5000%")


def test_reduce_only_ends_when_its_own_measure_is_calm() -> None:
    assert move(REDUCE, 499, 99, "DRAWDOWN") == (RUNNING, "RECOVERED")
    assert move(REDUCE, 500, 0, "DRAWDOWN") is None
    assert move(REDUCE, 499, 149, "DRAWDOWN") == (RUNNING, "RECOVERED"), "the day's loss never reached its own level"
    assert move(REDUCE, 649, 99, "DAILY_LOSS") == (RUNNING, "RECOVERED"), "drawdown never reached its own level"
    assert move(REDUCE, 649, 100, "DAILY_LOSS") is None
    assert move(REDUCE, 800, 0, "DAILY_LOSS") == (HALTED, "DRAWDOWN")


def test_the_end_names_its_measure_and_the_soft_level() -> None:
    assert judge(REDUCE, "DAILY_LOSS", 6_000_000, 0, Limits(), day_over=True) == Change(
        RUNNING, "RECOVERED", "DAILY_LOSS 0.0000%", "1.0000%"
    )
    assert judge(REDUCE, "DRAWDOWN", 4_999_999, 0, Limits(), day_over=True) == Change(RUNNING, "RECOVERED", "DRAWDOWN 5.0000%", "5.0000%")


def test_of_two_measures_the_other_holds_on_when_one_is_calm() -> None:
    assert move(REDUCE, 499, 150, "DRAWDOWN") == (REDUCE, "DAILY_LOSS")
    assert move(REDUCE, 650, 99, "DAILY_LOSS") == (REDUCE, "DRAWDOWN")
    assert move(REDUCE, 650, 199, "DAILY_LOSS") == (REDUCE, "DRAWDOWN"), "no day's end sets drawdown back, so it counts at once"
    assert move(REDUCE, 500, 199, "DRAWDOWN") is None
    assert move(REDUCE, 650, 199, "DRAWDOWN") is None


@pytest.mark.parametrize("code", [BRAKE, REPEATED_EXECUTION, FLATTEN])
@pytest.mark.parametrize("level", [0, 120, 500, 700])
def test_a_reduction_that_a_person_must_end_ends_by_no_measure(code: str, level: int) -> None:
    assert move(REDUCE, level, min(level, 150), code, day_over=True) is None


def test_an_accepted_drawdown_runs_up_to_its_halt_level_and_until_it_is_calm() -> None:
    assert move(RUNNING, 650, 0, accepted=True) is None
    assert move(RUNNING, 799, 149, accepted=True) is None
    assert move(RUNNING, 800, 0, accepted=True) == (HALTED, "DRAWDOWN")
    assert move(RUNNING, 649, 150, accepted=True) == (REDUCE, "DAILY_LOSS")
    assert judge(RUNNING, "", 7_000_000, 1_500_000, Limits(), day_over=False, is_accepted=True) == Change(
        REDUCE, "DRAWDOWN", "7.0000%, which was accepted, and DAILY_LOSS 1.5000%", "6.5000%"
    ), "it outlasts the day"
    assert move(RUNNING, 500, 0, accepted=True) is None
    assert move(RUNNING, 499, 0, accepted=True) == (RUNNING, "RECOVERED")
    assert move(RUNNING, 499, 0) is None


@pytest.mark.parametrize(
    ("state", "code", "drawdown", "may"),
    [
        (REDUCE, "DRAWDOWN", 6_500_000, True),
        (REDUCE, "DRAWDOWN", 6_499_999, False),
        (REDUCE, "DAILY_LOSS", 7_000_000, False),
        (REDUCE, BRAKE, 7_000_000, False),
        (HALTED, "DRAWDOWN", 7_000_000, False),
        (RUNNING, "", 7_000_000, False),
    ],
)
def test_only_a_reduction_for_drawdown_can_be_accepted_and_only_beyond_its_level(
    state: RiskState, code: str, drawdown: int, may: bool
) -> None:
    assert may_accept(state, code, drawdown, Limits()) is may


@pytest.mark.parametrize("code", ["DRAWDOWN", "COMMAND", "ILLEGAL_TRANSITION", "POSITION_DIFFERS"])
@pytest.mark.parametrize("day_over", [False, True])
def test_a_halt_that_a_person_must_end_ends_by_nothing_else(code: str, day_over: bool) -> None:
    for level in (0, 500, 650, 900):
        assert move(HALTED, level, level, code, day_over=day_over) is None


def test_a_halt_for_the_days_loss_lasts_until_the_day_is_over_whatever_prices_do() -> None:
    assert move(HALTED, 0, 199, "DAILY_LOSS") is None, "prices came back on the same day"
    assert move(HALTED, 0, 0, "DAILY_LOSS") is None
    assert move(HALTED, 0, 0, "DAILY_LOSS", day_over=True) == (RUNNING, "NEW_DAY")


def test_the_new_day_does_not_hide_what_is_still_wrong() -> None:
    assert move(HALTED, 800, 0, "DAILY_LOSS", day_over=True) == (HALTED, "DRAWDOWN")
    assert move(HALTED, 650, 0, "DAILY_LOSS", day_over=True) == (REDUCE, "DRAWDOWN")
    assert move(HALTED, 0, 200, "DAILY_LOSS", day_over=True) == (HALTED, "DAILY_LOSS")


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [
        ((RUNNING, ""), (RUNNING, ""), False),
        ((RUNNING, ""), (REDUCE, "DRAWDOWN"), True),
        ((RUNNING, ""), (HALTED, "COMMAND"), True),
        ((REDUCE, "DRAWDOWN"), (HALTED, "DAILY_LOSS"), True),
        ((REDUCE, "DRAWDOWN"), (REDUCE, "DAILY_LOSS"), False),
        ((REDUCE, "DRAWDOWN"), (REDUCE, REPEATED_EXECUTION), True),
        ((REDUCE, REPEATED_EXECUTION), (REDUCE, "DRAWDOWN"), False),
        ((REDUCE, FLATTEN), (HALTED, "COMMAND"), False),
        ((HALTED, "DAILY_LOSS"), (HALTED, "COMMAND"), True),
        ((HALTED, "COMMAND"), (HALTED, "DAILY_LOSS"), False),
        ((HALTED, "DRAWDOWN"), (HALTED, "COMMAND"), False),
        ((HALTED, "COMMAND"), (RUNNING, ""), False),
        ((HALTED, "DAILY_LOSS"), (REDUCE, BRAKE), False),
    ],
)
def test_what_held_another_run_is_taken_over_where_it_holds_harder(
    ours: tuple[RiskState, str], theirs: tuple[RiskState, str], taken: bool
) -> None:
    assert holds_harder(*ours, *theirs) is taken
