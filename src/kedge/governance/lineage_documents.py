"""From documents to nodes: model, training, commit, feature set, data set, raw files.

Models and data sets are read here for what lineage shows of them, by field name, so that no document needs the compiled laws. Whether their
bytes are those of their names was checked by whoever read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from kedge.domain.errors import IntegrityError
from kedge.domain.record import DataSource
from kedge.governance.lineage import Node, NodeKind, key_of
from kedge.governance.lineage_words import span_text
from kedge.learning.operators import OPERATORS, Operator
from kedge.learning.training_record import TrainingRecord

COMMIT_UNKNOWN: Final = "unknown"
_FIGURES_SHOWN: Final = 12

T = TypeVar("T")


class FeatureSetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of its features; each is plain data (operator, windows, whose price)."""

    name: str
    version: int
    features: tuple[dict[str, Any], ...]


class TreesFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a model's trees only where they begin; the rest is the scorer's."""

    roots: tuple[int, ...]


class LogisticFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of a logistic model only its weights."""

    weights: tuple[float, ...]


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which calibration a model uses."""

    method: str


class PolicyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """From which probability on a model's word is traded on."""

    long_above: float
    short_below: float
    exit_at: float


class LabelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was taught to foresee."""

    horizon_bars: int
    barrier_vols: float
    volatility_bars: int


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What lineage shows of a model document."""

    name: str
    feature_set: FeatureSetFacts
    feature_set_sha256: str
    label: LabelFacts
    policy: PolicyFacts
    calibration: CalibrationFacts
    interval_ns: int
    dataset_sha256: str
    settings_sha256: str
    seed: int
    trees: TreesFacts | None = None
    logistic: LogisticFacts | None = None


class RegisteredFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A model's version and place in the registry, as written down beside it."""

    name: str
    version: int
    run_id: str = ""
    aliases: tuple[str, ...] = ()


class PartFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's share of a data set."""

    instrument: str
    sources: tuple[DataSource, ...]
    rows: int
    gaps: int
    missing_bars: int
    quarantined: dict[str, int]
    columns_sha256: str
    funding_rows: int
    funding_sources: tuple[DataSource, ...]
    funding_sha256: str


class DatasetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What lineage shows of a data set's manifest."""

    interval_ns: int
    rows: int
    first_ts_ns: int
    last_ts_ns: int
    parts: tuple[PartFacts, ...]
    format: str

    def columns(self) -> Iterator[tuple[str, str]]:
        """`(what, SHA-256)` of the bytes that the manifest names."""
        for part in self.parts:
            yield f"bars of {part.instrument}", part.columns_sha256
            yield f"settlements of {part.instrument}", part.funding_sha256


def read_document(data: bytes, kind: type[T], what: str) -> T:
    """A document's facts.

    Raises
    ------
    IntegrityError
        The bytes are no such document.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fix = "keep it as evidence, restore it from a backup"
        raise IntegrityError(f"{what} cannot be read: {error}", why="another format, or cut", fix=fix) from None


def feature_names(features: Iterable[dict[str, Any]]) -> list[str]:
    """The features' names, in the model's order."""
    return [str(feature.get("name", n)) for n, feature in enumerate(features, 1)]


def model_node(sha256: str, model: ModelFacts, registered: RegisteredFacts | None) -> Node:
    """A model: version and alias, kind, calibration, thresholds and what it foresees."""
    version = f"{registered.name}/{registered.version}" if registered else ""
    kind = f"{len(model.trees.roots)} trees" if model.trees else "logistic"
    label, policy = model.label, model.policy
    facts = {
        "version": version or "not registered",
        "aliases at registration": ", ".join(registered.aliases) if registered else "",
        "kind": kind,
        "calibration": model.calibration.method,
        "foresees": f"{label.barrier_vols:g} volatilities up or down within {label.horizon_bars} bars of {span_text(model.interval_ns)}",
        "thresholds": f"long above {policy.long_above!r}, short below {policy.short_below!r}, out at {policy.exit_at!r}",
        "features": f"{model.feature_set.name} v{model.feature_set.version}, {len(model.feature_set.features)}",
        "seed": str(model.seed),
        "training settings": model.settings_sha256,
        "sha256": sha256,
    }
    return _document(NodeKind.MODEL, sha256, f"{version or model.name}: {kind}, {model.calibration.method} calibration", facts)


def training_node(sha256: str, training: TrainingRecord, registered: RegisteredFacts | None) -> Node:
    """A training: rows, out-of-fold figures beside the baseline's, environment, and MLflow's run."""
    figures = {f"out of fold, {name}": value for name, value in list(training.figures.items())[:_FIGURES_SHOWN]}
    baseline = {f"baseline, {name}": value for name, value in list(training.baseline.items())[:_FIGURES_SHOWN]}
    demo = "FOR DEMONSTRATION ONLY: it trades whether or not it has learned anything" if training.trades_without_skill else ""
    facts = {
        "kind": training.kind,
        "trades without skill": demo,
        "rows": f"{training.rows}, worth {training.effective_rows} that do not overlap",
        **{f"data, {name}": text for name, text in training.data.items()},
        **figures,
        **baseline,
        **{f"calibration, {name}": text for name, text in training.calibration.items()},
        "seed": str(training.seed),
        "training settings": training.settings_sha256,
        "environment": ", ".join(f"{k} {v}" for k, v in msgspec.structs.asdict(training.environment).items() if v),
        "MLflow run": registered.run_id if registered else "",
        "sha256": sha256,
    }
    title = f"trained {training.name} ({training.kind}) on {training.rows} rows"
    return _document(NodeKind.TRAINING, sha256, title, facts, training.trained_ts_ns)


def commit_node(training: TrainingRecord, *, running_code: str = "") -> Node:
    """The code that trained, by commit where it is known and by the hash of its sources always."""
    known = training.commit if training.commit_known else COMMIT_UNKNOWN
    same = "" if not running_code else "the same" if running_code == training.code_sha256 else "other sources than those that trained"
    facts = {"commit": known, "sources": training.code_sha256, "version": training.engine_version, "code of the run": same}
    title = f"commit {known[:12]}, version {training.engine_version}"
    return _document(NodeKind.COMMIT, training.commit if training.commit_known else training.code_sha256, title, facts)


def feature_set_node(sha256: str, features: FeatureSetFacts) -> Node:
    """A feature set: what each feature computes, in the model's order."""
    facts = dict(zip(feature_names(features.features), map(_formula, features.features), strict=True))
    title = f"{features.name} v{features.version}: {len(facts)} features"
    return _document(NodeKind.FEATURE_SET, sha256, title, {**facts, "sha256": sha256})


def dataset_node(sha256: str, dataset: DatasetFacts) -> Node:
    """A frozen data set: per instrument its rows, gaps and what was set aside."""
    facts = {"interval": span_text(dataset.interval_ns), "rows": str(dataset.rows)}
    for part in dataset.parts:
        aside = sum(part.quarantined.values())
        facts[part.instrument] = (
            f"{part.rows} bars, {part.gaps} gaps of {part.missing_bars} bars, {aside} rows set aside, {part.funding_rows} settlements"
        )
        facts[f"{part.instrument}, bars"] = part.columns_sha256
        facts[f"{part.instrument}, settlements"] = part.funding_sha256
    facts["sha256"] = sha256
    span = span_text(dataset.last_ts_ns - dataset.first_ts_ns)
    title = f"{dataset.rows} bars of {len(dataset.parts)} instruments over {span}"
    return _document(NodeKind.DATASET, sha256, title, facts, dataset.first_ts_ns)


def raw_file_node(source: DataSource) -> Node:
    """A raw file, by the hash of its content."""
    facts = {"file": source.label, "instrument": source.instrument, "rows": str(source.rows), "sha256": source.sha256}
    return _document(NodeKind.RAW_FILE, source.sha256, f"{source.label}: {source.rows} rows", facts, source.first_ts_ns)


def disagreements(sha256: str, model: ModelFacts, training: TrainingRecord) -> list[str]:
    """Where a model and the record of its training do not say the same."""
    pairs = (
        ("model", sha256, training.model_sha256),
        ("data set", model.dataset_sha256, training.dataset_sha256),
        ("feature set", model.feature_set_sha256, training.feature_set_sha256),
        ("settings", model.settings_sha256, training.settings_sha256),
        ("seed", str(model.seed), str(training.seed)),
    )
    return [f"its {what} is {told[:16]}, the model's {own[:16]}" for what, own, told in pairs if own != told]


def _formula(feature: dict[str, Any]) -> str:
    """The operator by name with its windows, and the leader where it reads one: 'ema_gap(8, 32)', 'leader_return(4) of X:BTCUSDT'."""
    number = feature.get("operator")
    if number not in list(Operator):
        return f"operator {number}"
    operator = Operator(number)
    windows = [str(feature.get(name, "?")) for name in ("window", "second")][: OPERATORS[operator].windows]
    leader = f" of {feature['of']}" if feature.get("of") else ""
    return operator.name.lower() + (f"({', '.join(windows)})" if windows else "") + leader


def _document(kind: NodeKind, node_id: str, title: str, facts: dict[str, str], at_ts_ns: int | None = None) -> Node:
    kept = {label: text for label, text in facts.items() if text}
    return Node(key=key_of(kind, node_id), kind=kind, id=node_id, title=title, facts=kept, at_ts_ns=at_ts_ns)
