"""`kedge train`: a model from files or a synthetic market, kept with its data set and registered in MLflow."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kedge.apps import exit_codes, wiring
from kedge.apps.model_view import draw_trained, trained_payload
from kedge.apps.output import emit, steps
from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.learning.dataset import Dataset
from kedge.learning.model import LabelSpec
from kedge.learning.training_record import LOGISTIC
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.market.intervals import interval_text, parse_interval
from kedge.ops.config import Config, load_config
from kedge.ops.state_folder import data_folder, refuse_full_disk
from kedge.services.market_data import load_market
from kedge.services.training.data import dataset_of, default_leader, first_part, synthetic_dataset
from kedge.services.training.register import Stores, train_and_register
from kedge.services.training.settings import TrainSettings
from kedge.storage.model_names import checked_name
from kedge.storage.snapshots import SnapshotStore

SYNTHETIC_BARS = 8_000
SYNTHETIC_INTERVAL = "1m"
NO_LEADER = "none"
STEPS_BESIDE_FOLDS = 7

Files = Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")]


def train(
    *file: Path,
    funding: Files = None,
    market: Literal["synthetic"] | None = None,
    bars: int | None = None,
    interval: str | None = None,
    train_frac: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    name: str | None = None,
    alias: str | None = None,
    features: str = "core",
    leader: str | None = None,
    kind: Literal["trees", "logistic"] = "trees",
    horizon: int | None = None,
    barrier: float | None = None,
    folds: int | None = None,
    trade_without_skill: bool = False,
    seed: int = 7,
    tz: str | None = None,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train a model, keep it with its frozen data set, and register it in MLflow.

    The same data, settings and code give the same model, to the byte. The figures printed are of rows that the model had not seen.

    Parameters
    ----------
    file
        A file of bars per instrument (CSV, Parquet, Feather, freqtrade JSON), or the hash of an imported one.
    funding
        A file of funding settlements per instrument.
    market
        `synthetic` instead of files.
    bars
        Of each instrument of the synthetic market; 8,000 by default.
    interval
        Length of a bar, such as 15m: of the synthetic market, or what the files must have.
    train_frac
        Learn from this first part of the data's span only, such as 2/3; the rest stays unseen.
    from_
        Learn from bars that open at this time (UTC) or later, such as 2025-01-01.
    to
        Learn from bars that close at this time (UTC) or earlier.
    name
        The model's name; venue and interval by default, such as bybit-linear-15m.
    alias
        Set this alias; by default the first model of a name becomes `champion`, a later one `challenger`.
    features
        A feature set that ships.
    leader
        The instrument that cross-instrument features follow, or `none`; bitcoin, or the first of several, by default.
    kind
        Boosted trees or a logistic model; the logistic one is always fitted beside the trees, for comparison.
    horizon
        Bars until a label ends at the latest.
    barrier
        Distance of the barriers in volatilities over the horizon.
    folds
        Walk-forward folds.
    trade_without_skill
        Let the model trade even where its scores say nothing about outcomes; for demonstrations.
    seed
        Of the training, and of the synthetic market.
    tz
        Zone of times in the files that name none, such as UTC+3.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    chosen = load_config(config, flags={"state_dir": state_dir})
    refuse_full_disk(_made(chosen.state_folder))
    if name is not None:
        checked_name(name)
    wiring.checked_seed(seed)
    dataset = _data(chosen, file, funding or [], market, bars, interval, seed, tz)
    dataset = _cut(dataset, train_frac, from_, to)
    settings = TrainSettings(
        kind=kind,
        features=features,
        leader=_leader(dataset, leader),
        label=_label(horizon, barrier),
        folds=TrainSettings().folds if folds is None else folds,
        trade_without_skill=trade_without_skill,
        seed=seed,
    )
    stores, called = Stores.of(chosen.state_folder), name or _default_name(dataset, market)
    with steps("training", _steps(settings)) as say:
        trained, registered = train_and_register(dataset, settings, name=called, stores=stores, alias=alias, progress=say, note=_note)
    payload = trained_payload(trained, registered)
    emit(payload, as_json, lambda target: draw_trained(target, payload))
    return exit_codes.OK


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _data(
    config: Config,
    files: tuple[Path, ...],
    funding: list[Path],
    market: str | None,
    bars: int | None,
    interval: str | None,
    seed: int,
    tz: str | None,
) -> Dataset:
    if bool(files) == (market is not None):
        raise InvalidInput(
            "files and --market synthetic together" if files else "no file was given",
            why="a model is trained on the bars of files, or on a synthetic market",
            fix="kedge train FILE..., or kedge train --market synthetic",
        )
    if files:
        if bars is not None:
            raise InvalidInput(f"--bars is {bars}", why="files have the bars they have", fix="--train-frac, --from or --to cut them")
        loaded = load_market(files, funding, store=SnapshotStore(data_folder(config.state_folder)), tz=tz)
        _same_interval(interval, loaded.interval_ns)
        return dataset_of(loaded)
    if funding:
        raise InvalidInput("--funding with a synthetic market", why="it has settlements of its own", fix="leave --funding out")
    return _synthetic(config, bars, interval or SYNTHETIC_INTERVAL, seed)


def _synthetic(config: Config, bars: int | None, interval: str, seed: int) -> Dataset:
    interval_ns = parse_interval(interval) * NS_PER_MS
    instruments = [_shipped(name) for name in config.settings.demo.instruments]
    start_ts_ns = max(one.valid_from_ns for one in instruments) // interval_ns * interval_ns
    count = SYNTHETIC_BARS if bars is None else bars
    return synthetic_dataset(instruments, seed=seed, bars=count, interval_ns=interval_ns, start_ts_ns=start_ts_ns)


def _shipped(symbol: str) -> Instrument:
    records = CATALOGUE.get(f"{VENUE}:{symbol}")
    if not records:
        known = ", ".join(sorted(name.partition(":")[2] for name in CATALOGUE))
        raise InvalidInput(f"demo.instruments holds {symbol!r}", why=f"records ship for {known}", fix="name one of these")
    return records[-1]


def _same_interval(interval: str | None, interval_ns: int) -> None:
    if interval is not None and parse_interval(interval) * NS_PER_MS != interval_ns:
        raise InvalidInput(
            f"--interval is {interval}", why=f"the files hold bars of {interval_text(interval_ns // NS_PER_MS)}", fix="leave it out"
        )


def _cut(dataset: Dataset, fraction: str | None, first: str | None, last: str | None) -> Dataset:
    if first or last:
        dataset = dataset.take(_time_ns("--from", first), _time_ns("--to", last))
    return first_part(dataset, fraction) if fraction else dataset


def _time_ns(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} is {text!r}", why="not a date or time", fix="such as 2025-01-01 or 2025-01-01T12:00Z") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()) * 1_000 * NS_PER_MS


def _leader(dataset: Dataset, named: str | None) -> str:
    if named is None:
        return default_leader(dataset.instruments)
    if named == NO_LEADER:
        return ""
    return next((one for one in dataset.instruments if named in (one, one.partition(":")[2])), named)


def _label(horizon: int | None, barrier: float | None) -> LabelSpec:
    usual = TrainSettings().label
    return LabelSpec(
        horizon_bars=usual.horizon_bars if horizon is None else horizon,
        barrier_vols=usual.barrier_vols if barrier is None else barrier,
        volatility_bars=usual.volatility_bars,
    )


def _default_name(dataset: Dataset, market: str | None) -> str:
    venue = market or dataset.instruments[0].partition(":")[0]
    return f"{venue}-{interval_text(dataset.interval_ns // NS_PER_MS)}"


def _steps(settings: TrainSettings) -> int:
    """Steps that a training announces: those around the folds, and one per fold and learner."""
    return STEPS_BESIDE_FOLDS + settings.folds * (1 if settings.kind == LOGISTIC else 2)


def _note(words: str) -> None:
    print(f"note: {words}", file=sys.stderr, flush=True)
