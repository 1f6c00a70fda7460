"""How often a level fires: crossings, armed again by calm; the guard's levels by the guard's own rule; measures worked out from a path."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from scripts.risk_study_levels import date_of, episodes, fired, guard_text, path_of
from scripts.risk_study_page import Acted, Run, acted_table, first_table, levels_table
from scripts.risk_study_runs import Account, record_of

from kedge.domain.brake import BrakeLevel
from kedge.domain.units import E8, NS_PER_DAY, NS_PER_S
from kedge.risk.var.book import VarBook

HOUR_NS = 3_600 * NS_PER_S
DAY = 19_000
BTC = record_of("BTC")


def book_of(day: int) -> tuple[VarBook, np.ndarray]:
    """A book whose worst day in a hundred is a fall, or a rise, of 10 %."""
    returns = np.array([[0.1], [-0.1], *([[0.01], [-0.01]] * 49)])
    return VarBook([BTC.instrument_id], returns), np.array([0.03])


def account(drawdowns: list[float], exposure: float = 0.1, day_losses: list[float] | None = None) -> Account:
    """Bars an hour apart of an account of 100,000 that holds so much of one coin at 50,000."""
    n = len(drawdowns)
    mark, equity = 5_000_000, 100_000 * E8
    lots = round(exposure * equity / (mark * BTC.tick_value_e8))
    return Account(
        instruments=(BTC.instrument_id,),
        end_ns=DAY * NS_PER_DAY + np.arange(1, n + 1, dtype=np.int64) * HOUR_NS,
        equity_e8=np.full(n, equity, np.int64),
        drawdown_frac=np.array(drawdowns),
        day_loss_frac=np.array(day_losses or [0.0] * n),
        gross_leverage=np.full(n, abs(exposure)),
        notional_frac=np.full((n, 1), exposure),
        mark_ticks=np.full((n, 1), mark, np.int64),
        lots=np.full((n, 1), lots, np.int64),
    )


def rows(found: Account) -> dict[str, object]:
    return {one.row.measure: one for one in fired(path_of(found, [BTC], book_of))}


def test_a_level_fires_again_only_after_calm() -> None:
    values = np.array([0.01, 0.07, 0.055, 0.07, 0.04, 0.07])
    end = np.arange(1, 7, dtype=np.int64) * HOUR_NS
    found = episodes(values >= 0.065, values < 0.05, end)
    assert found.times == 2
    assert found.days == 1
    assert found.first_ns == 2 * HOUR_NS
    assert episodes(values >= 0.5, values < 0.05, end) == (0, 0, None)


def test_the_rows_of_the_table_are_judged_on_the_path() -> None:
    found = rows(account([0.0, 0.055, 0.07, 0.09, 0.11, 0.02, 0.09]))
    drawdown = found["drawdown"]
    assert (drawdown.soft.times, drawdown.hard.times) == (2, 2)
    assert {level: told.times for level, told in drawdown.brake} == {BrakeLevel.HALTED: 2, BrakeLevel.FLATTENING: 1}
    assert drawdown.worst == pytest.approx(0.11)
    assert found["daily_loss"].soft.times == 0


def test_var_and_leverage_follow_the_position() -> None:
    small, large = rows(account([0.0] * 3, 0.1)), rows(account([0.0] * 3, -0.6))
    assert small["var99"].worst == pytest.approx(0.01, rel=1e-4)
    assert large["var99"].worst == pytest.approx(0.06, rel=1e-4)
    assert [told.times for _, told in large["var99"].brake] == [1]
    assert [told.times for _, told in large["position_notional"].brake] == [1]
    assert large["gross_leverage"].soft.times == 0


def test_a_short_has_a_distance_to_liquidation_and_a_small_long_has_none() -> None:
    short, long = rows(account([0.0], -2.5)), rows(account([0.0], 0.5))
    assert short["liquidation_distance"].worst == pytest.approx(0.39, abs=0.03)
    assert short["margin_ratio"].worst == pytest.approx(0.0138, abs=0.003)
    assert long["liquidation_distance"].worst is None
    assert long["liquidation_distance"].soft.times == 0


def test_a_bar_that_ends_at_midnight_belongs_to_the_day_that_ends() -> None:
    assert date_of(NS_PER_DAY) == date(1970, 1, 1)
    assert date_of(NS_PER_DAY + HOUR_NS) == date(1970, 1, 2)


def test_the_tables_tell_times_days_and_what_came_first() -> None:
    found = fired(path_of(account([0.0, 0.07, 0.11], 0.6), [BTC], book_of))
    run = Run("BTC", "trend", "0.6", found)
    table = levels_table([run])
    assert "| | brake 10 %, flatten | 1 (1 d) |" in table
    assert "| Gross leverage | worst reading | 60.00 % |" in table
    assert "| | soft max(30 %, 6 sigma) | 0 |" in table
    first = first_table([run])
    assert "position_notional (35 %, reduce-only)" in first
    assert "var99 (5 %, flatten)" in first
    calm = Run("BTC", "trend", "0.1", fired(path_of(account([0.0], 0.1), [BTC], book_of)))
    assert "| trend, BTC | 0.1 | none | none | none |" in first_table([calm])


def test_the_first_brake_and_the_first_flattening_of_a_guard_are_told() -> None:
    path = path_of(account([0.0, 0.09, 0.09, 0.11, 0.2]), [BTC], book_of)
    day = date_of(int(path.end_ns[0]))
    assert guard_text(path) == f"halted {day} by drawdown, 9.0 % under the peak; flattening {day} by drawdown, 11.0 % under the peak"
    assert guard_text(path_of(account([0.0]), [BTC], book_of)) == "never"


def test_what_the_engine_did_is_told_with_counts() -> None:
    acted = Acted(
        "BTC", "trend", "0.1", 12, {"REDUCE_ONLY": 3, "VAR": 5}, {}, {"halted DRAWDOWN": 1}, "halted", None, -0.012, 0.081, "never"
    )
    line = acted_table([acted]).splitlines()[-1]
    assert line == "| trend, BTC | 0.1 | 12 | - | VAR 5, REDUCE_ONLY 3 | halted DRAWDOWN 1 | none | halted | -1.2 % | 8.10 % | never |"
