"""kill -9 at every named point, from outside, and cuts of the exchange's connections, with real processes; then books compared by others.

Each round is one market on which one trader dies again and again. After every recovery, while the market stands still, what the exchange
says over its own REST is compared with a second fold of the journal: nothing twice, nothing lost, money to the last unit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.torture.course import Course
from tests.torture.outcome import Outcome
from tests.torture.plan import AMENDS, CUTS, FROZEN, OTHERS, OUTSIDE, SECOND, SPARED, Blow, block, frozen_blow
from tests.torture.processes import Nursery
from tests.torture.rivals import RIVAL
from tests.torture.round import Round

pytestmark = pytest.mark.slow

ODD, EVEN = (*AMENDS, *OTHERS[::2]), OTHERS[1::2]
FROZEN_FOR_S = 4.0
"""Twice as long as a permit lives."""


def play(folder: Path, blows: Sequence[Blow], *, seed: int, replayed: bool, by_model: bool, style: str) -> Outcome:
    async def whole() -> Outcome:
        nursery = await Nursery.open()
        try:
            return await Round(Course(folder, seed, replayed=replayed, by_model=by_model, style=style), nursery, blows).run()
        finally:
            await nursery.close()

    return asyncio.run(whole())


def blows_of(seed: int, points: Sequence[str], cuts: Sequence[int]) -> list[Blow]:
    rng = random.Random(seed)
    blows = [*block(rng, points, outside=1, spared=0, frozen=0), frozen_blow(rng, "before_send", FROZEN_FOR_S)]
    blows += [Blow(SPARED, faults=(CUTS[number],)) for number in cuts]
    rng.shuffle(blows)
    return blows


@pytest.mark.parametrize(
    ("seed", "points", "cuts", "replayed", "by_model", "style"),
    [(1, ODD, (0, 2), False, True, "chase"), (2, EVEN, (1, 3), True, False, "market")],
    ids=["a model that chases on minutes", "a rule at the market on quarters"],
)
def test_a_trader_killed_at_every_point_has_the_exchanges_books(
    tmp_path: Path, seed: int, points: Sequence[str], cuts: Sequence[int], replayed: bool, by_model: bool, style: str
) -> None:
    outcome = play(tmp_path, blows_of(seed, points, cuts), seed=seed, replayed=replayed, by_model=by_model, style=style)
    assert outcome.found == []
    assert dict(outcome.deaths) == {**dict.fromkeys(points, 1), OUTSIDE: 1}
    assert outcome.faults["cut"] >= len(cuts)
    assert [outcome.faults[name] for name in (FROZEN, SECOND, RIVAL)] == [1, 1, 1]
    assert outcome.audits >= len(cuts) + 2
    assert outcome.fills >= 20
    assert outcome.records > outcome.bars
