"""`make storm`: a million random orders on random books through the gate, each acceptance checked by books that know nothing of it.

Prints how many were tried, accepted and refused by which rule; exits 1 when anything got through that breaches a row, or when a refusal
does not name code, value and limit. The same seed gives the same orders.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.property.gate_storm import Result, storm

CHUNK = 25_000
FOUND_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Parse, run, print; 1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    chosen = parser.parse_args(argv)
    begun = time.monotonic()
    whole = Result()
    sizes = [min(CHUNK, chosen.orders - at) for at in range(0, chosen.orders, CHUNK)]
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for part in pool.map(storm, sizes, [chosen.seed * 10_000 + n for n in range(len(sizes))]):
            add(whole, part)
    print(f"orders {whole.tried}, accepted {whole.accepted}, wrong ones tried {whole.shifted}, {time.monotonic() - begun:.0f} s")
    for code, count in sorted(whole.refusals.items(), key=lambda pair: -pair[1]):
        print(f"  refused {code:22} {count}")
    found = whole.breaches + whole.silent
    print(f"breaches {len(whole.breaches)}, refusals without code, value or limit {len(whole.silent)}")
    for line in found[:FOUND_SHOWN]:
        print(f"  {line}")
    if found:
        print(f"again: python -m scripts.gate_storm --orders {chosen.orders} --seed {chosen.seed}")
    return 1 if found else 0


def add(whole: Result, part: Result) -> None:
    """Sum up."""
    whole.tried += part.tried
    whole.accepted += part.accepted
    whole.shifted += part.shifted
    whole.breaches += part.breaches
    whole.silent += part.silent
    for code, count in part.refusals.items():
        whole.refusals[code] = whole.refusals.get(code, 0) + count


if __name__ == "__main__":
    sys.exit(main())
