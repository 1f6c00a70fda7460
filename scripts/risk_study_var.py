"""Rolling one-step forecasts of VaR and ES by the product's own methods: nothing of a return, or of one after it, is in its forecast.

A GARCH fit is made anew every so many steps on the window as it then stands; between two fits its filter runs on over the returns that
came, so that the window grows by less than that many rows. A fit that fails leaves the forecast to EWMA until the next one, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.risk.var import fhs, filters, historical, parametric, weighted
from kedge.risk.var.backtests import Colour, traffic_light
from kedge.risk.var.chain import CHAIN, DEFAULTS
from kedge.risk.var.garch_fit import FitFailed, GarchFit, fit_garch_t
from kedge.risk.var.measure import C_ES, C_VAR
from kedge.risk.var.record import LEAST_DAYS, WINDOW_DAYS
from scripts.risk_study_series import Series
from scripts.risk_study_verdict import P_VAR, Forecasts

FloatArray = npt.NDArray[np.float64]

WINDOW: Final = {"day": 1_000, "session": 1_000, "hour": 2_160}
"""Returns behind a forecast; fewer where the file has not so many before its first tested one."""
REFIT: Final = {"day": 7, "session": 5, "hour": 168}
"""Steps between two GARCH fits: a week."""
DECAY: Final = {"day": DEFAULTS.decay, "session": DEFAULTS.decay, "hour": 0.99}
"""Of the variance filter: the product's for days; for hours half of a shock is gone after 69 of them."""
AGE_DECAY: Final = {"day": DEFAULTS.age_decay, "session": DEFAULTS.age_decay, "hour": 0.998}
"""Of the age weights: the product's for days; for hours an effective sample of about 1,000 returns."""
NU: Final = DEFAULTS.nu
CHOSEN: Final = "chosen"
"""What the product acts on: the first method of its chain whose fit holds and whose light is not red."""

Step = tuple[float, float, float]
"""VaR at 99 %, VaR and ES at 97.5 %."""


def by_historical(series: Series) -> Forecasts:
    """Order statistics of the window."""
    return _rolled(series, historical.METHOD, order_step)


def by_age(series: Series) -> Forecasts:
    """The window with weights that fade."""
    decay = AGE_DECAY[series.unit]
    return _rolled(series, weighted.METHOD, lambda window: age_step(window, decay))


def by_ewma(series: Series) -> Forecasts:
    """Filtered historical simulation, EWMA."""
    decay = DECAY[series.unit]
    return _rolled(series, fhs.METHOD_EWMA, lambda window: filtered_step(window, filters.ewma_sigma(window, decay)))


def by_parametric(series: Series) -> Forecasts:
    """Student-t at the EWMA sigma, mean zero."""
    decay = DECAY[series.unit]
    one = parametric.student_t(0.0, 1.0, NU)
    unit = np.array([one.var_frac, one.var_at_es_frac, one.es_frac])
    return _rolled(series, "parametric-t", lambda window: tuple((unit * filters.ewma_sigma(window, decay)[-1]).tolist()))


def by_garch(series: Series) -> Forecasts:
    """Filtered historical simulation, GARCH(1,1) with Student-t errors; EWMA while the last fit has failed."""
    every, decay, returns = REFIT[series.unit], DECAY[series.unit], series.returns.returns
    fit: GarchFit | FitFailed = FitFailed("no fit yet")
    steps: list[Step] = []
    own: list[bool] = []
    fits = failed = begun = 0
    for done, at in enumerate(range(series.first, len(returns))):
        if done % every == 0:
            begun = max(0, at - WINDOW[series.unit])
            fit = fit_garch_t(returns[begun:at])
            fits, failed = fits + 1, failed + isinstance(fit, FitFailed)
        window = returns[begun:at]
        own.append(isinstance(fit, GarchFit))
        steps.append(filtered_step(window, fit.sigma(window) if isinstance(fit, GarchFit) else filters.ewma_sigma(window, decay)))
    return _kept(series, fhs.METHOD_GARCH, steps, own, {"fits": fits, "failed": failed, "steps by EWMA": own.count(False)})


METHODS: Final[dict[str, Callable[[Series], Forecasts]]] = {
    historical.METHOD: by_historical,
    weighted.METHOD: by_age,
    fhs.METHOD_EWMA: by_ewma,
    fhs.METHOD_GARCH: by_garch,
    "parametric-t": by_parametric,
}


def chosen(found: Sequence[Forecasts]) -> Forecasts:
    """What the chain of the product picks at each step, knowing the lights of the steps before; the prior is never needed here."""
    by_name = {one.method: one for one in found}
    chain = [by_name[name] for name in CHAIN if name in by_name]
    red = [_red_before(one) for one in chain]
    may = [one.own & ~light for one, light in zip(chain, red, strict=True)]
    picked = np.argmax(np.vstack([*may[:-1], np.ones_like(may[-1])]), axis=0)
    at = np.arange(len(picked))
    var99, var975, es975 = (np.vstack([getattr(one, name) for one in chain])[picked, at] for name in ("var99", "var975", "es975"))
    notes = {one.method: int((picked == n).sum()) for n, one in enumerate(chain)}
    return Forecasts(CHOSEN, var99, var975, es975, chain[0].realised, np.ones(len(picked), np.bool_), notes)


def order_step(window: FloatArray) -> Step:
    """`historical.var_es` without what a backtest does not keep: its error and its interval."""
    return historical.value_at_risk(window, C_VAR), historical.value_at_risk(window, C_ES), historical.expected_shortfall(window, C_ES)


def age_step(window: FloatArray, decay: float) -> Step:
    """The same with weights that fade."""
    answer = weighted.var_es(window, decay, C_VAR, C_ES)
    return answer.var_frac, answer.var_at_es_frac, answer.es_frac


def filtered_step(window: FloatArray, sigmas: FloatArray) -> Step:
    """The same of residuals at the sigma to come."""
    return order_step(fhs.residuals(window, sigmas) * sigmas[-1])


def windows(series: Series) -> Iterator[FloatArray]:
    """The returns known before each tested one, at most the window of its unit."""
    returns, most = series.returns.returns, WINDOW[series.unit]
    for at in range(series.first, len(returns)):
        yield returns[max(0, at - most) : at]


def _red_before(one: Forecasts) -> npt.NDArray[np.bool_]:
    """Whether the method's light was red at each step, over its own last forecasts before it: at most WINDOW_DAYS, at least LEAST_DAYS."""
    hits = (one.realised < -one.var99).tolist()
    kept: list[bool] = []
    colours: dict[tuple[int, int], bool] = {}
    found = []
    for hit, is_own in zip(hits, one.own.tolist(), strict=True):
        count = (len(kept), sum(kept))
        if count not in colours:
            colours[count] = len(kept) >= LEAST_DAYS and traffic_light(*count, P_VAR).colour is Colour.RED
        found.append(colours[count])
        if is_own:
            kept = [*kept[-(WINDOW_DAYS - 1) :], hit]
    return np.array(found, np.bool_)


def _rolled(series: Series, method: str, answer: Callable[[FloatArray], Step]) -> Forecasts:
    return _kept(series, method, [answer(window) for window in windows(series)], [True] * series.tested, {})


def _kept(series: Series, method: str, steps: list[Step], own: list[bool], notes: dict[str, int]) -> Forecasts:
    columns = np.array(steps, np.float64).T
    came = series.returns.returns[series.first :]
    return Forecasts(method, columns[0], columns[1], columns[2], came, np.array(own, np.bool_), notes)
