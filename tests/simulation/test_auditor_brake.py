"""The auditor is told lies about the brake, one at a time, and notices each."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
from tests.simulation.audit_brake import BrakeSide, is_strange
from tests.simulation.auditor import Auditor, S, Violation
from tests.simulation.rows import TICK_E8
from tests.simulation.test_auditor import NAME, START, WALLET, Told

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.orders import OrderIntent, OrderKind, Side, TimeInForce
from kedge.simulation.venue_types import CreateType, ExecType, ExecutionRow, StopType

LINK = "kg-" + "0" * 32
LIMITS = {("drawdown", "halted"): 1_500_000, ("daily_loss", "halted"): 1_200_000}


class Position(NamedTuple):
    """A position as the venue shows it, at a mark of 10,000 ticks."""

    instrument: str
    lots: int
    stop_loss_ticks: int
    mark_e8: int = 10_000 * TICK_E8


class Guarded(Told):
    """An auditor who watches a guard too, and the truth as a day would tell it."""

    def __init__(self) -> None:
        super().__init__()
        self.brake = BrakeSide(self.auditor, limits=LIMITS, latency_ms=2, start_ns=START, wallet_e8=WALLET)
        self.auditor.brake = self.brake
        self.generation = 0
        self.brake.began("running")
        self.auditor.marked(NAME, 10_000)
        self.see()

    def see(self, equity_e8: int | None = None) -> None:
        for what in ("positions", "open_orders"):
            self.brake.read(what, self.now_ns)
        self.brake.read("wallet", self.now_ns, self.brake.losses.equity_e8 if equity_e8 is None else equity_e8)

    def latch(self, level: BrakeLevel, *, is_durable: bool = True, trigger: Trigger | None = Trigger.MANUAL, **more: Any) -> None:
        self.generation += 1
        found = Latch(account="acct", generation=self.generation, level=level, trigger=trigger, **more)
        self.brake.latched(msgspec.json.encode(found), is_durable)

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * S)

    def held(self, lots: int, link: str = "x-1") -> None:
        """The account's position changes by this."""
        side = Side.BUY if lots > 0 else Side.SELL
        self.auditor.prints[NAME, 10_000, False] = abs(lots)
        self.auditor.row(
            ExecutionRow(
                "acct", NAME, 1, f"e{self.now_ns}{lots}{link}{self.auditor.rows}", "v", link, ExecType.TRADE, side, OrderKind.LIMIT,
                StopType.NONE, CreateType.USER, 10_000, abs(lots), 0, 10_000 * 10_000_000, abs(lots), 0, 0, 0, False, 0, 0, 0, 0,
                self.now_ns, 1,
            )
        )  # fmt: skip

    def close(self, lots: int = 10, limit: int = 9_800, **more: Any) -> None:
        """The guard sends a closing order."""
        given: dict[str, Any] = {
            "client_order_id": LINK, "decision_id": "brake-1", "strategy": "guard", "instrument": NAME, "side": Side.SELL,
            "kind": OrderKind.LIMIT, "qty_lots": lots, "limit_ticks": limit, "time_in_force": TimeInForce.IOC, "reduce_only": True, **more,
        }  # fmt: skip
        self.brake.placed(OrderIntent(**given))

    def say(self, nonce: str, *, granted: bool, level: str = "running") -> bytes:
        """The guard answers the trader."""
        body = msgspec.json.encode({"nonce": nonce, "granted": granted, "level": level})
        self.brake.answered(nonce, body)
        return body


def fails(rule: str) -> Any:
    return pytest.raises(Violation, match=f"^{rule} ")


def flattening() -> Guarded:
    told = Guarded()
    told.held(100)
    told.wait(6)
    told.latch(BrakeLevel.FLATTENING)
    return told


# permits ----------------------------------------------------------------------------------------------------------------


def test_a_permit_counts_from_its_grant_however_late_it_is_heard_and_a_forged_one_never() -> None:
    told = Guarded()
    body = told.say("n1", granted=True)
    told.wait(1.4)
    told.brake.heard("n1", body)
    assert told.auditor.granted_ns == START
    told.wait(0.5)
    told.send("a")
    told.wait(0.2)
    told.brake.heard("n2", b"granted")
    with fails("NO_PERMIT"):
        told.send("b")


def test_what_is_not_granted_takes_back_what_was() -> None:
    told = Guarded()
    told.brake.heard("n1", told.say("n1", granted=True))
    told.brake.heard("n2", told.say("n2", granted=False))
    with fails("NO_PERMIT"):
        told.send("a")


def test_no_permit_is_granted_while_the_brake_is_on_the_journal_fails_or_nobody_looks() -> None:
    told = Guarded()
    told.latch(BrakeLevel.REDUCE_ONLY, is_durable=False)
    with fails("PERMIT_BRAKED"):
        told.say("n1", granted=True)
    told = Guarded()
    told.brake.takes_records = False
    with fails("PERMIT_UNRECORDED"):
        told.say("n1", granted=True)
    told = Guarded()
    told.wait(1.1)
    with fails("PERMIT_BLIND"):
        told.say("n1", granted=True)
    told.say("n2", granted=False)


# the trader -------------------------------------------------------------------------------------------------------------


def test_exposure_may_grow_for_as_long_as_a_permit_lasts_and_no_longer() -> None:
    told = Guarded()
    told.latch(BrakeLevel.REDUCE_ONLY)
    told.wait(1.9)
    told.auditor.granted_ns = told.now_ns
    told.send("a")
    told.wait(0.2)
    with fails("LATCHED_GROWS"):
        told.send("b")


def test_an_order_that_is_taken_long_after_the_latch_is_noticed() -> None:
    told = Guarded()
    told.send("a")
    told.latch(BrakeLevel.HALTED)
    told.wait(5.1)
    with fails("LATCHED_GROWS"):
        told.auditor.arrived_create("a", NAME, is_phantom=False)


def test_a_trader_that_heard_halted_decides_and_sends_nothing() -> None:
    told = Guarded()
    told.latch(BrakeLevel.HALTED)
    told.brake.heard("n1", told.say("n1", granted=False, level="halted"))
    told.wait(0.1)
    with fails("HEARD_HALTED"):
        told.brake.trader_decided("order", "a")
    with fails("HEARD_HALTED"):
        told.brake.trader_left("order", "a", adds=False)
    told.brake.trader_left("cancel", "a", adds=False)
    told.brake.trader_began()
    told.brake.trader_decided("order", "a")


# the latch --------------------------------------------------------------------------------------------------------------


def test_the_latch_comes_first_unless_the_trader_is_silent() -> None:
    told = Guarded()
    with fails("LATCH_FIRST"):
        told.brake.cancelled("resting")
    with fails("LATCH_FIRST"):
        told.close()
    told.brake.silent_s = 2
    told.wait(2)
    told.brake.cancelled("resting")
    told.latch(BrakeLevel.HALTED)
    told.brake.cancelled("every")


@pytest.mark.parametrize(
    ("stop_ticks", "seconds", "bare_s", "may"),
    [(0, 2.0, 2, True), (10_001, 2.0, 2, True), (9_000, 2.0, 2, False), (0, 1.0, 2, False), (0, 2.0, 0, False)],
    ids=["none", "passed", "stopped", "not yet", "nobody asks"],
)
def test_while_halted_only_a_position_that_has_long_stood_without_a_working_stop_is_closed(
    stop_ticks: int, seconds: float, bare_s: int, may: bool
) -> None:
    told = Guarded()
    told.held(100)
    told.wait(6)
    told.latch(BrakeLevel.HALTED)
    told.brake.bare_s = bare_s
    told.brake.stopped([Position(NAME, 100, stop_ticks)], told.now_ns)
    told.wait(seconds)
    told.brake.stopped([Position(NAME, 100, stop_ticks)], told.now_ns)
    if may:
        told.close()
        told.wait(4)
        told.brake.stopped([Position(NAME, 90, 9_000)], told.now_ns)
    with fails("LATCH_FIRST"):
        told.close()


def test_a_guard_that_forgets_its_latch_is_noticed_and_one_that_cannot_read_it_is_halted() -> None:
    told = Guarded()
    told.latch(BrakeLevel.FLATTENING)
    told.brake.ended()
    with fails("LATCH_FORGOTTEN"):
        told.brake.began("halted")
    told = Guarded()
    told.brake.torn()
    with fails("LATCH_FORGOTTEN"):
        told.brake.began("running")
    told.brake.began("halted")


def test_a_latch_that_was_not_durable_is_gone_with_its_process() -> None:
    told = Guarded()
    told.latch(BrakeLevel.HALTED, is_durable=False)
    assert told.brake.level == "halted"
    told.brake.ended()
    told.brake.began("running")


def test_nobody_releases_alone_twice_for_another_brake_or_while_positions_are_closed() -> None:
    for prepare in (
        lambda told: None,
        lambda told: told.brake.approval("R", 1, is_good=False),
        lambda told: told.brake.approval("R", 2, is_good=True),
    ):
        told = Guarded()
        told.latch(BrakeLevel.HALTED)
        prepare(told)
        with fails("RELEASED_ALONE"):
            told.latch(BrakeLevel.RUNNING, trigger=None, release_id="R")
    told = Guarded()
    told.latch(BrakeLevel.HALTED)
    told.brake.approval("R", 1, is_good=True)
    told.latch(BrakeLevel.RUNNING, trigger=None, release_id="R")
    told.latch(BrakeLevel.HALTED)
    with fails("RELEASED_ALONE"):
        told.latch(BrakeLevel.RUNNING, trigger=None, release_id="R")
    told = flattening()
    told.brake.approval("R", 1, is_good=True)
    with fails("RELEASED_ALONE"):
        told.latch(BrakeLevel.RUNNING, trigger=None, release_id="R")
    with fails("RELEASED_ALONE"):
        told.latch(BrakeLevel.HALTED)


def test_a_release_that_is_not_in_the_file_lets_nothing_go() -> None:
    told = Guarded()
    told.latch(BrakeLevel.HALTED)
    told.latch(BrakeLevel.RUNNING, trigger=None, is_durable=False, release_id="R")
    assert told.brake.level == "halted"


def test_flat_is_not_declared_early_nor_with_anything_left() -> None:
    told = Guarded()
    told.latch(BrakeLevel.FLATTENING)
    told.wait(1.9)
    with fails("BRAKE_FLAT"):
        told.latch(BrakeLevel.HALTED_FLAT)
    told = flattening()
    told.wait(4)
    with fails("BRAKE_FLAT"):
        told.latch(BrakeLevel.HALTED_FLAT)
    told = Guarded()
    told.latch(BrakeLevel.HALTED)
    with fails("BRAKE_FLAT"):
        told.latch(BrakeLevel.HALTED_FLAT)


def test_a_day_does_not_end_while_positions_are_closed_orders_rest_or_nobody_guards() -> None:
    told = flattening()
    with fails("BRAKE_FLAT"):
        told.brake.end()
    told = Guarded()
    told.send("a")
    told.take("a")
    told.latch(BrakeLevel.HALTED)
    with fails("BRAKE_RESTS"):
        told.brake.end()
    told = Guarded()
    told.brake.ended()
    with fails("GUARD_GONE"):
        told.brake.end()


# closing ----------------------------------------------------------------------------------------------------------------


def test_strangers_are_told_by_their_ids() -> None:
    assert [is_strange(name) for name in ("", "x-1", "adl-1", "kg-17", LINK, "0f" * 16)] == [True, True, True, True, False, False]


def test_a_violation_within_the_guards_process_is_told_to_the_day() -> None:
    told, heard = Guarded(), []
    told.brake.tell = heard.append
    with fails("LATCH_FIRST"):
        told.brake.cancelled("every")
    assert [type(one) for one in heard] == [Violation]


def test_without_a_guard_the_auditor_asks_for_none() -> None:
    told = Told()
    told.auditor.marked(NAME, 10_000)
    told.send("a")
    assert isinstance(told.auditor, Auditor)
    assert told.auditor.brake is None
