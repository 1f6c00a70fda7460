"""A change of the wallet that nothing explains yet is no loss and no flow; a loss is one whichever list is late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from tests.simulation.guard_client import SimGuardVenue
from tests.unit.risk.brake.test_earnings import fill
from tests.unit.services.guard.scene import BBB, Scene, play
from tests.unit.services.guard.test_books_and_losses import LOSSES, ready
from tests.unit.services.guard.test_release import order, refused

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.instrument import Instrument
from kedge.domain.units import E8
from kedge.domain.venue import Depth, LedgerEntry
from kedge.services.guard.records import Baseline, GuardRecord


def counted(s: Scene) -> tuple[int, bool]:
    """What is lost as it is judged, in 1e-8, and whether new risk is permitted."""
    status = s.guard.status()
    assert status.drawdown_e8 is not None
    return status.drawdown_e8, not status.permits


def deaf_to_trades(s: Scene, late_ms: int = 600_000) -> None:
    """No list and no stream tells of what happens from now on."""
    s.act("slow_lists", ms=600_000, late_ms=late_ms)
    s.act("private_cut", ms=600_000)


@pytest.mark.parametrize("lots", [1_000, 2_500, 0])
@pytest.mark.parametrize("amount", [4_000, 800])
def test_a_withdrawal_within_one_reading_of_a_trade_is_no_loss_while_no_list_shows_either(lots: int, amount: int) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        deaf_to_trades(s)
        s.hold(lots)
        s.act("withdraw", amount=amount)
        await asyncio.sleep(8)
        lost_e8, is_permitted = counted(s)
        assert s.level is BrakeLevel.RUNNING
        assert lost_e8 < 1_000_000
        assert not is_permitted
        assert "explain" in s.guard.status().permits

    play(test, LOSSES)


def test_money_that_went_and_that_nothing_explains_stops_permits_at_once_and_halts_and_never_flattens() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        assert counted(s)[1]
        s.act("ghost_money", amount_e8=-4_000 * E8)
        s.world.publish()
        await asyncio.sleep(1)
        assert counted(s) == (0, False)
        assert s.level is BrakeLevel.RUNNING
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert (s.level, s.latch.held.trigger) == (BrakeLevel.HALTED, Trigger.BOOKS_DIFFER)
        await asyncio.sleep(30)
        assert s.level is BrakeLevel.HALTED

    play(test, msgspec.structs.replace(LOSSES, books_differ_s=10))


@pytest.mark.parametrize("flow", [None, "deposit", "withdraw"])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_crash_that_was_closed_at_once_counts_whatever_came_with_it_and_whoever_tells(flow: str | None, is_told: bool) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        if is_told:
            s.act("slow_lists", ms=600_000, late_ms=600_000)
        else:
            deaf_to_trades(s)
        await asyncio.sleep(2)
        s.move(8_700)
        s.hold(0)
        if flow is not None:
            s.act(flow, amount=3_000)
        begun_s = s.loop.time()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.loop.time() - begun_s < 0.75
        assert s.latch.held.trigger is Trigger.DRAWDOWN

    play(test, LOSSES)


def test_a_deposit_that_no_list_shows_hides_no_fall_of_what_is_held() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        deaf_to_trades(s)
        s.act("deposit", amount=5_000)
        await asyncio.sleep(3)
        assert counted(s) == (0, False)
        s.move(8_700)
        begun_s = s.loop.time()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.loop.time() - begun_s < 0.75

    play(test, LOSSES)


@pytest.mark.parametrize("is_empty", [False, True])
def test_what_was_closed_while_nobody_could_look_is_measured_by_its_book_before_the_worst_is_thought(
    monkeypatch: pytest.MonkeyPatch, is_empty: bool
) -> None:
    plain = SimGuardVenue.depth

    async def late(venue: SimGuardVenue, name: str) -> Depth:
        await asyncio.sleep(0.3)
        return await plain(venue, name)

    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        deaf_to_trades(s)
        s.act("deaf", ms=3_000)
        await asyncio.sleep(1)
        s.hold(0)
        s.act("deposit", amount=6_000)
        if is_empty:
            s.world.hold("guard_no_book", 60_000)
        monkeypatch.setattr(SimGuardVenue, "depth", late)
        await asyncio.sleep(5)
        assert (s.level is not BrakeLevel.RUNNING) is is_empty

    play(test, msgspec.structs.replace(LOSSES, books_differ_s=60))


def test_a_flow_counts_as_of_when_it_came_though_its_row_comes_after_a_fall() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.act("slow_lists", ms=600_000, late_ms=3_000)
        s.act("withdraw", amount=5_000)
        await asyncio.sleep(1)
        s.move(9_500)
        await asyncio.sleep(15)
        assert s.guard.status().books == ""
        assert abs(counted(s)[0] - 5_000_000) < 60_000, "a twentieth of what was left"

    play(test)


def test_a_trade_that_was_told_and_whose_end_was_not_is_measured_at_a_price_that_is_asked_for() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.act("slow_lists", ms=600_000, late_ms=600_000)
        s.hold(2_000, BBB)
        await asyncio.sleep(0.05)
        s.act("private_cut", ms=600_000)
        s.hold(0, BBB)
        s.act("deposit", amount=1_500)
        await asyncio.sleep(8)
        lost_e8, is_permitted = counted(s)
        assert s.level is BrakeLevel.RUNNING
        assert lost_e8 < 500_000
        assert not is_permitted

    play(test, LOSSES)


@pytest.mark.parametrize("amount", [0, 3_000])
def test_a_loss_while_no_guard_ran_counts_and_a_withdrawal_does_not_though_the_lists_are_late(amount: int) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        await s.crash()
        deaf_to_trades(s)
        if amount:
            s.act("withdraw", amount=amount)
        else:
            s.move(8_700)
            s.hold(0)
        await asyncio.sleep(3)
        s.new_guard()
        s.begin()
        await s.seen()
        await asyncio.sleep(3)
        assert (s.level is BrakeLevel.RUNNING) == bool(amount)
        assert not counted(s)[1]

    play(test, LOSSES)


def test_two_people_take_money_that_nothing_explains_as_it_stands() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        s.act("ghost_money", amount_e8=-4_000 * E8)
        s.world.publish()
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        await refused(s, order(1), "books are not clean")
        await s.guard.release(order(1, high_water="reset"))
        kept = s.journal.baseline()
        assert kept is not None
        assert kept.equity_e8 == s.guard.status().equity_e8, "the next process begins with what stands now"
        await asyncio.sleep(20)
        assert s.level is BrakeLevel.RUNNING
        assert counted(s) == (0, True)
        assert (s.guard.status().day_loss_e8 or 0) < 100_000
        s.move(8_000)
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.latch.held.trigger is Trigger.DAILY_LOSS

    play(test, msgspec.structs.replace(LOSSES, day_loss_flatten_e8=3_000_000, books_differ_s=3))


def test_what_was_closed_before_the_wallet_is_taken_as_it_stands_is_held_no_more_though_the_ledger_is_late() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        s.act("slow_lists", ms=600_000, late_ms=600_000)
        s.hold(0)
        s.act("withdraw", amount=4_000)
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        await s.guard.release(order(1, high_water="reset"))
        kept = s.journal.baseline()
        assert kept is not None
        assert kept.positions == ()
        await s.crash()
        s.act("withdraw", amount=300)
        s.new_guard()
        s.begin()
        await s.seen()
        await asyncio.sleep(5)
        assert counted(s)[0] < 1_000_000

    play(test, msgspec.structs.replace(LOSSES, books_differ_s=3))


def test_an_older_record_without_positions_has_every_change_count() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        await s.crash()
        found = s.journal.baseline()
        assert found is not None
        assert [one.lots for one in found.positions or ()] == [2_000]
        s.journal.records.append(msgspec.structs.replace(found, positions=None))
        deaf_to_trades(s)
        s.act("withdraw", amount=3_000)
        s.new_guard()
        s.begin()
        await s.seen()
        await s.until(lambda: s.latch.held.trigger is Trigger.DRAWDOWN)

    play(test, LOSSES)


def test_a_ledger_that_does_not_answer_holds_no_judgement_up() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        s.act("ghost_money", amount_e8=-50 * E8)
        for venue in s.venues:
            venue.ledger = _never  # type: ignore[method-assign]
        await asyncio.sleep(1)
        s.move(8_700)
        begun_s = s.loop.time()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.loop.time() - begun_s < 0.75
        assert s.latch.held.trigger is Trigger.DRAWDOWN

    play(test, LOSSES)


def test_books_that_agreed_on_nothing_yet_leave_no_positions_behind() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        await s.crash()
        found = s.journal.baseline()
        assert found is not None
        s.journal.records.append(msgspec.structs.replace(found, positions=None))
        deaf_to_trades(s)
        s.act("withdraw", amount=100)
        s.new_guard()
        s.begin()
        await s.seen()
        await asyncio.sleep(1)
        kept = s.journal.baseline()
        assert kept is not None
        assert kept.positions is None, "what is held was never measured"
        await s.crash()
        s.move(8_500)
        s.new_guard()
        s.begin()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.latch.held.trigger is Trigger.DRAWDOWN

    play(test, LOSSES)


def test_an_answer_that_came_late_takes_no_turn_of_the_next_question(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asked_s = SimGuardVenue.ledger, list[float]()

    async def test(s: Scene) -> None:
        async def once_late(venue: SimGuardVenue, since_ns: int) -> list[LedgerEntry]:
            asked_s.append(s.loop.time())
            found = await plain(venue, since_ns)
            await asyncio.sleep(0.3 if len(asked_s) == 1 else 0)
            return found

        await ready(s, 2_000)
        monkeypatch.setattr(SimGuardVenue, "ledger", once_late)
        await s.until(lambda: len(asked_s) == 2)
        assert asked_s[1] - asked_s[0] < s.settings.ledger_every_s + 1

    play(test, LOSSES)


def test_a_record_that_never_comes_does_not_keep_the_ledger_from_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asked_s = SimGuardVenue.ledger, list[float]()

    async def test(s: Scene) -> None:
        async def counted_ledger(venue: SimGuardVenue, since_ns: int) -> list[LedgerEntry]:
            asked_s.append(s.loop.time())
            return await plain(venue, since_ns)

        await ready(s, 2_000)
        monkeypatch.setattr(SimGuardVenue, "instruments", _no_records)
        monkeypatch.setattr(SimGuardVenue, "ledger", counted_ledger)
        s.act("ghost_money", amount_e8=-50 * E8)
        s.world.publish()
        s.guard.watch.hear(fill("told", 5, of=BBB, ts_ns=s.world.now_ns))
        await asyncio.sleep(3)
        before = len(asked_s)
        await asyncio.sleep(9)
        assert len(asked_s) >= before + 3

    play(test, LOSSES)


def test_no_record_is_kept_between_rows_that_were_taken_and_marks_that_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, apart_e8 = SimGuardVenue.ledger, set[int]()

    async def test(s: Scene) -> None:
        async def slow(venue: SimGuardVenue, since_ns: int) -> list[LedgerEntry]:
            found = await plain(venue, since_ns)
            for _ in range(6):
                await asyncio.sleep(0.05)
                s.guard.accounting.keep()
                kept = s.journal.baseline()
                assert kept is not None
                apart_e8.add(kept.wallet_e8 - kept.equity_e8)
            return found

        await ready(s)
        monkeypatch.setattr(SimGuardVenue, "ledger", slow)
        for _ in range(10):
            s.act("withdraw", amount=100)
            await asyncio.sleep(0.73)
        assert apart_e8 == {0}, "without positions the wallet is all there is"

    play(test, LOSSES, ledger_every_s=0.1)


def test_a_baseline_from_before_positions_were_in_it_is_still_read() -> None:
    text = b'{"type":"baseline","high_water_e8":9,"day_start_e8":8,"day":1,"wallet_e8":7,"equity_e8":6,"ledger_ts_ns":5,"wall_ns":4}'
    found = msgspec.json.decode(text, type=GuardRecord)
    assert isinstance(found, Baseline)
    assert (found.equity_e8, found.positions) == (6, None)


async def _no_records(venue: SimGuardVenue, ids: Sequence[str]) -> list[Instrument]:
    await asyncio.sleep(3_600)
    return []


async def _never(since_ns: int) -> list[LedgerEntry]:
    await asyncio.sleep(3_600)
    return []
