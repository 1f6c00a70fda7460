"""Plant bugs one by one and see that the simulation's auditor catches each: `python -m scripts.mutants`.

Every bug is an exact replacement of text that must stand in its file once. It is made in a copy of the sources; another process, which
sees only the copy, lives through the days of at most 50 seeds, and then through those that are kept as scripts, until the auditor says
which rule was broken. An error of the program is not counted as caught. The exit code is 1 when a bug survives.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from scripts.mutants_brake import BRAKE
from scripts.mutants_list import MUTANTS, Mutant
from scripts.mutants_wire import WIRE

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests" / "simulation" / "scripts"
SEEDS_MAX = 50
ALL = (*MUTANTS, *WIRE, *BRAKE)
NOT_FOUND = "CRASH"
"""The rule's name where the program failed by itself."""


class Caught(NamedTuple):
    """What became of a planted bug; an empty rule where nobody noticed. `seed` is that of the script for a day that is kept."""

    name: str
    seed: int = -1
    rule: str = ""
    figures: str = ""
    days: int = 0
    crashes: int = 0


class Nursery:
    """One copy of the sources, in which one bug at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        shutil.copytree(ROOT / "src", self.source, ignore=shutil.ignore_patterns("__pycache__", "dashboard"))

    def try_one(self, mutant: Mutant, seeds: int) -> Caught:
        """Plant a bug, live through days, and take it out again."""
        package = self.source / "kedge"
        healthy = {file: (package / file).read_text(encoding="utf-8") for file, _, _ in mutant.edits}
        try:
            for file, source in planted(package, mutant).items():
                (package / file).write_text(source, encoding="utf-8")
            return self._live(mutant, seeds)
        finally:
            for file, source in healthy.items():
                (package / file).write_text(source, encoding="utf-8")

    def try_none(self, seeds: int) -> Caught:
        """Live through days without a bug: what is found then would be taken for a bug's."""
        return self._live(Mutant("no bug", "", "", ""), seeds)

    def _live(self, mutant: Mutant, seeds: int) -> Caught:
        paths = os.pathsep.join((str(self.source), str(ROOT)))
        env = {**os.environ, "PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "scripts.mutants", "--child", str(self.source), "--seeds", str(seeds)]
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mutant {mutant.name}: the days could not be lived through:\n{done.stderr[-2_000:]}")
        return Caught(mutant.name, **json.loads(done.stdout.splitlines()[-1]))


def planted(package: Path, mutant: Mutant) -> dict[str, str]:
    """The sources with the bug in them, by file.

    Raises
    ------
    ValueError
        The text to replace does not stand there exactly once: the list has to follow the code.
    """
    sick: dict[str, str] = {}
    for file, old, new in mutant.edits:
        source = sick.get(file) or (package / file).read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise ValueError(f"mutant {mutant.name}: its text stands {source.count(old)} times in {file}:\n{old}")
        sick[file] = source.replace(old, new)
    return sick


def child(source: Path, seeds: int) -> int:
    """Live through days until the auditor finds something; print what, as one line of JSON."""
    from tests.simulation.day import run
    from tests.simulation.script import read_file
    from tests.simulation.themes import script_of

    import kedge

    if Path(kedge.__file__).parents[1] != source:
        print(f"the package is {kedge.__file__}, not the copy in {source}", file=sys.stderr)
        return 2
    crashes = days = 0
    for script in chain(map(script_of, range(seeds)), map(read_file, sorted(KEPT.glob("*.txt")))):
        day = run(script)
        days += 1
        if day.is_bad and day.rule != NOT_FOUND:
            print(json.dumps({"seed": script.seed, "rule": day.rule, "figures": day.figures, "days": days, "crashes": crashes}))
            return 0
        crashes += int(day.is_bad)
    print(json.dumps({"days": days, "crashes": crashes}))
    return 0


def hunt(mutants: list[Mutant], seeds: int, jobs: int) -> list[Caught]:
    """Try every mutant; as many at once as there are nurseries."""
    with tempfile.TemporaryDirectory(prefix="kedge-mutants-") as folder:
        free: Queue[Nursery] = Queue()
        for n in range(jobs):
            free.put(Nursery(Path(folder).resolve() / str(n)))

        def one(mutant: Mutant) -> Caught:
            nursery = free.get()
            try:
                found = nursery.try_one(mutant, seeds)
            finally:
                free.put(nursery)
            rule = found.rule or f"SURVIVED {found.days} days, {found.crashes} of them failed"
            print(f"{found.name:44} {found.seed:5}  {rule:18} {found.figures[:110]}", flush=True)
            return found

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, mutants))


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; 1 when a planted bug was not caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="days at most for each bug")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="bugs whose name holds this text")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child is not None:
        return child(given.child, given.seeds)
    chosen = [mutant for mutant in ALL if given.only in mutant.name]
    for mutant in chosen:
        planted(ROOT / "src" / "kedge", mutant)
    with tempfile.TemporaryDirectory(prefix="kedge-mutants-") as folder:
        healthy = Nursery(Path(folder).resolve()).try_none(given.seeds)
    if healthy.rule:
        print(f"without any bug: seed {healthy.seed}: {healthy.rule}: {healthy.figures}; mend this first")
        return 1
    print(f"{'planted bug':44} {'seed':>5}  {'rule':18} figures")
    found = hunt(chosen, given.seeds, given.jobs)
    survived = [one.name for one in found if not one.rule]
    print(
        f"{len(found) - len(survived)} of {len(found)} planted bugs were caught"
        + (f"; survived: {', '.join(survived)}" if survived else "")
    )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
