"""What a law costs: nanoseconds a call from Python and from a compiled loop, beside the same loops with nothing in them.

Run: `python benchmarks/kernel.py`. The best of several rounds is shown, because other work on the machine only adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from kedge.domain.units import E8, NS_PER_DAY
from kedge.kernel.account import book_fill, mark_account, new_account, open_account
from kedge.kernel.arithmetic import mul_div_floor, mul_div_half_even, ratio_e8_ceil
from kedge.kernel.compiling import LAWS, compile_all
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8
from kedge.kernel.limits import worst_case_lots
from kedge.kernel.margin import liquidation_ticks, maintenance_margin_e8
from kedge.kernel.matching import match_bar
from kedge.kernel.positions import apply_fill

ROUNDS, PYTHON_CALLS, COMPILED_CALLS = 7, 20_000, 200_000
N_SLOTS, VALUE = 4, 10_000

Loop = Callable[[int], int]


def main() -> None:
    started = time.perf_counter()
    laws = compile_all()
    print(f"{laws} laws ready in {time.perf_counter() - started:.2f} s after the import of those above")
    print(f"{'law':<34}{'from Python':>14}{'compiled loop':>16}   (ns a call)")
    for name, python, compiled in CASES:
        compiled(1)
        print(f"{name:<34}{best_ns(python, PYTHON_CALLS):>14.0f}{best_ns(compiled, COMPILED_CALLS):>16.1f}")


def best_ns(loop: Loop, calls: int) -> float:
    """Nanoseconds a call in the quickest of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        loop(calls)
        rounds.append((time.perf_counter_ns() - start) / calls)
    return min(rounds)


def python_loop(law: Any, *terms: Any) -> Loop:
    def loop(calls: int) -> int:
        for _ in range(calls):
            law(*terms)
        return 0

    return loop


def bare_python(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += k
    return total


# Each compiled loop feeds its counter in and adds its answer up, so that nothing can be left out by the compiler.


@numba.njit
def bare_compiled(calls: int) -> int:
    total = 0
    for k in range(calls):
        total ^= k * 3
    return total


@numba.njit
def floors(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += mul_div_floor(5_000_000_000_000 + k, 55_000, E8)
    return total


@numba.njit
def half_evens(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += mul_div_half_even(5_000_000_000_000 + k, 300 + (k & 63), 700 + (k & 63))
    return total


@numba.njit
def ratios(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += ratio_e8_ceil(1_000_000_000 + k, 1_000_000_000_000 + k)
    return total


@numba.njit
def fees(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += fee_e8(5_000_000_000_000 + k, 55_000)
    return total


@numba.njit
def fundings(calls: int) -> int:
    total = 0
    for k in range(calls):
        total += funding_paid_e8(500 + (k & 7), 6_100_012_345_678 + k, 10_000, 10_000_000, VALUE)
    return total


@numba.njit
def fills(calls: int) -> int:
    lots = cost = total = 0
    for k in range(calls):
        lots, cost, realised = apply_fill(lots, cost, 3 - 6 * (k & 1) + (k & 2), 600_000 + (k & 255), VALUE)
        total += realised
    return total


@numba.njit
def _matches(calls: int, opens: np.ndarray, volumes: np.ndarray, limits: np.ndarray) -> int:
    total = 0
    for k in range(calls):
        at = k & 1023
        opened = opens[at]
        lots, price, _ = match_bar(1, k & 1, limits[at], 1, 50, opened, opened + 300, opened - 300, opened, volumes[at], 10_000_000, 1, 10)
        total += lots * price
    return total


@numba.njit
def _worst_cases(calls: int, positions: np.ndarray) -> int:
    total = 0
    for k in range(calls):
        total += worst_case_lots(positions[k & 1023], 5, 7, 3)
    return total


def slots() -> tuple[np.ndarray, ...]:
    """Four positions around 60,000 USDT: lots, costs, marks, tick values."""
    lots = np.array([100, -50, 30, -10], dtype=np.int64)
    tick_values = np.full(N_SLOTS, VALUE, dtype=np.int64)
    marks = np.full(N_SLOTS, 600_000, dtype=np.int64)
    return lots, lots * marks * tick_values, marks, tick_values


def opened() -> np.ndarray:
    row = new_account()
    open_account(row, 10_000 * E8, 0)
    return row


TIERS = np.array([[10**14, 500_000, 0], [10**16, 1_000_000, 5 * 10**11]], dtype=np.int64)


@numba.njit
def _marks(calls: int, row: np.ndarray, lots: np.ndarray, costs: np.ndarray, marks: np.ndarray, values: np.ndarray) -> int:
    total = 0
    for k in range(calls):
        total += mark_account(row, k & 3, 600_000 + (k * 7 & 1023), k * (NS_PER_DAY >> 10), lots, costs, marks, values)
    return total


@numba.njit
def _booked(calls: int, row: np.ndarray, lots: np.ndarray, costs: np.ndarray, values: np.ndarray) -> int:
    total = 0
    for k in range(calls):
        total += book_fill(row, k & 3, 1 if k & 4 else -1, 600_000 + (k & 255), 100, lots, costs, values)
    return total


@numba.njit
def _margins(calls: int, tiers: np.ndarray) -> int:
    total = 0
    for k in range(calls):
        total += maintenance_margin_e8(600_000_000_000 + k, 1_000, 1, 55_000, tiers)
    return total


@numba.njit
def _walks(calls: int, terms: tuple[np.ndarray, ...]) -> int:
    lots, costs, marks, values, leverages, takers, tiers, counts = terms
    total = 0
    for k in range(calls):
        total += liquidation_ticks(0, 600_000, 500_000 + (k & 255), 10**11, lots, costs, marks, values, leverages, takers, tiers, counts)
    return total


def book_terms() -> tuple[np.ndarray, ...]:
    leverages, takers = np.full(N_SLOTS, 1_000, dtype=np.int64), np.full(N_SLOTS, 55_000, dtype=np.int64)
    return *slots(), leverages, takers, np.stack([TIERS] * N_SLOTS), np.full(N_SLOTS, 2, dtype=np.int64)


def _on_account(loop: Any, with_marks: bool) -> Loop:
    def run(calls: int) -> int:
        lots, costs, marks, values = slots()
        return int(loop(calls, opened(), lots, costs, marks, values) if with_marks else loop(calls, opened(), lots, costs, values))

    return run


DRAWS = np.random.default_rng(1)
OPENS, LIMITS = (DRAWS.integers(590_000, 600_000, 1_024) for _ in range(2))
VOLUMES, POSITIONS = DRAWS.integers(0, 10_000, 1_024), DRAWS.integers(-50, 50, 1_024)

LOTS, COSTS, MARKS, VALUES = slots()
FILLED = slots()

CASES: tuple[tuple[str, Loop, Loop], ...] = (
    ("nothing (the bare loop)", bare_python, bare_compiled),
    ("mul_div_floor", python_loop(mul_div_floor, 5_000_000_000_000, 55_000, E8), floors),
    ("mul_div_half_even", python_loop(mul_div_half_even, 5_000_000_000_000, 300, 700), half_evens),
    ("ratio_e8_ceil", python_loop(ratio_e8_ceil, 1_000_000_000, 1_000_000_000_001), ratios),
    ("fee_e8", python_loop(fee_e8, 5_000_000_000_000, 55_000), fees),
    ("funding_paid_e8", python_loop(funding_paid_e8, 500, 6_100_012_345_678, 10_000, 10_000_000, VALUE), fundings),
    ("apply_fill", python_loop(apply_fill, 10, 10**12, -3, 600_000, VALUE), fills),
    ("worst_case_lots", python_loop(worst_case_lots, 5, 5, 7, 3), lambda n: int(_worst_cases(n, POSITIONS))),
    (
        "match_bar",
        python_loop(match_bar, 1, 1, 0, 0, 50, 600_000, 600_300, 599_700, 600_100, 100_000, 10_000_000, 1, 10),
        lambda n: int(_matches(n, OPENS, VOLUMES, LIMITS)),
    ),
    ("mark_account, 4 slots", python_loop(mark_account, opened(), 0, 600_000, 1, LOTS, COSTS, MARKS, VALUES), _on_account(_marks, True)),
    ("book_fill", python_loop(book_fill, opened(), 0, 1, 600_000, 100, FILLED[0], FILLED[1], VALUES), _on_account(_booked, False)),
    ("maintenance_margin_e8", python_loop(maintenance_margin_e8, 10**13, 1_000, 1, 55_000, TIERS), lambda n: int(_margins(n, TIERS))),
    (
        "liquidation_ticks, 100,000 ticks",
        python_loop(liquidation_ticks, 0, 600_000, 500_000, 10**11, *book_terms()),
        lambda n: int(_walks(n, book_terms())),
    ),
)


if __name__ == "__main__":
    assert LAWS
    main()
