"""How long it takes to take a fill apart in a journal of a million records, and to search it for orphans.

    python benchmarks/lineage.py [--json] [--records N] [--folder FOLDER] [--quick]

The journal is written by the engine, the model strategy and the real writer over a synthetic market: every bar has a prediction with the
features of the set `core`. The model is made by hand, since what it says does not matter here. The command is timed as a person types it, a
fresh process each time, and the function alone in this one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kedge
from kedge.domain.canonical import digest
from kedge.domain.events import Event
from kedge.engine.settings import EngineSettings
from kedge.governance.lineage import NodeKind
from kedge.kernel.compiling import mark_ready
from kedge.learning.dataset import Dataset, Part, freeze
from kedge.learning.feature_sets import feature_set, feature_set_sha256
from kedge.learning.model import Calibration, LabelSpec, Logistic, Model, Policy, model_sha256
from kedge.learning.training_record import Environment, TrainingRecord
from kedge.market.catalogue import CATALOGUE
from kedge.market.grid_bars import GridBars
from kedge.risk.limits import Limits
from kedge.services.backtest import Run, RunSpec, first_record
from kedge.services.demo import SyntheticFeed
from kedge.services.lineage import LineageStores, trace
from kedge.services.lineage_orphans import orphans
from kedge.services.models import model_strategy
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.storage.blobs import BlobStore
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import SigningKey
from kedge.storage.model_store import ModelStore

MINUTE_NS = 60_000_000_000
START_NS = 1_735_689_600_000_000_000
INSTRUMENTS = tuple(CATALOGUE[name][-1] for name in ("bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT"))
MONEY_E8 = 10_000_000 * 10**8
RECORDS = 1_000_000
QUICK_RECORDS = 20_000
GROUP_SIZE = 10_000
ROUNDS = 5
WIDE = Limits(
    drawdown_soft_e8=97_000_000, drawdown_reduce_e8=98_000_000, drawdown_halt_e8=99_000_000,
    daily_loss_soft_e8=97_000_000, daily_loss_reduce_e8=98_000_000, daily_loss_halt_e8=99_000_000,
)  # fmt: skip


def keep_dataset(state: Path) -> str:
    """A frozen data set of a few thousand bars; its hash."""
    count = 5_000
    times = START_NS - MINUTE_NS * np.arange(count, 0, -1, dtype=np.int64)
    close = np.full(count, 600_000, np.int64) + np.arange(count) % 97
    bars = GridBars(times, times + MINUTE_NS, close, close + 5, close - 5, close, np.full(count, 1_000, np.int64))
    frozen = freeze(Dataset(MINUTE_NS, (Part(records=(INSTRUMENTS[0],), bars=bars, sources=()),)))
    for body in frozen.blobs.values():
        BlobStore(state / "blobs").put(body)
    return frozen.sha256


def keep_model(state: Path) -> str:
    """A model that trades against the extremes of a day's mean, with its papers; its hash."""
    features = feature_set("core")
    names = [feature.name for feature in features.features]
    count = len(names)
    model = Model(
        name="bench", feature_set=features, feature_set_sha256=feature_set_sha256(features),
        label=LabelSpec(horizon_bars=16, barrier_vols=2.0, volatility_bars=96),
        policy=Policy(long_above=0.88, short_below=0.12, exit_at=0.5), calibration=Calibration(method="platt"), interval_ns=MINUTE_NS,
        barrier_frac=0.004, domain_low=(-1e9,) * count, domain_high=(1e9,) * count, dataset_sha256=keep_dataset(state),
        settings_sha256=digest(b"settings"), seed=7,
        logistic=Logistic(
            weights=tuple(-1.0 if name == "zscore_96" else 0.0 for name in names),
            means=(0.0,) * count, scales=(1.0,) * count, intercept=0.0,
        ),
    )  # fmt: skip
    training = TrainingRecord(
        name=model.name, model_sha256=model_sha256(model), dataset_sha256=model.dataset_sha256,
        feature_set_sha256=model.feature_set_sha256, settings_sha256=model.settings_sha256, settings={}, seed=7, kind="logistic",
        commit="", commit_known=False, code_sha256="bench", engine_version="bench",
        environment=Environment(python="", numpy="", numba="", lightgbm="", scikit_learn="", platform="", cpu=""),
        rows=5_000, effective_rows="1000", figures={}, baseline={}, folds=(), calibration={}, data={}, seconds={}, trained_ts_ns=START_NS,
    )  # fmt: skip
    return ModelStore(state / "models").put(model, training)


def write_run(state: Path, model: str, records: int) -> tuple[Path, float]:
    """A backtest of at least so many records; its journal, and the seconds it took."""
    params = {"model": model, "exposure_frac": "0.001"}
    engine = EngineSettings(
        run_id="", account="bench", strategy="model", params=params, wallet_e8=MONEY_E8, start_ts_ns=START_NS, interval_ns=MINUTE_NS,
        limits=WIDE,
    )  # fmt: skip
    spec = RunSpec(
        engine=engine, venue=VenueSettings(wallet_e8=MONEY_E8), costs=BarCosts(), matcher="bar", instruments=INSTRUMENTS, data=(),
        assumptions={}, source="synthetic", speed="max", seed=7, engine_version="bench", code_sha256="bench",
    )  # fmt: skip
    started = first_record(spec, "bt")
    path = state / "runs" / started.run_id / "journal.sqlite"
    path.parent.mkdir(parents=True)
    feed = SyntheticFeed(INSTRUMENTS, 7, MINUTE_NS, START_NS)
    begun = time.perf_counter()
    with SqliteJournal(path, signer=SigningKey.generate(), source="bench", group_size=GROUP_SIZE) as journal:

        def market() -> Iterator[Event]:
            for event in feed.events():
                if journal.count >= records:
                    return
                yield event

        Run(started, market(), feed.fundings, journal, model_strategy(params, ModelStore(state / "models"))).drive()
        journal.close(seal=True)
    return path, time.perf_counter() - begun


def fills_of(path: Path) -> list[str]:
    """Ids of the first, the middle and the last fill, and how many there are."""
    with SqliteJournalReader(path) as reader:
        count = 1
        while reader.beside.hints(f"f{count * 2}"):
            count *= 2
        last = next(n for n in range(count * 2, 0, -1) if reader.beside.hints(f"f{n}"))
    return [f"f{n}" for n in dict.fromkeys((1, max(1, last // 2), last))]


def command_ms(state: Path, rounds: int, *arguments: str) -> dict[str, float]:
    """Wall milliseconds of a fresh process: the first, and the median and the slowest of the following ones."""
    source = str(Path(kedge.__file__).parents[1])
    command = [sys.executable, "-c", "from kedge.apps.cli import main; raise SystemExit(main())", *arguments, "--state-dir", str(state)]
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": source})
        took.append((time.perf_counter() - begun) * 1e3)
        if done.returncode not in (0, 3):
            raise SystemExit(done.stdout.decode() + done.stderr.decode())
    return {"first_ms": round(took[0], 1), "median_ms": round(statistics.median(took[1:]), 1), "slowest_ms": round(max(took[1:]), 1)}


def function_ms(work: Callable[[], Any], rounds: int) -> dict[str, float]:
    """The same of a function in this process."""
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1e3)
    return {"first_ms": round(took[0], 1), "median_ms": round(statistics.median(took[1:]), 1), "slowest_ms": round(max(took[1:]), 1)}


def measure(state: Path, records: int, rounds: int) -> dict[str, Any]:
    model = keep_model(state)
    path, seconds = write_run(state, model, records)
    mark_ready()
    stores, fills = LineageStores(state=state), fills_of(path)
    found = trace(stores, fills[1])
    if not found.complete or not found.of_kind(NodeKind.DATASET):
        raise SystemExit(f"the chain of {fills[1]} is not complete: {found.missing}")
    decision, prediction = found.of_kind(NodeKind.DECISION)[0].id, found.of_kind(NodeKind.PREDICTION)[0].id
    rows = {f"kedge audit trace {fill} --json": command_ms(state, rounds, "audit", "trace", fill, "--json") for fill in fills}
    middle = fills[len(fills) // 2]
    rows |= {
        "kedge audit trace DECISION --json": command_ms(state, rounds, "audit", "trace", decision, "--json"),
        "kedge audit trace PREDICTION --json": command_ms(state, rounds, "audit", "trace", prediction, "--json"),
        "kedge audit trace MODEL --json": command_ms(state, rounds, "audit", "trace", model, "--json"),
        "kedge audit trace UNKNOWN --json": command_ms(state, rounds, "audit", "trace", "no-such-id", "--json"),
        f"kedge audit trace {middle} --recompute --json": command_ms(state, 1, "audit", "trace", middle, "--recompute", "--json"),
        "kedge status --json, beside them": command_ms(state, rounds, "status", "--json"),
        f"trace({middle}) in a running process": function_ms(lambda: trace(stores, middle), rounds),
    }
    begun = time.perf_counter()
    report = next(orphans(state))
    search_s = time.perf_counter() - begun
    return {
        "records": report.records + 1,
        "predictions": report.predictions,
        "decisions": report.decisions,
        "fills": report.fills,
        "orphans": report.count,
        "journal_mb": round(path.stat().st_size / 1e6),
        "written_s": round(seconds, 1),
        "orphan_search_s": round(search_s, 1),
        "rows": rows,
    }


def table(result: dict[str, Any]) -> str:
    head = (
        f"{result['records']:,} records, {result['predictions']:,} predictions, {result['decisions']:,} decisions, "
        f"{result['fills']:,} fills, {result['journal_mb']:,} MB; written in {result['written_s']} s"
    )
    lines = [head, f"{'wall milliseconds; the limit of a trace is 1,000':<50} {'first':>8} {'median':>8} {'slowest':>8}"]
    lines += [f"{name:<50} {row['first_ms']:>8} {row['median_ms']:>8} {row['slowest_ms']:>8}" for name, row in result["rows"].items()]
    lines.append(f"the search for orphans: {result['orphans']} found, in {result['orphan_search_s']} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--records", type=int, default=RECORDS, help="records in the journal")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; decides which disk is measured")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RECORDS:,} records and few rounds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(Path(folder), QUICK_RECORDS if options.quick else options.records, 1 if options.quick else ROUNDS)
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main()
