"""The parts of the live loop by themselves: permits, venue clock, what was seen, the gate of bars, the inbox, lookups, comparisons."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import Conflict, IntegrityError, InvalidInput, RecordingFailed, VenueUnavailable
from kedge.domain.events import BarClosed, CashMoved, Command, CommandGiven, Event, FeedGap, FundingSettled, InstrumentChanged
from kedge.domain.orders import FillCause, Side
from kedge.domain.record import Step
from kedge.domain.venue import LedgerEntry, LedgerKind, VenueOrder, VenueOrderState, VenuePosition, VenueWallet
from kedge.services.bar_gate import BarGate, Hole
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KILL_POINTS, KillAt
from kedge.services.ledger import cash_of
from kedge.services.live import LiveTrader
from kedge.services.live_start import instrument_changes
from kedge.services.live_timers import STILL_S
from kedge.services.lookup import Absent, LookupPace, Shown, look_up
from kedge.services.permits import PERMIT_AGE_MAX_NS, LocalIssuer, may_add_risk, permit_age_ns
from kedge.services.reconcile import (
    FOREIGN_ORDER,
    FOREIGN_POSITION,
    ORDER_ALIVE,
    POSITION_DIFFERS,
    WALLET_DIFFERS,
    Foreign,
    VenueBooks,
    differences,
    foreign_orders,
    missed,
    read_books,
    shown,
)
from kedge.services.seen import OVERLAP_NS, PAGE_RECORDS, RESTART_NS, Seen, id_of, rebuild
from kedge.services.venue_clock import VenueClock

from ...builders import AAA, BBB, MINUTE, T0, WALLET_E8, S, accepted, bar, engine, filled, instrument, order, sent
from .live_world import Released, World, play, until
from .venue_in_process import Exchange, VenueInProcess

# permits and clock ----------------------------------------------------------------------------------------------------


def test_a_permit_is_good_for_two_seconds_and_one_from_the_future_is_none():
    now = [0]
    permits = LocalIssuer("demo", lambda: now[0])
    assert permits.guard == "none"
    assert not may_add_risk(permits, 0)
    assert permit_age_ns(permits, 0) is None
    permits.renew()
    assert may_add_risk(permits, PERMIT_AGE_MAX_NS - 1)
    assert not may_add_risk(permits, PERMIT_AGE_MAX_NS)
    assert not may_add_risk(permits, -1)


def test_venue_time_goes_on_in_silence_at_the_speed_of_the_market_and_never_back():
    wall = [0]
    clock = VenueClock(lambda: wall[0], 1_000, speed=10)
    assert (clock.now_ns(), clock.silent_s) == (1_000, None)
    wall[0] = S
    assert clock.now_ns() == 1_000, "nothing was received yet"
    clock.saw(5_000)
    wall[0] = S + 7
    assert clock.now_ns() == 5_070
    clock.saw(5_020)
    assert clock.now_ns() == 5_070
    wall[0] = S + 100
    clock.saw(5_600)
    assert (clock.now_ns(), clock.data_ts_ns) == (5_600, 5_600)
    wall[0] += 50
    assert clock.now_ns() == 6_100
    clock.saw(5_700)
    assert clock.now_ns() == 6_100, "what was told is not taken back"
    assert clock.wall_s_until(clock.now_ns() + 10 * S) == 1.0
    assert clock.wall_s_until(0) == 0.0
    wall[0] += 2 * S
    assert clock.silent_s == 2.0


def test_a_timer_does_not_spin_while_venue_time_stands_still(tmp_path: Path):
    """Before any data the wall moves nothing: a timer due in a microsecond would come due at once, again and again."""
    world = World(tmp_path)
    looks: list[int] = []

    async def script(trader: LiveTrader) -> None:
        assert trader.core.clock.stands_still
        trader.core.state.timers["drill"] = trader.core.now_ns() + 1_000
        fire = trader.timers.fire
        trader.timers.fire = lambda: (looks.append(1), fire())[1]  # type: ignore[method-assign]
        trader.timers.arm()
        await asyncio.sleep(2.5 * STILL_S)
        assert "drill" in trader.engine.state.timers
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: "drill" not in trader.engine.state.timers)

    play(world, world.trader(), script)
    assert 1 <= len(looks) <= 10


def test_in_lock_step_only_bars_move_the_time():
    wall = [0]
    clock = VenueClock(lambda: wall[0], 0, speed=10, follows_wall=False)
    clock.saw(100)
    wall[0] = 10 * S
    assert clock.now_ns() == 100


# seen -----------------------------------------------------------------------------------------------------------------


class Stored:
    """Steps as a journal's reader gives them."""

    def __init__(self, events: list[Event]) -> None:
        self.steps = [Step(seq=seq, source="test", event=event) for seq, event in enumerate(events, 1)]

    def records(self, *, start_seq: int = 0) -> Iterator[Any]:
        return iter([step for step in self.steps if step.seq >= start_seq])


def cash(ts_ns: int, name: str) -> CashMoved:
    return CashMoved(ts_ns, 5, "TRANSFER_IN", name)


def test_what_was_booked_is_rebuilt_from_the_end_of_a_journal():
    minutes: list[Event] = [bar(n) for n in range(1, 3 * PAGE_RECORDS)]
    fills = [cash(T0 + MINUTE, "old"), cash(T0 + 11_000 * MINUTE, "c1"), cash(T0 + 11_000 * MINUTE + OVERLAP_NS, "c2")]
    command = CommandGiven(T0 + 11_001 * MINUTE, Command.HALT, "ann", "drill", "cmd1")
    events = sorted([*minutes, *fills, command], key=lambda event: event.ts_ns)
    seen, commands = rebuild(Stored(events), 1 + len(events), Seen(T0))
    assert (fills[1] in seen, fills[2] in seen) == (True, True)
    assert fills[0] not in seen
    assert seen.watermark_ns == events[-1].ts_ns - RESTART_NS
    assert seen.ask_from_ns() == seen.watermark_ns - OVERLAP_NS
    assert commands == {"cmd1"}


def test_a_fill_that_was_lost_before_a_later_one_is_asked_for_after_a_restart():
    """The later one is booked and in the journal; that the books were not compared in between is not."""
    lost, later = cash(T0 + 5 * MINUTE, "lost"), cash(T0 + 60 * MINUTE, "later")
    seen, _ = rebuild(Stored([bar(n) for n in range(1, 60)] + [later]), 61, Seen(T0))
    assert later in seen
    assert lost not in seen
    assert seen.ask_from_ns() <= lost.ts_ns


def test_nothing_is_asked_for_that_a_bounded_search_would_not_know_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge.services.seen.SCAN_RECORDS_MAX", PAGE_RECORDS)
    monkeypatch.setattr("kedge.services.seen.RESTART_NS", 100_000 * MINUTE)
    events: list[Event] = [bar(n) if n % 2 else cash(T0 + n * MINUTE, f"c{n}") for n in range(1, 3 * PAGE_RECORDS)]
    seen, _ = rebuild(Stored(events), 1 + len(events), Seen(T0))
    assert [event for event in events if id_of(event) and event.ts_ns >= seen.ask_from_ns() and event not in seen] == []
    empty, _ = rebuild(Stored([]), 1, Seen(T0))
    assert empty.ask_from_ns() == T0


def test_a_frame_that_is_hours_late_is_still_known():
    seen = Seen(T0)
    settled = FundingSettled(T0 + 1, AAA, 1, 1, 1, 1, "f1")
    seen.add(settled)
    seen.agreed(T0 + 900 * MINUTE)
    assert settled in seen


def test_what_can_never_be_asked_for_again_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge.services.seen.KEPT", 0)
    seen = Seen(T0)
    seen.add(cash(T0 + 1, "early"))
    seen.add(cash(T0 + 1, "early"))
    seen.add(bar(1))
    seen.agreed(T0 + 3 * OVERLAP_NS)
    assert len(seen) == 0
    seen.add(cash(T0 + 3 * OVERLAP_NS, "late"))
    seen.agreed(T0)
    assert len(seen) == 1
    assert seen.ask_from_ns() == T0 + 2 * OVERLAP_NS
    assert id_of(FundingSettled(1, AAA, 1, 1, 1, 1, "f")) == "f"


# the gate of bars -----------------------------------------------------------------------------------------------------


def test_bars_pass_an_open_gate_in_order_and_once():
    gate = BarGate({AAA: T0}, MINUTE)
    assert not gate.passes(bar(1))
    gate.is_open = True
    assert gate.passes(bar(1))
    assert not gate.passes(bar(1))
    assert not gate.passes(bar(3))
    assert not gate.passes(bar(2, 1_000, BBB))
    assert gate.passes(bar(2))


def test_what_waits_is_handed_over_in_order_of_time_and_instrument():
    gate = BarGate({AAA: T0, BBB: T0}, MINUTE)
    for event in (bar(2), bar(1, 1_000, BBB), bar(1), bar(2, 1_000, BBB), bar(1), bar(0)):
        gate.hold(event)
    assert gate.waiting == 5
    assert gate.release() == []
    gate.is_open = True
    assert gate.release() == [bar(1), bar(1, 1_000, BBB), bar(2), bar(2, 1_000, BBB)]
    assert gate.last_ts_ns(AAA) == T0 + 2 * MINUTE


def test_holes_are_filled_from_history_and_the_rest_becomes_gaps():
    gate = BarGate({AAA: T0 + MINUTE}, MINUTE)
    gate.is_open = True
    gate.hold(bar(6))
    gate.hold(bar(8))
    first, second = gate.holes()
    assert first == Hole(AAA, T0 + MINUTE, T0 + 5 * MINUTE)
    assert second == Hole(AAA, T0 + 6 * MINUTE, T0 + 7 * MINUTE)
    gate.fill(first, [bar(1), bar(3), bar(4), bar(9)])
    gate.fill(second, [])
    assert gate.holes() == []
    released = gate.release()
    assert [type(event) for event in released] == [FeedGap, BarClosed, BarClosed, FeedGap, BarClosed, FeedGap, BarClosed]
    assert [event.from_ts_ns - T0 for event in released if isinstance(event, FeedGap)] == [n * MINUTE for n in (1, 4, 6)]


def test_history_before_the_first_bar_is_fetched_and_never_a_gap():
    gate = BarGate({AAA: 0}, MINUTE, history_bars=3)
    gate.is_open = True
    gate.hold(bar(10))
    (hole,) = gate.holes()
    assert hole == Hole(AAA, T0 + 6 * MINUTE, T0 + 9 * MINUTE)
    gate.fill(hole, [bar(8)])
    assert gate.holes() == []
    assert [type(event) for event in gate.release()] == [BarClosed, FeedGap, BarClosed]
    none = BarGate({AAA: 0}, MINUTE, history_bars=3)
    none.is_open = True
    none.hold(bar(10))
    none.fill(none.holes()[0], [])
    assert none.holes() == []
    assert none.release() == [bar(10)]


def test_an_instant_is_there_when_each_instrument_has_its_bar_or_gap():
    gate = BarGate({AAA: T0, BBB: T0 + MINUTE}, MINUTE)
    assert gate.held_at(T0 + MINUTE) == 1
    gate.hold(FeedGap(T0 + MINUTE, AAA, T0))
    assert gate.held_at(T0 + MINUTE) == 2


# the inbox ------------------------------------------------------------------------------------------------------------


def test_commands_wait_in_order_and_outlive_their_writer(tmp_path: Path):
    path = tmp_path / "inbox.sqlite"
    with Inbox(path) as inbox:
        first = inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
        second = inbox.put(Command.FLATTEN, "bob", "storm", wall_ns=6)
    with Inbox(path) as inbox:
        assert [(w.command_id, w.command, w.actor, w.reason, w.put_wall_ns) for w in inbox.waiting()] == [
            (first, Command.HALT, "ann", "drill", 5),
            (second, Command.FLATTEN, "bob", "storm", 6),
        ]
        inbox.taken(first)
        assert [w.command_id for w in inbox.waiting()] == [second]
        assert (inbox.is_taken(first), inbox.is_taken(second), inbox.is_taken("x")) == (True, False, False)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ann", "  "), ("ann", "x" * 501)])
def test_a_command_says_who_and_why(tmp_path: Path, actor: str, reason: str):
    with Inbox(tmp_path / "inbox.sqlite") as inbox, pytest.raises(InvalidInput, match="actor|reason"):
        inbox.put(Command.HALT, actor, reason, wall_ns=1)


def test_what_is_no_inbox_is_refused(tmp_path: Path):
    (tmp_path / "text").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(IntegrityError, match="no Kedge inbox"):
        Inbox(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("PRAGMA application_id = 7")
    other.execute("CREATE TABLE x (y)")
    other.close()
    with pytest.raises(IntegrityError, match="application id"):
        Inbox(tmp_path / "other")
    with pytest.raises(RecordingFailed, match="inbox"):
        Inbox(tmp_path / "missing" / "inbox.sqlite")


def test_a_command_that_is_not_understood_or_cannot_be_kept_is_told(tmp_path: Path):
    path = tmp_path / "inbox.sqlite"
    with Inbox(path) as inbox:
        inbox.put(Command.HALT, "ann", "drill", wall_ns=5)
        db = sqlite3.connect(path)
        db.execute("UPDATE commands SET command = 'dance'")
        db.commit()
        with pytest.raises(IntegrityError, match="dance"):
            inbox.waiting()
        db.execute("DROP TABLE commands")
        db.commit()
        db.close()
        with pytest.raises(RecordingFailed):
            inbox.put(Command.HALT, "ann", "again", wall_ns=6)
        with pytest.raises(RecordingFailed):
            inbox.taken("x")


# kill points ----------------------------------------------------------------------------------------------------------


def test_a_kill_point_ends_the_process_with_no_chance_to_tidy_up(monkeypatch: pytest.MonkeyPatch):
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    kill = KillAt("before_send", 2)
    for name in ("stop", "before_send", "before_send", "before_send"):
        kill.reach(name)
    assert signals == [(os.getpid(), 9)]
    assert len(set(KILL_POINTS)) == len(KILL_POINTS) >= 16


# looking up -----------------------------------------------------------------------------------------------------------


def test_absent_needs_two_looks_after_the_last_moment_at_which_the_order_could_be_taken():
    venue = VenueInProcess(Exchange())
    looks: list[int] = []
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def find(*_: object) -> None:
        looks.append(venue.exchange.wall_ns)

    venue.find_order = find  # type: ignore[method-assign]

    async def slow() -> int:
        venue.exchange.wall_ns += S
        return venue.exchange.wall_ns

    venue.wall_time_ns = slow  # type: ignore[method-assign]
    begin = venue.exchange.wall_ns + S
    found = asyncio.run(look_up(venue, order(), T0, LookupPace(recv_window_ns=S, margin_ns=2 * S), wait=wait))
    assert isinstance(found, Absent)
    assert sum(at > begin + 3 * S for at in looks) == 2
    assert len(waits) == len(looks) - 1


def test_an_order_seen_only_in_the_open_list_is_shown():
    venue = VenueInProcess(Exchange())
    theirs = venue_order("o1")

    async def none(*_: object) -> None:
        return None

    async def some() -> list[VenueOrder]:
        return [venue_order("other"), theirs]

    venue.find_order, venue.open_orders = none, some  # type: ignore[method-assign,assignment]
    found = asyncio.run(look_up(venue, order(), T0, LookupPace()))
    assert found == Shown(theirs, [], wall_ns=venue.exchange.wall_ns), "with the venue's wall clock before the look"


# reading the venue's books -------------------------------------------------------------------------------------------


def test_when_one_question_fails_the_others_are_not_left_running():
    venue = VenueInProcess(Exchange())
    ended: list[str] = []

    async def slow() -> list[VenuePosition]:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("positions")
        return []

    async def fails() -> VenueWallet:
        await asyncio.sleep(0)
        raise VenueUnavailable("no wallet", why="drill", fix="wait")

    venue.positions, venue.wallet = slow, fails  # type: ignore[method-assign]

    async def main() -> None:
        with pytest.raises(VenueUnavailable, match="no wallet"):
            await read_books(venue, T0)
        assert ended == ["positions"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# comparing ------------------------------------------------------------------------------------------------------------


def venue_order(name: str, **given: Any) -> VenueOrder:
    one = order(name, limit=900)
    plain: dict[str, Any] = {
        "client_order_id": name, "venue_order_id": f"v-{name}", "instrument": AAA, "side": one.side, "kind": one.kind,
        "time_in_force": one.time_in_force, "qty_lots": 10, "cum_lots": 4, "limit_ticks": 900, "reduce_only": False,
        "is_conditional": False, "state": VenueOrderState.OPEN, "reason": "", "created_ts_ns": T0, "updated_ts_ns": T0,
    }  # fmt: skip
    return VenueOrder(**{**plain, **given})


def books(**given: Any) -> VenueBooks:
    wallet = VenueWallet(wallet_e8=WALLET_E8, equity_e8=None, available_e8=None, ts_ns=T0)
    return VenueBooks(**{"orders": [], "executions": [], "ledger": [], "positions": [], "wallet": wallet, **given})


def position(instrument_id: str, lots: int) -> VenuePosition:
    return VenuePosition(
        instrument=instrument_id, position_idx=0, lots=lots, cost_e8=0, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=T0
    )


def codes(one: Any, theirs: VenueBooks, foreign: Foreign = Foreign.REFUSE, tolerance: int = 0) -> list[str]:
    return [found.code for found in differences(one.state, theirs, Seen(T0), foreign, wallet_tolerance_e8=tolerance, ts_ns=T0)]


def test_equal_books_have_no_differences_and_each_kind_has_its_code():
    one = engine()
    assert codes(one, books()) == []
    assert codes(one, books(positions=[position(AAA, 3)])) == [POSITION_DIFFERS]
    assert codes(one, books(positions=[position(BBB, 3)])) == [FOREIGN_POSITION]
    assert codes(one, books(positions=[position(BBB, 3)]), Foreign.ADOPT) == []
    wallet = VenueWallet(wallet_e8=WALLET_E8 + 2, equity_e8=None, available_e8=None, ts_ns=T0)
    assert codes(one, books(wallet=wallet)) == [WALLET_DIFFERS]
    assert codes(one, books(wallet=wallet), tolerance=2) == []
    assert codes(one, books(orders=[venue_order("x")])) == [FOREIGN_ORDER]
    assert codes(one, books(orders=[venue_order("x")]), Foreign.ADOPT) == []


def test_a_stop_of_the_venue_on_a_position_is_no_foreign_order():
    one = engine()
    stop_loss = venue_order("", is_conditional=True, reduce_only=True)
    assert foreign_orders(one.state, books(orders=[stop_loss])) == []
    entry = venue_order("", is_conditional=True, reduce_only=False)
    assert foreign_orders(one.state, books(orders=[entry])) == [entry]


def test_an_order_of_ours_that_is_over_here_and_open_there_is_a_difference():
    one = engine(instruments=[instrument()])
    wish: Any = one.strategy
    one.step(bar(1))
    (intent,) = sent(_decide(one, wish))
    one.step(filled(intent, T0 + MINUTE, 1_000))
    there = books(orders=[venue_order(intent.client_order_id)])
    assert ORDER_ALIVE in codes(one, there)


def _decide(one: Any, wish: Any) -> Any:
    wish.say(0.1)
    return one.step(bar(2))


def test_an_order_shown_open_is_accepted_once():
    one = engine()
    wish: Any = one.strategy
    one.step(bar(1))
    (intent,) = sent(_decide(one, wish))
    there = books(orders=[venue_order(intent.client_order_id), venue_order("not-ours")])
    assert [event.client_order_id for event in shown(one.state, there, T0)] == [intent.client_order_id]  # type: ignore[union-attr]
    one.step(accepted(intent, T0 + 2 * MINUTE))
    assert shown(one.state, there, T0) == []


def test_money_is_booked_from_the_ledger_where_no_execution_tells_of_it():
    def entry(kind: LedgerKind, **given: Any) -> LedgerEntry:
        plain: dict[str, Any] = {
            "entry_id": "e1", "ts_ns": T0, "kind": kind, "word": "W", "instrument": "", "change_e8": 9, "cash_flow_e8": 9,
            "funding_e8": 0, "fee_e8": 0, "balance_e8": None, "fill_id": "",
        }  # fmt: skip
        return LedgerEntry(**{**plain, **given})

    assert cash_of(entry(LedgerKind.TRANSFER)) == CashMoved(T0, 9, "W", "e1")
    assert cash_of(entry(LedgerKind.OTHER)) == CashMoved(T0, 9, "W", "e1")
    assert cash_of(entry(LedgerKind.LIQUIDATION)) == CashMoved(T0, 9, "W", "e1")
    assert cash_of(entry(LedgerKind.LIQUIDATION, fill_id="f1")) is None
    assert cash_of(entry(LedgerKind.TRANSFER, change_e8=0)) is None
    for kind in (LedgerKind.TRADE, LedgerKind.FUNDING):
        assert cash_of(entry(kind)) is None


def test_what_was_missed_comes_oldest_first_and_a_strangers_fill_is_adopted_only_where_that_is_allowed():
    one = engine()
    seen = Seen(T0)
    strange = filled(order("nobody"), T0 + 5, 1_000, fill_id="f9")
    known = filled(order("nobody"), T0 + 4, 1_000, fill_id="f8")
    seen.add(known)
    entry = LedgerEntry(
        entry_id="e1", ts_ns=T0 + 1, kind=LedgerKind.TRANSFER, word="W", instrument="", change_e8=9, cash_flow_e8=9, funding_e8=0,
        fee_e8=0, balance_e8=None, fill_id="",
    )  # fmt: skip
    there = books(executions=[known, strange], ledger=[entry])
    assert missed(one.state, there, seen, Foreign.REFUSE) == [CashMoved(T0 + 1, 9, "W", "e1"), strange]
    adopted = missed(one.state, there, seen, Foreign.ADOPT)[1]
    assert adopted == msgspec.structs.replace(strange, client_order_id="", cause=FillCause.ADOPTED)
    assert strange.side is Side.BUY


def test_a_changed_record_of_an_instrument_is_an_event_and_a_new_date_alone_is_none():
    one = engine()
    same = msgspec.structs.replace(instrument(), valid_from_ns=5, position_max_lots=1_999_999, price_max_ticks=9_999_999)
    dearer = msgspec.structs.replace(instrument(), taker_fee_e8=60_000)
    assert instrument_changes(one, [same], T0) == []
    assert instrument_changes(one, [dearer], T0) == [InstrumentChanged(T0, dearer)]


# beginning and going on -----------------------------------------------------------------------------------------------


def test_a_journal_of_another_account_is_refused(tmp_path: Path):
    world = World(tmp_path)
    market = _Nothing()
    world.run(world.trader(market=market))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="another|account"):
        world.run(world.trader(market=market, plan={"account": "other"}))  # type: ignore[arg-type]


def test_an_instrument_that_changed_while_away_is_taken_over(tmp_path: Path):
    world = World(tmp_path)
    market = _Nothing()
    world.run(world.trader(market=market))  # type: ignore[arg-type]
    world.exchange.specs = [msgspec.structs.replace(world.exchange.specs[0], taker_fee_e8=60_000)]
    trader = world.trader(market=market)  # type: ignore[arg-type]
    world.run(trader)
    assert trader.engine.state.slots[AAA].spec.taker_fee_e8 == 60_000


class _Nothing:
    """A market that is over."""

    async def next_bar(self) -> Any:
        return Released(0, 0, ended=True)

    async def acknowledge(self, seq: int) -> None:
        """Never asked."""
