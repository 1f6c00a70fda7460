"""Which method may act over a history, from the best to the plainest, each left with its reason.

The chain: `fhs-garch-t`, `fhs-ewma`, `historical`, `parametric-t`, `prior`. A method is left where its backtest is red, its
fit failed or was not made, or its sample is too small. A method that takes quantiles of history needs `least_rows` rows; an
instrument with fewer is added at a stated loss, as if it moved against us together with all the others. `parametric-t` is
Student-t at each instrument's own EWMA sigma, `prior` at a stated one; both with correlation one, each position against us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var import fhs, historical, parametric, weighted
from kedge.risk.var.backtests import Colour
from kedge.risk.var.filters import ewma_sigma, variance_break
from kedge.risk.var.garch_fit import FitFailed, GarchFit, fit_garch_t
from kedge.risk.var.measure import C_ES, C_VAR, Float64Array, Int64Array, least_rows

FHS_GARCH_T: Final = fhs.METHOD_GARCH
FHS_EWMA: Final = fhs.METHOD_EWMA
HISTORICAL: Final = historical.METHOD
PARAMETRIC_T: Final = "parametric-t"
PRIOR: Final = "prior"
CHAIN: Final = (FHS_GARCH_T, FHS_EWMA, HISTORICAL, PARAMETRIC_T, PRIOR)

Fit = GarchFit | FitFailed


class ChoiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain goes by.

    Attributes
    ----------
    confidence_var, confidence_es : float
    decay : float
        Of the EWMA filter.
    age_decay : float
        Of the age-weighted method, which is shown and not in the chain.
    least_rows : int
        Days that a method of quantiles needs: `ceil(10 / alpha)` of the ES; below `ceil(10 / alpha)` of the VaR it is flagged.
    least_parametric_rows : int
        Days that an instrument's own sigma needs.
    nu : float
        Degrees of freedom of `parametric-t` and `prior`: residuals of daily crypto returns lie between 4 and 6.
    prior_sigma_frac : float
        Stated daily standard deviation where there is no history.
    """

    confidence_var: float = C_VAR
    confidence_es: float = C_ES
    decay: float = 0.94
    age_decay: float = weighted.DECAY
    least_rows: int = least_rows(C_ES)
    least_parametric_rows: int = 60
    nu: float = 5.0
    prior_sigma_frac: float = 0.05


class Left(msgspec.Struct, frozen=True):
    """A method that was not used, and why."""

    method: str
    why: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every portfolio over this history.

    Attributes
    ----------
    method : str
    left : tuple of Left
        Methods before it in the chain.
    flags : tuple of str
        `fallback:METHOD: reason` of each method left; of instruments outside the scenarios `own_sigma:INDEX`, or `prior:INDEX` at the
        stated sigma; `variance_break:INDEX` where the level of a filtered instrument's residuals broke.
    rows : int64 array, shape (days,)
        Rows of the history that its scenarios are; empty for the last two methods.
    known : tuple of int
        Instruments that have a column in the scenarios.
    sigmas : float64 array, shape (days + 1, len(known)), optional
        For the filtered methods.
    priors : tuple of (VaR, ES) or None
        Stated losses of one unit of notional, one per instrument; None where it is known.
    """

    method: str
    left: tuple[Left, ...]
    flags: tuple[str, ...]
    rows: Int64Array
    known: tuple[int, ...]
    sigmas: Float64Array | None
    priors: tuple[tuple[float, float] | None, ...]


NO_COLOURS: Final[Mapping[str, Colour]] = {}
DEFAULTS: Final = ChoiceSettings()


def fit_all(history: Float64Array) -> tuple[Fit, ...]:
    """A GARCH fit of every column over its finite rows: weekly work, 25 ms each, and the first call imports `arch` for seconds."""
    return tuple(_fit(column[np.isfinite(column)]) for column in np.asarray(history, dtype=np.float64).T)


def choose(
    history: Float64Array,
    *,
    colours: Mapping[str, Colour] = NO_COLOURS,
    fits: Sequence[Fit | None] | None = None,
    settings: ChoiceSettings = DEFAULTS,
) -> Choice:
    """The first method of the chain that may act over this history, whatever the portfolio.

    Parameters
    ----------
    history : float64 array, shape (days, n)
        Simple returns, oldest first; NaN where unknown.
    colours : mapping
        Of the backtest record; a method that is RED is left.
    fits : sequence, optional
        One per instrument, of `fit_all`; None: `fhs-garch-t` is left as not fitted.
    """
    values = checked_history(history)
    known, rows = joint_rows(values, settings.least_rows)
    left: list[Left] = []
    for method in CHAIN[:-1]:
        why = why_not(method, values, known, rows, colours, fits, settings)
        if not why:
            return by_method(method, tuple(left), values, known, rows, fits, settings)
        left.append(Left(method, why))
    return by_method(PRIOR, tuple(left), values, known, rows, fits, settings)


def block(values: Float64Array, rows: Int64Array, known: Sequence[int]) -> Float64Array:
    """Those rows and columns of a history, contiguous."""
    return np.ascontiguousarray(values[rows][:, list(known)])


def by_method(
    method: str,
    left: tuple[Left, ...],
    values: Float64Array,
    known: list[int],
    rows: Int64Array,
    fits: Sequence[Fit | None] | None,
    settings: ChoiceSettings,
) -> Choice:
    """What holds for every portfolio if this method acts over the columns `known` and their joint `rows`."""
    quantiles = method in (FHS_GARCH_T, FHS_EWMA, HISTORICAL)
    known, rows = (known, rows) if quantiles else ([], np.zeros(0, np.int64))
    sigmas = _sigmas(method, block(values, rows, known), [fits[n] for n in known] if fits else None, settings) if known else None
    priors = tuple(None if n in known else _stated(method, values[:, n], settings) for n in range(values.shape[1]))
    flags = [f"fallback:{one.method}: {one.why}" for one in left]
    for n in (n for n in range(values.shape[1]) if n not in known):
        flags.append(f"prior:{n}" if _own_sigma(method, values[:, n], settings) is None else f"own_sigma:{n}")
    if sigmas is not None:
        z = block(values, rows, known) / sigmas[:-1]
        flags += [f"variance_break:{n}" for at, n in enumerate(known) if variance_break(z[:, at])]
    return Choice(method=method, left=left, flags=tuple(flags), rows=rows, known=tuple(known), sigmas=sigmas, priors=priors)


def why_not(
    method: str,
    values: Float64Array,
    known: list[int],
    rows: Int64Array,
    colours: Mapping[str, Colour],
    fits: Sequence[Fit | None] | None,
    settings: ChoiceSettings,
) -> str:
    """Why a method may not act; empty where it may. The prior always may."""
    if method == PRIOR:
        return ""
    if colours.get(method) is Colour.RED:
        return "its backtest is red"
    if method == PARAMETRIC_T:
        enough = [n for n, column in enumerate(values.T) if _own_sigma(method, column, settings) is not None]
        return "" if enough else f"no instrument has {settings.least_parametric_rows} days"
    if not known:
        return f"no instrument has {settings.least_rows} days"
    return _fit_missing(fits, known) if method == FHS_GARCH_T else ""


def _fit_missing(fits: Sequence[Fit | None] | None, known: list[int]) -> str:
    if fits is None:
        return "it is not fitted"
    for n in known:
        fit = fits[n]
        if fit is None:
            return f"instrument {n} is not fitted"
        if isinstance(fit, FitFailed):
            return f"the fit of instrument {n} failed: {fit.why}"
    return ""


def joint_rows(values: Float64Array, least: int) -> tuple[list[int], Int64Array]:
    """Columns with enough history and the rows in which all of them are known; the shortest columns are left out until that is enough."""
    finite = np.isfinite(values)
    lengths = finite.sum(axis=0)
    known = [n for n in range(values.shape[1]) if lengths[n] >= least]
    while known:
        rows = np.flatnonzero(finite[:, known].all(axis=1))
        if rows.size >= least:
            return known, rows
        known.remove(min(known, key=lambda n: (lengths[n], n)))
    return [], np.zeros(0, np.int64)


def _sigmas(method: str, returns: Float64Array, fits: Sequence[Fit | None] | None, settings: ChoiceSettings) -> Float64Array | None:
    """Sigmas known before each row and for the day to come, a column each; None for the unfiltered method."""
    if method == HISTORICAL:
        return None
    columns = []
    for n, column in enumerate(returns.T):
        fit = fits[n] if method == FHS_GARCH_T and fits else None
        columns.append(fit.sigma(column) if isinstance(fit, GarchFit) else ewma_sigma(column, settings.decay))
    return np.column_stack(columns)


def _own_sigma(method: str, column: Float64Array, settings: ChoiceSettings) -> float | None:
    """An instrument's EWMA sigma to come where it has days enough for one and the method is not the prior."""
    told = column[np.isfinite(column)]
    if method == PRIOR or told.size < settings.least_parametric_rows:
        return None
    return float(ewma_sigma(told, settings.decay)[-1])


def _stated(method: str, column: Float64Array, settings: ChoiceSettings) -> tuple[float, float]:
    """VaR and ES of one unit of notional of an instrument without a column: by its own sigma where it has one, else by the stated one."""
    sigma = _own_sigma(method, column, settings)
    told = settings.prior_sigma_frac if sigma is None else sigma
    answer = parametric.student_t(0.0, told, settings.nu, settings.confidence_var, settings.confidence_es)
    return answer.var_frac, answer.es_frac


def _fit(column: Float64Array) -> Fit:
    return fit_garch_t(column) if column.size >= 2 else FitFailed(f"{column.size} rows")


def checked_history(history: Float64Array) -> Float64Array:
    """A history as float64, shape (days, n), NaN where unknown; `InvalidInput` for another shape or an infinite return."""
    values = np.asarray(history, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 1:
        raise InvalidInput(f"history has shape {values.shape}", why="rows of days by columns of instruments", fix="pass (days, n)")
    if np.isinf(values).any():
        raise InvalidInput("history holds an infinite return", why="unknown is NaN, and no return is infinite", fix="mend that day")
    return values
