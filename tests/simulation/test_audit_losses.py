"""The auditor's own judgement of reductions notices what must not be, and nothing else."""

from __future__ import annotations

import pytest
from tests.simulation.audit_losses import Losses

LEVELS = {"DRAWDOWN": (500, 650), "DAILY_LOSS": (100, 150)}
RUNNING, DRAWDOWN, LOSS, HALTED = ("running", ""), ("reduce_only", "DRAWDOWN"), ("reduce_only", "DAILY_LOSS"), ("halted", "DRAWDOWN")
RECOVERED, RESUMED = ("running", "RECOVERED"), ("running", "COMMAND")


def lost(drawdown: int = 0, loss: int = 0) -> dict[str, int]:
    return {"DRAWDOWN": drawdown, "DAILY_LOSS": loss}


@pytest.mark.parametrize(
    ("was", "now", "at", "is_wrong"),
    [
        (RUNNING, DRAWDOWN, lost(650), False),
        (RUNNING, DRAWDOWN, lost(649, 150), True),
        (RUNNING, LOSS, lost(0, 150), False),
        (RUNNING, LOSS, lost(700, 149), True),
        (RUNNING, ("reduce_only", "BRAKE"), lost(), False),
        (RUNNING, HALTED, lost(), False),
        (DRAWDOWN, RECOVERED, lost(499, 149), False),
        (DRAWDOWN, RECOVERED, lost(500), True),
        (LOSS, RECOVERED, lost(649, 99), False),
        (LOSS, RECOVERED, lost(0, 100), True),
        (RUNNING, RECOVERED, lost(499), False),
        (RUNNING, RECOVERED, lost(500), True),
    ],
)
def test_a_move_is_held_against_the_measure_that_it_names(
    was: tuple[str, str], now: tuple[str, str], at: dict[str, int], is_wrong: bool
) -> None:
    assert bool(Losses(LEVELS).moved(was, now, at)) is is_wrong


@pytest.mark.parametrize(
    ("state", "code", "at", "is_wrong"),
    [
        ("running", "", lost(649, 149), False),
        ("running", "", lost(650), True),
        ("running", "", lost(0, 150), True),
        ("reduce_only", "DAILY_LOSS", lost(649, 100), False),
        ("reduce_only", "DAILY_LOSS", lost(649, 99), True),
        ("reduce_only", "DRAWDOWN", lost(499, 149), True),
        ("reduce_only", "FLATTEN", lost(), False),
        ("halted", "DAILY_LOSS", lost(), False),
    ],
)
def test_a_bar_finds_trading_reduced_exactly_while_a_measure_asks_for_it(state: str, code: str, at: dict[str, int], is_wrong: bool) -> None:
    assert bool(Losses(LEVELS).at_bar(state, code, at)) is is_wrong


def test_a_drawdown_is_accepted_by_a_resume_from_its_reduction_until_it_is_calm() -> None:
    one = Losses(LEVELS)
    assert one.moved(DRAWDOWN, RESUMED, lost(700)) == ""
    assert one.is_accepted
    assert one.at_bar("running", "", lost(700)) == one.at_bar("running", "", lost(500)) == ""
    assert one.at_bar("running", "", lost(700, 150)) != ""
    assert one.at_bar("running", "", lost(499)) != "", "and then it has to be said"
    assert one.moved(RUNNING, RECOVERED, lost(499)) == ""
    assert one.at_bar("running", "", lost(700)) != ""
    assert one.ended == {"DRAWDOWN": 1}


@pytest.mark.parametrize(("was", "at"), [(DRAWDOWN, lost(649)), (LOSS, lost(700)), (HALTED, lost(700))])
def test_no_other_resume_accepts_a_drawdown(was: tuple[str, str], at: dict[str, int]) -> None:
    one = Losses(LEVELS)
    one.moved(was, RESUMED, at)
    assert not one.is_accepted
