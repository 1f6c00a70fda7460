"""The shipped strategies as rules, their parameters, and the register."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from kedge.domain.errors import InvalidInput, NotFound
from kedge.strategy.base import NO_TARGETS, Strategy, Target
from kedge.strategy.registry import STRATEGIES, make_strategy

from ...builders import AAA


class FakeView(NamedTuple):
    features: tuple[float, ...]
    exposure_frac: float = 0.0
    ready: bool = True
    instrument: str = AAA
    ts_ns: int = 0
    close: float = 100.0
    position_lots: int = 0


def wanted(strategy: Strategy, *features: float, held: float = 0.0, ready: bool = True) -> float | None:
    """The exposure asked for, None for no change."""
    targets = strategy.on_event(FakeView(features, held, ready))
    return targets[0].exposure_frac if targets else None


def test_trend_holds_the_sign_of_fast_against_slow() -> None:
    trend = make_strategy("trend", {"exposure_frac": 0.2})
    assert wanted(trend, 101.0, 100.0) == 0.2
    assert wanted(trend, 99.0, 100.0) == -0.2
    assert wanted(trend, 101.0, 100.0, held=0.2) is None
    assert wanted(trend, 99.0, 100.0, held=0.2) == -0.2
    assert wanted(trend, 100.0, 100.0, held=0.2) is None, "a tie changes nothing"
    assert wanted(trend, 101.0, 100.0, ready=False) is None
    flat = make_strategy("trend", {"allow_short": False})
    assert wanted(flat, 99.0, 100.0, held=0.1) == 0.0
    assert wanted(flat, 99.0, 100.0) is None


def test_mean_reversion_enters_far_out_and_leaves_at_the_mean() -> None:
    fade = make_strategy("mean_reversion", {"entry_z": 2.0, "exit_z": 0.5, "exposure_frac": 0.1})
    assert wanted(fade, -2.0) == 0.1
    assert wanted(fade, -1.999) is None
    assert wanted(fade, 2.0) == -0.1
    assert wanted(fade, -0.501, held=0.1) is None
    assert wanted(fade, -0.5, held=0.1) == 0.0
    assert wanted(fade, 0.5, held=-0.1) == 0.0
    assert wanted(fade, 2.5, held=0.1) == -0.1, "through the mean and out on the other side"
    assert wanted(fade, -5.0, ready=False) is None
    assert wanted(fade, float("nan"), held=0.1) is None


def test_parameters_come_as_numbers_or_as_text_of_a_journal() -> None:
    one = make_strategy("trend", {"fast": "3", "slow": 7, "exposure_frac": "0.25", "allow_short": False})
    assert [f.window for f in one.features] == [3, 7]
    assert wanted(one, 2.0, 1.0) == 0.25


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("trend", {"fasst": 3}, "did you mean 'fast'"),
        ("trend", {"zzz": 3}, "remove it"),
        ("trend", {"fast": 100, "slow": 20}, "fast must be below slow"),
        ("trend", {"fast": 0}, "fast"),
        ("trend", {"slow": 5_001}, "slow"),
        ("trend", {"exposure_frac": 1.01}, "exposure_frac"),
        ("trend", {"exposure_frac": "nan"}, "exposure_frac"),
        ("trend", {"fast": 2.5}, "fast"),
        ("mean_reversion", {"entry_z": 0}, "entry_z"),
        ("mean_reversion", {"entry_z": 1.0, "exit_z": 1.0}, "exit_z"),
        ("mean_reversion", {"window": "many"}, "window"),
    ],
)
def test_bad_parameters_are_refused_by_name(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_strategy(name, given)
    assert said in str(refused.value)


def test_the_register() -> None:
    assert set(STRATEGIES) == {"trend", "mean_reversion"}
    for name in STRATEGIES:
        strategy = make_strategy(name, {})
        assert strategy.name == name
        assert strategy.features
        assert strategy.on_event(FakeView((0.0, 0.0), ready=False)) is NO_TARGETS
    with pytest.raises(NotFound, match="did you mean 'trend'"):
        make_strategy("trnd", {})
    with pytest.raises(NotFound, match="choose one of them"):
        make_strategy("qqqq", {})
    assert Target(AAA, 0.1).confidence is None
