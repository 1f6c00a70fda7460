"""Filtered historical simulation (Barone-Adesi et al. 1999; Hull and White 1998): yesterday's surprises at today's volatility.

`z_t = r_t / sigma_t` with a sigma known before the return; the day to come is every z times the sigma to come. For a
portfolio whole rows of z are kept, so that what fell together falls together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace

from kedge.domain.errors import InvalidInput
from kedge.risk.var import historical
from kedge.risk.var.laws.filters import bootstrap_paths
from kedge.risk.var.measure import (
    C_ES,
    C_VAR,
    VARIANCE_FLOOR,
    Float64Array,
    VarEs,
    checked_matrix,
    checked_returns,
    checked_weights,
)

METHOD_EWMA: Final = "fhs-ewma"
METHOD_GARCH: Final = "fhs-garch-t"


def residuals(returns: Sequence[float] | Float64Array, sigmas: Sequence[float] | Float64Array) -> Float64Array:
    """`r_t / sigma_t`, shape (n,); `sigmas` has n + 1 entries, as the filters answer, or n."""
    values, told = checked_returns(returns), checked_returns(sigmas, name="sigmas")
    if told.size not in (values.size, values.size + 1) or not (told > 0.0).all():
        raise InvalidInput(f"{told.size} sigmas for {values.size} returns", why="one known before each, above 0", fix="use a filter")
    return values / told[: values.size]


def var_es(
    returns: Sequence[float] | Float64Array,
    sigmas: Sequence[float] | Float64Array,
    c_var: float = C_VAR,
    c_es: float = C_ES,
    *,
    method: str = METHOD_EWMA,
) -> VarEs:
    """One series: house quantile and ES of its residuals at the sigma to come, the last of the n + 1 `sigmas`."""
    values, told = checked_returns(returns), checked_returns(sigmas, name="sigmas")
    if told.size != values.size + 1:
        raise InvalidInput(f"{told.size} sigmas for {values.size} returns", why="the last one is the forecast", fix="pass n + 1")
    return historical.var_es(residuals(values, told) * told[-1], c_var, c_es, method=method)


def scenarios(returns: Float64Array, sigmas: Float64Array) -> Float64Array:
    """Every day's row of returns at the sigmas to come, shape (n, instruments); `sigmas` has one row more than `returns`."""
    values, told = checked_matrix(returns), checked_matrix(sigmas, name="sigmas")
    if told.shape != (values.shape[0] + 1, values.shape[1]) or not (told > 0.0).all():
        raise InvalidInput(f"sigmas {told.shape} for returns {values.shape}", why="one row more, all above 0", fix="filter each column")
    scaled: Float64Array = values / told[:-1] * told[-1]
    return scaled


def portfolio_var_es(
    returns: Float64Array,
    sigmas: Float64Array,
    weights: Sequence[float] | Float64Array,
    c_var: float = C_VAR,
    c_es: float = C_ES,
    *,
    method: str = METHOD_EWMA,
) -> VarEs:
    """A portfolio of signed `weights` (fractions of equity) over whole rows of scenarios."""
    moved = scenarios(returns, sigmas)
    return historical.var_es(moved @ checked_weights(weights, moved.shape[1]), c_var, c_es, method=method)


def path_var_es(
    returns: Float64Array,
    sigmas: Float64Array,
    weights: Sequence[float] | Float64Array,
    days: int,
    *,
    parameters: Sequence[tuple[float, float, float]],
    seed: int,
    paths: int = 20_000,
    c_var: float = C_VAR,
    c_es: float = C_ES,
    method: str = METHOD_EWMA,
) -> VarEs:
    """VaR and ES over several days: whole rows of residuals are drawn with replacement, variances are updated along each path.

    Parameters
    ----------
    returns, sigmas : shapes (n, instruments) and (n + 1, instruments)
    weights : shape (instruments,)
        Signed notionals as fractions of equity, held constant fractions; losses are compounded and end where all is lost.
    days : int
        The horizon.
    parameters : sequence of (omega, alpha, beta)
        Of the filter that made each column of `sigmas`; EWMA is (0, 1 - L, L).
    seed, paths : int
        Stand among the flags.
    """
    held = checked_weights(weights, scenarios(returns, sigmas).shape[1])
    if days < 1 or paths < 2 or len(parameters) != held.size:
        raise InvalidInput(
            f"{days} days, {paths} paths, {len(parameters)} filters", why="a day, two paths, a filter per instrument", fix="pass those"
        )
    told = checked_matrix(sigmas, name="sigmas")
    z = np.ascontiguousarray(checked_matrix(returns) / told[:-1])
    terms = np.ascontiguousarray(np.asarray(parameters, dtype=np.float64).T)
    if not (np.isfinite(terms).all() and (terms >= 0.0).all()):
        raise InvalidInput("a parameter of a filter is negative or no number", why="variances are not", fix="fit again")
    drawn = np.random.default_rng(seed).integers(0, z.shape[0], (paths, days))
    out, room = np.empty(paths), np.empty(held.size)
    bootstrap_paths(z, drawn, held, terms[0], terms[1], terms[2], np.square(told[-1]), VARIANCE_FLOOR, room, out)
    answer = historical.var_es(out, c_var, c_es, method=f"{method}-paths")
    return replace(answer, flags=(*answer.flags, f"horizon_days={days}", f"paths={paths}", f"seed={seed}"))
