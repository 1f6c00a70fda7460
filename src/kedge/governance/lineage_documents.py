"""From documents to nodes: model, training, commit, feature set, data set, raw files.

Whether a document's bytes are those of its name was checked by whoever read it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.record import DataSource
from kedge.governance.lineage import Node, NodeKind, key_of
from kedge.governance.lineage_words import span_text
from kedge.learning.dataset_manifest import DatasetManifest
from kedge.learning.feature import Feature
from kedge.learning.model import FeatureSetSpec, Model
from kedge.learning.operators import OPERATORS
from kedge.learning.training_record import TrainingRecord

COMMIT_UNKNOWN: Final = "unknown"
_FIGURES_SHOWN: Final = 12


class RegisteredFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A model's version and place in the registry, as written down beside it."""

    name: str
    version: int
    run_id: str = ""
    aliases: tuple[str, ...] = ()


def model_node(sha256: str, model: Model, registered: RegisteredFacts | None) -> Node:
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


def feature_set_node(sha256: str, features: FeatureSetSpec) -> Node:
    """A feature set: what each feature computes, in the model's order."""
    facts = {feature.name: _formula(feature) for feature in features.features}
    title = f"{features.name} v{features.version}: {len(facts)} features"
    return _document(NodeKind.FEATURE_SET, sha256, title, {**facts, "sha256": sha256})


def dataset_node(sha256: str, dataset: DatasetManifest) -> Node:
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


def disagreements(sha256: str, model: Model, training: TrainingRecord) -> list[str]:
    """Where a model and the record of its training do not say the same."""
    pairs = (
        ("model", sha256, training.model_sha256),
        ("data set", model.dataset_sha256, training.dataset_sha256),
        ("feature set", model.feature_set_sha256, training.feature_set_sha256),
        ("settings", model.settings_sha256, training.settings_sha256),
        ("seed", str(model.seed), str(training.seed)),
    )
    return [f"its {what} is {told[:16]}, the model's {own[:16]}" for what, own, told in pairs if own != told]


def _formula(feature: Feature) -> str:
    """The operator by name with its windows, and the leader where it reads one: 'ema_gap(8, 32)', 'leader_return(4) of X:BTCUSDT'."""
    windows = [str(feature.window), str(feature.second)][: OPERATORS[feature.operator].windows]
    leader = f" of {feature.of}" if feature.of else ""
    return feature.operator.name.lower() + (f"({', '.join(windows)})" if windows else "") + leader


def _document(kind: NodeKind, node_id: str, title: str, facts: dict[str, str], at_ts_ns: int | None = None) -> Node:
    kept = {label: text for label, text in facts.items() if text}
    return Node(key=key_of(kind, node_id), kind=kind, id=node_id, title=title, facts=kept, at_ts_ns=at_ts_ns)
