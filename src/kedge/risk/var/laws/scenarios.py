"""The scenarios of the incremental book, compiled: whole numbers only, so that no order of updates can change an answer.

Rules: `shocks`, shape (n, days), are returns in units of 2^-28 below 2^33; notionals are quanta; the caller keeps gross
quanta at or below 2^29, so that every product and sum stays below 2^63. `pnl` and `worst`, shape (days,), are sums of
products. In `worst` every open order fills in just those scenarios in which it hurts: an upper bound of the loss over
all ways in which they may fill.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.kernel.compiling import law

Int64Array = npt.NDArray[np.int64]

LEAST: Final = -(2**63)
"""No sum is smaller."""

SPARE: Final = 8
"""So many values beside the tail may reach the heap before the days that bound it are chosen anew."""


@law("void(int64[:, ::1], int64, int64, int64, int64, int64[::1], int64[::1])")
def add(shocks: Int64Array, index: int, change: int, buy_change: int, sell_change: int, pnl: Int64Array, worst: Int64Array) -> None:
    """One column changes: its position, its open buys and its open sells, each by this many quanta."""
    falling, rising = change + buy_change, change - sell_change
    for day in range(pnl.shape[0]):
        shock = shocks[index, day]
        pnl[day] += change * shock
        worst[day] += (falling if shock < 0 else rising) * shock


@law("void(int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def rebuild(shocks: Int64Array, held: Int64Array, buys: Int64Array, sells: Int64Array, pnl: Int64Array, worst: Int64Array) -> None:
    """Both sums from nothing: what the updates keep equal, to the bit."""
    pnl[:] = 0
    worst[:] = 0
    for index in range(shocks.shape[0]):
        if held[index] != 0 or buys[index] != 0 or sells[index] != 0:
            add(shocks, index, held[index], buys[index], sells[index], pnl, worst)


@law("void(int64[::1], int64)")
def _sift(heap: Int64Array, size: int) -> None:
    """Let the root sink: the largest of the smallest stays at the top."""
    at, value = 0, heap[0]
    child = 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = value


@law("void(int64[::1], int64, int64)")
def _take(heap: Int64Array, filled: int, value: int) -> None:
    """Put one of the first values into a heap that holds `filled`."""
    at = filled
    while at > 0 and heap[(at - 1) // 2] < value:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = value


@law("void(int64[::1])")
def _sort(heap: Int64Array) -> None:
    """Ascending, in place: the heap's own order helps little, the heap is small."""
    for size in range(heap.shape[0] - 1, 0, -1):
        heap[0], heap[size] = heap[size], heap[0]
        _sift(heap, size)


@law("void(int64[::1], int64[::1], int64, int64, int64, int64[::1])")
def _note_days(sums: Int64Array, shocks: Int64Array, falling: int, rising: int, last: int, near: Int64Array) -> None:
    """The days of the smallest into `near`, each once; `last` is the largest of the smallest."""
    below = ties = 0
    for day in range(sums.shape[0]):
        shock = shocks[day]
        value = sums[day] + (falling if shock < 0 else rising) * shock
        if value < last:
            near[below] = day
            below += 1
        elif value == last and ties < near.shape[0] - below:
            near[near.shape[0] - 1 - ties] = day  # from behind: what lies below takes the places before
            ties += 1


@law("void(int64[::1], int64[:, ::1], int64, int64, int64, int64, int64[::1], int64[::1])")
def smallest(
    sums: Int64Array, shocks: Int64Array, index: int, change: int, buy: int, sell: int, near: Int64Array, tail: Int64Array
) -> None:
    """The `tail.shape[0]` smallest of `sums` after one more change of column `index`, ascending, into `tail`.

    `change` quanta join the position; `buy` and `sell` join the open orders. The sums themselves stay as they are. `near`, of the same
    shape, names as many days, each once: the largest value of any such days bounds what is looked for, and the closer they are to the
    tail, the fewer other values reach the heap. They only save time. One pass: O(days) where they are close, O(days log tail) at worst.
    """
    kept, row = tail.shape[0], shocks[index]
    falling, rising = change + buy, change - sell
    bound = LEAST
    for place in range(kept):
        shock = row[near[place]]
        bound = max(bound, sums[near[place]] + (falling if shock < 0 else rising) * shock)
    reached = 0
    for day in range(sums.shape[0]):
        shock = row[day]
        value = sums[day] + (falling if shock < 0 else rising) * shock
        if value <= bound:
            if reached < kept:
                _take(tail, reached, value)
            elif value < tail[0]:
                tail[0] = value
                _sift(tail, kept)
            reached += 1
    _sort(tail)
    if reached > kept + SPARE:
        _note_days(sums, row, falling, rising, tail[kept - 1], near)
