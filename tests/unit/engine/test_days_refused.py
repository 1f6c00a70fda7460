"""Daily closes that cannot be: shifted by a decimal place, not positive, of a wrong time, far from the price now; and true crashes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.events import DailyHistory
from kedge.domain.outputs import AlertRaised, Output
from kedge.domain.units import NS_PER_DAY
from kedge.engine.book_after import PRIOR, BookOfEngine
from kedge.engine.days import is_near, sift
from kedge.engine.engine import Engine

from ...builders import AAA, BBB, DAY, HOUR, MINUTE, T0, bar, engine

TODAY = T0 // NS_PER_DAY
TICK = 10_000_000
TRUE = (1_000, 1_010, 990, 1_020, 1_005, 1_000)


def told(*closes: int, at: int = T0, ends: int = T0) -> DailyHistory:
    return DailyHistory(at, AAA, ends, closes)


def begun(close: int = 1_000) -> Engine:
    """An engine that knows a price."""
    run = engine(interval_ns=HOUR)
    run.step(bar(1, close, span=HOUR))
    return run


def kept(run: Engine) -> list[tuple[int, int]]:
    return [(day - TODAY, close // TICK) for day, close in run.state.slots[AAA].days.closes]


def alerts(outputs: tuple[Output, ...]) -> list[AlertRaised]:
    return [one for one in outputs if isinstance(one, AlertRaised)]


def test_a_true_history_is_taken_whole_and_without_a_word() -> None:
    run = begun()
    assert alerts(run.step(told(*TRUE, at=T0 + HOUR))) == []
    assert kept(run) == [(n - 6, close) for n, close in enumerate(TRUE)]


@pytest.mark.parametrize("factor", [10, 100])
@pytest.mark.parametrize("place", range(len(TRUE)))
def test_one_close_shifted_by_decimal_places_is_left_out_and_nothing_else(place: int, factor: int) -> None:
    for bad in (TRUE[place] * factor, TRUE[place] // factor):
        run = begun()
        closes = [*TRUE[:place], bad, *TRUE[place + 1 :]]
        (alert,) = alerts(run.step(told(*closes, at=T0 + HOUR)))
        assert kept(run) == [(n - 6, close) for n, close in enumerate(TRUE) if n != place]
        assert (alert.code, alert.severity, alert.instrument) == ("HISTORY_REFUSED", "hard", AAA)
        assert alert.observed.startswith(f"1 of 6 daily closes, the newest: {np.datetime64(TODAY - 6 + place, 'D')} at ")
        ended, returns = run.state.slots[AAA].days.returns()
        assert np.abs(returns).max() < 0.04
        assert len(returns) == len(ended) == (4 if place in (0, 5) else 3)


@pytest.mark.parametrize("factor", [0.01, 0.1, 10, 100])
def test_a_whole_history_shifted_against_the_price_now_is_refused_and_the_stated_loss_remains(factor: float) -> None:
    run = begun()
    (alert,) = alerts(run.step(told(*(round(close * factor) for close in TRUE * 100), at=T0 + HOUR)))
    assert kept(run) == []
    assert alert.observed.startswith("600 of 600 daily closes")
    run.state.lots[0] = 1_000
    found = BookOfEngine(run.state).held()
    assert found is not None
    assert found.method == PRIOR


def test_a_head_at_another_level_is_left_out_and_the_newer_days_stay() -> None:
    run = begun()
    run.step(told(*(close * 10 for close in TRUE), *TRUE, at=T0 + HOUR))
    assert kept(run) == [(n - 6, close) for n, close in enumerate(TRUE)]


@pytest.mark.parametrize("bad", [0, -1_000, 10**30, 2**63 // TICK + 1])
@pytest.mark.parametrize("is_begun", [False, True])
def test_what_no_price_can_be_is_left_out_whether_or_not_a_price_is_known(bad: int, is_begun: bool) -> None:
    run = begun() if is_begun else engine(interval_ns=HOUR)
    (alert,) = alerts(run.step(told(1_000, bad, 1_000, at=T0 + HOUR)))
    assert kept(run) == [(-3, 1_000), (-1, 1_000)]
    assert alert.observed.endswith(f"{np.datetime64(TODAY - 2, 'D')} is no price")
    run.step(bar(2, 1_000, span=HOUR))
    assert run.state.slots[AAA].days.returns()[1].tolist() == [], "no two days follow each other"


def test_a_day_on_which_half_the_price_was_lost_is_true() -> None:
    run = begun(480)
    assert alerts(run.step(told(1_000, 1_000, 500, 490, at=T0 + HOUR))) == []
    assert run.state.slots[AAA].days.returns()[1].min() == -0.5


def test_a_deeper_crash_that_our_own_bars_saw_is_true_too() -> None:
    run = engine(interval_ns=HOUR)
    for n, close in ((1, 1_000), (24, 1_000), (25, 990), (48, 200), (49, 201)):
        run.step(bar(n, close, span=HOUR))
    assert alerts(run.step(told(990, 1_000, 200, at=T0 + 49 * HOUR, ends=T0 + 2 * DAY))) == []
    assert kept(run) == [(-1, 990), (0, 1_000), (1, 200)]
    run.step(told(990, 10_000, 200, at=T0 + 49 * HOUR, ends=T0 + 2 * DAY))
    assert kept(run) == [(-1, 990), (0, 1_000), (1, 200)], "our own close of a day stays where the venue's cannot be"


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (T0 + 1, "0.000 s after midnight"),
        (T0 + HOUR, "3600.000 s after midnight"),
        (T0 + DAY, "2023-11-14, is not over"),
        (T0 + 400 * DAY, "is not over"),
        (T0 - 5 * DAY, "its last day is 2023-11-08"),
        (0, "its last day is 1969-12-31"),
        (-DAY, "its last day is 1969-12-30"),
    ],
)
def test_a_history_of_a_wrong_time_is_refused_whole(ends: int, words: str) -> None:
    run = begun()
    (alert,) = alerts(run.step(told(*TRUE, at=T0 + 2 * HOUR, ends=ends)))
    assert words in alert.observed
    assert kept(run) == []


def test_a_history_that_ends_a_moment_before_its_day_by_our_clock_and_one_of_some_days_ago_are_taken() -> None:
    run = begun()
    assert alerts(run.step(told(*TRUE, at=T0 + DAY - 30 * 10**9, ends=T0 + DAY))) == []
    assert alerts(run.step(told(*TRUE, at=T0 + DAY, ends=T0 - 3 * DAY))) == []
    assert kept(run)[-1] == (0, 1_000)


def test_before_the_first_bar_nothing_is_read_and_the_first_bar_judges_what_was_told() -> None:
    run = engine(interval_ns=HOUR)
    assert alerts(run.step(told(*TRUE[:-1], 10_000))) == []
    assert run.state.slots[AAA].days.returns()[1].size == 0
    (alert,) = alerts(run.step(bar(1, 1_000, span=HOUR)))
    assert "at 1000.00000000 beside 100.00000000" in alert.observed
    assert kept(run) == [(n - 6, close) for n, close in enumerate(TRUE[:-1])]
    assert run.state.slots[AAA].days.returns()[1].size == 4
    assert alerts(run.step(bar(2, 1_000, span=HOUR))) == [], "told once"


def test_a_history_that_is_whole_again_ends_the_alert_once() -> None:
    run = begun()
    run.step(told(1_000, 10_000, at=T0 + HOUR))
    assert list(run.state.alerts) == [f"HISTORY_REFUSED|{AAA}"]
    assert alerts(run.step(told(at=T0 + HOUR))) == [], "nothing was told"
    (over,) = alerts(run.step(told(*TRUE, at=T0 + HOUR)))
    assert (over.code, over.severity) == ("HISTORY_REFUSED", "over")
    assert run.state.alerts == {}
    assert alerts(run.step(told(*TRUE, at=T0 + HOUR))) == []
    assert alerts(run.step(DailyHistory(T0 + HOUR, BBB, T0, (0,)))) == [], "of what is not traded nothing is said"


def test_recovery_and_a_snapshot_know_what_was_refused_and_say_it_no_second_time() -> None:
    run, folded = engine(interval_ns=HOUR), engine(interval_ns=HOUR)
    for event in (told(*TRUE[:-1], 10_000), bar(1, 1_000, span=HOUR), told(0, 1_000, at=T0 + HOUR), bar(2, 1_000, span=HOUR)):
        folded.apply(event, run.step(event))
        assert folded.snapshot() == run.snapshot()
        restored = engine(interval_ns=HOUR)
        restored.restore(run.snapshot())
        assert restored.snapshot() == run.snapshot()
    assert folded.step(bar(3, 1_000, span=HOUR)) == run.step(bar(3, 1_000, span=HOUR))


def test_a_journal_keeps_what_was_told_even_where_it_cannot_be() -> None:
    event = told(0, -5, 1_000)
    assert msgspec.json.decode(msgspec.json.encode(event), type=DailyHistory) == event


def test_near_is_less_than_the_square_root_of_ten_either_way() -> None:
    assert is_near(1_000, 3_162)
    assert is_near(3_162, 1_000)
    assert not is_near(1_000, 3_163)
    assert not is_near(3_163, 1_000)


@given(st.lists(st.integers(-(10**25), 10**25), max_size=40), st.integers(1, 10**12), st.integers(-400, 10**6))
def test_whatever_is_told_only_prices_near_their_neighbours_are_kept(closes: list[int], price: int, day: int) -> None:
    days = [(day - n, close) for n, close in enumerate(closes)]
    found, refused = sift(days, {}, price)
    assert len(found) + len(refused) == len(closes)
    beside = price
    for one in found.values():
        assert 0 < one < 2**63
        assert is_near(one, beside)
        beside = one


@given(
    st.integers(2, 60).flatmap(lambda count: st.lists(st.floats(-0.5, 1.0), min_size=count, max_size=count)),
    st.sampled_from((0.01, 0.1, 10, 100)),
    st.data(),
)
def test_moves_up_to_half_and_double_are_kept_and_every_other_close_goes_without_its_neighbours(
    moves: list[float], factor: float, data: st.DataObject
) -> None:
    price = 10**12
    closes = [price]
    for move in moves:
        closes.append(max(10**6, min(10**17, round(closes[-1] / (1 + move)))))
    days = [(-n, close) for n, close in enumerate(closes)]
    found, refused = sift(days, {}, price)
    assert (list(found.items()), refused) == (days, [])
    place = data.draw(st.integers(0, len(closes) - 1))
    shifted = [(day, round(close * factor) if -day == place else close) for day, close in days]
    neighbour = closes[max(0, place - 1)]
    if not 0.4 < closes[place] / neighbour < 2.5:
        return
    found, _ = sift(shifted, {}, price)
    assert -place not in found


def test_a_refusal_in_the_middle_of_a_run_leaves_trading_alone() -> None:
    run = begun()
    outputs = run.step(told(*(close * 10 for close in TRUE), at=T0 + HOUR + MINUTE))
    assert [type(one) for one in outputs] == [AlertRaised]
    assert run.state.risk_state.value == "running"
