"""A training in words: what its figures do and do not promise. The same sentences on the terminal, in JSON and on the model's card."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.learning.training_record import LOGISTIC, TrainingRecord


def verdict(record: TrainingRecord) -> tuple[str, ...]:
    """Sentences for a person who is about to trust the model."""
    said = [_skill(record.figures), *_beside_baseline(record), *_calibrated(record)]
    said.append(
        f"{record.rows:,} labels overlap and are worth about {float(record.effective_rows):,.0f} independent ones; "
        "no figure here holds costs: a backtest and a trial on later data do."
    )
    if not record.commit_known:
        said.append("The commit of the code is not known (no checkout, no KEDGE_GIT_SHA); the hash of its sources is.")
    return tuple(said)


def _calibrated(record: TrainingRecord) -> list[str]:
    """What calibration found, and whether the model trades on nothing."""
    demo, is_flat = record.trades_without_skill, record.calibration.get("flat", "no") != "no"
    said = []
    if is_flat:
        then = "It trades all the same, on raw probabilities." if demo else "It does not trade."
        said.append(f"Its calibration is flat: out-of-fold scores say nothing about outcomes. {then}")
    elif (judged := _judged(record.calibration)) is not None and judged[0] >= judged[1]:
        own, base = judged
        said.append(f"Calibrated, it was no better than the base rate on the later out-of-fold rows (Brier {own:.6f} against {base:.6f}).")
    if demo:
        said.append("FOR DEMONSTRATION ONLY: it was trained to trade whether or not it has learned anything (trade_without_skill).")
    return said


def _judged(calibration: Mapping[str, str]) -> tuple[float, float] | None:
    """Brier score of the chosen calibration and of the base rate, on the rows that judged them; None where they are not known."""
    own, base = calibration.get(f"brier {calibration.get('method')}"), calibration.get("brier base rate")
    return None if own is None or base is None else (float(own), float(base))


def _skill(figures: Mapping[str, str]) -> str:
    skill, auc = float(figures["brier_skill"]), float(figures["auc"])
    told = f"out of fold, before calibration: Brier skill {skill:+.4f}, AUC {auc:.4f}"
    if skill <= 0.0:
        return f"No better than always saying the base rate ({told})."
    return f"A little better than always saying the base rate ({told}); whether that pays the costs is another question."


def _beside_baseline(record: TrainingRecord) -> tuple[str, ...]:
    if record.kind == LOGISTIC:
        return ()
    own, baseline = float(record.figures["brier"]), float(record.baseline["brier"])
    if own < baseline:
        return (f"Better than the logistic baseline on the same folds (Brier {own:.6f} against {baseline:.6f}).",)
    return (f"Not better than the logistic baseline on the same folds (Brier {own:.6f} against {baseline:.6f}): try --kind logistic.",)
