"""How far a row of features is from what a model was trained on: a count of the cells that lie outside their range."""

from __future__ import annotations

from kedge.kernel.compiling import law
from kedge.learning.features import Float64Array, Int64Array


@law("int64(float64[::1], float64[::1], float64[::1], int64[::1])")
def outside_domain(x: Float64Array, low: Float64Array, high: Float64Array, found: Int64Array) -> int:
    """How many cells of `x` lie outside [low, high], all of shape (n,); their numbers go to the front of `found`.

    NaN is outside, but for a feature whose ends are both 0: that one was never known in training either.
    """
    count = 0
    for n in range(x.shape[0]):
        unknown = x[n] != x[n] and not (low[n] == 0.0 and high[n] == 0.0)
        if unknown or x[n] < low[n] or x[n] > high[n]:
            found[count] = n
            count += 1
    return count
