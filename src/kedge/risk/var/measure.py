"""What a measure answers, and the checks every measure makes of what it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

C_VAR: Final = 0.99
C_ES: Final = 0.975
VARIANCE_FLOOR: Final = 1e-12
"""Of a daily return; below it a standardised return would be an artefact."""

HOUSE_CONVENTION: Final = "inverse CDF; ES Acerbi-Tasche"
INSUFFICIENT_TAIL: Final = "insufficient_tail"
"""Fewer rows than 1 / alpha: the measure is the worst row."""
THIN_TAIL: Final = "thin_tail"
"""Fewer rows than 10 / alpha: fewer than ten lie in the tail."""


class NotUsable(InvalidInput):
    """A method does not hold for these inputs. Reaction: use another method; the message says which."""


class VarEs(msgspec.Struct, frozen=True, kw_only=True):
    """One method's answer, as fractions of what the returns are fractions of.

    Attributes
    ----------
    method : str
        Such as `historical` or `fhs-garch-t`.
    convention : str
        How quantile and tail mean are taken.
    confidence_var, confidence_es : float
    var_frac, es_frac : float
        Losses, positive; a sure gain is negative.
    var_at_es_frac : float
        VaR at the confidence of the ES, never above it; the backtest of the ES needs it.
    n : int
        Returns, or simulated scenarios, it rests on; 0 where it rests on stated numbers.
    flags : tuple of str
        What a reader must know: `thin_tail`, `insufficient_tail`, a fallback and its reason.
    standard_error_frac : float, optional
        Of `var_frac`, by the sample; None where it cannot be told.
    interval_frac : pair of float, optional
        Order statistics that hold the true VaR with 95 % (binomial, independent returns); an end beyond the sample is None.
    """

    method: str
    convention: str
    confidence_var: float
    confidence_es: float
    var_frac: float
    es_frac: float
    var_at_es_frac: float
    n: int
    flags: tuple[str, ...] = ()
    standard_error_frac: float | None = None
    interval_frac: tuple[float | None, float | None] | None = None


def alpha_of(confidence: float) -> Fraction:
    """`1 - confidence` exactly as written: 0.9 leaves 1/10, where binary arithmetic leaves 0.09999999999999998.

    Raises
    ------
    InvalidInput
        Not strictly between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise InvalidInput(f"confidence is {confidence!r}", why="a confidence lies between 0 and 1", fix="pass one such as 0.99")
    return 1 - Fraction(str(confidence))


def least_rows(confidence: float) -> int:
    """`ceil(10 / alpha)`: rows from which ten are expected in the tail."""
    return math.ceil(10 / alpha_of(confidence))


def checked_returns(returns: Sequence[float] | Float64Array, *, least: int = 2, name: str = "returns") -> Float64Array:
    """A contiguous float64 copy-or-view of one series, shape (n,), oldest first.

    Raises
    ------
    InvalidInput
        Not one-dimensional, fewer than `least`, or a value that is not finite: it names the first such row.
    """
    values = np.ascontiguousarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise InvalidInput(f"{name} has shape {values.shape}", why="one series is asked for", fix="pass one column")
    return _finite(values, least, name)


def checked_matrix(returns: Float64Array, *, least: int = 2, name: str = "returns") -> Float64Array:
    """A contiguous float64 matrix, shape (n, instruments), oldest first; raises as `checked_returns` does."""
    values = np.ascontiguousarray(returns, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 1:
        raise InvalidInput(f"{name} has shape {values.shape}", why="rows of days by columns of instruments", fix="pass (days, n)")
    return _finite(values, least, name)


def checked_weights(weights: Sequence[float] | Float64Array, count: int) -> Float64Array:
    """Weights as fractions of equity, signed, shape (count,)."""
    values = checked_returns(weights, least=1, name="weights")
    if values.shape[0] != count:
        raise InvalidInput(f"{values.shape[0]} weights for {count} instruments", why="one weight each", fix="pass as many")
    return values


def checked_number(value: float, name: str, *, least: float = -math.inf, above: float = -math.inf) -> float:
    """A finite number at least `least` and greater than `above`, or `InvalidInput`."""
    if not math.isfinite(value) or value < least or value <= above:
        rule = f"finite, at least {least}" if above == -math.inf else f"finite, above {above}"
        raise InvalidInput(f"{name} is {value!r}", why=f"must be {rule}", fix="see what made it")
    return float(value)


def tail_flags(n: int, confidence: float) -> tuple[str, ...]:
    """What a tail of `n` rows is worth at this confidence."""
    alpha = alpha_of(confidence)
    if alpha * n < 1:
        return (INSUFFICIENT_TAIL,)
    return (THIN_TAIL,) if n < least_rows(confidence) else ()


def merged_flags(*parts: tuple[str, ...]) -> tuple[str, ...]:
    """All flags once, in order."""
    return tuple(dict.fromkeys(flag for part in parts for flag in part))


def _finite(values: Float64Array, least: int, name: str) -> Float64Array:
    if values.shape[0] < least:
        raise InvalidInput(f"{name} holds {values.shape[0]}", why=f"at least {least} are needed", fix="pass a longer history")
    wrong = np.flatnonzero(~np.isfinite(values).reshape(values.shape[0], -1).all(axis=1))
    if wrong.size:
        raise InvalidInput(f"{name}[{wrong[0]}] is not finite", why="unknown is not zero", fix="drop or mend that row")
    return values
