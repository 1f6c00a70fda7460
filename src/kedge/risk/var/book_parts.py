"""What the incremental book is made of: quanta of money, scenarios in whole numbers, and the ranks that answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import Float64Array, Int64Array, alpha_of, checked_matrix

SHOCK_BITS: Final = 28
SHOCK_MAX: Final = 32.0
"""A return of 3,200 % in a day is no return."""
QUANTA_BITS: Final = 27
"""Equity, or gross notional where that is larger, has at most this many bits of quanta."""
QUANTA_SPARE: Final = 2
"""An order may bring this many bits more before the sums are made in coarser quanta; 27 + 2 + 33 bits stay below 63."""


class Ranks:
    """Which order statistics answer, and a place for the tail that holds them; `near` are days to look for it first."""

    def __init__(self, days: int, confidence_var: float, confidence_es: float) -> None:
        self.confidence_var, self.confidence_es = confidence_var, confidence_es
        in_var, in_es = alpha_of(confidence_var) * days, alpha_of(confidence_es) * days
        self.var_at = math.ceil(in_var) - 1
        self.whole, self.rest, self.rows = math.floor(in_es), float(in_es - math.floor(in_es)), float(in_es)
        self.tail = np.zeros(max(math.ceil(in_var), math.ceil(in_es)), np.int64)
        self.near = np.arange(self.tail.size)

    def losses(self) -> tuple[float, float]:
        """VaR and ES in quanta of the tail as it stands."""
        tail = self.tail.tolist()
        if not tail:
            return 0.0, 0.0
        beyond = float(sum(tail[: self.whole] if self.whole < len(tail) else tail))
        if self.rest:
            beyond += self.rest * tail[self.whole]
        return -float(tail[self.var_at]), -beyond / self.rows


def shift_for(amount_e8: int) -> int:
    """Bits dropped from money to make quanta: a function of the amount alone, so that quanta never depend on history."""
    return max(0, max(0, amount_e8).bit_length() - QUANTA_BITS)


def quanta_of(amount_e8: int, shift: int) -> int:
    """Nearest, ties away from zero, so that long and short are alike."""
    if shift == 0:
        return amount_e8
    size = (abs(amount_e8) + (1 << (shift - 1))) >> shift
    return size if amount_e8 > 0 else -size


def checked_priors(
    instruments: tuple[str, ...], values: Float64Array, priors: Sequence[tuple[float, float] | None] | None
) -> list[tuple[float, float] | None]:
    """The stated losses of columns without history; None where there is one."""
    given = list(priors) if priors is not None else [None] * len(instruments)
    kept: list[tuple[float, float] | None] = []
    for name, column, prior in zip(instruments, values.T, given, strict=True):
        if column.size and not np.isnan(column).all():
            kept.append(None)
            continue
        if prior is None or not all(math.isfinite(loss) and loss > 0.0 for loss in prior):
            raise InvalidInput(f"{name} has no history and prior {prior}", why="unknown risk is not zero", fix="state its VaR and ES")
        kept.append((float(prior[0]), float(prior[1])))
    return kept


def filtered(values: Float64Array, sigmas: Float64Array | None, known: list[int]) -> tuple[Float64Array, Float64Array | None]:
    """Standardised returns (n, days) and the sigmas to come; without sigmas the returns themselves. Unknown columns are 0 of 0 notional."""
    z = np.zeros((values.shape[1], values.shape[0]))
    if not known:
        return z, None if sigmas is None else np.ones(values.shape[1])
    z[known] = checked_matrix(values[:, known], least=1).T
    if sigmas is None:
        return z, None
    if sigmas.shape != (values.shape[0] + 1, values.shape[1]):
        raise InvalidInput(f"sigmas have shape {sigmas.shape}", why="one row more than the returns", fix="pass the forecast last")
    told = checked_matrix(np.asarray(sigmas)[:, known], least=2, name="sigmas")
    if not (told > 0.0).all():
        raise InvalidInput("a sigma is not positive", why="returns are divided by it", fix="floor the variance")
    z[known] /= told[:-1].T
    to_come = np.ones(values.shape[1])
    to_come[known] = told[-1]
    return z, to_come


def checked_sigmas(sigmas: Float64Array, priors: Sequence[tuple[float, float] | None]) -> Float64Array:
    """Standard deviations for the day to come, one per instrument, all positive; 1 where a prior stands instead."""
    if sigmas.shape != (len(priors),):
        raise InvalidInput(f"sigmas have shape {sigmas.shape}", why=f"{len(priors)} instruments, one each", fix="pass as many")
    told = np.array([1.0 if prior else sigma for sigma, prior in zip(sigmas, priors, strict=True)])
    if not (np.isfinite(told).all() and (told > 0.0).all()):
        raise InvalidInput(f"sigmas are {sigmas.tolist()}", why="a sigma is a positive number", fix="floor the variance")
    return told


def shocks_of(z: Float64Array, sigmas: Float64Array | None) -> Int64Array:
    """Returns of the day to come in units of 2^-28, shape (n, days)."""
    shocks = z if sigmas is None else z * sigmas[:, None]
    if not (np.abs(shocks) < SHOCK_MAX).all():
        raise InvalidInput("a scenario moves 3,200 % or more in a day", why="no return does", fix="look for a decimal shift or a split")
    return np.ascontiguousarray(np.rint(np.ldexp(shocks, SHOCK_BITS)).astype(np.int64))
