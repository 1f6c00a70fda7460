"""A position without a working stop while the brake is halted: the guard closes it and no other, by its own reduce-only slices."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.simulation.guard_client import SimGuardVenue
from tests.unit.services.guard.scene import AAA, BBB, OFF, Scene, play
from tests.unit.services.guard.test_flattening import engage, flat, never_reversed
from tests.unit.services.guard.test_release import order

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import VenueUnavailable
from kedge.domain.venue import Depth, VenuePosition, VenueWallet
from kedge.services.guard.records import Breached, SliceSent
from kedge.simulation.venue_types import Reject, TriggerBy

HALTED = BrakeLevel.HALTED
LIMIT_S = 15
STOPS = msgspec.structs.replace(OFF, stop_missing_s=LIMIT_S)


async def halted(s: Scene, lots: int = 500, *, stop: int = 0) -> None:
    """A stopped position of AAA, another of BBB, and a brake that a person halted."""
    s.hold(300, AAA, stop=9_000)
    s.hold(lots, BBB)
    if stop:
        put_stop(s, stop)
    s.begin()
    s.beat()
    await s.seen()
    engage(s, HALTED)


def put_stop(s: Scene, ticks: int) -> object:
    done = s.world.core.set_trading_stop(s.settings.account, BBB, s.world.now_ns, stop_loss_ticks=ticks, sl_trigger_by=TriggerBy.MARK)
    s.world.publish()
    return done


def test_a_position_whose_stop_the_venue_refuses_is_closed_after_its_time_and_the_others_keep_theirs() -> None:
    async def test(s: Scene) -> None:
        await halted(s)
        begun_s = s.loop.time()
        s.move(8_800, BBB)  # beyond the stop that it should have
        assert isinstance(put_stop(s, 9_000), Reject)
        await s.until(lambda: s.lots(BBB) == 0, 60)
        assert LIMIT_S - 1 <= s.loop.time() - begun_s < LIMIT_S + 5
        await asyncio.sleep(20)
        assert (s.level, s.lots(AAA)) == (HALTED, 300)
        assert [row.trigger_ticks for row in s.open() if row.instrument == AAA] == [9_000]
        assert {one.instrument for one in s.journal.of(SliceSent)} == {BBB}
        assert f"BARE {BBB}" in s.pager.codes
        assert [one.trigger for one in s.journal.of(Breached)] == [Trigger.STOP_MISSING]
        never_reversed(s, 500, BBB)

    play(test, STOPS)


def test_a_short_is_bought_back_likewise() -> None:
    async def test(s: Scene) -> None:
        await halted(s, -400)
        await s.until(lambda: s.lots(BBB) == 0, 60)
        assert (s.level, s.lots(AAA)) == (HALTED, 300)
        never_reversed(s, 400, BBB)

    play(test, STOPS)


@pytest.mark.parametrize("lots", [500, -500])
def test_a_stop_that_the_mark_has_passed_and_that_did_not_fire_is_none(lots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SimGuardVenue.positions

    async def stuck(venue: SimGuardVenue) -> list[VenuePosition]:
        rows = await plain(venue)
        passed = 10_500 if lots > 0 else 9_500
        return [msgspec.structs.replace(row, stop_loss_ticks=passed) if row.instrument == BBB else row for row in rows]

    async def test(s: Scene) -> None:
        monkeypatch.setattr(SimGuardVenue, "positions", stuck)
        await halted(s, lots)
        await s.until(lambda: s.lots(BBB) == 0, 60)
        assert (s.level, s.lots(AAA)) == (HALTED, 300)

    play(test, STOPS)


@pytest.mark.parametrize("level", [BrakeLevel.RUNNING, BrakeLevel.REDUCE_ONLY])
def test_below_halted_the_trader_may_close_and_the_guard_does_not(level: BrakeLevel) -> None:
    async def test(s: Scene) -> None:
        s.hold(500, BBB)
        s.begin()
        s.beat()
        await s.seen()
        if level is not BrakeLevel.RUNNING:
            engage(s, level)
        await asyncio.sleep(LIMIT_S + 10)
        assert s.level is BrakeLevel.REDUCE_ONLY, "the trigger's own level"
        assert (s.lots(BBB), s.journal.of(SliceSent)) == (500, [])

    play(test, STOPS)


def test_an_account_whose_stops_nobody_asks_for_is_left_as_it_is() -> None:
    async def test(s: Scene) -> None:
        await halted(s)
        await asyncio.sleep(40)
        assert (s.lots(BBB), s.journal.of(SliceSent)) == (500, [])

    play(test, OFF)


def test_a_trader_that_is_gone_leaves_nothing_bare_behind() -> None:
    async def test(s: Scene) -> None:
        s.hold(500, BBB)
        s.begin()
        await s.seen()
        await s.until(lambda: s.level is HALTED, 61)
        await s.until(lambda: s.lots(BBB) == 0, 10)
        assert s.latch.held.trigger is Trigger.HEARTBEAT

    play(test, msgspec.structs.replace(STOPS, heartbeat_halt_s=60))


def test_a_stop_that_comes_ends_the_closing_where_it_is_and_one_that_goes_begins_its_time_anew() -> None:
    async def test(s: Scene) -> None:
        await halted(s, 4_000)
        await s.until(lambda: 0 < s.lots(BBB) < 4_000, 60)
        assert not isinstance(put_stop(s, 9_000), Reject)
        await asyncio.sleep(3)
        left = s.lots(BBB)
        assert left > 0
        await asyncio.sleep(20)
        assert (s.lots(BBB), s.guard.hands.closer.pending, s.guard.hands.closer.waits) == (left, 0, {})
        put_stop(s, 0)
        await asyncio.sleep(LIMIT_S - 1)
        assert s.lots(BBB) == left
        await s.until(lambda: s.lots(BBB) == 0, 60)
        never_reversed(s, 4_000, BBB)

    play(test, STOPS)


def test_a_guard_that_dies_while_closing_takes_it_up_again_and_closes_nothing_twice() -> None:
    async def test(s: Scene) -> None:
        await halted(s, 4_000)
        await s.until(lambda: 0 < s.lots(BBB) < 4_000, 60)
        await s.crash()
        s.new_guard()
        s.begin()
        await s.until(lambda: s.lots(BBB) == 0, 90)
        assert s.lots(AAA) == 300
        never_reversed(s, 4_000, BBB)

    play(test, STOPS)


def test_a_flattening_takes_over_what_was_under_way() -> None:
    async def test(s: Scene) -> None:
        await halted(s, 4_000)
        await s.until(lambda: 0 < s.lots(BBB) < 4_000, 60)
        engage(s)
        await flat(s, 60)
        assert s.lots(AAA) == s.lots(BBB) == 0
        never_reversed(s, 4_300, BBB)

    play(test, STOPS)


def test_a_stop_that_came_while_nobody_could_look_is_believed_before_the_wallet_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, plain_wallet = SimGuardVenue.positions, SimGuardVenue.wallet

    async def fails(venue: SimGuardVenue) -> list[VenuePosition]:
        raise VenueUnavailable("no answer", why="a test", fix="wait")

    async def slow(venue: SimGuardVenue) -> VenueWallet:
        await asyncio.sleep(1.5)
        return await plain_wallet(venue)

    async def test(s: Scene) -> None:
        await halted(s)
        await asyncio.sleep(5)
        monkeypatch.setattr(SimGuardVenue, "positions", fails)
        await asyncio.sleep(1)
        assert not isinstance(put_stop(s, 9_000), Reject)
        await asyncio.sleep(LIMIT_S)
        monkeypatch.setattr(SimGuardVenue, "wallet", slow)
        await asyncio.sleep(2)
        monkeypatch.setattr(SimGuardVenue, "positions", plain)
        await asyncio.sleep(10)
        assert (s.lots(BBB), s.journal.of(SliceSent)) == (500, [])

    play(test, STOPS)


@pytest.mark.parametrize("is_released", [False, True])
def test_no_slice_leaves_once_the_stop_is_back_or_the_brake_is_off(is_released: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asked = SimGuardVenue.depth, []

    async def slow(venue: SimGuardVenue, instrument: str) -> Depth:
        asked.append(instrument)
        found = await plain(venue, instrument)
        await asyncio.sleep(1.5)
        return found

    async def test(s: Scene) -> None:
        monkeypatch.setattr(SimGuardVenue, "depth", slow)
        await halted(s)
        await s.until(lambda: bool(asked), 60)
        assert not isinstance(put_stop(s, 9_000), Reject)
        await asyncio.sleep(0.3)
        if is_released:
            await s.guard.release(order(s.latch.held.generation))
        await asyncio.sleep(5)
        assert s.level is (BrakeLevel.RUNNING if is_released else HALTED)
        assert (s.lots(BBB), s.journal.of(SliceSent), s.guard.hands.closer.waits) == (500, [], {})

    play(test, STOPS)
