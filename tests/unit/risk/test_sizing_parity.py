"""Risk parity and its hierarchical kin: equal shares, plain cases by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.risk import sizing_risk_parity
from kedge.risk.sizing_hrp import Linked, hrp
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_risk_parity import inverse_volatility, risk_parity, risk_shares


def covariance(seed: int, n_assets: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, rng.uniform(0.01, 0.08, n_assets), (300, n_assets))
    return np.asarray(np.cov(own + rng.normal(0.0, 0.02, (300, 1)), rowvar=False))


@pytest.mark.parametrize("n_assets", [2, 5, 20])
def test_every_asset_carries_the_same_share_of_risk(n_assets: int) -> None:
    cov = covariance(n_assets, n_assets)
    weights = risk_parity(cov)
    assert not isinstance(weights, SizingRefused)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights > 0.0).all()
    assert risk_shares(weights, cov) == pytest.approx(np.full(n_assets, 1 / n_assets), abs=1e-10)


def test_it_is_inverse_volatility_when_all_correlations_are_equal() -> None:
    sigma = np.array([0.01, 0.02, 0.05])
    cov = np.outer(sigma, sigma) * (0.4 + 0.6 * np.eye(3))
    assert risk_parity(cov) == pytest.approx(inverse_volatility(cov), abs=1e-10)


def test_one_asset_takes_all() -> None:
    assert risk_parity(np.array([[0.04]])) == pytest.approx([1.0])


def test_what_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing_risk_parity, "_ROUNDS", 1)
    refused = risk_parity(covariance(3, 5))
    assert isinstance(refused, SizingRefused)
    assert refused.code == "NOT_CONVERGED"
    assert refused.observed > refused.limit


WRONG = [np.zeros((2, 3)), np.array([[1.0, np.inf], [np.inf, 1.0]]), np.array([[1.0, 0.2], [0.1, 1.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])]


@pytest.mark.parametrize("cov", WRONG)
def test_what_is_no_covariance_is_refused(cov: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="covariance"):
        risk_parity(cov)
    with pytest.raises(InvalidInput, match="covariance"):
        hrp(cov, Linked.DISTANCES)


def test_weights_without_risk_have_no_shares() -> None:
    with pytest.raises(InvalidInput, match="variance is 0"):
        risk_shares(np.zeros(2), np.eye(2))


@pytest.mark.parametrize("linked", Linked)
def test_two_assets_are_held_by_inverse_variance(linked: Linked) -> None:
    found = hrp(np.diag([0.01, 0.04]), linked)
    assert found.weights == pytest.approx([0.8, 0.2])
    assert sorted(found.leaf_order) == [0, 1]


@pytest.mark.parametrize("linked", Linked)
def test_hierarchical_weights_are_long_and_sum_to_one(linked: Linked) -> None:
    found = hrp(covariance(8, 9), linked)
    assert found.weights.sum() == pytest.approx(1.0)
    assert (found.weights > 0.0).all()
    assert sorted(found.leaf_order) == list(range(9))


def test_a_single_asset_has_no_hierarchy() -> None:
    with pytest.raises(InvalidInput, match="two assets"):
        hrp(np.array([[0.04]]), Linked.DISTANCES)
