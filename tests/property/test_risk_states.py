"""The trader's own risk state over whole histories of losses, people and days, against a plain statement of each rule."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from kedge.risk.limits import Limits
from kedge.risk.states import COMMAND, DAILY_LOSS, DRAWDOWN, RECOVERED, Change, RiskState, judge, may_accept

RUNNING, REDUCE, HALTED = RiskState.RUNNING, RiskState.REDUCE_ONLY, RiskState.HALTED
LIMITS = Limits()
MEASURES = {
    DRAWDOWN: (LIMITS.drawdown_soft_e8, LIMITS.drawdown_reduce_e8, LIMITS.drawdown_halt_e8),
    DAILY_LOSS: (LIMITS.daily_loss_soft_e8, LIMITS.daily_loss_reduce_e8, LIMITS.daily_loss_halt_e8),
}
_AT_LEVELS = {code: [level + by for level in levels for by in (-1, 0, 1)] for code, levels in MEASURES.items()}


class Seen(NamedTuple):
    """One moment: what is lost of the account, whether a day ends before it, and whether a person resumes after it."""

    drawdown_e8: int
    loss_e8: int
    day_ends: bool = False
    resumes: bool = False


def losses(code: str) -> st.SearchStrategy[int]:
    return st.one_of(st.just(0), st.sampled_from(_AT_LEVELS[code]), st.integers(0, 2 * MEASURES[code][2]))


moments = st.builds(Seen, losses(DRAWDOWN), losses(DAILY_LOSS), st.booleans(), st.booleans())


class Machine:
    """State, code and acceptance as the engine folds them."""

    def __init__(self) -> None:
        self.state, self.code, self.accepted, self.day_over = RUNNING, "", False, False
        self.changes: list[Change] = []

    def see(self, now: Seen) -> None:
        self.day_over = self.day_over or now.day_ends
        self.judge(now)
        if now.resumes and self.state is not RUNNING:
            self.take(Change(RUNNING, COMMAND, "ann", ""), now)
            self.judge(now)

    def judge(self, now: Seen) -> None:
        change = judge(self.state, self.code, now.drawdown_e8, now.loss_e8, LIMITS, day_over=self.day_over, is_accepted=self.accepted)
        if change is not None:
            self.take(change, now)

    def take(self, change: Change, now: Seen) -> None:
        accepts = may_accept(self.state, self.code, now.drawdown_e8, LIMITS)
        self.accepted = accepts and change.state is RUNNING and change.code == COMMAND
        self.state, self.code, self.day_over = change.state, "" if change.state is RUNNING else change.code, False
        self.changes.append(change)


def over(now: Seen, level: int) -> set[str]:
    """Measures at or above their soft (0), reduce (1) or halt (2) level."""
    return {code for code, at in ((DRAWDOWN, now.drawdown_e8), (DAILY_LOSS, now.loss_e8)) if at >= MEASURES[code][level]}


@given(st.lists(moments, max_size=30))
def test_nothing_runs_at_or_above_a_reduce_level_unless_a_person_accepted_that_drawdown(story: list[Seen]) -> None:
    one = Machine()
    for now in story:
        one.see(now)
        if one.state is RUNNING:
            assert over(now, 1) <= ({DRAWDOWN} if one.accepted else set())
            assert not over(now, 2)
        if over(now, 2):
            assert one.state is HALTED


@given(st.lists(moments, max_size=30))
def test_reduce_only_always_stands_for_a_measure_that_is_not_calm(story: list[Seen]) -> None:
    one = Machine()
    for now in story:
        one.see(now)
        if one.state is REDUCE:
            assert one.code in over(now, 0)
        assert not one.accepted or one.state is RUNNING


@given(st.lists(moments, max_size=30))
def test_calm_always_ends_a_reduction_and_a_calm_day_ends_a_days_halt(story: list[Seen]) -> None:
    one = Machine()
    for now in story:
        one.see(now)
    was, code = one.state, one.code
    one.see(Seen(0, 0, day_ends=True))
    assert one.state is (HALTED if was is HALTED and code == DRAWDOWN else RUNNING)
    one.see(Seen(0, 0, resumes=True))
    assert one.state is RUNNING, "and a person ends the rest"
    assert not one.accepted


@given(st.lists(moments.map(lambda now: now._replace(resumes=False)), max_size=30), st.integers(0, MEASURES[DRAWDOWN][1] - 1))
def test_a_days_reduction_never_waits_for_a_drawdown_that_did_not_reach_its_level(story: list[Seen], drawdown_e8: int) -> None:
    one = Machine()
    for now in story:
        one.see(now._replace(drawdown_e8=min(now.drawdown_e8, MEASURES[DRAWDOWN][1] - 1)))
        assert one.code != DRAWDOWN
    one.see(Seen(drawdown_e8, 0, day_ends=True))
    assert one.state is RUNNING


@given(st.lists(moments, max_size=30), st.integers(MEASURES[DRAWDOWN][1], MEASURES[DRAWDOWN][2] - 1))
def test_a_resume_from_a_flat_books_drawdown_holds_over_every_mark_that_follows(story: list[Seen], drawdown_e8: int) -> None:
    one = Machine()
    for now in story:
        one.see(now)
    flat = Seen(drawdown_e8, 0)
    for _ in range(2):  # one for a halt, one for the reduction that is left of it
        one.see(flat._replace(resumes=True))
    assert one.state is RUNNING
    told = len(one.changes)
    for _ in range(3):
        one.see(flat._replace(day_ends=True))
    assert (one.state, len(one.changes)) == (RUNNING, told)
    one.see(Seen(MEASURES[DRAWDOWN][0] - 1, 0))
    assert one.changes[-1].code == RECOVERED
    one.see(flat)
    assert (one.state, one.code) == (REDUCE, DRAWDOWN), "once it was calm the level counts again"


@given(st.lists(moments, max_size=30))
def test_the_same_story_gives_the_same_moves_and_none_is_said_twice(story: list[Seen]) -> None:
    one, two = Machine(), Machine()
    for now in story:
        one.see(now)
        two.see(now)
        told = len(one.changes)
        again = now._replace(day_ends=False, resumes=False)
        one.judge(again)
        two.judge(again)
        assert len(one.changes) == told, "a second look at the same losses finds nothing new"
    assert one.changes == two.changes
