"""A training: the same inputs give the same model, figures are of unseen rows, and what cannot teach is refused."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kedge.domain.errors import InvalidInput, NotFound
from kedge.learning.dataset import Dataset, freeze, thaw
from kedge.learning.model import decode_model, encode_model, model_sha256
from kedge.learning.scorer import Scorer
from kedge.learning.training_record import training_sha256
from kedge.ops.build import code_sha256
from kedge.services.training import Trained, demo_settings
from kedge.services.training.environment import environment
from kedge.services.training.fits import fit_logistic, scaling
from kedge.services.training.policy import feature_domain, is_flat, policy_of
from kedge.services.training.settings import TrainSettings, settings_sha256
from kedge.services.training.train import Steps, train
from kedge.services.training.words import verdict

from .training_world import small_dataset, small_settings, with_pattern


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return with_pattern(small_dataset())


@pytest.fixture(scope="module")
def noise() -> Dataset:
    return small_dataset()


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def logistic(dataset: Dataset, said: list[str]) -> Trained:
    return train(dataset, small_settings(), name="small", progress=said.append)


def test_the_same_inputs_give_the_same_model(dataset: Dataset, logistic: Trained) -> None:
    again = train(with_pattern(small_dataset()), small_settings(), name="small")
    assert encode_model(again.model) == encode_model(logistic.model)
    assert again.model_sha256 == logistic.model_sha256 == model_sha256(logistic.model)


def test_seed_settings_data_and_name_each_change_the_model(dataset: Dataset, logistic: Trained) -> None:
    others = [
        train(dataset, small_settings(l2=50.0), name="small"),
        train(dataset, small_settings(seed=8), name="small"),
        train(dataset.take(None, dataset.last_ts_ns - dataset.interval_ns), small_settings(), name="small"),
        train(dataset, small_settings(), name="other"),
    ]
    assert len({logistic.model_sha256, *(one.model_sha256 for one in others)}) == 5


def test_a_document_scores_as_the_learner_did(logistic: Trained) -> None:
    model = decode_model(encode_model(logistic.model), sha256=logistic.model_sha256)
    assert model.logistic is not None
    assert model.trees is None
    weights, means, scales = (np.array(one) for one in (model.logistic.weights, model.logistic.means, model.logistic.scales))
    x = np.random.default_rng(1).normal(size=(50, len(weights))) * scales + means
    x[::7, 3] = np.nan
    z = np.where(np.isnan(x), 0.0, (x - means) / scales)
    scorer = Scorer(model)
    assert [scorer.score(row) for row in x] == pytest.approx((z @ weights + model.logistic.intercept).tolist(), abs=1e-12)


def test_what_is_there_is_learnt_and_what_is_not_is_said(logistic: Trained, noise: Dataset) -> None:
    figures = logistic.record.figures
    assert float(figures["auc"]) > 0.7
    assert float(figures["brier_skill"]) > 0.05
    assert verdict(logistic.record)[0].startswith("A little better than always saying the base rate")
    nothing = train(noise, small_settings(seed=1), name="noise")
    assert abs(float(nothing.record.figures["auc"]) - 0.5) < 0.15


def test_the_record_tells_where_the_model_comes_from(dataset: Dataset, logistic: Trained) -> None:
    record, model = logistic.record, logistic.model
    assert record.model_sha256 == logistic.model_sha256
    assert record.dataset_sha256 == model.dataset_sha256 == logistic.frozen.sha256 == freeze(dataset).sha256
    assert record.feature_set_sha256 == model.feature_set_sha256
    assert record.settings_sha256 == model.settings_sha256 == settings_sha256(small_settings())
    assert msgspec.convert(record.settings, TrainSettings) == small_settings()
    assert record.code_sha256 == code_sha256()
    assert record.commit_known == bool(record.commit)
    assert 0 < float(record.effective_rows) < record.rows
    assert len(record.folds) == 2
    assert sum(one.test_rows for one in record.folds) == int(record.figures["rows"])
    assert all(one.test_from_ns < one.test_to_ns for one in record.folds)
    assert record.folds[0].train_rows < record.folds[1].train_rows
    assert training_sha256(record) != training_sha256(msgspec.structs.replace(record, trained_ts_ns=1))
    back, _ = thaw(logistic.frozen.sha256, logistic.frozen.blobs.__getitem__)
    assert freeze(back).sha256 == logistic.frozen.sha256


def test_no_time_host_or_commit_stands_in_the_model(logistic: Trained) -> None:
    text = encode_model(logistic.model).decode()
    record = logistic.record
    assert all(word not in text for word in (str(record.trained_ts_ns), record.environment.platform, record.code_sha256))


def test_thresholds_and_domain_come_from_what_was_seen(logistic: Trained) -> None:
    policy = logistic.model.policy
    assert policy.short_below < policy.exit_at < policy.long_above
    assert len(logistic.model.domain_low) == len(logistic.model.feature_set.features)
    assert all(low <= high for low, high in zip(logistic.model.domain_low, logistic.model.domain_high, strict=True))
    assert 0.0 < logistic.model.barrier_frac < 0.1


def test_progress_tells_each_step_and_the_record_its_seconds(logistic: Trained, said: list[str]) -> None:
    assert len(said) == 2 + 2 + 2
    assert said[0].startswith("freezing 760 bars")
    assert set(logistic.record.seconds) == {"freeze", "features", "logistic folds", "calibration", "final fit"}


def test_steps_add_up_what_begins_again() -> None:
    times = iter([0.0, 1.0, 1.0, 3.0])
    steps = Steps(lambda _: None, lambda: next(times))
    steps.begin("a", "")
    steps.begin("a", "")
    steps.end()
    steps.end()
    assert steps.seconds == {"a": 3.0}


def test_trees_are_trained_beside_the_baseline_and_kept_flat(dataset: Dataset, logistic: Trained) -> None:
    trained = train(dataset, small_settings("trees"), name="small")
    assert trained.model.trees is not None
    assert trained.model.logistic is None
    assert len(trained.model.trees.roots) == 5
    assert trained.record.baseline == logistic.record.figures
    assert trained.record.figures != trained.record.baseline
    assert any("logistic baseline" in sentence for sentence in verdict(trained.record))
    assert train(dataset, small_settings("trees"), name="small").model_sha256 == trained.model_sha256
    assert train(dataset, small_settings("trees", seed=8), name="small").model.trees != trained.model.trees


@pytest.mark.slow
def test_another_process_with_other_hash_seed_threads_and_folder_gives_the_same_model(tmp_path: Path, repository: Path) -> None:
    code = (
        "from tests.unit.services.training_world import *; from kedge.services.training.train import train;"
        "print(train(with_pattern(small_dataset('BTCUSDT', 'ETHUSDT')), small_settings('trees', leader='bybit-linear:BTCUSDT'),"
        "name='x').model_sha256)"
    )
    found = set()
    for seed, threads in (("0", "1"), ("12345", "4")):
        env = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONPATH": f"{repository / 'src'}:{repository}",
        }
        cwd = tmp_path / seed
        cwd.mkdir()
        found.add(subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


@pytest.mark.parametrize("skill", [False, True])
def test_a_model_without_skill_trades_only_where_it_was_asked_to(noise: Dataset, skill: bool) -> None:
    flat = next(
        trained
        for seed in range(9)
        if (trained := train(small_dataset(seed=seed), small_settings(trade_without_skill=skill), name="flat")).record.calibration["flat"]
        != "no"
    )
    policy = flat.model.policy
    assert (policy.long_above > policy.short_below) is skill
    assert (flat.model.calibration.method == "none") is skill
    assert any("calibration is flat" in sentence and ("trades all the same" in sentence) is skill for sentence in verdict(flat.record))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"long_quantile": 0.5}, "long_quantile is 0.5"),
        ({"leader": "bybit-linear:BTCUSDT"}, "leader 'bybit-linear:BTCUSDT'"),
        ({"kind": "forest"}, "kind is 'forest'"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(dataset: Dataset, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        train(dataset, small_settings(**settings), name="small")


def test_a_nested_setting_is_named_with_its_path(dataset: Dataset) -> None:
    settings = small_settings()
    wrong = msgspec.structs.replace(settings, boost=msgspec.structs.replace(settings.boost, rounds=0))
    with pytest.raises(InvalidInput, match=r"boost\.rounds is 0"):
        train(dataset, wrong, name="small")


def test_an_unknown_feature_set_and_a_wrong_name_are_refused(dataset: Dataset) -> None:
    with pytest.raises(NotFound, match="did you mean 'core'"):
        train(dataset, small_settings(features="cor"), name="small")
    with pytest.raises(InvalidInput, match="model name"):
        train(dataset, small_settings(), name="no/such")


def test_too_few_rows_are_refused_with_what_was_dropped() -> None:
    with pytest.raises(InvalidInput, match=r"labelled rows.*WARMING_UP"):
        train(small_dataset(bars=400), small_settings(), name="small")


def test_labels_of_one_class_are_refused(dataset: Dataset) -> None:
    from dataclasses import replace

    part = dataset.parts[0]
    closes = 10_000 + 10 * np.arange(len(part.bars), dtype=np.int64)
    opens = closes - 10
    rising = replace(part.bars, open_ticks=opens, close_ticks=closes, high_ticks=closes, low_ticks=opens)
    with pytest.raises(InvalidInput, match="both outcomes must occur"):
        train(Dataset(dataset.interval_ns, (replace(part, bars=rising),)), small_settings(), name="small")


def test_a_fold_of_one_class_is_refused(dataset: Dataset) -> None:
    from dataclasses import replace

    part = dataset.parts[0]
    n = len(part.bars)
    closes = 10_000 + np.cumsum(np.where(np.arange(n) < 2 * n // 3, 10, np.where(np.arange(n) % 5 < 2, 30, -25))).astype(np.int64)
    opens = np.concatenate((closes[:1] - 10, closes[:-1]))
    bars = replace(
        part.bars, open_ticks=opens, close_ticks=closes, high_ticks=np.maximum(opens, closes), low_ticks=np.minimum(opens, closes)
    )
    with pytest.raises(InvalidInput, match="fold 1 has"):
        train(Dataset(dataset.interval_ns, (replace(part, bars=bars),)), small_settings(), name="small")


def test_thresholds_are_quantiles_unless_nothing_lies_beyond() -> None:
    settings = TrainSettings()
    even = policy_of(np.linspace(0.0, 1.0, 101), settings)
    assert (even.short_below, even.exit_at, even.long_above) == pytest.approx((0.15, 0.5, 0.85))
    stairs = policy_of(np.array([0.4] * 40 + [0.5] * 20 + [0.6] * 40), settings)
    assert (stairs.short_below, stairs.exit_at, stairs.long_above) == pytest.approx((0.45, 0.5, 0.55))
    lopsided = policy_of(np.array([0.4] * 30 + [0.6] * 70), settings)
    assert lopsided.short_below <= lopsided.exit_at <= lopsided.long_above < 0.6
    one = np.full(10, 0.5)
    flat = policy_of(one, settings)
    assert flat.long_above == flat.short_below == 0.5
    assert is_flat(one)


@pytest.mark.parametrize("low", [0.30, 0.52])
def test_no_threshold_buys_what_is_likelier_to_fall_or_sells_what_is_likelier_to_rise(low: float) -> None:
    policy = policy_of(np.linspace(low, low + 0.18, 101), TrainSettings())
    assert policy.long_above >= 0.5 >= policy.short_below
    assert policy.short_below <= policy.exit_at <= policy.long_above
    assert (policy.long_above > 0.5) is (low > 0.5)


def test_the_domain_ignores_what_was_unknown() -> None:
    x = np.array([[np.nan, np.nan], [1.0, np.nan], [3.0, np.nan]])
    assert feature_domain(x, 0.0) == ((1.0, 0.0), (3.0, 0.0))


def test_scaling_bears_columns_that_are_unknown_or_still() -> None:
    means, scales = scaling(np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0], [np.nan, np.nan, 5.0]]))
    assert means.tolist() == [2.0, 0.0, 5.0]
    assert scales.tolist() == [1.0, 1.0, 1.0]


def test_the_logistic_model_finds_known_weights() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(4000, 3))
    p = 1.0 / (1.0 + np.exp(-(0.5 + x @ np.array([1.0, -2.0, 0.0]))))
    y = (random.random(4000) < p).astype(np.float64)
    found = fit_logistic(x, y, np.ones(4000), small_settings(l2=0.001)).logistic
    assert found is not None
    assert np.array(found.weights) / np.array(found.scales) == pytest.approx([1.0, -2.0, 0.0], abs=0.15)


def test_the_environment_names_versions_and_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = environment()
    assert here.numpy == np.__version__
    assert all(msgspec.structs.astuple(here))
    from kedge.services.training import environment as module

    monkeypatch.setattr(module, "CPUINFO", tmp_path / "none")
    assert module.environment().cpu
    assert module._version("no-such-package") == "unknown"


def test_demo_settings_are_valid_and_trade_in_any_case() -> None:
    settings = demo_settings("bybit-linear:BTCUSDT", seed=9)
    assert msgspec.convert(msgspec.to_builtins(settings), TrainSettings) == settings
    assert settings.trade_without_skill
    assert math.isclose(settings.exit_quantile, 0.5)


def test_figures_that_are_not_numbers_are_left_out() -> None:
    from kedge.learning.evaluation import Metrics
    from kedge.services.training.record import figures_of

    metrics = Metrics(**dict.fromkeys(Metrics.__struct_fields__, 0.5) | {"rows": 3, "auc": float("nan")})
    assert "auc" not in figures_of(metrics)
    assert figures_of(metrics)["rows"] == "3"
