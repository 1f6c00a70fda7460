"""Closes of UTC days: from our own bars, from the venue before them, over gaps and over a restart."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.events import DailyHistory, InstrumentChanged
from kedge.domain.units import NS_PER_DAY
from kedge.engine.book_after import (
    FILTERED,
    PARAMETRIC,
    PRIOR,
    PRIOR_SIGMA,
    ROWS_MIN,
    SIGMA_ROWS_MIN,
    T_ES975,
    T_VAR99,
    BookOfEngine,
    Histories,
)
from kedge.engine.days import CLOSES_KEPT, DayCloses
from kedge.engine.engine import Engine
from kedge.risk.var.filters import ewma_sigma
from kedge.risk.var.historical import var_es
from kedge.risk.var.parametric import student_t

from ...builders import AAA, BBB, DAY, HOUR, T0, Wish, bar, engine, instrument

TODAY = T0 // NS_PER_DAY
TICK = 10_000_000


def hourly(run: Engine, closes: list[int], first: int = 1, name: str = AAA) -> None:
    for n, close in enumerate(closes, first):
        run.step(bar(n, close, name, span=HOUR))


def days(run: Engine, name: str = AAA) -> list[tuple[int, int]]:
    return [(day - TODAY, close // TICK) for day, close in run.state.slots[name].days.closes]


def test_a_day_closes_with_its_last_bar_at_midnight() -> None:
    run = engine(interval_ns=HOUR)
    hourly(run, [1_000 + n for n in range(1, 50)])
    assert days(run) == [(0, 1_024), (1, 1_048)], "bars 24 and 48 close at midnight"


def test_a_gap_over_midnight_leaves_the_last_bar_before_it_and_an_empty_day_has_no_close() -> None:
    run = engine(interval_ns=HOUR)
    hourly(run, [1_001, 1_002])
    run.step(bar(30, 1_030, span=HOUR))
    run.step(bar(30 + 48, 1_078, span=HOUR))
    run.step(bar(96, 1_096, span=HOUR))
    assert days(run) == [(0, 1_002), (1, 1_030), (3, 1_096)]
    ended, returns = run.state.slots[AAA].days.returns()
    assert (ended - TODAY).tolist() == [1]
    assert returns.tolist() == [1_030 / 1_002 - 1]


def test_a_bar_that_jumps_right_to_a_later_midnight_closes_both_days() -> None:
    run = engine(interval_ns=HOUR)
    hourly(run, [1_001])
    run.step(bar(48, 1_048, span=HOUR))
    assert days(run) == [(0, 1_001), (1, 1_048)]


def test_the_venue_s_days_go_before_our_own_and_its_word_wins() -> None:
    run = engine(interval_ns=HOUR)
    hourly(run, [1_000 + n for n in range(1, 25)])
    run.step(DailyHistory(T0 + DAY, AAA, T0 + DAY, (900, 910, 920)))
    assert days(run) == [(-2, 900), (-1, 910), (0, 920)]
    run.step(DailyHistory(T0 + DAY, BBB, T0 + DAY, (1,)))
    assert days(run) == [(-2, 900), (-1, 910), (0, 920)], "of what is not traded nothing is kept"


def test_prices_are_kept_whole_when_the_grid_changes() -> None:
    run = engine(interval_ns=HOUR)
    run.step(DailyHistory(T0, AAA, T0, (1_000, 1_001)))
    run.step(InstrumentChanged(T0 + 1, instrument(tick_e8=20_000_000)))
    run.step(DailyHistory(T0 + DAY, AAA, T0 + DAY, (501,)))
    assert days(run) == [(-2, 1_000), (-1, 1_001), (0, 1_002)]


def test_no_more_is_kept_than_is_read() -> None:
    kept = DayCloses()
    kept.learn(T0, tuple(range(1, 1_500)), ts_ns=T0, price_e8=0)
    assert (len(kept.closes), kept.closes[-1]) == (CLOSES_KEPT, (TODAY - 1, 1_499))
    before = kept.changes
    kept.over(T0 + DAY, 1_500, T0, 1_499)
    kept.over(T0 + 2 * DAY, 1_501, T0 + DAY, 1_500)
    assert (len(kept.closes), kept.closes[-1], kept.changes > before) == (CLOSES_KEPT, (TODAY + 1, 1_501), True)
    kept.over(T0 + DAY, 9, T0, 3)
    assert kept.closes[-1] == (TODAY + 1, 1_501), "an older day is no news"


def test_a_restored_engine_knows_the_same_days_and_measures_the_same() -> None:
    run = engine(interval_ns=HOUR)
    rng = np.random.default_rng(7)
    closes = tuple(int(price) for price in 10_000 * np.cumprod(1 + rng.normal(0, 0.03, 400)))
    run.step(DailyHistory(T0, AAA, T0, closes))
    hourly(run, [closes[-1]] * 30)
    fresh = engine(interval_ns=HOUR)
    fresh.restore(run.snapshot())
    assert fresh.snapshot() == run.snapshot()
    for one in (run, fresh):
        one.state.lots[0] = 1_000
    assert BookOfEngine(fresh.state).held() == BookOfEngine(run.state).held()
    hourly(run, [9_000] * 40, first=31)
    hourly(fresh, [9_000] * 40, first=31)
    assert days(fresh) == days(run)


@pytest.mark.parametrize(
    ("known", "method"),
    [(0, PRIOR), (SIGMA_ROWS_MIN - 1, PRIOR), (SIGMA_ROWS_MIN, PARAMETRIC), (ROWS_MIN - 1, PARAMETRIC), (ROWS_MIN, FILTERED)],
)
def test_the_method_is_the_best_that_history_allows(known: int, method: str) -> None:
    run = engine(Wish(), interval_ns=HOUR)
    rng = np.random.default_rng(11)
    closes = tuple(int(price) for price in 100_000 * np.cumprod(1 + rng.normal(0, 0.02, known + 1)))
    run.step(DailyHistory(T0, AAA, T0, closes))
    hourly(run, [closes[-1]])
    run.state.lots[0] = 10_000
    found = BookOfEngine(run.state).held()
    assert found is not None
    assert found.method == method
    held = 10_000 * closes[-1] * 10_000 / run.state.account_view[2]
    _, returns = run.state.slots[AAA].days.returns()
    sigma = PRIOR_SIGMA if method == PRIOR else float(ewma_sigma(returns)[-1])
    if method == FILTERED:
        z = returns / ewma_sigma(returns)[:-1]
        expected = var_es(z * sigma)
        assert found.var99_e8 == pytest.approx(expected.var_frac * held * 1e8, rel=1e-6)
        assert found.es975_e8 == pytest.approx(expected.es_frac * held * 1e8, rel=1e-6)
    else:
        assert found.var99_e8 == pytest.approx(sigma * T_VAR99 * held * 1e8, rel=1e-6)
        assert found.es975_e8 == pytest.approx(sigma * T_ES975 * held * 1e8, rel=1e-6)
    histories = Histories(run.state)
    histories.renew()
    assert histories.sigmas_e8[0] == pytest.approx(sigma * 1e8, abs=1)


def test_the_stated_tail_is_a_student_t_s() -> None:
    told = student_t(0.0, 1.0, 5.0)
    assert pytest.approx((told.var_frac, told.es_frac), rel=1e-12) == (T_VAR99, T_ES975)


def test_of_two_markets_only_common_days_count_and_a_young_one_states_its_loss() -> None:
    run = engine(Wish(), [instrument(AAA), instrument(BBB, base="BBB")], interval_ns=HOUR)
    rng = np.random.default_rng(13)
    long, short = (tuple(int(price) for price in 10_000 * np.cumprod(1 + rng.normal(0, 0.03, n))) for n in (400, 100))
    run.step(DailyHistory(T0, AAA, T0, long))
    run.step(DailyHistory(T0, BBB, T0, short))
    for name, close in ((AAA, long[-1]), (BBB, short[-1])):
        hourly(run, [close], name=name)
    run.state.lots[:] = (10_000, -10_000)
    both = BookOfEngine(run.state).held()
    run.state.lots[:] = (10_000, 0)
    one = BookOfEngine(run.state).held()
    assert both is not None
    assert one is not None
    assert (both.method, one.method) == (PARAMETRIC, PARAMETRIC), "the weakest of those traded"
    sigma = float(ewma_sigma(run.state.slots[BBB].days.returns()[1])[-1])
    added = sigma * T_VAR99 * 10_000 * short[-1] * 10_000 / run.state.account_view[2] * 1e8
    assert both.var99_e8 - one.var99_e8 == pytest.approx(added, rel=1e-5), "its loss is added, whichever side it is on"
    run.step(DailyHistory(T0 + 800 * DAY, BBB, T0 + 800 * DAY, long))
    assert Histories(run.state).book() is not None
    apart = BookOfEngine(run.state)
    assert (apart.held() or one).method == PARAMETRIC, "histories of different years have no common day"
