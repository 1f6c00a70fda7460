"""Randomness and a few functions for the synthetic market, the same to the bit on every machine.

Rules: only integer arithmetic and the IEEE-754 operations + - * / and square root, one at a time, are used. No `exp`, `log`
or `pow` of the platform, no matrix product and no vectorised float sum, whose last bits differ between machines. The stream
of PCG64 and of SeedSequence is fixed by NumPy's compatibility policy (NEP 19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LANES: Final = 12
_LANE_SUM_MEAN: Final = 393_210  # twelve 16-bit lanes, each 32,767.5 on average
_LN2_HIGH: Final = 0.693147180369123816490  # upper bits of ln 2, so that k * _LN2_HIGH is exact
_LN2_LOW: Final = 1.90821492927058770002e-10
_INVERSE_LN2: Final = 1.44269504088896338700
_EXP_TERMS: Final = 14


def stream_key(name: str) -> int:
    """A 64-bit key of a stream from its name, so that a stream does not depend on which others exist."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


class BlockNoise:
    """The random words of one stream in one block; draws come in a fixed order."""

    def __init__(self, seed: int, key: int, block: int, length: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, key, block)))
        self._length = length

    def _words(self, per_row: int) -> NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(self._length * per_row), dtype=np.uint64)

    def normal(self) -> Floats:
        """Nearly standard normal values, shape (length,): sums of twelve 16-bit uniforms, mean 0, variance 1, |z| < 6.

        The tails beyond four sigma are thinner than a normal's; the market's fat tails come from volatility and jumps.
        """
        lanes = self._words(_LANES // 4).view(np.uint16).reshape(self._length, _LANES)
        total: Ints = lanes.sum(axis=1, dtype=np.int64)
        return (total - _LANE_SUM_MEAN).astype(np.float64) * (1.0 / 65_536.0)

    def uniform(self) -> Floats:
        """Uniform values in [0, 1) on a grid of 2^-53, shape (length,)."""
        return (self._words(1) >> np.uint64(11)).astype(np.float64) * (1.0 / 9_007_199_254_740_992.0)


def exp(x: Floats) -> Floats:
    """e^x within 1e-15 relative, by range reduction and Horner's rule; |x| up to 700."""
    k = np.rint(x * _INVERSE_LN2)
    r = x - k * _LN2_HIGH - k * _LN2_LOW
    total = np.ones_like(r)
    for n in range(_EXP_TERMS, 0, -1):
        total = total * r / float(n) + 1.0
    return np.ldexp(total, k.astype(np.int32))


def exp_scalar(x: float) -> float:
    """e^x of one number."""
    return float(exp(np.array([x]))[0])


def decay(step: float, half_life: float) -> float:
    """What remains after `step` of something that halves in `half_life` (same unit)."""
    return exp_scalar(-0.6931471805599453 * step / half_life)


def filtered(start: float, keep: float, inputs: Floats) -> Floats:
    """x_t = keep * x_(t-1) + input_t, from `start` (not returned), summed strictly in order; shape as `inputs`."""
    path: Iterable[float] = accumulate(inputs.tolist(), lambda x, u: keep * x + u, initial=start)
    return np.fromiter(path, dtype=np.float64, count=inputs.size + 1)[1:]


def nearest(x: Floats) -> Ints:
    """Round to the nearest integer, halves up."""
    return np.floor(x + 0.5).astype(np.int64)
