"""What is armed strikes as often, as long, as often by chance and as late as ordered, and is counted; nothing else is struck."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_MS
from kedge.simulation.faults import Fault
from kedge.simulation.faults_armed import Armoury, Arrival, Dice, Fate, FrameFate, Refusal, is_meant

CREATE, CANCEL, STOP = "/v5/order/create", "/v5/order/cancel", "/v5/position/trading-stop"
MS = NS_PER_MS


def armed(*faults: Fault, at_ns: int = 0, seed: int = 0) -> Armoury:
    armoury = Armoury(seed)
    for fault in faults:
        armoury.arm(fault, at_ns)
    return armoury


def test_by_count_it_strikes_so_often_and_no_more() -> None:
    armoury = armed(Fault("reject", count=2, code=110007, text="not enough"))
    fates = [armoury.fate(CREATE, "7", n) for n in range(3)]
    assert fates == [Fate(reject=Refusal(110007, "not enough"))] * 2 + [None]
    assert armoury.done == {"reject": 2}


def test_for_a_time_it_strikes_everything_until_it_is_over() -> None:
    armoury = armed(Fault("timeout_after", for_ms=10), at_ns=5 * MS)
    assert [armoury.answer_instead(CREATE, "7", at * MS) for at in (4, 5, 9, 14)] == [None, *[Refusal(0, "")] * 3]
    assert armoury.answer_instead(CREATE, "7", 15 * MS) is None
    assert armoury.shown(15 * MS)["armed"] == []


def test_what_is_scheduled_waits_for_its_time() -> None:
    armoury = armed(Fault("drop_reply", after_ms=10), Fault("cut", after_ms=20, stream="public"))
    assert armoury.fate(CREATE, "7", 9 * MS) is None
    assert [one["in_ms"] for one in armoury.shown(9 * MS)["scheduled"]] == [1, 11]
    assert armoury.next_ns(9 * MS) == 10 * MS
    assert armoury.begun(10 * MS) == []
    assert armoury.fate(CREATE, "7", 10 * MS) == Fate(is_dropped=True)
    assert armoury.next_ns(10 * MS) == 20 * MS
    assert armoury.begun(25 * MS) == [Fault("cut", after_ms=20, stream="public")]
    assert armoury.begun(25 * MS) == []
    assert (armoury.next_ns(25 * MS), armoury.done) == (None, {"drop_reply": 1, "cut": 1})


def test_what_begins_together_is_told_in_the_order_of_its_beginning() -> None:
    late, early = Fault("ban", after_ms=5), Fault("maintenance", after_ms=2)
    assert armed(late, early).begun(9 * MS) == [early, late]


def test_a_rate_strikes_about_so_many_and_the_same_seed_strikes_the_same() -> None:
    def struck(seed: int) -> list[FrameFate]:
        armoury = armed(Fault("drop_book", rate_bps=200, count=1_000_000), seed=seed)
        return [armoury.frame("BTCUSDT", n) for n in range(20_000)]

    fates = struck(3)
    assert 300 <= fates.count(FrameFate.DROP) <= 500
    assert fates == struck(3)
    assert fates != struck(4)


def test_a_lasting_fault_is_replaced_by_the_one_that_begins_after_it() -> None:
    armoury = armed(Fault("ban", ms=100), Fault("ban", ms=5, after_ms=10))
    assert [armoury.lasts("ban", at * MS) // MS for at in (0, 9, 10, 14, 15, 50)] == [100, 91, 5, 1, 0, 0]
    armoury = armed(Fault("ban", ms=100), Fault("ban", ms=5))
    assert armoury.lasts("ban", 0) == 5 * MS
    armoury.clear()
    assert armoury.lasts("ban", 0) == 0


def test_a_lasting_fault_may_be_of_one_instrument() -> None:
    armoury = armed(Fault("crossed_book", ms=5, symbol="BTCUSDT"))
    assert [armoury.lasts("crossed_book", 0, symbol) > 0 for symbol in ("BTCUSDT", "ETHUSDT", "")] == [True, False, True]
    assert armed(Fault("crossed_book")).lasts("crossed_book", 0, "ETHUSDT") == 5_000 * MS


def test_a_skewed_clock_is_off_until_disarmed_or_for_its_time() -> None:
    armoury = armed(Fault("clock_skew", ms=-5_000))
    assert armoury.skew_ns(10**18) == -5_000 * MS
    assert armoury.lasts("clock_skew", 0) == 0
    armoury.arm(Fault("clock_skew", ms=200, for_ms=10), 0)
    assert [armoury.skew_ns(at * MS) for at in (0, 9, 10)] == [200 * MS, 200 * MS, 0]
    assert armoury.begun(0)
    assert armoury.shown(0)["skew_ms"] == 200
    armoury.clear()
    assert armoury.skew_ns(0) == 0


def test_a_request_may_be_lost_or_late_on_its_way() -> None:
    armoury = armed(Fault("lose_request"), Fault("delay_request", ms=40), Fault("delay_request"))
    assert [armoury.arrival(CREATE, "7", 0) for _ in range(4)] == [Arrival(is_lost=True), Arrival(delay_ms=40), Arrival(delay_ms=500), None]


def test_several_things_may_happen_to_one_answer() -> None:
    kinds: tuple[Any, ...] = ("drop_reply", "hang_reply", "duplicate_reply", "reorder_reply")
    armoury = armed(*(Fault(kind) for kind in kinds), Fault("delay_reply", ms=9))
    assert armoury.fate(CREATE, "7", 0) == Fate(None, True, True, 9, True, True)
    assert armoury.fate(CREATE, "7", 0) is None
    assert armed(Fault("delay_reply", ms=3, account="8")).fate(CREATE, "7", 0) is None
    assert Armoury().fate(CREATE, "7", 0) is None


@pytest.mark.parametrize(
    ("fault", "path", "account", "meant"),
    [
        (Fault("reject"), CREATE, "7", True),
        (Fault("reject"), CANCEL, "7", True),
        (Fault("reject"), "/v5/order/realtime", "7", False),
        (Fault("reject"), "/v5/order/history", "7", False),
        (Fault("reject"), STOP, "7", False),
        (Fault("reject", path=STOP), STOP, "7", True),
        (Fault("reject", path=STOP), CREATE, "7", False),
        (Fault("reject", account="8"), CREATE, "7", False),
    ],
)
def test_a_fault_is_meant_for_the_path_and_account_it_names_else_for_orders(fault: Fault, path: str, account: str, meant: bool) -> None:
    assert is_meant(fault, path, account) is meant


def test_private_rows_are_struck_by_account_and_frames_by_symbol() -> None:
    armoury = armed(Fault("lose_private", account="8"), Fault("reorder_book", symbol="ETHUSDT"), Fault("duplicate_book", symbol="BTCUSDT"))
    assert armoury.operation(("lose_private", "reorder_private"), "7", 0) is None
    assert armoury.operation(("reorder_private",), "8", 0) is None
    assert armoury.operation(("lose_private", "reorder_private"), "8", 0) == "lose_private"
    assert [armoury.frame(symbol, 0) for symbol in ("BTCUSDT", "BTCUSDT", "ETHUSDT")] == [
        FrameFate.DUPLICATE,
        FrameFate.PASS,
        FrameFate.REORDER,
    ]
    assert Armoury().frame("BTCUSDT", 0) is FrameFate.PASS


def test_what_makes_no_sense_is_not_armed() -> None:
    armoury = Armoury()
    with pytest.raises(InvalidInput):
        armoury.arm(Fault("cut", code=7), 0)
    assert armoury.shown(0) == {"armed": [], "scheduled": [], "lasting_ms": {}, "skew_ms": 0, "done": {}}


def test_what_is_armed_is_shown_with_what_is_left_of_it() -> None:
    armoury = armed(Fault("reject", count=3), Fault("drop_book", for_ms=10), Fault("stale_book"))
    armoury.fate(CREATE, "7", 0)
    shown = armoury.shown(4 * MS)
    assert [(one["fault"], one["count"], one.get("left_ms")) for one in shown["armed"]] == [("reject", 2, None), ("drop_book", 1, 6)]
    assert shown["lasting_ms"] == {"stale_book": 4_996}


def test_dice_are_fair_enough_and_stay_within_their_limit() -> None:
    dice = Dice(12)
    counts = [0] * 6
    for _ in range(6_000):
        counts[dice.below(6)] += 1
    assert min(counts) > 850
    assert max(counts) < 1_150
