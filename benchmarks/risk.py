"""What VaR and ES cost on every mark and before every order, beside NumPy doing the same anew.

Run: `python benchmarks/risk.py [--quick]`. One thread; 20 instruments over 1,000 scenarios, and two other sizes. A mark updates the
column of one position and asks for VaR at 99 % and ES at 97.5 %; an order asks what both would be after it, once with the positions alone
and once in the worst case with two open orders an instrument. NumPy has the matrix ready, multiplies it by the weights and selects the
tail by `partition`. Times are microseconds of CPU a call, the best of several rounds, Python's own call included. The last line of a size
says how far the two answers are apart, as a fraction of equity.

The gate per order is all of it, from the engine's books to the approved order: the situation, every rule of conduct, size, exposure,
margin and distance to liquidation, VaR and ES, with positions and two open orders in every instrument. Below it is the same when one mark
has moved since the last order, which the book then takes in first. NumPy answers what the rows of the account ask, with exposures, margins,
distances and the tail from arrays, and none of the others.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt
from risk_gate import gate_rows, us_a_call

from kedge.domain.units import E8
from kedge.risk.var.book import VarBook

Float64Array = npt.NDArray[np.float64]
Pair = tuple[float, float]
SIZES = ((1, 1_000), (20, 1_000), (100, 1_000))
HELD = (2, 20)
EQUITY_E8 = 100_000 * E8
MARK_TICKS, TICK_VALUE_E8 = 50_000, 10_000


class NumpyBook:
    """The baseline: everything anew, from the matrix."""

    def __init__(self, returns: Float64Array, weights: Float64Array) -> None:
        self.returns, self.weights = returns, weights
        self.var_at, self.tail_rows = math.ceil(len(returns) / 100) - 1, len(returns) / 40

    def of(self, weights: Float64Array) -> Pair:
        whole = math.floor(self.tail_rows)
        tail = np.partition(self.returns @ weights, (self.var_at, whole))[: whole + 1]
        tail.sort()
        beyond = tail[:whole].sum() + (self.tail_rows - whole) * tail[whole]
        return -float(tail[self.var_at]), -float(beyond) / self.tail_rows

    def mark(self, index: int, weight: float) -> Pair:
        self.weights[index] = weight
        return self.of(self.weights)

    def after(self, index: int, delta: float) -> Pair:
        weights = self.weights.copy()
        weights[index] += delta
        return self.of(weights)


def measured(count: int, days: int, calls: int, rounds: int) -> list[str]:
    rng = np.random.default_rng(1)
    returns = rng.standard_t(4, (days, count)) * 0.02
    weights = rng.normal(0, 1 / count, count)
    lots = [round(weight * EQUITY_E8 / (MARK_TICKS * TICK_VALUE_E8)) for weight in weights]
    held = np.array([lot * MARK_TICKS * TICK_VALUE_E8 / EQUITY_E8 for lot in lots])
    book, plain = VarBook([str(n) for n in range(count)], returns, equity_e8=EQUITY_E8), NumpyBook(returns, held)
    marks = rng.integers(MARK_TICKS - 10_000, MARK_TICKS + 10_000, 1_024).tolist()
    for index in range(count):
        book.set_position(index, lots[index], MARK_TICKS, TICK_VALUE_E8)

    def mark(n: int) -> Pair:
        book.set_mark(n % count, marks[n % 1_024])
        return book.var_es()

    def mark_plain(n: int) -> Pair:
        return plain.mark(n % count, lots[n % count] * marks[n % 1_024] * TICK_VALUE_E8 / EQUITY_E8)

    apart = max(abs(one - other) for n in range(64) for one, other in zip(mark(n), mark_plain(n), strict=True))
    order = EQUITY_E8 // 50
    rows = [("a mark, VaR and ES", us_a_call(mark, calls, rounds), us_a_call(mark_plain, calls, rounds))]
    gate = us_a_call(lambda n: book.after_e8(n % count, order), calls, rounds)
    rows.append(("an order, positions alone", gate, us_a_call(lambda n: plain.after(n % count, 0.02), calls, rounds)))
    for index in range(count):
        book.set_open_e8(index, order, order)
    worst = us_a_call(lambda n: book.worst_after_e8(n % count, order), calls, rounds)
    lines = [f"| {count} x {days:,} | {name} | {ours:.1f} | {numpys:.1f} | {numpys / ours:.1f} |" for name, ours, numpys in rows]
    lines.append(f"| {count} x {days:,} | the same, worst case of open orders | {worst:.1f} | - | - |")
    lines.append(f"| {count} x {days:,} | largest difference of the two answers | {apart:.0e} | | |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    lines = ["| instruments x scenarios | what | us a call | NumPy, us | ratio |", "|---|---|---|---|---|"]
    for count, days in SIZES:
        lines += measured(count, days, 500 if quick else 5_000, 2 if quick else 7)
    for count in HELD:
        lines += gate_rows(count, quick=quick)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
