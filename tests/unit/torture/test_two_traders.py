"""The judges of a trader that stood still, and of two traders on one account, find what they are there to find."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.torture.frozen import HELD_BACK, Freeze, Old, is_frozen
from tests.torture.journal_books import Grid, JournalSays, Sent
from tests.torture.outcome import Outcome
from tests.torture.plan import FROZEN, SPARED, Blow
from tests.torture.processes import Child
from tests.torture.rivals import Two
from tests.torture.venue_books import VenueSays


def journal(orders: dict[str, Sent], *fills: str, strange: str = "") -> JournalSays:
    says = JournalSays(Path("journal.sqlite"), orders=orders, fills=[{"fill_id": name} for name in fills])
    says.strange += [strange] if strange else []
    return says


def venue(*orders: str, trades: tuple[str, ...] = ()) -> VenueSays:
    there = {f"v{number}": {"orderLinkId": name} for number, name in enumerate(orders)}
    return VenueSays(orders=there, trades=[{"execId": name} for name in trades])


def test_what_was_decided_before_and_not_sent_is_old_unless_it_reduces_or_is_over() -> None:
    orders = {"sent": Sent(1), "old": Sent(1), "closing": Sent(1, reduce_only=True), "over": Sent(1, ends=["rejected"])}
    old = Old.of(journal(orders), venue("sent"))
    assert old.names == ["old"]
    assert old.findings(venue("sent", "closing", "over")) == []
    assert old.findings(venue("sent", "old")) == ["order old was decided before the trader stood still and left afterwards"]


def freeze(blow: Blow, *, by_itself: bool) -> tuple[Outcome, list[str]]:
    """Let a process that only waits stand still, and go on."""
    outcome = Outcome()

    async def now() -> VenueSays:
        return venue()

    async def whole() -> list[str]:
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
            trader = Child(process.pid, asyncio.get_running_loop().create_future())
            one = Freeze(lambda: journal({"old": Sent(1)}), now, outcome)
            watching = asyncio.ensure_future(one.watch(trader, blow))
            if by_itself:
                os.kill(process.pid, signal.SIGSTOP)
            await one.strike(trader, blow)
            await watching
            process.communicate(b"")
            assert process.returncode == 0, "it went on to its end"
            return one.findings(venue("old"))

    return outcome, asyncio.run(whole())


@pytest.mark.parametrize("at", ["", "before_send"])
def test_a_process_that_stands_still_is_seen_and_let_go_on(at: str) -> None:
    outcome, found = freeze(Blow(FROZEN, at=at, frozen_s=0.6), by_itself=bool(at))
    assert outcome.faults == {FROZEN: 1, HELD_BACK: 1}
    assert len(found) == 1


def test_nobody_is_watched_who_is_not_to_stand_still() -> None:
    def never() -> JournalSays:
        raise AssertionError("nobody may ask")

    async def nothing() -> VenueSays:
        return venue()

    async def whole() -> Outcome:
        outcome = Outcome()
        itself = Child(os.getpid(), asyncio.get_running_loop().create_future())
        await Freeze(never, nothing, outcome).watch(itself, Blow(SPARED))
        return outcome

    assert not asyncio.run(whole()).faults


def test_a_process_that_is_gone_does_not_stand_still() -> None:
    assert not is_frozen(2**22 + 1)


def two(strange: str = "") -> Two:
    """The first trades, both decide the same once, and each has booked what is its own."""
    first = journal({"a": Sent(1), "both": Sent(1)}, "f1", "f2", strange=strange)
    return Two(first, journal({"both": Sent(1)}, "f2"), venue("a", "both", trades=("f1", "f2")))


def test_two_who_decide_the_same_are_one() -> None:
    assert two().findings() == []


DEFECTS: dict[str, Callable[[Two], object]] = {
    "order at the exchange 2 times": lambda both: both.venue.orders.update(again={"orderLinkId": "a"}),
    "nobody recorded: 'x'": lambda both: both.venue.orders.update(x={"orderLinkId": "x"}),
    "was decided 2 times": lambda both: both.first.orders.update(a=Sent(1, times=2)),
    "execution booked 2 times: f1": lambda both: both.first.fills.append({"fill_id": "f1"}),
    "execution never happened: f9": lambda both: both.first.fills.append({"fill_id": "f9"}),
    "execution lost: f8": lambda both: both.venue.trades.append({"execId": "f8"}),
    "two traders went on": lambda both: both.journals[1].orders.update(c=Sent(1)),
}


@pytest.mark.parametrize("text", DEFECTS)
def test_a_defect_of_two_traders_is_named(text: str) -> None:
    both = two()
    DEFECTS[text](both)
    assert any(text in one for one in both.findings())


def test_two_who_differ_are_fine_once_one_of_them_has_halted() -> None:
    both = two("trading is halted: FOREIGN_ORDER x 0")
    both.journals[1].orders["c"] = Sent(1)
    assert both.findings() == []


def hears_of_a_trade(says: JournalSays, name: str, fill_id: str) -> None:
    says.grids["sim:A"] = Grid("A", 10**6, 10**5)
    fill = {"instrument": "sim:A", "client_order_id": name, "fill_id": fill_id, "side": "buy", "qty_lots": 1, "price_ticks": 9, "fee_e8": 0}
    says._event({"type": "fill", **fill})


def test_the_second_ones_order_is_a_stranger_also_after_the_first_has_heard_of_its_trade() -> None:
    both = two("trading is halted: FILL_NOT_UNDERSTOOD x 0")
    both.journals[1].orders["c"] = Sent(1)
    hears_of_a_trade(both.first, "c", "f3")
    assert "c" in both.first.orders
    assert both.strangers == {"c"}
    both.venue.orders["c"] = {"orderLinkId": "c"}
    both.venue.trades.append({"execId": "f3"})
    assert both.findings() == []


def test_an_order_that_both_only_heard_of_was_recorded_by_nobody() -> None:
    both = two("trading is halted: FILL_NOT_UNDERSTOOD x 0")
    hears_of_a_trade(both.first, "c", "f3")
    both.venue.orders["c"] = {"orderLinkId": "c"}
    assert any("nobody recorded: 'c'" in one for one in both.findings())
