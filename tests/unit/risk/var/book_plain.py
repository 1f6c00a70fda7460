"""The plain twins of the incremental book: whole portfolios in NumPy, sorted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kedge.risk.var import historical


def plain(returns: npt.NDArray[np.float64], weights: Sequence[float]) -> tuple[float, float]:
    """VaR at 99 % and ES at 97.5 % in float64."""
    pnl = returns @ np.asarray(weights, dtype=np.float64)
    return historical.value_at_risk(pnl, 0.99), historical.expected_shortfall(pnl, 0.975)


def exact(returns: npt.NDArray[np.float64], notionals_e8: Sequence[int], equity_e8: int) -> tuple[float, float]:
    """The same in Python's integers, with the returns rounded to 2^-28 and the notionals to their quanta."""
    gross = sum(map(abs, notionals_e8))
    shift = max(0, max(equity_e8, gross).bit_length() - 27)
    half = (1 << shift) >> 1
    quanta = [(1 if e8 >= 0 else -1) * ((abs(e8) + half) >> shift) for e8 in notionals_e8]
    shocks = np.rint(np.ldexp(returns, 28)).astype(np.int64).tolist()
    pnl = sorted(sum(q * shock for q, shock in zip(quanta, row, strict=True)) for row in shocks)
    in_var, in_es = Fraction(len(pnl), 100), Fraction(len(pnl), 40)
    whole = math.floor(in_es)
    beyond = float(sum(pnl[:whole]))
    if in_es > whole:
        beyond += float(in_es - whole) * pnl[whole]
    losses = -float(pnl[math.ceil(in_var) - 1]), -beyond / float(in_es)
    var, es = (math.ldexp(loss, shift - 28) / equity_e8 for loss in losses)
    return var, es
