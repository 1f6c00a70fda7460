"""A latch only hardens, is let go by a release alone, and says who and why."""

from __future__ import annotations

import itertools

import pytest

from kedge.domain.brake import ENGAGEABLE, SEVERITY, BrakeLevel, Latch, Trigger
from kedge.domain.errors import InvalidInput
from kedge.risk.brake.levels import Wish, flat, raised, released

RUNNING = Latch(account="a", generation=3, level=BrakeLevel.RUNNING, release_id="old")


def wish(level: BrakeLevel, **changed: str) -> Wish:
    return Wish(level=level, trigger=Trigger.MANUAL, reason=changed.get("reason", "r"), actor_id=changed.get("actor", "ada"))


@pytest.mark.parametrize(("now", "wanted"), list(itertools.product(BrakeLevel, ENGAGEABLE)))
def test_it_only_hardens(now: BrakeLevel, wanted: BrakeLevel) -> None:
    latch = Latch(account="a", generation=3, level=now, engaged_wall_ns=0 if now is BrakeLevel.RUNNING else 5)
    found = raised(latch, wish(wanted), 9, 77)
    if SEVERITY[wanted] <= SEVERITY[now]:
        assert found is None
        return
    assert found is not None
    assert (found.level, found.generation, found.changed_wall_ns, found.high_water_e8) == (wanted, 4, 9, 77)
    assert found.engaged_wall_ns == (9 if now is BrakeLevel.RUNNING else 5)


@pytest.mark.parametrize("level", [BrakeLevel.RUNNING, BrakeLevel.HALTED_FLAT])
def test_nobody_asks_for_running_or_for_flat(level: BrakeLevel) -> None:
    with pytest.raises(InvalidInput, match="level"):
        raised(RUNNING, wish(level), 1, 0)


def test_nobody_brakes_without_a_name_or_a_reason() -> None:
    for changed in ({"reason": " "}, {"actor": ""}):
        with pytest.raises(InvalidInput, match="reason or a name"):
            raised(RUNNING, wish(BrakeLevel.HALTED, **changed), 1, 0)


def test_only_a_flattening_ends_flat_and_keeps_why_it_began() -> None:
    latch = raised(RUNNING, wish(BrakeLevel.FLATTENING), 5, 0)
    assert latch is not None
    found = flat(latch, 8, 66)
    assert found is not None
    assert (found.level, found.generation, found.reason, found.engaged_wall_ns, found.changed_wall_ns) == (
        BrakeLevel.HALTED_FLAT, 5, "r", 5, 8,
    )  # fmt: skip
    assert flat(found, 9, 66) is None
    assert flat(RUNNING, 9, 66) is None


def test_a_release_leaves_no_trigger_and_names_its_approval() -> None:
    latch = raised(RUNNING, wish(BrakeLevel.HALTED), 5, 0)
    assert latch is not None
    found = released(latch, "ap-9", "ada+bob", "mended", 7, 55)
    assert (found.level, found.trigger, found.generation, found.release_id) == (BrakeLevel.RUNNING, None, 5, "ap-9")
    assert (found.engaged_wall_ns, found.changed_wall_ns, found.high_water_e8, found.actor_id) == (0, 7, 55, "ada+bob")
