"""What `kedge train` and `kedge model` say of a model: plain data for JSON, and a card for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from kedge.apps.output import print_rows
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.learning.model import Model
from kedge.learning.training_record import LOGISTIC, TrainingRecord
from kedge.market.intervals import interval_text, utc_text
from kedge.services.training.words import verdict

if TYPE_CHECKING:
    from rich.console import Console

    from kedge.services.training.train import Trained
    from kedge.storage.model_store import Registered

SHORT = 12
FIGURES = (
    ("auc", "AUC (0.5 knows nothing)"),
    ("brier", "Brier score (less is better)"),
    ("brier_skill", "Brier skill over the base rate"),
    ("log_loss", "log loss (less is better)"),
    ("hit_rate", "hit rate (side of 0.5 that came)"),
    ("ece", "calibration error"),
)


def model_payload(sha256: str, model: Model, record: TrainingRecord) -> dict[str, Any]:
    """All that is known of a model, from its document and the record of its training."""
    return {
        "model_sha256": sha256,
        "name": model.name,
        "kind": record.kind,
        "interval": interval_text(model.interval_ns // NS_PER_MS),
        "trained": f"{trained_text(record)} UTC",
        "verdict": list(verdict(record)),
        "trades_without_skill": record.trades_without_skill,
        "figures": record.figures,
        "baseline": record.baseline,
        "folds": [{**msgspec.structs.asdict(one), "from": _utc(one.test_from_ns), "to": _utc(one.test_to_ns)} for one in record.folds],
        "rows": record.rows,
        "effective_rows": record.effective_rows,
        "calibration": record.calibration,
        "policy": {name: f"{value:.6f}" for name, value in msgspec.structs.asdict(model.policy).items()},
        "label": msgspec.structs.asdict(model.label),
        "barrier_frac": f"{model.barrier_frac:.6f}",
        "features": [feature.name for feature in model.feature_set.features],
        "feature_set": f"{model.feature_set.name} version {model.feature_set.version}",
        "feature_set_sha256": model.feature_set_sha256,
        "dataset_sha256": model.dataset_sha256,
        "data": record.data,
        "settings": record.settings,
        "settings_sha256": model.settings_sha256,
        "seed": model.seed,
        "commit": record.commit or None,
        "code_sha256": record.code_sha256,
        "engine_version": record.engine_version,
        "environment": msgspec.structs.asdict(record.environment),
        "seconds": record.seconds,
    }


def trained_text(record: TrainingRecord) -> str:
    """When, to the second, UTC."""
    return utc_text(record.trained_ts_ns // NS_PER_S * 1_000)


def registered_payload(registered: Registered | None) -> dict[str, Any]:
    """Version and aliases; nulls where a model was never registered."""
    if registered is None:
        return {"version": None, "version_text": None, "aliases": [], "mlflow_run": None}
    return {
        "version": registered.version,
        "version_text": registered.version_text,
        "aliases": list(registered.aliases),
        "mlflow_run": registered.run_id or None,
    }


def trained_payload(trained: Trained, registered: Registered) -> dict[str, Any]:
    """The answer of `kedge train`."""
    return {
        "schema": "kedge/train/v1",
        **model_payload(trained.model_sha256, trained.model, trained.record),
        **registered_payload(registered),
    }


def draw_trained(target: Console, payload: dict[str, Any]) -> None:
    """A fresh model: its name, what it saw, how it did out of fold, and what that is worth."""
    seconds = sum(float(value) for value in payload["seconds"].values())
    print_rows(target, ("model", "value"), [*_identity(payload), ("trained in", f"{seconds:.1f} s")])
    _figures(target, payload)
    _sentences(target, payload["verdict"])
    name = payload["version_text"]
    target.print(
        f"next: kedge model show {name} - kedge backtest run --model {name} --data FILE (of bars that it has not seen)", markup=False
    )


def draw_card(target: Console, payload: dict[str, Any]) -> None:
    """A model's card."""
    print_rows(target, ("model", "value"), _identity(payload))
    _sentences(target, payload["verdict"])
    _figures(target, payload)
    folds = (
        (n, one["from"], one["to"], one["train_rows"], one["test_rows"], one["figures"].get("auc", "-"), one["baseline"].get("auc", "-"))
        for n, one in enumerate(payload["folds"], 1)
    )
    print_rows(target, ("fold", "test from", "to", "learned from", "tested on", "AUC", "logistic AUC"), folds)
    print_rows(target, ("calibration", "value"), payload["calibration"].items())
    print_rows(target, ("policy", "probability"), payload["policy"].items())
    print_rows(target, ("label", "value"), [*payload["label"].items(), ("mean barrier, fraction of price", payload["barrier_frac"])])
    print_rows(target, ("data", "value"), [("data set", payload["dataset_sha256"]), *payload["data"].items()])
    print_rows(
        target, ("features", "value"), [(payload["feature_set"], payload["feature_set_sha256"]), ("names", " ".join(payload["features"]))]
    )
    made = [("commit", payload["commit"] or "unknown"), ("code", payload["code_sha256"]), ("settings", payload["settings_sha256"])]
    print_rows(target, ("made with", "value"), [*made, ("seed", payload["seed"]), *payload["environment"].items()])


def _identity(payload: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        ("version", payload["version_text"] or "never registered"),
        ("aliases", ", ".join(payload["aliases"]) or "none"),
        ("hash", payload["model_sha256"]),
        ("kind", f"{payload['kind']}, bars of {payload['interval']}, {payload['feature_set']}"),
        ("instruments", payload["data"]["instruments"]),
        ("span", f"{payload['data']['first']} to {payload['data']['last']} UTC, {payload['data']['bars']} bars"),
        ("labels", f"{payload['rows']}, worth {payload['effective_rows']} independent ones"),
        ("data set", payload["dataset_sha256"]),
        ("trained", payload["trained"]),
    ]


def _figures(target: Console, payload: dict[str, Any]) -> None:
    own, baseline, base = payload["figures"], payload["baseline"], _base_figures(payload["figures"])
    rows = ((words, own.get(key, "-"), baseline.get(key, "-"), base.get(key, "-")) for key, words in FIGURES)
    print_rows(target, ("out of fold, before calibration", payload["kind"], f"{LOGISTIC} baseline", "always the base rate"), rows)


def _base_figures(own: dict[str, str]) -> dict[str, str]:
    """What always saying the base rate of the tested rows would score; it is never right on fewer of them than the rarer side has."""
    rate = float(own["base_rate"]) if "base_rate" in own else None
    found = {"auc": "0.500000", "brier": own.get("brier_base"), "brier_skill": "0.000000", "log_loss": own.get("log_loss_base")}
    hit_rate = None if rate is None else f"{max(rate, 1.0 - rate):.6f}"
    return {key: value for key, value in {**found, "hit_rate": hit_rate}.items() if value is not None}


def _sentences(target: Console, sentences: list[str]) -> None:
    for sentence in sentences:
        target.print(f"- {sentence}", markup=False, highlight=False)


def _utc(ts_ns: int) -> str:
    return utc_text(ts_ns // NS_PER_MS)
