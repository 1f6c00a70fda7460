"""Records that a journal does not take wait, in order; calls are spaced; a latch that stays unwritable is told once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.simulation.world import ACCOUNT
from tests.unit.services.guard.scene import MemoryJournal, MemoryLatch, Pager

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_DAY
from kedge.domain.venue import DailyCloses
from kedge.risk.brake.levels import Wish
from kedge.services.guard import numbers as guard_numbers
from kedge.services.guard.holder import Holder
from kedge.services.guard.numbers import FRAC_MAX_E8, RiskNumbers
from kedge.services.guard.recorder import KEPT, Recorder
from kedge.services.guard.records import GuardRecord, LatchTrouble, Paged, PermitsGranted, Seen
from kedge.services.guard.timeline import Timeline

S = 1_000_000_000


class Desk:
    def __init__(self) -> None:
        self.now_ns = 0
        self.journal, self.pager, self.latch = MemoryJournal(), Pager(), MemoryLatch(ACCOUNT)
        self.recorder = Recorder(self.journal, self.pager, lambda: self.now_ns, lambda: self.now_ns, 30)

    def holder(self) -> Holder:
        return Holder(self.latch, self.recorder, Timeline(), lambda: self.now_ns, lambda: self.now_ns, lambda: 77)


def granted(generation: int) -> PermitsGranted:
    return PermitsGranted(wall_ns=1, generation=generation)


def seen() -> Seen:
    return Seen(
        wall_ns=1, equity_e8=1, wallet_e8=1, drawdown_e8=0, day_loss_e8=0, gross_e8=0, maintenance_e8=0, var99_e8=None, var_method="",
        open_orders=0,
    )  # fmt: skip


def test_what_is_not_taken_waits_in_order_and_readings_give_way_to_acts() -> None:
    desk = Desk()
    desk.journal.fails = True
    for number in range(KEPT - 5):
        assert not desk.recorder.write(granted(number))
        desk.recorder.write(seen())
    assert "full" in desk.recorder.trouble
    desk.journal.fails = False
    assert desk.recorder.flush()
    assert desk.recorder.trouble == ""
    acts = [one.generation for one in desk.journal.of(PermitsGranted)]
    assert acts == list(range(KEPT - 5))
    assert len(desk.journal.records) <= KEPT + 1


def test_the_newest_acts_are_kept_when_even_they_are_too_many() -> None:
    desk = Desk()
    desk.journal.fails = True
    for number in range(KEPT + 50):
        desk.recorder.write(granted(number))
    desk.journal.fails = False
    desk.recorder.flush()
    assert [one.generation for one in desk.journal.of(PermitsGranted)] == list(range(50, KEPT + 50))


def test_a_record_that_no_journal_takes_keeps_none_after_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    real = desk.journal.append

    def picky(record: GuardRecord) -> None:
        if isinstance(record, PermitsGranted) and record.generation == 1:
            raise InvalidInput("permits_granted has 70000 bytes", why="at most 65536 are kept of one record", fix="record less of it")
        real(record)

    monkeypatch.setattr(desk.journal, "append", picky)
    assert desk.recorder.write(granted(1))
    assert desk.recorder.write(granted(2))
    assert desk.recorder.trouble == ""
    assert [one.generation for one in desk.journal.of(PermitsGranted)] == [2]
    assert "RECORD" in desk.pager.codes


def test_a_call_about_the_same_is_spaced_and_one_about_something_else_is_not() -> None:
    desk = Desk()
    for _ in range(5):
        desk.recorder.page("A", "one")
    desk.recorder.page("B", "two")
    assert desk.pager.calls == [("A", "one"), ("B", "two")]
    assert [one.code for one in desk.journal.of(Paged)] == ["A", "B"]
    desk.now_ns = 30 * S
    desk.recorder.page("A", "again")
    desk.recorder.settled("B")
    desk.recorder.page("B", "at once")
    assert [code for code, _ in desk.pager.calls] == ["A", "B", "A", "B"]
    assert list(desk.recorder.pages)[-1] == "B: at once"


def test_a_level_that_cannot_be_written_holds_in_memory_and_is_tried_again() -> None:
    desk = Desk()
    holder = desk.holder()
    desk.latch.fails = True
    wish = Wish(level=BrakeLevel.HALTED, trigger=Trigger.MANUAL, reason="r", actor_id="ada", source="cli")
    assert holder.raise_to(wish)
    assert (holder.level, holder.is_durable, desk.latch.held.level) == (BrakeLevel.HALTED, False, BrakeLevel.RUNNING)
    holder.check_file()
    assert len(desk.journal.of(LatchTrouble)) == 1
    desk.latch.fails = False
    holder.check_file()
    assert (holder.is_durable, desk.latch.held) == (True, holder.latch)
    assert not holder.raise_to(wish)
    holder.declare_flat()
    assert holder.level is BrakeLevel.HALTED, "nothing was being closed"


def test_a_height_that_did_not_move_is_not_written_again() -> None:
    desk = Desk()
    holder = desk.holder()
    holder.keep_high_water()
    assert (desk.latch.writes, desk.latch.held.high_water_e8) == (1, 77)
    holder.keep_high_water()
    assert desk.latch.writes == 1


def test_a_latch_that_could_not_be_read_is_not_durable_until_it_is_written() -> None:
    desk = Desk()
    desk.latch.held = Latch(account=ACCOUNT, generation=5, level=BrakeLevel.HALTED, trigger=Trigger.UNREADABLE)
    holder = desk.holder()
    assert not holder.is_durable
    holder.write()
    assert holder.is_durable


@pytest.mark.parametrize("kind", msgspec.inspect.type_info(GuardRecord).types, ids=lambda kind: kind.cls.__name__)
def test_recorded_types_hold_whole_numbers_and_text_and_name_themselves(kind: Any) -> None:
    assert kind.tag_field == "type"
    assert isinstance(kind.tag, str)
    assert all("Float" not in repr(field.type) for field in kind.fields)


# numbers ------------------------------------------------------------------------------------------------------------------


def closes(name: str, count: int, step: int = 100) -> DailyCloses:
    ticks = tuple(10_000 + (step if day % 2 else -step) for day in range(count))
    return DailyCloses(instrument=name, last_day_ts_ns=20_000 * NS_PER_DAY, closes_ticks=ticks)


def test_nothing_held_is_no_risk_and_something_without_history_stands_at_the_stated_loss() -> None:
    numbers = RiskNumbers(5_000_000, 1_000)
    assert numbers.measure({}, 100 * E8).var99_e8 == 0
    found = numbers.measure({"a": 50 * E8}, 100 * E8)
    assert found.method == "prior"
    assert 5_000_000 < found.var99_e8 < 8_000_000
    assert numbers.measure({"a": -50 * E8}, 100 * E8).var99_e8 == found.var99_e8
    assert numbers.sigma_e8("a") == 5_000_000
    assert numbers.last_day_ns("a") == 0
    assert numbers.last_day_ns("b") is None


def test_with_history_the_chain_acts_and_the_sigma_is_its_own() -> None:
    numbers = RiskNumbers(5_000_000, 1_000)
    numbers.take(closes("a", 600))
    found = numbers.measure({"a": 50 * E8}, 100 * E8)
    assert found.method == "fhs-ewma"
    assert 900_000 < found.var99_e8 < 1_200_000
    assert 1_900_000 < numbers.sigma_e8("a") < 2_200_000
    assert numbers.measure({"a": 50 * E8, "b": 10 * E8}, 100 * E8).var99_e8 > found.var99_e8


def test_the_same_history_again_makes_no_new_book_and_another_does() -> None:
    numbers = RiskNumbers(5_000_000, 1_000)
    numbers.take(closes("a", 600))
    numbers.measure({"a": 50 * E8}, 100 * E8)
    book = numbers._book
    numbers.take(closes("a", 600))
    assert numbers._book is book
    numbers.take(closes("a", 600, 200))
    assert numbers.measure({"a": 50 * E8}, 100 * E8).var99_e8 > 1_800_000


def test_a_decimal_shift_in_one_history_leaves_that_instrument_at_the_stated_loss_and_no_other() -> None:
    numbers = RiskNumbers(5_000_000, 1_000)
    shifted = closes("a", 600)
    ticks = shifted.closes_ticks[:300] + tuple(1_000 * close for close in shifted.closes_ticks[300:])
    numbers.take(msgspec.structs.replace(shifted, closes_ticks=ticks))
    numbers.take(closes("b", 600))
    assert numbers.sigma_e8("a") == 5_000_000
    assert 1_900_000 < numbers.sigma_e8("b") < 2_200_000
    found = numbers.measure({"b": 50 * E8}, 100 * E8)
    assert found.method == "fhs-ewma"
    assert "history_left:a" in found.flags
    assert numbers.measure({"a": 50 * E8}, 100 * E8).var99_e8 > 5_000_000


def test_a_book_that_cannot_be_made_at_all_leaves_the_stated_sigma(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: Any, **named: Any) -> Any:
        raise InvalidInput("no book", why="a test", fix="none")

    monkeypatch.setattr(guard_numbers, "chosen_book", refuses)
    numbers = RiskNumbers(5_000_000, 1_000)
    numbers.take(closes("a", 600))
    assert numbers.sigma_e8("a") == 5_000_000
    with pytest.raises(InvalidInput, match="no book"):
        numbers.measure({"a": 50 * E8}, 100 * E8)


def test_equity_that_is_gone_is_a_share_beyond_all() -> None:
    assert RiskNumbers(5_000_000, 1_000).measure({"a": 50 * E8}, 0).var99_e8 == FRAC_MAX_E8


def test_a_wish_for_what_nobody_may_ask_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Desk().holder().raise_to(Wish(level=BrakeLevel.RUNNING, trigger=Trigger.MANUAL, reason="r"))
