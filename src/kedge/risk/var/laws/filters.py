"""Filters of variance, compiled: entry t of the answer is known before return t; the last entry is the forecast.

Rules: arrays are contiguous float64; a variance is never below `floor`; what comes in is finite, which the caller has checked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kedge.kernel.compiling import law

Float64Array = npt.NDArray[np.float64]


@law("void(float64[::1], float64, float64, float64, float64, float64, float64[::1])")
def garch_variances(r: Float64Array, omega: float, alpha: float, beta: float, first: float, floor: float, out: Float64Array) -> None:
    """`s2[t+1] = omega + alpha r[t]^2 + beta s2[t]` into `out`, shape (n + 1,); EWMA is omega 0, alpha 1 - L, beta L."""
    out[0] = max(first, floor)
    for t in range(r.shape[0]):
        out[t + 1] = max(omega + alpha * r[t] * r[t] + beta * out[t], floor)


@law(
    "void(float64[:, ::1], int64[:, ::1], float64[::1], float64[::1], float64[::1], float64[::1], float64[::1], float64, "
    "float64[::1], float64[::1])"
)
def bootstrap_paths(
    z: Float64Array,
    drawn: npt.NDArray[np.int64],
    weights: Float64Array,
    omega: Float64Array,
    alpha: Float64Array,
    beta: Float64Array,
    next_variance: Float64Array,
    floor: float,
    variance: Float64Array,
    out: Float64Array,
) -> None:
    """Returns of a portfolio along paths of drawn rows of residuals, each column's variance updated at each step.

    `z` has shape (n, d); `drawn`, (paths, steps), holds its rows; `variance`, (d,), is room to work in; `out`, (paths,), gets
    compounded returns. A path that has lost everything ends there.
    """
    for path in range(drawn.shape[0]):
        variance[:] = next_variance
        worth = 1.0
        for step in range(drawn.shape[1]):
            row, moved = drawn[path, step], 0.0
            for n in range(z.shape[1]):
                r = z[row, n] * np.sqrt(variance[n])
                variance[n] = max(omega[n] + alpha[n] * r * r + beta[n] * variance[n], floor)
                moved += weights[n] * r
            worth *= 1.0 + moved
            if worth <= 0.0:
                break
        out[path] = worth - 1.0
