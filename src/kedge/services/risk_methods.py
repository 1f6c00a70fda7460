"""VaR and ES of a run's book by every method side by side, each with how it did in its daily backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, to_grid
from kedge.risk.var import chain, choice, decompose, monte_carlo
from kedge.risk.var.backtests import Colour
from kedge.risk.var.filters import ewma_sigma
from kedge.risk.var.measure import C_ES, Float64Array, VarEs
from kedge.risk.var.record import Standing
from kedge.services.replica_text import e8_text, ratio_text
from kedge.services.risk_inputs import Inputs, history, weights

FLAT: Final = "no open position: nothing can be lost"
BROKE: Final = "equity is not positive: there is nothing that a loss could be a fraction of"

MONTE_CARLO: Final = "monte-carlo-t"
SCENARIOS: Final = 20_000
SEED: Final = 1
INDEXED: Final = ("own_sigma", "prior", "variance_break")
"""Flags of `risk.var.chain` that name an instrument by its column."""

Fits = Sequence[chain.Fit | None]


def fits_of(inputs: Inputs) -> Fits:
    """GARCH fits of what is held; slow, and good for as long as the closes are the same."""
    return chain.fit_all(history(inputs.held))


def var_view(inputs: Inputs, fits: Fits | None, standings: Mapping[str, Standing]) -> dict[str, Any]:
    """The chosen method, then the others, then those that cannot be shown and why."""
    held = inputs.held
    if not held or inputs.equity_e8 <= 0:
        return {"method": None, "methods": [], "components": {}, "why": BROKE if held else FLAT}
    past, parts = history(held), weights(inputs, held)
    colours = {name: standing.colour for name, standing in standings.items()}
    chosen = choice.measure(past, parts, colours=colours, fits=fits)
    rows = [_row(chosen.main, inputs, standings, chosen=True), *(_row(one, inputs, standings) for one in chosen.others)]
    simulation = simulated(past, parts)
    left_out = [*chosen.left, *([simulation] if isinstance(simulation, chain.Left) else [])]
    if not isinstance(simulation, chain.Left):
        rows.append(_row(msgspec.structs.replace(simulation, method=MONTE_CARLO), inputs, standings))
    shown = {row["method"] for row in rows}
    rows += [_left(left, standings) for left in left_out if left.method not in shown]
    return {
        "method": chosen.main.method,
        "methods": rows,
        "components": components(past, parts, [one.spec.instrument_id for one in held]),
        "why": "",
    }


def _row(one: VarEs, inputs: Inputs, standings: Mapping[str, Standing], *, chosen: bool = False) -> dict[str, Any]:
    var_e8, es_e8 = to_grid(one.var_frac, E8), to_grid(one.es_frac, E8)
    error = one.standard_error_frac
    return {
        "method": one.method,
        "chosen": chosen,
        "convention": one.convention,
        "var99": e8_text(var_e8),
        "es975": e8_text(es_e8),
        "var99_money": e8_text(var_e8 * inputs.equity_e8 // E8),
        "es975_money": e8_text(es_e8 * inputs.equity_e8 // E8),
        "n": one.n,
        "standard_error": None if error is None else e8_text(to_grid(error, E8)),
        "flags": [_named(flag, inputs) for flag in one.flags],
        **_backtest(standings.get(one.method)),
    }


def _named(flag: str, inputs: Inputs) -> str:
    """A flag that counts instruments, with the name of the one it means."""
    what, _, place = flag.partition(":")
    held = inputs.held
    if what in INDEXED and place.isdigit() and int(place) < len(held):
        return f"{what}:{held[int(place)].spec.venue_symbol}"
    return flag


def _left(left: chain.Left, standings: Mapping[str, Standing]) -> dict[str, Any]:
    unknown = dict.fromkeys(("var99", "es975", "var99_money", "es975_money", "standard_error"))
    told = {"method": left.method, "chosen": False, "convention": "", "n": 0, "flags": [f"not used: {left.why}"]}
    return {**told, **unknown, **_backtest(standings.get(left.method))}


def _backtest(standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        unknown = dict.fromkeys(("exceptions", "expected", "days", "kupiec_p", "christoffersen_p"))
        return {"colour": str(Colour.UNKNOWN), **unknown}
    timely = standing.christoffersen
    return {
        "colour": str(standing.colour),
        "exceptions": standing.exceptions,
        "expected": ratio_text(standing.days, 100),
        "days": standing.days,
        "kupiec_p": _chance(standing.kupiec.p_value),
        "christoffersen_p": None if timely is None else _chance(timely.p_cc),
    }


def _chance(value: float) -> str | None:
    return e8_text(to_grid(value, E8)) if np.isfinite(value) else None


def components(past: Float64Array, parts: Float64Array, names: Sequence[str]) -> dict[str, str]:
    """What each position contributes to the historical ES; they add up to it. Empty where too few days are known of all of them."""
    known = past[np.isfinite(past).all(axis=1)]
    if known.shape[0] < chain.DEFAULTS.least_rows or len(names) < 2:
        return {}
    found = decompose.es_parts(known, parts, C_ES)
    return {name: e8_text(to_grid(share, E8)) for name, share in zip(names, found.parts_frac, strict=True)}


def simulated(past: Float64Array, parts: Float64Array) -> VarEs | chain.Left:
    """Monte Carlo of a Student-t at the volatilities of now and the correlation of the history; beside the others, never chosen."""
    known = past[np.isfinite(past).all(axis=1)]
    if known.shape[0] < chain.DEFAULTS.least_rows:
        return chain.Left(MONTE_CARLO, f"{known.shape[0]} days, {chain.DEFAULTS.least_rows} are needed")
    sigmas = [float(ewma_sigma(column)[-1]) for column in known.T]
    together = np.corrcoef(known, rowvar=False) if known.shape[1] > 1 else np.ones((1, 1))
    try:
        return monte_carlo.multivariate_t(parts, sigmas, np.clip(together, -1.0, 1.0), chain.DEFAULTS.nu, seed=SEED, scenarios=SCENARIOS)
    except InvalidInput as error:
        return chain.Left(MONTE_CARLO, error.what)
