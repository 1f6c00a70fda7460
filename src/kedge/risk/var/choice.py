"""The measure that acts, the others beside it, and the incremental book of the same choice. The chain itself is `chain`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from kedge.domain.units import E8
from kedge.risk.var import fhs, historical, parametric, weighted
from kedge.risk.var.backtests import Colour
from kedge.risk.var.book import VarBook
from kedge.risk.var.chain import (
    CHAIN,
    DEFAULTS,
    FHS_EWMA,
    FHS_GARCH_T,
    HISTORICAL,
    NO_COLOURS,
    PARAMETRIC_T,
    PRIOR,
    Choice,
    ChoiceSettings,
    Fit,
    Left,
    block,
    by_method,
    checked_history,
    choose,
    fit_all,
    joint_rows,
    why_not,
)
from kedge.risk.var.measure import Float64Array, NotUsable, VarEs, checked_weights, merged_flags

__all__ = [
    "AGE_WEIGHTED",
    "CHAIN",
    "FHS_EWMA",
    "FHS_GARCH_T",
    "HISTORICAL",
    "PARAMETRIC_T",
    "PRIOR",
    "Choice",
    "ChoiceSettings",
    "Chosen",
    "Fit",
    "Left",
    "by_choice",
    "choose",
    "chosen_book",
    "fit_all",
    "measure",
]

AGE_WEIGHTED: Final = weighted.METHOD


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The measure that acts, the others beside it, and the methods that were left or cannot be shown."""

    main: VarEs
    others: tuple[VarEs, ...]
    left: tuple[Left, ...]


def measure(
    history: Float64Array,
    weights: Sequence[float] | Float64Array,
    *,
    colours: Mapping[str, Colour] = NO_COLOURS,
    fits: Sequence[Fit | None] | None = None,
    settings: ChoiceSettings = DEFAULTS,
) -> Chosen:
    """VaR and ES of a portfolio by the method that acts, and by every other that can be computed.

    Parameters as in `choose`; `weights`, shape (n,), are signed notionals as fractions of equity.
    """
    values = checked_history(history)
    held = checked_weights(weights, values.shape[1])
    choice = choose(values, colours=colours, fits=fits, settings=settings)
    main = by_choice(choice, values, held, settings)
    others, failed = [], []
    for method in (*CHAIN, AGE_WEIGHTED, parametric.NORMAL, parametric.CORNISH_FISHER):
        if method == choice.method:
            continue
        other = _beside(method, values, held, fits, settings)
        if isinstance(other, Left):
            failed.append(other)
        else:
            others.append(other)
    named = {left.method for left in choice.left}
    return Chosen(main=main, others=tuple(others), left=(*choice.left, *(left for left in failed if left.method not in named)))


def by_choice(choice: Choice, history: Float64Array, weights: Float64Array, settings: ChoiceSettings = DEFAULTS) -> VarEs:
    """A portfolio's measure by what was chosen over this history."""
    values, (c_var, c_es) = np.asarray(history, dtype=np.float64), (settings.confidence_var, settings.confidence_es)
    held = np.asarray(weights, dtype=np.float64)
    stated = [(abs(weight), *prior) for weight, prior in zip(held.tolist(), choice.priors, strict=True) if prior and weight]
    var_more, es_more = (sum(part[0] * part[at] for part in stated) for at in (1, 2))
    if not choice.known:
        answer = parametric.student_t(0.0, 0.0, settings.nu, c_var, c_es)
        answer = replace(answer, convention=f"Student-t, nu {settings.nu:g}, correlation one")
    else:
        scenarios = block(values, choice.rows, choice.known)
        if choice.sigmas is not None:
            scenarios = fhs.scenarios(scenarios, choice.sigmas)
        answer = historical.var_es(scenarios @ held[list(choice.known)], c_var, c_es)
    at_es = sum(part[0] * _var_at_es(part[1], settings) for part in stated)
    return replace(
        answer,
        method=choice.method,
        var_frac=answer.var_frac + var_more,
        es_frac=answer.es_frac + es_more,
        var_at_es_frac=answer.var_at_es_frac + at_es,
        interval_frac=_moved(answer.interval_frac, var_more),
        flags=merged_flags(answer.flags, choice.flags),
    )


def chosen_book(
    instruments: Sequence[str],
    history: Float64Array,
    *,
    colours: Mapping[str, Colour] = NO_COLOURS,
    fits: Sequence[Fit | None] | None = None,
    settings: ChoiceSettings = DEFAULTS,
    equity_e8: int = E8,
) -> tuple[VarBook, Choice]:
    """The incremental book of the method that acts, flat; its answers are those of `by_choice` to 1e-7 of gross notional."""
    values = checked_history(history)
    choice = choose(values, colours=colours, fits=fits, settings=settings)
    returns = np.full((choice.rows.size, len(instruments)), np.nan)
    sigmas = None
    known = list(choice.known)
    returns[:, known] = block(values, choice.rows, known)
    if choice.sigmas is not None:
        sigmas = np.full((choice.rows.size + 1, len(instruments)), np.nan)
        sigmas[:, known] = choice.sigmas
    book = VarBook(
        instruments,
        returns,
        sigmas=sigmas,
        priors=choice.priors,
        equity_e8=equity_e8,
        confidence_var=settings.confidence_var,
        confidence_es=settings.confidence_es,
    )
    return book, choice


def _var_at_es(var_frac: float, settings: ChoiceSettings) -> float:
    """A stated VaR at the confidence of the ES: the quantiles of one t stand in a fixed ratio."""
    at_es, at_var = (parametric.student_t_quantile(settings.nu, c) for c in (settings.confidence_es, settings.confidence_var))
    return var_frac * at_es / at_var


def _beside(
    method: str, values: Float64Array, held: Float64Array, fits: Sequence[Fit | None] | None, settings: ChoiceSettings
) -> VarEs | Left:
    """A method that does not act, as it stands; `Left` where it cannot be computed."""
    if method in CHAIN:
        known, rows = joint_rows(values, settings.least_rows)
        why = why_not(method, values, known, rows, NO_COLOURS, fits, settings)
        if why:
            return Left(method, why)
        return by_choice(by_method(method, (), values, known, rows, fits, settings), values, held, settings)
    return _simple(method, values, held, settings)


def _simple(method: str, values: Float64Array, held: Float64Array, settings: ChoiceSettings) -> VarEs | Left:
    """Measures of the portfolio's own past returns, for the reader; they need every position's history."""
    carried = np.flatnonzero(held)
    if not carried.size:
        return Left(method, "nothing is held")
    past = values[:, carried]
    series = past[np.isfinite(past).all(axis=1)] @ held[carried]
    if series.size < settings.least_rows:
        return Left(method, f"{series.size} days, {settings.least_rows} are needed")
    c_var, c_es = settings.confidence_var, settings.confidence_es
    try:
        if method == AGE_WEIGHTED:
            return weighted.var_es(series, settings.age_decay, c_var, c_es)
        told = parametric.moments(series)
        if method == parametric.NORMAL:
            return parametric.normal(told.mu, told.sigma, c_var, c_es, n=series.size)
        return parametric.cornish_fisher(told.mu, told.sigma, told.skew, told.excess_kurtosis, c_var, c_es, n=series.size)
    except NotUsable as unusable:
        return Left(method, unusable.why)


def _moved(interval: tuple[float | None, float | None] | None, by: float) -> tuple[float | None, float | None] | None:
    return None if interval is None else (_plus(interval[0], by), _plus(interval[1], by))


def _plus(end: float | None, by: float) -> float | None:
    return None if end is None else end + by
