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
from tests.torture.plan import CUTS, OUTSIDE, SPARED, Blow, block
from tests.torture.processes import Nursery
from tests.torture.round import Outcome, Round

from kedge.services.kill_points import KILL_POINTS

pytestmark = pytest.mark.slow

FIRST, SECOND = KILL_POINTS[::2], KILL_POINTS[1::2]


def play(folder: Path, blows: Sequence[Blow], *, seed: int, replayed: bool, by_model: bool) -> Outcome:
    async def whole() -> Outcome:
        nursery = await Nursery.open()
        try:
            return await Round(folder, nursery, blows, seed, replayed=replayed, by_model=by_model).run()
        finally:
            await nursery.close()

    return asyncio.run(whole())


def blows_of(seed: int, points: Sequence[str], cuts: Sequence[int]) -> list[Blow]:
    rng = random.Random(seed)
    blows = [*block(rng, points, outside=1, spared=0), *(Blow(SPARED, faults=(CUTS[number],)) for number in cuts)]
    rng.shuffle(blows)
    return blows


@pytest.mark.parametrize(
    ("seed", "points", "cuts", "replayed", "by_model"),
    [(1, FIRST, (0, 2), False, True), (2, SECOND, (1, 3), True, False)],
    ids=["a model on minutes", "a rule on quarters"],
)
def test_a_trader_killed_at_every_point_has_the_exchanges_books(
    tmp_path: Path, seed: int, points: Sequence[str], cuts: Sequence[int], replayed: bool, by_model: bool
) -> None:
    outcome = play(tmp_path, blows_of(seed, points, cuts), seed=seed, replayed=replayed, by_model=by_model)
    assert outcome.found == []
    assert dict(outcome.deaths) == {**dict.fromkeys(points, 1), OUTSIDE: 1}
    assert outcome.faults["cut"] >= len(cuts)
    assert outcome.audits >= len(cuts) + 2
    assert outcome.fills >= 20
    assert outcome.records > outcome.bars
