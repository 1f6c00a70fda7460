"""What is said of a training's figures: never more than they hold."""

from __future__ import annotations

import msgspec
from tests.unit.storage.models import a_model, a_record

from kedge.services.training.words import verdict


def said(**facts: object) -> str:
    return "\n".join(verdict(msgspec.structs.replace(a_record(a_model()), **facts)))


def figures(brier: float, skill: float) -> dict[str, str]:
    return {"auc": "0.51", "brier": f"{brier}", "brier_skill": f"{skill}"}


def test_skill_at_or_below_zero_is_called_none() -> None:
    for skill in (-0.01, 0.0):
        assert "No better than always saying the base rate" in said(figures=figures(0.25, skill))
    assert "A little better than always saying the base rate" in said(figures=figures(0.24, 0.01))


def test_trees_stand_beside_the_logistic_baseline_and_a_tie_is_no_win() -> None:
    for brier, words in (
        (0.24, "Better than the logistic"),
        (0.25, "Not better than the logistic"),
        (0.26, "Not better than the logistic"),
    ):
        assert words in said(kind="trees", figures=figures(brier, 0.0), baseline=figures(0.25, 0.0))
    assert "baseline" not in said(kind="logistic")


def test_an_unknown_commit_and_a_flat_calibration_are_said() -> None:
    assert "commit" not in said()
    assert "The commit of the code is not known" in said(commit="", commit_known=False)
    flat = {"flat": "yes"}
    assert "It does not trade." in said(calibration=flat)
    assert "It trades all the same" in said(calibration=flat, settings={"trade_without_skill": True})


def test_a_model_for_demonstrations_says_so_whatever_its_figures() -> None:
    words = "FOR DEMONSTRATION ONLY"
    assert words not in said()
    for calibration in ({"flat": "yes"}, {"flat": "no"}):
        assert words in said(calibration=calibration, settings={"trade_without_skill": True})


def test_a_calibration_that_the_base_rate_beats_is_said() -> None:
    judged = {"method": "platt", "flat": "no", "brier platt": "0.251", "brier none": "0.26"}
    assert "no better than the base rate on the later" in said(calibration={**judged, "brier base rate": "0.251"})
    assert "no better than the base rate on the later" not in said(calibration={**judged, "brier base rate": "0.252"})


def test_costs_and_overlap_are_never_left_out() -> None:
    assert "1,000 labels overlap and are worth about 126 independent ones; no figure here holds costs" in said(effective_rows="125.6")
