"""The chain of methods: each fallback with its reason, and one answer from the measure and from the book."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_DAY
from kedge.risk.var import choice, fhs, historical, parametric
from kedge.risk.var.backtests import Colour
from kedge.risk.var.chain import DEFAULTS, choose, fit_all
from kedge.risk.var.choice import CHAIN, ChoiceSettings, chosen_book, measure
from kedge.risk.var.filters import ewma_sigma
from kedge.risk.var.garch_fit import FitFailed, GarchFit
from kedge.risk.var.history import aligned_returns

RNG = np.random.default_rng(31)
DAYS = 450
HISTORY = RNG.standard_t(5, (DAYS, 3)) * np.array([0.02, 0.03, 0.04])
WEIGHTS = [0.5, -0.2, 0.1]
FIT = GarchFit(omega=1e-5, alpha=0.08, beta=0.9, nu=5.0, first_variance=4e-4, loglik=0.0, rows=DAYS)
FITS = (FIT, replace(FIT, alpha=0.05), FIT)
RED = {"fhs-garch-t": Colour.RED, "fhs-ewma": Colour.RED, "historical": Colour.RED, "parametric-t": Colour.RED}


def reasons(chosen: choice.Choice) -> dict[str, str]:
    return {left.method: left.why for left in chosen.left}


def test_the_best_method_acts_where_nothing_speaks_against_it() -> None:
    chosen = measure(HISTORY, WEIGHTS, fits=FITS, colours={"fhs-garch-t": Colour.YELLOW})
    sigmas = np.column_stack([fit.sigma(column) for fit, column in zip(FITS, HISTORY.T, strict=True)])
    expected = fhs.portfolio_var_es(HISTORY, sigmas, WEIGHTS, method="fhs-garch-t")
    assert chosen.main.method == "fhs-garch-t"
    assert (chosen.main.var_frac, chosen.main.es_frac) == pytest.approx((expected.var_frac, expected.es_frac), rel=1e-12)
    assert chosen.left == ()
    assert "fallback" not in " ".join(chosen.main.flags)


def test_every_other_method_stands_beside_it() -> None:
    chosen = measure(HISTORY, WEIGHTS, fits=FITS)
    told = {other.method: other for other in chosen.others}
    assert set(told) >= {"fhs-ewma", "historical", "parametric-t", "prior", "age-weighted", "normal"}
    assert told["historical"].var_frac == pytest.approx(historical.value_at_risk(HISTORY @ np.array(WEIGHTS), 0.99))
    assert all(other.es_frac >= other.var_at_es_frac for other in (chosen.main, *chosen.others))


@pytest.mark.parametrize(("red", "acts"), [(0, "fhs-garch-t"), (1, "fhs-ewma"), (2, "historical"), (3, "parametric-t"), (4, "prior")])
def test_a_red_backtest_passes_the_word_on(red: int, acts: str) -> None:
    colours = {method: RED[method] for method in CHAIN[:red]}
    chosen = measure(HISTORY, WEIGHTS, fits=FITS, colours=colours)
    assert chosen.main.method == acts
    assert [left.why for left in chosen.left[:red]] == ["its backtest is red"] * red
    assert [flag for flag in chosen.main.flags if flag.startswith("fallback:")] == [
        f"fallback:{method}: its backtest is red" for method in CHAIN[:red]
    ]


@pytest.mark.parametrize(
    ("fits", "why"),
    [
        (None, "it is not fitted"),
        ((FIT, None, FIT), "instrument 1 is not fitted"),
        ((FIT, FIT, FitFailed("the optimiser gave up")), "the fit of instrument 2 failed: the optimiser gave up"),
    ],
)
def test_a_missing_or_failed_fit_falls_back_to_ewma_and_says_so(fits: tuple[choice.Fit | None, ...] | None, why: str) -> None:
    chosen = choose(HISTORY, fits=fits)
    assert chosen.method == "fhs-ewma"
    assert reasons(chosen) == {"fhs-garch-t": why}
    assert f"fallback:fhs-garch-t: {why}" in chosen.flags


def test_too_few_days_fall_back_to_a_t_and_fewer_to_the_stated_sigma() -> None:
    short = choose(HISTORY[:399])
    assert short.method == "parametric-t"
    assert reasons(short)["historical"] == "no instrument has 400 days"
    expected = sum(
        abs(weight) * parametric.student_t(0, ewma_sigma(column)[-1], 5.0).var_frac
        for weight, column in zip(WEIGHTS, HISTORY[:399].T, strict=True)
    )
    assert measure(HISTORY[:399], WEIGHTS).main.var_frac == pytest.approx(expected)
    nothing = measure(HISTORY[:59], WEIGHTS)
    assert nothing.main.method == "prior"
    assert nothing.main.var_frac == pytest.approx(parametric.student_t(0, 0.05, 5.0).var_frac * 0.8)
    assert {"prior:0", "prior:1", "prior:2"} <= set(nothing.main.flags)
    assert measure(HISTORY[:0], WEIGHTS).main.var_frac == nothing.main.var_frac


def test_a_young_instrument_is_added_at_its_own_loss_and_an_unknown_one_at_the_stated() -> None:
    young = HISTORY.copy()
    young[:300, 1] = np.nan
    young[:420, 2] = np.nan
    chosen = choose(young)
    assert (chosen.method, chosen.known) == ("fhs-ewma", (0,))
    assert {"own_sigma:1", "prior:2"} <= set(chosen.flags)
    told = measure(young, WEIGHTS).main
    alone = fhs.var_es(HISTORY[:, 0] * 0.5, ewma_sigma(HISTORY[:, 0]) * 0.5)
    own, stated = (parametric.student_t(0, sigma, 5.0) for sigma in (ewma_sigma(young[300:, 1])[-1], 0.05))
    assert told.var_frac == pytest.approx(alone.var_frac + 0.2 * own.var_frac + 0.1 * stated.var_frac)
    assert told.es_frac == pytest.approx(alone.es_frac + 0.2 * own.es_frac + 0.1 * stated.es_frac)
    at_es = (
        parametric.student_t(0, 0.05, 5.0, 0.975).var_frac * 0.1
        + parametric.student_t(0, float(ewma_sigma(young[300:, 1])[-1]), 5, 0.975).var_frac * 0.2
    )
    assert told.var_at_es_frac == pytest.approx(alone.var_at_es_frac + at_es)
    assert told.interval_frac is not None
    assert told.interval_frac[0] == pytest.approx(alone.interval_frac[0] + told.var_frac - alone.var_frac)  # type: ignore[index,operator]


def test_days_that_one_instrument_lacks_are_left_out_for_all() -> None:
    holed = HISTORY.copy()
    holed[[7, 90], [0, 2]] = np.nan
    chosen = choose(holed)
    assert chosen.known == (0, 1, 2)
    assert chosen.rows.size == DAYS - 2


def test_an_instrument_that_would_leave_too_few_common_days_stands_apart() -> None:
    apart = HISTORY.copy()
    apart[:50, 0] = np.nan
    apart[-45:, 1] = np.nan
    chosen = choose(apart)
    assert chosen.known == (1, 2)
    assert chosen.rows.size == DAYS - 45


def test_a_broken_level_of_variance_is_flagged() -> None:
    broken = HISTORY.copy()
    broken[225:, 0] *= 8
    assert "variance_break:0" not in choose(broken).flags  # the filter follows it
    fits = (replace(FIT, alpha=0.0, beta=0.0, omega=4e-4), FIT, FIT)
    assert "variance_break:0" in choose(broken, fits=fits).flags  # a filter that does not


@pytest.mark.parametrize("red", range(5))
def test_the_book_of_a_choice_answers_what_the_measure_answers(red: int) -> None:
    young = HISTORY.copy()
    young[:300, 2] = np.nan
    colours = {method: RED[method] for method in CHAIN[:red]}
    book, chosen = chosen_book(["A", "B", "C"], young, fits=FITS, colours=colours, equity_e8=5_000 * E8)
    for index, weight in enumerate(WEIGHTS):
        book.set_notional(index, weight)
    told = measure(young, WEIGHTS, fits=FITS, colours=colours).main
    assert chosen.method == told.method == CHAIN[red]
    assert book.var_es() == pytest.approx((told.var_frac, told.es_frac), abs=1e-7)


def test_nothing_held_risks_nothing() -> None:
    chosen = measure(HISTORY, [0.0, 0.0, 0.0])
    assert (chosen.main.var_frac, chosen.main.es_frac) == (0.0, 0.0)
    assert {left.method: left.why for left in chosen.left}["normal"] == "nothing is held"


def test_a_method_that_cannot_be_shown_says_why() -> None:
    spiky = HISTORY.copy()
    spiky[100] = -0.5
    left = {one.method: one.why for one in measure(spiky, [0.3, 0.3, 0.3]).left}
    assert left["cornish-fisher"] == "its quantile falls somewhere in [-5, 5]"
    young = HISTORY.copy()
    young[:300, 1] = np.nan
    assert {one.method: one.why for one in measure(young, WEIGHTS).left}["age-weighted"] == "150 days, 400 are needed"


def test_the_settings_decide() -> None:
    settings = ChoiceSettings(confidence_var=0.95, confidence_es=0.9, least_rows=1_000, prior_sigma_frac=0.1, least_parametric_rows=1_000)
    told = measure(HISTORY, WEIGHTS, settings=settings).main
    assert (told.method, told.confidence_var, told.confidence_es) == ("prior", 0.95, 0.9)
    assert told.var_frac == pytest.approx(0.8 * parametric.student_t(0, 0.1, 5.0, 0.95).var_frac)
    assert DEFAULTS.least_rows == 400


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((5, 0)), np.full((5, 2), np.inf)])
def test_a_history_of_another_shape_or_without_end_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="history"):
        choose(wrong)


def test_every_column_is_fitted_over_the_days_it_has() -> None:
    ragged = HISTORY.copy()
    ragged[:, 1] = np.nan
    ragged[100:, 2] = np.nan
    first, second, third = fit_all(ragged)
    assert isinstance(first, GarchFit)
    assert second == FitFailed("0 rows")
    assert isinstance(third, FitFailed)


DAY = 20_000 * NS_PER_DAY


def test_closes_become_returns_aligned_by_day() -> None:
    got = aligned_returns([(DAY, [100, 110, 99]), (DAY - NS_PER_DAY, [50, 100]), (0, [])])
    assert got.shape == (2, 3)
    assert got[:, 0].tolist() == pytest.approx([0.1, -0.1])
    assert got[0, 1] == pytest.approx(1.0)
    assert np.isnan(got[1, 1])
    assert np.isnan(got[:, 2]).all()


def test_a_missing_day_is_unknown_and_not_no_move() -> None:
    got = aligned_returns([(DAY, [100, 0, 120, 126])])
    assert np.isnan(got[:2, 0]).all() if got.shape[0] == 3 else got.shape == (1, 1)
    assert got[-1, 0] == pytest.approx(0.05)


def test_only_the_newest_days_are_kept() -> None:
    got = aligned_returns([(DAY, [100 + n for n in range(50)]), (DAY - 60 * NS_PER_DAY, [1, 2])], days=10)
    assert got.shape == (10, 2)
    assert got[-1, 0] == pytest.approx(149 / 148 - 1)
    assert np.isnan(got[:, 1]).all()
    assert aligned_returns([]).shape == (0, 0)
    assert aligned_returns([(DAY, [100]), (DAY, [])]).shape == (0, 2)


@pytest.mark.parametrize("wrong", [[(DAY + 1, [1, 2])], [(DAY, [1, -2])]])
def test_a_day_off_midnight_or_a_negative_price_is_refused(wrong: list[tuple[int, list[int]]]) -> None:
    with pytest.raises(InvalidInput):
        aligned_returns(wrong)
