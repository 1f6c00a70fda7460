"""Live through many bad days, one per seed, and count what they reached: `python -m scripts.simulate --seeds 10000 --start 0 --jobs 2`.

A day that breaks a rule is printed with the command that repeats it, shrunk to a short script and printed whole; then the exit code is 1.
For a day that has less in it than a day must have, one more is lived after the last, so that as many whole ones as asked for are judged;
when more than one in a thousand is such a day, the exit code is 1. So it is when a run of 10,000 days or more does not reach every legal
cell of the life-cycle table, or a trigger of the brake with a level that it leads to. `--script FILE` lives through one script, `--story`
prints what happened last.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.day import Outcome, run
from tests.simulation.histograms import Reached
from tests.simulation.script import Script, read_file
from tests.simulation.shrink import Shrinker
from tests.simulation.themes import script_of

WHOLE = 10_000
"""A run of so many days must reach every cell."""
THIN_ONE_IN = 1_000
"""So rare must days be that have less in them than a day must have."""
SHRUNK_MAX = 5
STORY_LINES = 60


def live(seed: int) -> Outcome:
    """The day of a seed."""
    return run(script_of(seed))


def days(start: int, seeds: int, jobs: int) -> Iterator[Outcome]:
    """All days, in the order of their seeds."""
    numbers = range(start, start + seeds)
    if jobs < 2:
        yield from map(live, numbers)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(live, numbers, chunksize=8)


def whole_days(start: int, seeds: int, jobs: int) -> Iterator[Outcome]:
    """Days until `seeds` of them have in them what a day must have, or more are thin than may be."""
    first, asked, may_be_thin = start, seeds, thin_max(seeds)
    while asked:
        thin = 0
        for day in days(first, asked, jobs):
            thin += day.is_thin and not day.is_bad
            yield day
        first, asked = first + asked, min(thin, may_be_thin)
        may_be_thin -= asked


def thin_max(seeds: int) -> int:
    """How many days of so many may have less in them than a day must have; of fewer than a thousand, none."""
    return seeds // THIN_ONE_IN


def tell_bad(day: Outcome, *, shrinks: bool) -> None:
    """Everything needed to repeat and understand a bad day."""
    print(f"\nseed {day.seed} ({day.theme}, {day.style}): {day.rule} at {day.at_s:.3f} s: {day.figures}", flush=True)
    print(f"  repeat: python -m scripts.simulate --seeds 1 --start {day.seed} --story")
    if shrinks:
        short, outcome = Shrinker().shrink(script_of(day.seed))
        print(f"  shortest script found ({len(short.actions)} actions, {outcome.rule} at {outcome.at_s:.3f} s), for --script FILE:\n")
        print("\n".join("    " + line for line in short.text().splitlines()))


def one_script(script: Script, *, story: bool) -> int:
    """Live through one script."""
    day = run(script)
    if story:
        print("\n".join(day.story[-STORY_LINES:]))
    if not day.is_bad:
        print(
            f"no rule is broken: {day.events} events, {day.orders} orders, {day.fills} fills, {day.restarts} restarts, digest {day.digest}"
        )
        return 0
    print(f"{day.rule} at {day.at_s:.3f} s: {day.figures}")
    return 1


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; 1 when a rule was broken or a cell not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--script", type=Path, help="live through this script instead")
    parser.add_argument("--story", action="store_true", help="print what happened last")
    parser.add_argument("--no-shrink", action="store_true", help="print bad days as they are")
    given = parser.parse_args(argv)
    if given.script is not None:
        return one_script(read_file(given.script), story=given.story)
    if given.seeds == 1:
        print(script_of(given.start).text())
        return one_script(script_of(given.start), story=given.story)
    reached, bad, begun = Reached(), list[Outcome](), time.monotonic()
    for n, day in enumerate(whole_days(given.start, given.seeds, given.jobs), 1):
        reached.add(day)
        if day.is_bad:
            bad.append(day)
            tell_bad(day, shrinks=not given.no_shrink and len(bad) <= SHRUNK_MAX)
        if n % 500 == 0:
            hours = (time.monotonic() - begun) / 3_600
            print(f"{n} days, {len(bad)} bad, {n / hours:.0f} an hour", flush=True)
    hours = (time.monotonic() - begun) / 3_600
    print(reached.text())
    print(f"{reached.days / hours:.0f} days an hour with {given.jobs} processes; {len(bad)} days broke a rule")
    for cell in reached.missing:
        print(f"not reached: {cell[0]} x {cell[1]}")
    is_thin = len(reached.thin) > thin_max(given.seeds)
    return 1 if bad or is_thin or (reached.missing and reached.days >= WHOLE) else 0


if __name__ == "__main__":
    sys.exit(main())
