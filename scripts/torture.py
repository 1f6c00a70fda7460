"""`make torture`: kill a trader at every named point and at random, disturb its exchange, and compare the books after every recovery.

Real processes on one market after the other: synthetic and recorded prices in turn, a rule and a model in turn. Prints a histogram of what
was done; exits 1 when anything was found, and names the command that repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.torture.plan import OUTSIDE, SPARED, block
from tests.torture.processes import Fresh, Nursery, Starter
from tests.torture.round import Outcome, Round

from kedge.services.kill_points import KILL_POINTS

DEATHS_OF_A_BLOCK = len(KILL_POINTS) + 5
FOUND_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Parse, run, print; 1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=DEATHS_OF_A_BLOCK, help="at least so many deaths, in whole blocks")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="start every process from a fresh interpreter")
    parser.add_argument("--keep", type=Path, help="keep the state folders here")
    parser.add_argument("--plan", action="store_true", help="only print what would be done")
    chosen = parser.parse_args(argv)
    outcome = asyncio.run(run(chosen))
    if chosen.plan:
        return 0
    _print(outcome)
    missed = [point for point in KILL_POINTS if not outcome.deaths[point]]
    if chosen.keep:
        print("\n".join(f"later {text}" for text in outcome.late))
    if not outcome.found and not missed:
        return 0
    for text in outcome.found[:FOUND_SHOWN]:
        print(f"FOUND {text}")
    if missed:
        print(f"FOUND points never reached: {', '.join(missed)}")
    print(f"repeat with: make torture KILLS={chosen.kills} SEED={chosen.seed}")
    return 1


async def run(chosen: argparse.Namespace) -> Outcome:
    """Block after block until there were enough deaths."""
    total = Outcome()
    if chosen.plan:
        for number in range(_blocks(chosen.kills)):
            print("\n".join(f"{number} {blow}" for blow in block(_drawn(chosen.seed, number))))
        return total
    starter: Starter = Fresh() if chosen.cold else await Nursery.open()
    with tempfile.TemporaryDirectory(prefix="kedge-torture-") as scratch:
        try:
            for number in range(_blocks(chosen.kills)):
                folder = (chosen.keep or Path(scratch)).resolve() / f"{chosen.seed}-{number}"
                folder.mkdir(parents=True)
                blows = block(_drawn(chosen.seed, number))
                seed, replayed, by_model = 1_000 * chosen.seed + number, number % 2 == 1, number % 4 in (1, 2)
                one = await Round(folder, starter, blows, seed, replayed=replayed, by_model=by_model).run()
                one.found = [f"block {number}: {text}" for text in one.found]
                total.add(one)
                told = (
                    f"{one.deaths.total()} deaths, {one.fills} fills, {one.audits} comparisons, {len(one.found)} found, {one.seconds:.0f} s"
                )
                print(f"block {number} ({'model' if by_model else 'rule'}): {told}", flush=True)
        finally:
            await starter.close()
    return total


def _blocks(kills: int) -> int:
    return max(1, -(-kills // DEATHS_OF_A_BLOCK))


def _drawn(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")


def _print(outcome: Outcome) -> None:
    named = sum(count for name, count in outcome.deaths.items() if name not in (OUTSIDE, SPARED))
    print(f"\nkills {outcome.deaths.total()} ({named} at named points), {outcome.seconds:.0f} s")
    for name in (*KILL_POINTS, OUTSIDE):
        print(f"  {name:<24}{outcome.deaths[name]:>5}")
    print("faults " + ", ".join(f"{name} {count}" for name, count in sorted(outcome.faults.items())))
    print(
        f"bars {outcome.bars}, orders {outcome.orders}, fills {outcome.fills}, settlements {outcome.fundings}, records {outcome.records}, "
        f"comparisons {outcome.audits} ({len(outcome.late)} needed another bar), differences {len(outcome.found)}"
    )


if __name__ == "__main__":
    sys.exit(main())
