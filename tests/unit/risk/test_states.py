"""When trading reduces, halts and comes back: every level at its edge."""

from __future__ import annotations

import pytest

from kedge.risk.limits import Limits
from kedge.risk.states import Change, RiskState, judge

RUNNING, REDUCE, HALTED = RiskState.RUNNING, RiskState.REDUCE_ONLY, RiskState.HALTED


def move(state: RiskState, drawdown: int = 0, loss: int = 0, code: str = "", *, day_over: bool = False) -> tuple[RiskState, str] | None:
    """Levels in units of 0.01 %: 650 is 6.5 %."""
    change = judge(state, code, drawdown * 10_000, loss * 10_000, Limits(), day_over=day_over)
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


def test_reduce_only_ends_below_every_soft_level_only() -> None:
    assert move(REDUCE, 499, 99, "DRAWDOWN") == (RUNNING, "RECOVERED")
    assert move(REDUCE, 500, 0, "DRAWDOWN") is None
    assert move(REDUCE, 0, 100, "DRAWDOWN") is None
    assert move(REDUCE, 650, 150, "DRAWDOWN") is None
    assert move(REDUCE, 800, 0, "DAILY_LOSS") == (HALTED, "DRAWDOWN")


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
