"""Counts no vector holds, the rolling record, and input that is refused."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from kedge.domain.errors import InvalidInput
from kedge.risk.var import backtests, historical
from kedge.risk.var.backtests import Colour
from kedge.risk.var.record import BacktestRecord, Judged, judged


@pytest.mark.parametrize(("days", "exceptions", "p"), [(1, 0, 0.01), (1, 1, 0.01), (37, 3, 0.025), (2_000, 31, 0.01), (8_000, 0, 0.001)])
def test_kupiec_is_scipys_g_statistic_and_binomial(days: int, exceptions: int, p: float) -> None:
    told = backtests.kupiec(days, exceptions, p)
    lr, p_value = stats.power_divergence([exceptions, days - exceptions], [p * days, (1 - p) * days], lambda_="log-likelihood")
    exact = stats.binomtest(exceptions, days, p)
    assert told.lr == pytest.approx(lr, abs=1e-9)
    assert told.p_value == pytest.approx(p_value, abs=1e-9)
    assert told.exact_p_value == pytest.approx(exact.pvalue, rel=1e-8)
    assert told.p_at_least == pytest.approx(stats.binom.sf(exceptions - 1, days, p), rel=1e-8)


@pytest.mark.parametrize(
    ("days", "exceptions", "p"), [(0, 0, 0.01), (10, 11, 0.01), (10, -1, 0.01), (10, 1, 0.0), (10, 1, 1.0), (10, 1, math.nan)]
)
def test_impossible_counts_are_refused(days: int, exceptions: int, p: float) -> None:
    for test in (backtests.kupiec, backtests.traffic_light):
        with pytest.raises(InvalidInput):
            test(days, exceptions, p)


@pytest.mark.parametrize("hits", ["", "1", "0120"])
def test_hits_are_two_or_more_of_0_and_1(hits: str) -> None:
    with pytest.raises(InvalidInput, match="hits"):
        backtests.christoffersen([int(hit) for hit in hits], 0.01)


@pytest.mark.parametrize("hits", ["0" * 50, "1" * 50, "01" * 25, "0" * 49 + "1", "1" + "0" * 49])
def test_runs_of_any_shape_give_numbers(hits: str) -> None:
    told = backtests.christoffersen([int(hit) for hit in hits], 0.05)
    assert all(math.isfinite(value) for value in msgspec.structs.astuple(told))
    assert 0 <= told.p_ind <= 1
    assert told.n00 + told.n01 + told.n10 + told.n11 == len(hits) - 1


@pytest.mark.parametrize(("exceptions", "colour"), [(0, "green"), (4, "green"), (5, "yellow"), (9, "yellow"), (10, "red"), (250, "red")])
def test_250_days_at_one_per_cent_are_basels_zones(exceptions: int, colour: str) -> None:
    assert backtests.traffic_light(250, exceptions, 0.01).colour == colour


@pytest.mark.parametrize(("var", "es", "alpha"), [(0.02, 0.0, 0.025), (0.02, math.nan, 0.025), (math.nan, 0.03, 0.025), (0.02, 0.03, 0.0)])
def test_z_without_a_forecast_is_refused(var: float, es: float, alpha: float) -> None:
    with pytest.raises(InvalidInput):
        backtests.acerbi_szekely([0.01, -0.05], var, es, alpha)


def test_z_takes_a_forecast_a_day() -> None:
    told = backtests.acerbi_szekely([0.01, -0.05, -0.01], [0.02, 0.04, 0.02], [0.03, 0.05, 0.03], 0.025)
    assert (told.exceptions, told.z1) == (1, 0.0)
    assert told.z2 == pytest.approx(1 - 1 / (3 * 0.025))


def row(day: int, realised: int, method: str = "historical") -> Judged:
    return Judged(day=day, method=method, var_e8=2_000_000, es_e8=2_500_000, es_var_e8=1_800_000, realised_e8=realised)


def test_a_record_says_what_its_rows_say() -> None:
    days = [row(day, -2_000_001 if day % 50 == 0 else 100_000) for day in range(1, 301)]
    record = BacktestRecord(days)
    told = record.standing("historical")
    assert told is not None
    assert (told.days, told.first_day, told.last_day, told.exceptions) == (250, 51, 300, 5)
    assert told.colour is Colour.YELLOW
    assert told.kupiec == backtests.kupiec(250, 5, 0.01)
    assert told.christoffersen == backtests.christoffersen([int(day % 50 == 0) for day in range(51, 301)], 0.01)
    assert told.acerbi_szekely is not None
    assert told.acerbi_szekely.exceptions == 5
    assert record.colours() == {"historical": Colour.YELLOW}
    assert record.methods == ("historical",)


def test_a_loss_of_just_the_var_is_no_exception() -> None:
    record = BacktestRecord([row(1, -2_000_000), row(2, -2_000_001)])
    told = record.standing("historical")
    assert told is not None
    assert told.exceptions == 1


def test_few_days_have_no_colour() -> None:
    record = BacktestRecord(row(day, -9_000_000) for day in range(19))
    assert record.colour("historical") is Colour.UNKNOWN
    record.add(row(19, -9_000_000))
    assert record.colour("historical") is Colour.RED
    assert record.colour("fhs-ewma") is Colour.UNKNOWN
    assert record.standing("fhs-ewma") is None
    assert record.rows("fhs-ewma") == ()


def test_the_window_rolls_and_a_red_method_may_recover() -> None:
    record = BacktestRecord(row(day, -9_000_000) for day in range(20))
    for day in range(20, 20 + 250):
        record.add(row(day, 0))
    assert len(record.rows("historical")) == 250
    assert record.colour("historical") is Colour.GREEN


def test_methods_are_judged_each_for_itself() -> None:
    record = BacktestRecord(row(day, -9_000_000, method) for day in range(30) for method in ("a", "b"))
    for day in range(30, 400):
        record.add(row(day, 0, "b"))
    assert record.colours() == {"a": Colour.RED, "b": Colour.GREEN}


@pytest.mark.parametrize("day", [4, 5])
def test_a_day_is_judged_once_and_days_go_forward(day: int) -> None:
    record = BacktestRecord([row(5, 0)])
    with pytest.raises(InvalidInput, match="day 5 is kept"):
        record.add(row(day, 0))


def test_days_without_risk_do_not_divide_by_it() -> None:
    flat = BacktestRecord([Judged(day=1, method="x", var_e8=0, es_e8=0, es_var_e8=0, realised_e8=0)])
    told = flat.standing("x")
    assert told is not None
    assert (told.exceptions, told.christoffersen, told.acerbi_szekely) == (0, None, None)


def test_a_window_too_short_for_a_colour_is_refused() -> None:
    with pytest.raises(InvalidInput, match="window"):
        BacktestRecord(window=19)


def test_a_forecast_crosses_into_whole_numbers_and_comes_back_from_disk() -> None:
    told = historical.var_es(np.random.default_rng(1).normal(0, 0.01, 1_000))
    kept = judged(20_000, told, -0.0123456789)
    assert kept.realised_e8 == -1_234_568
    assert kept.var_e8 == round(told.var_frac * 1e8)
    assert kept.method == "historical"
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Judged) == kept
    assert all(isinstance(value, int | str) for value in msgspec.structs.astuple(kept))
