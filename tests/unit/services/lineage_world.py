"""A small state folder with everything lineage reads: a hand-made model with its papers, and runs that trade with it."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kedge.domain.canonical import digest
from kedge.domain.events import BarClosed, Event
from kedge.domain.outputs import Output
from kedge.domain.record import DataSource, RunStarted, Step
from kedge.learning.dataset import Dataset, Part, freeze
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import Settlements
from kedge.learning.feature_sets import feature_set_sha256
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Logistic, Model, Policy, Trees, model_sha256
from kedge.learning.operators import Operator
from kedge.learning.training_record import Environment, TrainingRecord
from kedge.market.grid_bars import GridBars
from kedge.services.backtest import first_record
from kedge.services.models import model_strategy
from kedge.storage import SigningKey, SqliteJournal
from kedge.storage.blobs import BlobStore
from kedge.storage.model_store import ModelStore, Registered

from ...builders import AAA, BBB, MINUTE, T0, a_run, instrument, run_spec, settings, walk

KEY = SigningKey.generate()
RAW = DataSource(label="AAAUSDT-1m.csv", sha256="a" * 64, rows=64, first_ts_ns=T0 - 64 * MINUTE, last_ts_ns=T0, instrument=AAA)
FUNDING_RAW = DataSource(label="AAAUSDT-funding.csv", sha256="b" * 64, rows=2, first_ts_ns=T0 - 60 * MINUTE, last_ts_ns=T0, instrument=AAA)
PRICES = DataSource(label="AAAUSDT-2023.csv", sha256="c" * 64, rows=120, first_ts_ns=T0, last_ts_ns=T0 + 120 * MINUTE, instrument=AAA)
FEATURES = (
    Feature(name="momentum_3", operator=Operator.MOMENTUM, window=3),
    Feature(name="zscore_5", operator=Operator.ZSCORE, window=5),
    Feature(name="gap_3_8", operator=Operator.EMA_GAP, window=3, second=8),
)

FEATURE_SET = FeatureSetSpec(name="small", version=1, features=FEATURES)


def frozen_dataset(state: Path) -> str:
    """A data set of 64 bars and two settlements, kept as blobs; its hash."""
    rng = random.Random(3)
    close = 1_000 + np.cumsum([rng.randint(-5, 5) for _ in range(64)])
    times = T0 + MINUTE * np.arange(-64, 0, dtype=np.int64)
    bars = GridBars(times, times + MINUTE, close, close + 2, close - 2, close, np.full(64, 1_000, np.int64))
    fundings = Settlements(times[[3, 40]], np.array([10_000, -5_000], np.int64))
    part = Part(
        records=(instrument(),),
        bars=bars,
        sources=(RAW,),
        fundings=fundings,
        funding_sources=(FUNDING_RAW,),
        quarantined={"HIGH_BELOW_LOW": 2},
    )
    frozen = freeze(Dataset(MINUTE, (part,)))
    for body in frozen.blobs.values():
        BlobStore(state / "blobs").put(body)
    return frozen.sha256


def a_model(dataset_sha256: str, **changes: Any) -> Model:
    """A model that buys what has fallen and sells what has risen."""
    given: dict[str, Any] = {
        "name": "demo",
        "feature_set": FEATURE_SET,
        "feature_set_sha256": feature_set_sha256(FEATURE_SET),
        "label": LabelSpec(horizon_bars=4, barrier_vols=1.5, volatility_bars=20),
        "policy": Policy(long_above=0.55, short_below=0.45, exit_at=0.5),
        "calibration": Calibration(method="platt", slope=1.0, intercept=0.0),
        "interval_ns": MINUTE,
        "barrier_frac": 0.01,
        "domain_low": (-1.0, -9.0, -1.0),
        "domain_high": (1.0, 9.0, 1.0),
        "dataset_sha256": dataset_sha256,
        "settings_sha256": digest(b"settings"),
        "seed": 7,
        "logistic": Logistic(weights=(0.0, -0.8, 0.0), means=(0.0, 0.0, 0.0), scales=(1.0, 1.0, 1.0), intercept=0.0),
        **changes,
    }
    return Model(**given)


def a_tree(dataset_sha256: str) -> Model:
    """The same idea as one tree."""
    trees = Trees(feature=(1, -1, -1), threshold=(0.0, 0.6, -0.6), left=(1, -1, -1), right=(2, -1, -1), nan_left=(0, 0, 0), roots=(0,))
    return a_model(dataset_sha256, logistic=None, trees=trees)


def a_training(model: Model, **changes: Any) -> TrainingRecord:
    given: dict[str, Any] = {
        "name": model.name,
        "model_sha256": model_sha256(model),
        "dataset_sha256": model.dataset_sha256,
        "feature_set_sha256": model.feature_set_sha256,
        "settings_sha256": model.settings_sha256,
        "settings": {"kind": "logistic"},
        "seed": model.seed,
        "kind": "logistic",
        "commit": "0123456789abcdef",
        "commit_known": True,
        "code_sha256": "c0de",
        "engine_version": "0.1.0",
        "environment": Environment(python="3.11", numpy="2", numba="0", lightgbm="4", scikit_learn="1", platform="Linux", cpu="some"),
        "rows": 60,
        "effective_rows": "21.5",
        "figures": {"auc": "0.55"},
        "baseline": {"auc": "0.52"},
        "folds": (),
        "calibration": {"chosen": "platt", "platt": "0.249"},
        "data": {"span": "64 minutes"},
        "seconds": {"fit": "0.1"},
        "trained_ts_ns": T0,
        **changes,
    }
    return TrainingRecord(**given)


def keep_model(state: Path, model: Model, *, registered: bool = True, **training: Any) -> str:
    store = ModelStore(state / "models")
    sha256 = store.put(model, a_training(model, **training))
    if registered:
        store.set_registered(Registered(name=model.name, version=1, model_sha256=sha256, run_id="mlflow-1", aliases=("champion",)))
    return sha256


def stocked(state: Path) -> str:
    """Data set, model and papers in a state folder; the model's hash."""
    return keep_model(state, a_model(frozen_dataset(state)))


def journal_of(state: Path, run_id: str) -> Path:
    return state / "runs" / run_id / "journal.sqlite"


def model_run(
    state: Path, model: str, *, seed: int = 5, bars: int = 120, group_size: int = 40, snapshot_every: int = 50, stop_frac_e8: int = 0
) -> str:
    """A backtest of the model strategy into the state folder, with stops where a distance is given; its run id."""
    params = {"model": model, "exposure_frac": "0.1"}
    engine = settings(run_id="", strategy="model", params=params, stop_distance_frac_e8=stop_frac_e8)
    strategy = model_strategy(params, ModelStore(state / "models"))
    return _driven(state, walk(seed, bars, (AAA, BBB)), strategy, group_size, engine=engine, snapshot_every=snapshot_every, data=(PRICES,))


def rule_run(state: Path, *, seed: int = 5, bars: int = 120) -> str:
    """A backtest of a rule; its run id."""
    engine = settings(run_id="", params={"fast": 2, "slow": 5, "exposure_frac": 0.2})
    return _driven(state, walk(seed, bars, (AAA, BBB)), None, 40, engine=engine)


def _driven(state: Path, market: Sequence[Event], strategy: Any, group_size: int, **changes: Any) -> str:
    instruments = [instrument(), instrument(BBB)]
    run_id = first_record(run_spec(instruments, **changes), "bt").run_id
    path = journal_of(state, run_id)
    path.parent.mkdir(parents=True)
    with SqliteJournal(path, signer=KEY, source="replay", group_size=group_size) as journal:
        a_run(market, journal, (), strategy, instruments, **changes).drive()
        journal.close(seal=True)
    return run_id


def written(state: Path, steps: Sequence[tuple[Event, tuple[Output, ...]]], run_id: str = "by-hand", **changes: Any) -> Path:
    """A journal of these steps, as a writer makes it; its path."""
    started = hand_started(run_id, **changes)
    path = journal_of(state, run_id)
    path.parent.mkdir(parents=True)
    with SqliteJournal(path, signer=KEY, source="test") as journal:
        journal.start(started)
        for event, outputs in steps:
            journal.commit(event, outputs)
    return path


def hand_started(run_id: str = "by-hand", **changes: Any) -> RunStarted:
    given: dict[str, Any] = {
        "run_id": run_id,
        "account": "acct",
        "source": "replay",
        "speed": "max",
        "engine_version": "0",
        "code_sha256": "c0de",
        "settings_sha256": "5e77",
        "settings": {"engine": {"strategy": "trend", "params": {}}},
        "instruments": (instrument(), instrument(BBB)),
        "data": (),
        "assumptions": {},
        "seed": 0,
        "started_ts_ns": T0,
        **changes,
    }
    return RunStarted(**given)


def steps_of(records: Sequence[object]) -> list[Step]:
    return [record for record in records if isinstance(record, Step)]


def touch_newest(path: Path, newer_ns: int) -> None:
    """Make a journal look written later than others."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + newer_ns))


def is_bar(event: Event) -> bool:
    return type(event) is BarClosed
