"""Fitting GARCH(1,1) with Student-t errors by `arch`, deterministic, with failure as a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from kedge.risk.var.filters import garch_filter
from kedge.risk.var.measure import Float64Array, checked_returns

SCALE: Final = 100.0
"""Returns in per cent: the optimiser's own units."""
LEAST_FIT_ROWS: Final = 250
PERSISTENCE_MAX: Final = 0.9999
"""From here variance has no long run to speak of: half of a shock would live 19 years."""
ITERATIONS: Final = 1_000
START_ALPHA: Final = 0.08
START_PERSISTENCE: Final = 0.97
START_NU: Final = 6.0


class GarchFit(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted filter, in units of the returns themselves (not per cent).

    Attributes
    ----------
    omega, alpha, beta : float
    nu : float, optional
        Degrees of freedom of the Student-t errors; None for normal ones.
    first_variance : float
        Before the first return it was fitted to; a filter over the same rows starts there.
    loglik : float
        Of returns in per cent.
    rows : int
    """

    omega: float
    alpha: float
    beta: float
    nu: float | None
    first_variance: float
    loglik: float
    rows: int

    def variances(self, returns: Sequence[float] | Float64Array) -> Float64Array:
        """The filter over `returns`, shape (n + 1,); the last entry is the forecast."""
        return garch_filter(returns, self.omega, self.alpha, self.beta, first=self.first_variance)

    def sigma(self, returns: Sequence[float] | Float64Array) -> Float64Array:
        """Its square root."""
        return np.sqrt(self.variances(returns))


class FitFailed(msgspec.Struct, frozen=True):
    """No fit, and why."""

    why: str


def fit_garch_t(returns: Sequence[float] | Float64Array, *, normal: bool = False, iterations: int = ITERATIONS) -> GarchFit | FitFailed:
    """Maximum likelihood of GARCH(1,1), zero mean, Student-t errors (or normal ones), from fixed starting values.

    The variance before the sample is the mean square, as in `garch_filter`. Bounded to stationary parameters by `arch`;
    a persistence of 0.9999 or more, an optimiser that does not converge, or a warning from it is a failure.

    Raises
    ------
    InvalidInput
        Returns that are not finite or not one series; too few rows or returns that do not vary are a `FitFailed`.
    """
    values = checked_returns(returns)
    if values.size < LEAST_FIT_ROWS:
        return FitFailed(f"{values.size} rows, at least {LEAST_FIT_ROWS} are needed")
    scaled = values * SCALE
    variance = float(np.square(scaled).mean())
    if float(scaled.std()) < 1e-6:
        return FitFailed("returns do not vary")
    result = _fitted(scaled, variance, normal, iterations)
    if isinstance(result, str):
        return FitFailed(result)
    told = np.asarray(result.params, dtype=np.float64)
    omega, alpha, beta = told[:3].tolist()
    if alpha + beta >= PERSISTENCE_MAX:
        return FitFailed(f"alpha + beta is {alpha + beta:.6f}: variance has no long run")
    return GarchFit(
        omega=omega / SCALE**2,
        alpha=alpha,
        beta=beta,
        nu=None if normal else float(told[3]),
        first_variance=(omega + (alpha + beta) * variance) / SCALE**2,
        loglik=float(result.loglikelihood),
        rows=values.size,
    )


def _fitted(scaled: Float64Array, variance: float, normal: bool, iterations: int) -> Any:
    """The optimiser's result, or why there is none."""
    import warnings

    from arch.univariate import GARCH, Normal, StudentsT, ZeroMean

    model = ZeroMean(scaled, volatility=GARCH(p=1, o=0, q=1), distribution=Normal() if normal else StudentsT(), rescale=False)
    start = [variance * (1 - START_PERSISTENCE), START_ALPHA, START_PERSISTENCE - START_ALPHA] + ([] if normal else [START_NU])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = model.fit(
                disp="off",
                starting_values=np.array(start),
                backcast=variance,
                show_warning=False,
                cov_type="classic",
                options={"maxiter": iterations},
            )
        except (ValueError, RuntimeError, np.linalg.LinAlgError) as error:
            return f"the optimiser gave up: {error}"
    if result.convergence_flag != 0:
        return f"the optimiser did not converge (flag {result.convergence_flag})"
    if not (np.isfinite(result.params).all() and np.isfinite(result.loglikelihood)):
        return "the optimiser ended at no number"
    if told:
        return f"the optimiser warned: {told[0].message}"
    return result
