"""A machine that was suspended: what the guard knew before counts as old as it is in the world, not as this machine was awake."""

from __future__ import annotations

import asyncio

import msgspec
from tests.unit.services.guard.scene import OFF, Scene, play

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.units import NS_PER_S
from kedge.services.guard.records import PermitsGranted

HOUR_NS = 3_600 * NS_PER_S


def test_no_permit_is_granted_by_a_look_from_before_and_the_next_look_permits_again() -> None:
    async def test(s: Scene) -> None:
        s.begin()
        s.beat()
        await s.until(lambda: s.guard.permit("n").granted)
        await asyncio.sleep(0.3)  # between two readings
        s.asleep_ns += HOUR_NS
        said = s.guard.permit("n")
        assert not said.granted
        assert "360" in said.why, said.why
        await s.until(lambda: s.guard.permit("n").granted, 5)
        assert s.level is BrakeLevel.RUNNING
        assert s.journal.of(PermitsGranted)

    play(test, msgspec.structs.replace(OFF, heartbeat_halt_s=60, stale_halt_s=10))


def test_a_position_that_nobody_watched_for_an_hour_halts() -> None:
    async def test(s: Scene) -> None:
        s.hold(500, stop=9_000)
        s.begin()
        s.beat()
        await s.until(lambda: s.guard.permit("n").granted)
        await s.silence()
        s.asleep_ns += HOUR_NS
        await s.until(lambda: s.level is BrakeLevel.HALTED, 2)
        assert s.latch.held.trigger in (Trigger.HEARTBEAT, Trigger.STALE_DATA)
        assert s.lots() == 500

    play(test, msgspec.structs.replace(OFF, heartbeat_halt_s=60, stale_halt_s=10))
