"""Two hundred bad days, and every day that was ever worse than it should have been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.simulation.day import MEASURE, Outcome, run
from tests.simulation.guard_limits import CELLS
from tests.simulation.histograms import Reached
from tests.simulation.script import read_file
from tests.simulation.themes import THEMES, TURNS, script_of
from tests.simulation.traders import legal_cells

FIRST, SEEDS, CHUNK = 1_000, 200, 8
SAME = (3, 149)
"""Days that are compared between processes: one of a trader, one on which several positions are closed at once by a guard."""
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def kept_seeds() -> list[int]:
    """Seeds of `seeds.txt`."""
    lines = (HERE / "seeds.txt").read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, CHUNK))
def test_on_no_day_of_the_fixed_seeds_is_a_rule_broken(start: int) -> None:
    reached = Reached()
    for seed in range(start, min(start + CHUNK, FIRST + SEEDS)):
        day = run(script_of(seed))
        reached.add(day)
        assert not day.is_bad, (
            f"seed {seed}: {day.rule} at {day.at_s:.3f} s: {day.figures}; python -m scripts.simulate --seeds 1 --start {seed}"
        )
    assert reached.thin == [], "days that have less in them than a day must have"
    assert all(reached.least[name] >= least for name, least in MEASURE.items())


@pytest.mark.parametrize("path", sorted((HERE / "scripts").glob("*.txt")), ids=lambda path: path.stem)
def test_a_script_that_once_broke_a_rule_breaks_none_any_more(path: Path) -> None:
    day = run(read_file(path))
    assert not day.is_bad, f"{path.name}: {day.rule} at {day.at_s:.3f} s: {day.figures}"


@pytest.mark.parametrize("seed", kept_seeds())
def test_a_seed_whose_day_once_broke_a_rule_breaks_none_any_more(seed: int) -> None:
    day = run(script_of(seed))
    assert not day.is_bad, f"seed {seed}: {day.rule} at {day.at_s:.3f} s: {day.figures}"


def test_a_seed_is_the_same_day_twice_and_another_seed_is_another_day() -> None:
    first, again, other = run(script_of(5)), run(script_of(5)), run(script_of(18))
    assert msgspec.structs.replace(first, cpu_s=0.0, story=[]) == msgspec.structs.replace(again, cpu_s=0.0, story=[])
    assert first.digest != other.digest


def test_a_day_is_the_same_in_another_process_with_other_hashes() -> None:
    code = "from tests.simulation.day import run; from tests.simulation.themes import script_of; "
    code += f"print(*(run(script_of(seed)).digest for seed in {SAME}))"
    digests = set()
    for hashing in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert digests == {" ".join(run(script_of(seed)).digest for seed in SAME)}


def test_a_day_of_each_theme_has_in_it_what_a_day_must_have() -> None:
    days = [run(script_of(seed)) for seed in range(FIRST, FIRST + len(TURNS))]
    assert [day.seed for day in days if day.is_thin] == []
    assert {day.theme for day in days} == set(THEMES)
    assert {cell for day in days for cell in day.brakes} <= set(CELLS)
    assert all(sum(day.cells.values()) > 0 and set(day.cells) <= set(legal_cells()) for day in days)


def test_a_day_on_which_nothing_happens_is_known_to_be_thin() -> None:
    empty = Outcome(seed=1, theme="made", style="market", events=5_000, orders=50, troubles=9, kinds=4, restarts=1)
    assert empty.is_thin
    assert not msgspec.structs.replace(empty, fundings=1).is_thin
