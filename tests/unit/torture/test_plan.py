"""What is done to a trader is drawn from a seed, and every block holds everything."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from tests.torture.plan import FROZEN, FROZEN_AT, OUTSIDE, OUTSIDE_IN_A_BLOCK, SECOND, SPARED, SPARED_IN_A_BLOCK, Blow, block, frozen_blow

from kedge.services.kill_points import KILL_POINTS, KillAt


def test_a_block_holds_every_point_once_and_a_seed_draws_the_same_again() -> None:
    blows = block(random.Random("7/0"))
    found = Counter(blow.point for blow in blows)
    assert found == {**dict.fromkeys(KILL_POINTS, 1), OUTSIDE: OUTSIDE_IN_A_BLOCK, SPARED: SPARED_IN_A_BLOCK, FROZEN: 1, SECOND: 1}
    assert blows == block(random.Random("7/0"))
    assert blows != block(random.Random("8/0"))
    assert all(blow.count >= 1 and str(blow) for blow in blows)


def test_only_named_points_and_outside_kill() -> None:
    assert {blow.point for blow in block(random.Random("1")) if blow.kills} == {*KILL_POINTS, OUTSIDE}


@pytest.mark.parametrize("at", FROZEN_AT)
def test_a_trader_understands_where_it_is_to_stand_still(at: str) -> None:
    blow = frozen_blow(random.Random(3), at)
    assert (blow.point, blow.kills, blow.is_named) == (FROZEN, False, False)
    assert KillAt.parse(blow.armed).name == at if at else not blow.armed


def test_a_named_death_arms_its_point_and_others_arm_nothing() -> None:
    assert Blow("lookup", 3).armed == "lookup:3"
    assert {Blow(point).armed for point in (OUTSIDE, SPARED, SECOND)} == {""}
