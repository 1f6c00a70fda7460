"""What a venue may answer besides the usual: nothing, too little, too late, or of kinds that nobody taught the guard."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.unit.services.guard.scene import AAA, BBB, OFF, Scene, play

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import InvalidInput, VenueUnavailable
from kedge.domain.units import NS_PER_DAY
from kedge.domain.venue import LedgerKind, Stream, StreamDown, Taken, Unanswered, VenueOrder, VenueOrderState
from kedge.services.guard.records import CancelsSent, SliceAnswered, SliceSent, Waiting

FLATTENING, FLAT, HALTED = BrakeLevel.FLATTENING, BrakeLevel.HALTED_FLAT, BrakeLevel.HALTED


def silent(*args: Any, **named: Any) -> Any:
    raise VenueUnavailable("no answer", why="a test", fix="wait")


async def ready(s: Scene, lots: int = 0) -> Any:
    if lots:
        s.hold(lots)
    s.begin()
    s.beat()
    await s.seen()
    return s.venues[-1]


def engage(s: Scene, level: BrakeLevel = FLATTENING) -> None:
    s.guard.engage(level, actor_id="ada", reason="a test", source="cli")


# reading ------------------------------------------------------------------------------------------------------------------


def test_equity_that_the_venue_does_not_say_is_wallet_and_unrealised_profit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.wallet
        s.move(9_500)

        async def without_equity() -> Any:
            return msgspec.structs.replace(await real(), equity_e8=None)

        await asyncio.sleep(1)
        told = s.guard.status().equity_e8
        monkeypatch.setattr(venue, "wallet", without_equity)
        await asyncio.sleep(1)
        assert s.guard.status().equity_e8 == told

    play(test)


def test_a_position_without_a_mark_makes_the_view_old_and_never_worth_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.begin()
        s.beat()
        await s.seen()
        venue = s.venues[-1]
        real = venue.positions

        async def unmarked() -> Any:
            return [msgspec.structs.replace(row, mark_e8=None) for row in await real()]

        monkeypatch.setattr(venue, "positions", unmarked)
        s.hold(500)
        await s.until(lambda: s.level is HALTED)
        assert s.latch.held.trigger is Trigger.STALE_DATA
        assert "no mark" in s.guard.status().venue
        status = s.guard.status()
        assert status.positions[0].mark_e8 is None

    play(test, msgspec.structs.replace(OFF, stale_halt_s=3))


def test_a_position_that_cannot_be_measured_keeps_no_other_from_being_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.positions

        async def unmarked() -> Any:
            return [msgspec.structs.replace(row, mark_e8=None) if row.instrument == BBB else row for row in await real()]

        monkeypatch.setattr(venue, "positions", unmarked)
        await asyncio.sleep(1)
        s.hold(300, BBB)
        await asyncio.sleep(3)
        engage(s)
        await s.until(lambda: s.lots(AAA) == 0)
        await asyncio.sleep(1)
        assert s.lots(BBB) == 300
        assert "the venue shows no mark" in {one.why for one in s.journal.of(Waiting)}
        monkeypatch.setattr(venue, "positions", real)
        await s.until(lambda: s.level is FLAT)

    play(test)


def test_a_mark_that_the_venue_stopped_showing_is_unknown_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        await s.until(lambda: s.guard.permit("n").granted)
        real = venue.positions

        async def unmarked() -> Any:
            return [msgspec.structs.replace(row, mark_e8=None) for row in await real()]

        monkeypatch.setattr(venue, "positions", unmarked)
        await asyncio.sleep(4)
        assert not s.guard.permit("n").granted
        await s.until(lambda: s.level is HALTED, 15)
        assert s.latch.held.trigger is Trigger.STALE_DATA

    play(test, msgspec.structs.replace(OFF, stale_halt_s=10))


def test_two_positions_of_one_instrument_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.positions

        async def hedged() -> Any:
            rows = [msgspec.structs.replace(row, position_idx=1) for row in await real()]
            return [*rows, *(msgspec.structs.replace(row, position_idx=2, lots=-row.lots) for row in rows)]

        monkeypatch.setattr(venue, "positions", hedged)
        await s.until(lambda: s.level is HALTED)
        assert "hedge mode" in s.guard.status().venue
        assert not s.guard.permit("n").granted

    play(test, msgspec.structs.replace(OFF, stale_halt_s=3))


def test_a_book_that_came_late_is_no_ground_for_an_order_by_an_old_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        depth, positions = venue.depth, venue.positions

        async def late(name: str) -> Any:
            monkeypatch.setattr(venue, "positions", silent)
            await asyncio.sleep(2.5)
            return await depth(name)

        monkeypatch.setattr(venue, "depth", late)
        engage(s)
        await asyncio.sleep(6)
        assert s.journal.of(SliceSent) == []
        monkeypatch.setattr(venue, "positions", positions)
        monkeypatch.setattr(venue, "depth", depth)
        await s.until(lambda: s.level is FLAT)

    play(test, read_within_s=4.0)


def test_a_record_that_comes_slowly_is_waited_for_across_reads_and_one_that_is_not_listed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.hold(500)
        venue = s._venue()
        asked: list[int] = []

        async def slow(ids: Any) -> Any:
            asked.append(len(ids))
            await asyncio.sleep(5)
            return [] if len(asked) == 1 else [spec for spec in s.world.specs if spec.instrument_id in ids]

        monkeypatch.setattr(venue, "instruments", slow)
        monkeypatch.setattr(s.guard, "_connect", lambda: venue)
        s.begin()
        await s.until(lambda: "did not give" in s.guard.status().venue)
        await s.seen()
        assert asked == [1, 1], "nobody asks again while an answer is awaited"

    play(test)


def test_a_read_that_hangs_is_given_up_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)

        async def hang() -> Any:
            await asyncio.sleep(3_600)

        monkeypatch.setattr(venue, "open_orders", hang)
        positions_ns = s.guard.truth.positions_ns
        await asyncio.sleep(6)
        assert "within 2 s" in s.guard.status().venue
        assert (s.guard.truth.positions_ns or 0) > (positions_ns or 0)
        assert not s.guard.permit("n").granted

    play(test)


def test_a_clock_that_does_not_answer_and_a_stream_that_breaks_are_no_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s)
        monkeypatch.setattr(venue, "wall_time_ns", silent)
        monkeypatch.setattr(venue, "data_time_ns", silent)
        s.guard.watch.hear(StreamDown(Stream.PRIVATE, "cut"))
        await asyncio.sleep(25)
        assert s.level is BrakeLevel.RUNNING
        assert s.guard.watch.streams[Stream.PRIVATE] == "cut"

    play(test, msgspec.structs.replace(OFF, clock_halt_ms=500, stale_halt_s=10))


def test_a_slow_answer_tells_nothing_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s)
        real = venue.wall_time_ns

        async def slow() -> int:
            found = await real()
            await asyncio.sleep(1.5)
            return int(found)

        monkeypatch.setattr(venue, "wall_time_ns", slow)
        await asyncio.sleep(25)
        assert s.level is BrakeLevel.RUNNING

    play(test, msgspec.structs.replace(OFF, clock_halt_ms=500))


def test_a_history_that_does_not_come_is_called_about_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.daily_closes
        monkeypatch.setattr(venue, "daily_closes", silent)
        await asyncio.sleep(40)
        assert "HISTORY" in s.pager.codes
        s.closes[AAA] = tuple(10_000 + (100 if day % 2 else -100) for day in range(500))
        monkeypatch.setattr(venue, "daily_closes", real)
        await s.until(lambda: s.guard.status().var_method == "fhs-ewma", 60)

    play(test)


def test_var_that_cannot_be_worked_out_is_unknown_and_called_about(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)

        def refuses(*args: Any) -> Any:
            raise InvalidInput("a history that moves by 3,200 %", why="a test", fix="none")

        monkeypatch.setattr(s.guard.watch._numbers, "measure", refuses)
        await asyncio.sleep(1)
        assert s.guard.status().var99_e8 is None
        assert "VAR" in s.pager.codes
        assert s.guard.permit("n").why == "VaR cannot be worked out"

    play(test, msgspec.structs.replace(OFF, var99_flatten_e8=5_000_000))


def test_a_client_that_cannot_be_made_ends_the_guard_loudly() -> None:
    async def test(s: Scene) -> None:
        def broken() -> Any:
            raise InvalidInput("no secret", why="a test", fix="none")

        s.guard._connect = broken
        with pytest.raises(InvalidInput, match="no secret"):
            await s.guard.run()

    play(test)


def test_what_is_read_and_cannot_be_judged_permits_nothing_and_halts_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        await s.until(lambda: s.guard.permit("n").granted)

        def broken() -> Any:
            raise RuntimeError("a defect")

        monkeypatch.setattr(s.guard.watch, "view", broken)
        await asyncio.sleep(2)
        assert s.guard.truth.trouble == "", "the venue is read as well as ever"
        assert "was judged as it was" in s.guard.permit("n").why
        assert s.level is BrakeLevel.RUNNING
        await s.until(lambda: s.level is HALTED, 15)
        assert (s.latch.held.trigger, s.latch.held.reason) == (Trigger.STALE_DATA, "the account could not be judged")

    play(test, msgspec.structs.replace(OFF, stale_halt_s=10))


@pytest.mark.parametrize("answers", [True, False])
def test_closes_that_ended_days_ago_stand_at_the_stated_loss(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    async def test(s: Scene) -> None:
        s.closes[AAA] = s.closes[BBB] = tuple(10_000 + (100 if day % 2 else -100) for day in range(500))
        venue = await ready(s, 500)
        await s.until(lambda: s.guard.status().var_method == "fhs-ewma", 60)
        sigma_e8 = s.guard.watch._numbers.sigma_e8
        assert sigma_e8(AAA) < 3_000_000
        real = venue.daily_closes

        async def delisted(name: str, days: int) -> Any:
            found = await real(name, days)
            return msgspec.structs.replace(found, last_day_ts_ns=found.last_day_ts_ns - 30 * NS_PER_DAY) if name == AAA else found

        monkeypatch.setattr(venue, "daily_closes", delisted if answers else silent)
        monkeypatch.setattr(venue, "data_time_ns", lambda: later(s))
        await s.until(lambda: sigma_e8(AAA) == 5_000_000, 90)
        assert s.guard.watch._numbers.last_day_ns(AAA) == 0

    async def later(s: Scene) -> int:
        return s.world.now_ns + 5 * NS_PER_DAY

    play(test)


# books --------------------------------------------------------------------------------------------------------------------


def test_a_ledger_row_of_an_unknown_kind_is_called_about_and_hides_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 5_000)
        real = venue.ledger

        async def strange(since_ns: int) -> Any:
            rows = await real(since_ns)
            return [msgspec.structs.replace(row, kind=LedgerKind.OTHER) if row.kind is LedgerKind.TRANSFER else row for row in rows]

        monkeypatch.setattr(venue, "ledger", strange)
        s.move(9_000)
        await asyncio.sleep(1)
        before = s.guard.status().drawdown_e8 or 0
        s.act("deposit", amount=5_000)
        await asyncio.sleep(3)
        assert abs((s.guard.status().drawdown_e8 or 0) - before) < 20_000
        assert "LEDGER" in s.pager.codes

    play(test)


def test_lists_that_do_not_come_leave_books_unexplained_until_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s)
        ledger, executions = venue.ledger, venue.executions
        s.act("lose_trades", ms=600_000)
        monkeypatch.setattr(venue, "ledger", silent)
        monkeypatch.setattr(venue, "executions", silent)
        s.hold(500)
        await asyncio.sleep(3)
        assert "executions explain 0" in s.guard.status().books
        assert "ledger does not explain" in s.guard.status().books
        monkeypatch.setattr(venue, "ledger", ledger)
        monkeypatch.setattr(venue, "executions", executions)
        await s.until(lambda: s.guard.status().books == "", 5)

    play(test, msgspec.structs.replace(OFF, books_differ_s=10))


def test_books_begin_when_the_ledger_stands_still_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.hold(500)
        venue = s._venue()
        real, asked = venue.ledger, []

        async def moving(since_ns: int) -> Any:
            asked.append(1)
            if len(asked) <= 10:
                s.hold(500 + len(asked))
            return await real(since_ns)

        monkeypatch.setattr(venue, "ledger", moving)
        monkeypatch.setattr(s.guard, "_connect", lambda: venue)
        s.begin()
        await s.seen()
        assert len(asked) > 10
        await asyncio.sleep(3)
        assert s.guard.status().books == ""

    play(test, msgspec.structs.replace(OFF, books_differ_s=10))


def test_books_that_cannot_begin_are_called_about_and_give_no_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = s._venue()
        real = venue.data_time_ns
        monkeypatch.setattr(venue, "data_time_ns", silent)
        monkeypatch.setattr(s.guard, "_connect", lambda: venue)
        s.begin()
        await s.until(lambda: "BOOKS" in s.pager.codes)
        assert s.guard.permit("n").why == "the account was not seen yet"
        monkeypatch.setattr(venue, "data_time_ns", real)
        await s.seen()

    play(test)


# closing ------------------------------------------------------------------------------------------------------------------


def test_a_book_that_cannot_be_had_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.depth
        monkeypatch.setattr(venue, "depth", silent)
        engage(s)
        await asyncio.sleep(3)
        assert s.journal.of(Waiting)[0].why == "the book cannot be had"
        assert len(s.journal.of(Waiting)) <= 4
        monkeypatch.setattr(venue, "depth", real)
        await s.until(lambda: s.level is FLAT)

    play(test)


def test_an_order_that_cannot_be_looked_up_holds_the_next_one_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 2_500)
        real = venue.find_order
        monkeypatch.setattr(venue, "find_order", silent)
        engage(s)
        await asyncio.sleep(10)
        assert len(s.journal.of(SliceSent)) == 1
        assert "what became" in s.guard.status().positions[0].waits
        assert f"CLOSE {AAA}" in s.pager.codes
        monkeypatch.setattr(venue, "find_order", real)
        await s.until(lambda: s.level is FLAT)
        assert s.lots() == 0

    play(test)


def test_an_immediate_order_that_stays_open_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        cancelled: list[str] = []
        real_find, real_cancel = venue.find_order, venue.cancel

        async def open_for_ever(instrument: str, name: str) -> VenueOrder | None:
            row = await real_find(instrument, name)
            if row is None or cancelled:
                return row
            return msgspec.structs.replace(row, state=VenueOrderState.OPEN)

        async def cancel(instrument: str, name: str) -> Any:
            cancelled.append(name)
            return await real_cancel(instrument, name)

        monkeypatch.setattr(venue, "find_order", open_for_ever)
        monkeypatch.setattr(venue, "cancel", cancel)
        engage(s)
        await s.until(lambda: s.level is FLAT)
        assert cancelled == [s.journal.of(SliceSent)[0].client_order_id]

    play(test)


def test_a_place_that_raises_is_no_answer_and_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real, tries = venue.place, []

        async def place(approved: Any, **named: Any) -> Any:
            tries.append(approved.order.client_order_id)
            if len(tries) == 1:
                raise VenueUnavailable("gone", why="a test", fix="wait")
            return await real(approved, **named)

        monkeypatch.setattr(venue, "place", place)
        engage(s)
        await s.until(lambda: s.level is FLAT)
        assert tries[0] == tries[1], "it never came, so its id is used again"
        assert [one.state for one in s.journal.of(SliceAnswered)] == ["unanswered", "lost", "filled"]

    play(test)


def test_a_defect_while_closing_is_called_about_and_the_closing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real, tries = venue.depth, []

        async def depth(name: str) -> Any:
            tries.append(1)
            if len(tries) == 1:
                raise ZeroDivisionError("a defect")
            return await real(name)

        monkeypatch.setattr(venue, "depth", depth)
        engage(s)
        await s.until(lambda: s.level is FLAT)
        assert any("a defect" in words for _, words in s.pager.calls)

    play(test)


def test_a_position_that_was_read_long_ago_is_no_ground_for_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        venue = await ready(s, 500)
        real = venue.positions
        monkeypatch.setattr(venue, "positions", silent)
        await asyncio.sleep(3)
        engage(s)
        await asyncio.sleep(3)
        assert s.journal.of(SliceSent) == []
        assert "too long" in s.journal.of(Waiting)[0].why
        monkeypatch.setattr(venue, "positions", real)
        await s.until(lambda: s.level is FLAT)

    play(test)


# cancelling ---------------------------------------------------------------------------------------------------------------


def test_many_risky_orders_go_at_once_at_reduce_only() -> None:
    async def test(s: Scene) -> None:
        for number in range(15):
            s.order(10, limit=9_800 - number, link=f"adds-{number}")
        await ready(s)
        engage(s, BrakeLevel.REDUCE_ONLY)
        await s.until(lambda: s.open() == [] and bool(s.journal.of(CancelsSent)))
        assert {one.kind for one in s.journal.of(CancelsSent)} == {"resting"}

    play(test)


def test_orders_that_nobody_named_go_at_once() -> None:
    async def test(s: Scene) -> None:
        s.order(10, limit=9_800)
        s.order(10, trigger=10_500, link="named")
        await ready(s)
        engage(s, BrakeLevel.REDUCE_ONLY)
        await s.until(lambda: s.open() == [])

    play(test)


def test_a_waiting_order_without_a_name_goes_with_all_that_somebody_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.order(10, trigger=10_500, link="later")
        venue = await ready(s)
        real = venue.open_orders

        async def nameless() -> Any:
            return [msgspec.structs.replace(row, client_order_id="") for row in await real()]

        monkeypatch.setattr(venue, "open_orders", nameless)
        await asyncio.sleep(1)
        engage(s, HALTED)
        await s.until(lambda: s.open() == [] and len(s.journal.of(CancelsSent)) >= 2)
        assert {"resting", "conditional"} <= {one.kind for one in s.journal.of(CancelsSent)}

    play(test)


def test_cancels_that_fail_are_called_about_and_asked_again_while_nobody_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.order(10, limit=9_800, link="rests")
        s.order(10, trigger=10_500, link="later")
        venue = await ready(s)
        real, tries = venue.cancel_all, []

        async def cancel_all(*args: Any) -> Any:
            tries.append(1)
            if len(tries) < 3:
                raise VenueUnavailable("gone", why="a test", fix="wait")
            return await real(*args)

        monkeypatch.setattr(venue, "cancel_all", cancel_all)
        monkeypatch.setattr(venue, "cancel", silent)
        listing = venue.open_orders
        monkeypatch.setattr(venue, "open_orders", silent)
        engage(s, HALTED)
        await asyncio.sleep(5)
        assert {row.link_id for row in s.open()} == {"later"}
        assert "CANCEL" in s.pager.codes
        assert [one.answer for one in s.journal.of(CancelsSent)][0] == "unanswered: gone"
        monkeypatch.setattr(venue, "open_orders", listing)
        monkeypatch.undo()
        await s.until(lambda: s.open() == [])

    play(test)


def test_unanswered_cancel_alls_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        s.order(10, limit=9_800, link="rests")
        venue = await ready(s)
        asked: list[int] = []

        async def hang(*args: Any) -> Any:
            asked.append(1)
            await asyncio.sleep(60)
            return Unanswered("too late")

        monkeypatch.setattr(venue, "cancel_all", hang)
        engage(s, HALTED)
        await asyncio.sleep(20)
        assert len(asked) == 3

    play(test)


def test_a_venue_that_only_says_so_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement is not a cancel: as long as the list shows the order, it is asked again."""

    async def test(s: Scene) -> None:
        s.order(10, limit=9_800, link="rests")
        venue = await ready(s)
        asked: list[int] = []
        real = venue.cancel_all

        async def only_says_so(*args: Any) -> Any:
            asked.append(1)
            return Taken() if len(asked) < 5 else await real(*args)

        monkeypatch.setattr(venue, "cancel_all", only_says_so)
        engage(s, HALTED)
        await s.until(lambda: s.open() == [])
        assert len(asked) >= 5

    play(test)
