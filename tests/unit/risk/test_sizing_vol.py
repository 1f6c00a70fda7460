"""Volatility target: lagged, floored, capped, banded."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_vol import VolTarget, leverage_path, vol_target, within_band

RETURNS = np.random.default_rng(4).normal(0.0, 0.02, 120)


def test_leverage_is_capped_and_a_quiet_window_is_floored() -> None:
    quiet = np.tile([1e-4, -1e-4], 30)
    capped = vol_target(quiet, window=60, target_annual=0.2, leverage_max=3.0)
    assert isinstance(capped, VolTarget)
    assert (capped.leverage, capped.leverage_uncapped > 3.0) == (3.0, True)
    floored = vol_target(quiet, window=60, target_annual=0.2, leverage_max=3.0, sigma_floor_annual=0.4)
    assert isinstance(floored, VolTarget)
    assert floored.leverage == 0.5
    assert floored.sigma_annual < 0.01


def test_what_cannot_be_sized_is_refused_with_its_numbers() -> None:
    short = vol_target(RETURNS[:59], window=60, target_annual=0.2, leverage_max=3.0)
    assert short == SizingRefused("SHORT_HISTORY", 59.0, 60.0, "fewer returns than the window (returns)")
    still = vol_target(np.zeros(60), window=60, target_annual=0.2, leverage_max=3.0)
    assert isinstance(still, SizingRefused)
    assert still.code == "NO_VOLATILITY"


def test_the_leverage_of_a_period_does_not_know_its_return() -> None:
    settings = {"window": 30, "target_annual": 0.2, "leverage_max": 3.0, "band": 0.0}
    path = leverage_path(RETURNS, **settings)
    changed = RETURNS.copy()
    changed[80:] = 0.5
    again = leverage_path(changed, **settings)
    assert np.isnan(path[:30]).all()
    assert np.isfinite(path[30:]).all()
    assert np.array_equal(path[30:81], again[30:81])
    assert again[81] < path[81]
    wanted = vol_target(RETURNS[:80], window=30, target_annual=0.2, leverage_max=3.0)
    assert isinstance(wanted, VolTarget)
    assert path[80] == wanted.leverage


def test_within_its_band_leverage_is_left_alone() -> None:
    path = leverage_path(RETURNS, window=30, target_annual=0.2, leverage_max=3.0, band=0.10)
    held = path[30:]
    moves = np.abs(np.diff(held)) / held[:-1]
    assert ((moves == 0.0) | (moves > 0.10)).all()
    assert (moves == 0.0).any()
    still = leverage_path(np.zeros(40), window=30, target_annual=0.2, leverage_max=3.0)
    assert np.isnan(still).all()


@pytest.mark.parametrize(
    ("held", "wanted", "kept"),
    [
        (1.0, 1.09, 1.0),
        (1.0, 1.11, 1.11),
        (1.0, 0.9, 1.0),
        (-1.0, -1.05, -1.0),
        (0.0, 0.01, 0.01),
        (1.0, 0.0, 0.0),
        (1.0, -1.0, -1.0),
    ],
)
def test_the_band_is_a_share_of_what_is_held(held: float, wanted: float, kept: float) -> None:
    assert within_band(held, wanted) == kept


@pytest.mark.parametrize("wrong", [(float("nan"), 1.0, 0.1), (1.0, float("inf"), 0.1), (1.0, 1.0, -0.1)])
def test_a_band_that_cannot_be_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInput, match="band"):
        within_band(*wrong)


@pytest.mark.parametrize(
    "change", [{"window": 1}, {"target_annual": 0.0}, {"leverage_max": -1.0}, {"sigma_floor_annual": float("nan")}, {"periods_per_year": 0}]
)
def test_a_setting_that_cannot_be_is_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(change))):
        vol_target(RETURNS, **{"window": 60, "target_annual": 0.2, "leverage_max": 3.0, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("returns", [np.array([[0.1, 0.2]]), np.array([0.1, np.nan, 0.2])])
def test_returns_with_holes_are_refused(returns: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="one finite series"):
        vol_target(returns, window=2, target_annual=0.2, leverage_max=3.0)
