"""What can be read is judged and acted on, whatever cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from tests.simulation.guard_client import SimGuardVenue
from tests.simulation.world import listing
from tests.unit.services.guard.scene import Scene, play
from tests.unit.services.guard.test_books_and_losses import LOSSES, ready

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import Instrument
from kedge.domain.venue import GuardVenue, VenueWallet
from kedge.services.guard.reading import Truth

A, B, _ = listing()


async def _unread(venue: SimGuardVenue) -> VenueWallet:
    raise VenueUnavailable("no answer", why="a test", fix="wait")


@pytest.mark.parametrize("lots", [9_000, -9_000])
def test_a_fall_counts_at_once_while_the_wallet_cannot_be_read(lots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        await ready(s, lots)
        monkeypatch.setattr(SimGuardVenue, "wallet", _unread)
        await asyncio.sleep(1)
        assert s.guard.status().drawdown_e8 == 0 or (s.guard.status().drawdown_e8 or 0) < 100_000
        s.move(8_700 if lots > 0 else 11_300)
        begun_s = s.loop.time()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.loop.time() - begun_s < 0.75
        assert (s.level, s.latch.held.trigger) == (BrakeLevel.FLATTENING, Trigger.DRAWDOWN)
        await s.until(lambda: s.lots() == 0)

    play(test, LOSSES)


def test_a_gain_that_is_taken_while_the_wallet_cannot_be_read_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        s.move(12_000)
        await asyncio.sleep(1)
        monkeypatch.setattr(SimGuardVenue, "wallet", _unread)
        await asyncio.sleep(1)
        s.hold(0)
        await asyncio.sleep(6)
        assert s.level is BrakeLevel.RUNNING
        assert (s.guard.status().drawdown_e8 or 0) < 100_000

    play(test, msgspec.structs.replace(LOSSES, stale_halt_s=10))


def test_a_record_that_does_not_come_keeps_no_other_from_being_read() -> None:
    class Venue:
        async def instruments(self, names: Sequence[str]) -> list[Instrument]:
            if A.instrument_id in names:
                await asyncio.sleep(0.05)
                raise VenueUnavailable("no record", why="a test", fix="wait")
            return [B]

    async def test() -> None:
        truth, venue = Truth(lambda: 0, 2.0), cast(GuardVenue, Venue())
        first: asyncio.Task[Any] = asyncio.create_task(truth.know(venue, [A.instrument_id]))
        await asyncio.sleep(0)
        await truth.know(venue, [B.instrument_id])
        assert set(truth.records) == {B.instrument_id}
        assert not first.done()
        with pytest.raises(VenueUnavailable, match="no record"):
            await first
        await truth.close()

    asyncio.run(test())
