"""From raw scores to probabilities that mean what they say: Platt, isotonic or neither, chosen on later data by Brier score.

Rules: fitted on out-of-fold scores only, in time order; a candidate is fitted on the earlier labels that ended before the later ones
began, judged on the later ones, and the winner is fitted once more on all. No candidate may turn the model's order round: where scores
and outcomes run against each other, the map is flat (the model knows nothing). scikit-learn does the fitting (on
one thread of its linear algebra, if the last bits are to repeat); the frozen map is ours.
Sources: Platt (1999), without smoothing of targets; Zadrozny and Elkan (2002) for isotonic.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.evaluation import brier
from kedge.learning.features import Float64Array, Int64Array
from kedge.learning.model import Calibration
from kedge.learning.scorer import Calibrator

NONE: Final = Calibration(method="none")
FIT_FRAC: Final = 2 / 3
ISOTONIC_ROWS_MIN: Final = 1_000
"""Fewer points than this and isotonic regression follows the noise."""

_RIDGE: Final = 1e-10
"""Keeps the optimum finite where scores part the outcomes perfectly; moves no digit that is printed elsewhere."""


class CalibrationChoice(NamedTuple):
    """What was chosen, and how each candidate did on the later part.

    Attributes
    ----------
    briers : dict of str to float
        Weighted Brier score on the later part by method; a candidate that could not be fitted is absent.
    brier_base : float
        Of always saying the earlier part's base rate.
    rows_fitted, rows_judged : int
        Rows of the earlier part (after purging) and of the later one.
    why : str
        One sentence for people.
    """

    calibration: Calibration
    briers: dict[str, float]
    brier_base: float
    rows_fitted: int
    rows_judged: int
    why: str


def fit_calibration(
    scores: Float64Array, y: Float64Array, weights: Float64Array, t0_ns: Int64Array, t1_ns: Int64Array, *, fit_frac: float = FIT_FRAC
) -> CalibrationChoice:
    """Choose and fit the map from score to probability.

    Parameters
    ----------
    scores, y, weights : float64 array, shape (n,)
        Out-of-fold raw scores, outcomes 0 or 1, and positive weights.
    t0_ns, t1_ns : int64 array, shape (n,)
        When each label begins and ends; rows may come in any order.
    fit_frac : float
        Share of the rows, by time, that candidates are fitted on.

    Raises
    ------
    InvalidInput
        No rows, lengths that differ, or a score that is not finite.
    """
    _check(scores, y, weights, t0_ns, t1_ns)
    cut_ns = int(np.sort(t0_ns, kind="stable")[min(int(len(t0_ns) * fit_frac), len(t0_ns) - 1)])
    early, late = t1_ns < cut_ns, t0_ns >= cut_ns
    candidates = fit_candidates(scores[early], y[early], weights[early])
    judged = (y[late], weights[late])
    briers = {one.method: brier(Calibrator(one).batch(scores[late]), *judged) for one in candidates}
    base = np.average(y[early], weights=weights[early]) if early.any() else 0.5
    best = min(briers, key=lambda method: briers[method])  # the first of equals: the simplest
    final = next((one for one in fit_candidates(scores, y, weights) if one.method == best), NONE)
    told = ", ".join(f"{method} {value:.6f}" for method, value in briers.items())
    return CalibrationChoice(
        calibration=final,
        briers=briers,
        brier_base=brier(np.full(int(late.sum()), base), *judged),
        rows_fitted=int(early.sum()),
        rows_judged=int(late.sum()),
        why=f"{best} has the lowest Brier score on the later {int(late.sum())} rows ({told})",
    )


def fit_candidates(scores: Float64Array, y: Float64Array, weights: Float64Array) -> list[Calibration]:
    """The maps that these rows allow, simplest first: `none` always, the others where both outcomes occur."""
    found = [NONE]
    if not 0 < int((y > 0.5).sum()) < len(y):
        return found
    found.append(fit_platt(scores, y, weights))
    if len(y) >= ISOTONIC_ROWS_MIN:
        found.append(fit_isotonic(scores, y, weights))
    return found


def fit_platt(scores: Float64Array, y: Float64Array, weights: Float64Array) -> Calibration:
    """Logistic regression on the score by maximum likelihood; flat at the base rate where the slope would not be positive."""
    from sklearn.linear_model import LogisticRegression  # seconds of import that only training pays

    centre, spread = float(np.average(scores, weights=weights)), float(scores.std())
    base = float(np.average(y, weights=weights))
    flat = Calibration(method="platt", slope=0.0, intercept=math.log(base / (1.0 - base)))
    if not scores.max() > scores.min():  # the deviation of equal numbers is not always 0
        return flat
    fitted = LogisticRegression(C=1.0 / _RIDGE, solver="newton-cholesky", tol=1e-10, max_iter=1_000)
    fitted.fit(((scores - centre) / spread).reshape(-1, 1), y, sample_weight=weights)
    slope = float(fitted.coef_[0, 0]) / spread
    if not slope > 0.0:
        return flat
    return Calibration(method="platt", slope=slope, intercept=float(fitted.intercept_[0]) - slope * centre)


def fit_isotonic(scores: Float64Array, y: Float64Array, weights: Float64Array) -> Calibration:
    """Rising steps joined by straight lines; probabilities stay 1/(n+2) away from 0 and 1, since n rows prove no certainty."""
    from sklearn.isotonic import IsotonicRegression

    floor = 1.0 / (len(y) + 2)
    fitted = IsotonicRegression(y_min=floor, y_max=1.0 - floor, increasing=True, out_of_bounds="clip").fit(scores, y, weights)
    return Calibration(
        method="isotonic",
        scores=tuple(np.asarray(fitted.X_thresholds_, np.float64).tolist()),
        probabilities=tuple(np.asarray(fitted.y_thresholds_, np.float64).tolist()),
    )


def _check(scores: Float64Array, y: Float64Array, weights: Float64Array, t0_ns: Int64Array, t1_ns: Int64Array) -> None:
    lengths = {len(column) for column in (scores, y, weights, t0_ns, t1_ns)}
    if len(lengths) != 1 or not len(scores):
        raise InvalidInput(f"calibration from columns of {sorted(lengths)} rows", why="one each, at least one", fix="pass out-of-fold rows")
    if not bool(np.isfinite(scores).all()):
        raise InvalidInput("a score is not finite", why="only rows with an out-of-fold score can calibrate", fix="drop the others")
