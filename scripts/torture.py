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
from collections.abc import Iterator
from pathlib import Path

from tests.torture.course import Course
from tests.torture.outcome import Outcome
from tests.torture.plan import OTHERS, OUTSIDE, Blow, block
from tests.torture.processes import Fresh, Nursery, Starter
from tests.torture.round import Round

from kedge.services.kill_points import KILL_POINTS

STYLES = ("chase", "market", "limit")
"""How orders are worked, block by block."""
FOUND_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Parse, run, print; 1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1, help="at least so many deaths, in whole blocks")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2, help="blocks that run at the same time; they wait more than they compute")
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
        for number, blows in _blocks(chosen):
            print("\n".join(f"{number} {blow}" for blow in blows))
        return total
    starter: Starter = Fresh() if chosen.cold else await Nursery.open()
    room = asyncio.Semaphore(chosen.jobs)
    with tempfile.TemporaryDirectory(prefix="kedge-torture-") as scratch:
        folder = (chosen.keep or Path(scratch)).resolve()
        try:
            async with asyncio.TaskGroup() as blocks:
                running = [blocks.create_task(_play(chosen.seed, *one, folder, starter, room)) for one in _blocks(chosen)]
        finally:
            await starter.close()
    for task in running:
        total.add(task.result())
    return total


async def _play(seed: int, number: int, blows: list[Blow], parent: Path, starter: Starter, room: asyncio.Semaphore) -> Outcome:
    """One block, as soon as there is room for it."""
    async with room:
        folder = parent / f"{seed}-{number}"
        folder.mkdir(parents=True)
        by_model, style = number % 4 in (1, 2), STYLES[number % len(STYLES)]
        course = Course(folder, 1_000 * seed + number, replayed=number % 2 == 1, by_model=by_model, style=style)
        one = await Round(course, starter, blows).run()
    one.found = [f"block {number}: {text}" for text in one.found]
    told = f"{one.deaths.total()} deaths, {one.fills} fills, {one.audits} comparisons, {len(one.found)} found, {one.seconds:.0f} s"
    print(f"block {number} ({'model' if by_model else 'rule'}, {style}): {told}", flush=True)
    return one


def _blocks(chosen: argparse.Namespace) -> Iterator[tuple[int, list[Blow]]]:
    """Blocks with their numbers, until they hold enough deaths."""
    number = deaths = 0
    while deaths < chosen.kills:
        points = KILL_POINTS if STYLES[number % len(STYLES)] == "chase" else OTHERS
        blows = block(random.Random(f"{chosen.seed}/{number}"), points)
        deaths += sum(blow.kills for blow in blows)
        yield number, blows
        number += 1


def _print(outcome: Outcome) -> None:
    named = sum(count for name, count in outcome.deaths.items() if name != OUTSIDE)
    print(f"\nkills {outcome.deaths.total()} ({named} at named points), {outcome.seconds:.0f} s")
    for name in (*KILL_POINTS, OUTSIDE):
        print(f"  {name:<24}{outcome.deaths[name]:>5}")
    print("faults " + ", ".join(f"{name} {count}" for name, count in sorted(outcome.faults.items())))
    for told in outcome.rivals:
        print(f"two traders on one account: {told}")
    print(
        f"bars {outcome.bars}, orders {outcome.orders}, fills {outcome.fills}, settlements {outcome.fundings}, records {outcome.records}, "
        f"comparisons {outcome.audits} ({len(outcome.late)} needed another bar), differences {len(outcome.found)}"
    )


if __name__ == "__main__":
    sys.exit(main())
