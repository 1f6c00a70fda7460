"""A drill from its first process to its record, with exchange and guard in this process; and what becomes of one that cannot be held."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.drills.moments import locked
from tests.unit.apps.drill_world import InProcess
from tests.unit.services.drills.crashes import BTC, crash

from kedge.apps.drill_run import Drill, NothingHeld, StartTrader, new_id
from kedge.apps.drill_stage import Stage, end
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import AccessRefused, VenueUnavailable
from kedge.services.drills.crash import Bar, Timing
from kedge.services.drills.plan import DEFAULTS, DRAWDOWN, DrillPlan
from kedge.services.drills.report import FLAT, HALTED, OPEN, VENUE_STOP, DrillReport
from kedge.services.drills.venue_hand import VenueHand

DEEP = (Bar(1.0, 1.0, 0.6, 0.62),)


def plan(kind: str = DRAWDOWN, **changed: Any) -> DrillPlan:
    """A crash of one second after one of calm."""
    found = DrillPlan(crash(symbols=(BTC,), bars=DEEP), Timing(calm_s=1, bar_s=1, still_s=20), kind=kind, within_s=3.0, resting=2)
    return found._replace(**changed)


def positions_closed(drill: Drill) -> bool:
    return drill.watch.level is BrakeLevel.FLATTENING and not drill.watch.samples[-1].positions


async def held(folder: Path, wanted: DrillPlan, disturb: Any = None, ends: Any = positions_closed) -> tuple[Drill, DrillReport]:
    stage = Stage(folder, wanted, InProcess())
    drill = Drill(stage)
    drill.ends = lambda: ends(drill)
    try:
        async with asyncio.timeout(20):
            return drill, await drill.hold(disturb)
    finally:
        await stage.close()


def test_a_crash_fires_the_brake_and_the_reader_sees_positions_closed_once(tmp_path: Path) -> None:
    drill, report = asyncio.run(held(tmp_path / "d", plan()))
    assert report.outcome in (HALTED, FLAT)
    assert report.findings == ()
    assert (report.trigger, report.kind, report.rung) == ("drawdown", DRAWDOWN, "paper")
    assert report.seen.blocked_ms is not None
    assert report.seen.positions_zero_ms is not None
    assert report.slices >= 1
    assert report.slip_bps is not None
    assert report.slip_bps <= (report.collar_bps or 0)
    assert report.equity_breach_e8 is not None
    assert report.equity_breach_e8 < 90_000 * 10**8
    assert {change.key for change in report.changes} >= {"guard.triggers.var99_flatten_frac"}
    assert len(report.market_sha256) == 64
    assert any("played in 1 s each" in words for words in report.assumptions)
    assert "BTCUSDT" in report.positions[0]
    assert report.drill_id.endswith("small-drawdown")


@pytest.mark.slow
def test_a_disturbance_that_fails_is_a_finding_and_one_that_waits_hears_of_the_latch(tmp_path: Path) -> None:
    seen: list[bool] = []

    async def disturb(drill: Drill) -> None:
        seen.append(await drill.latched(BrakeLevel.FLATTENING, 10))
        await drill.stage.hand.order_fault(fault="thin_book", bps=10_000, ms=10)
        await drill.stage.hand.clear_faults()
        await drill.stage.hand.order_fault(fault="earthquake")

    _, report = asyncio.run(held(tmp_path / "d", plan(fault="an earthquake"), disturb))
    assert seen == [True]
    assert any("the disturbance failed" in words for words in report.findings)
    assert report.drill_id.endswith("-an-earthquake")


@pytest.mark.slow
def test_a_journal_that_was_locked_until_flat_is_waited_for(tmp_path: Path) -> None:
    async def lock(drill: Drill) -> None:
        journal = locked(drill.stage.folder / "guard" / "journal.sqlite")
        try:
            assert await drill.latched(BrakeLevel.HALTED_FLAT, 15)
        finally:
            journal.close()

    _, report = asyncio.run(held(tmp_path / "d", plan(within_s=15.0), lock, lambda drill: drill.watch.level is BrakeLevel.HALTED_FLAT))
    assert report.outcome == FLAT
    assert [words.split(":")[0] for words in report.pages[-2:]] == ["BRAKE", "FLAT"]
    assert report.guard.flat_ms is not None


@pytest.mark.slow
def test_a_crash_that_fires_nothing_leaves_risk_and_says_so(tmp_path: Path) -> None:
    _, report = asyncio.run(held(tmp_path / "d", plan(gross_frac=Decimal("0.05"), within_s=0.4)))
    assert report.outcome == OPEN
    assert any("risk left" in words for words in report.findings)
    assert report.trigger == ""
    assert report.loss_at_flat_e8 is None


@pytest.mark.slow
def test_positions_are_scaled_to_what_value_at_risk_allows(tmp_path: Path) -> None:
    drill, report = asyncio.run(held(tmp_path / "d", plan(DEFAULTS, within_s=0.3)))
    sizes = [sample.positions[BTC] for sample in drill.watch.samples if sample.positions]
    assert max(sizes) > min(sizes)
    assert report.changes == ()


@pytest.mark.slow
def test_without_a_guard_the_venue_alone_decides(tmp_path: Path) -> None:
    async def kill_guard(drill: Drill) -> None:
        drill.guarded = False
        await end(drill.stage.children["guard"], hard=True)
        await drill.stage.hand.set_stop(BTC, "49000")

    wanted = plan(stop_frac=Decimal("0.02"))
    _, report = asyncio.run(
        held(tmp_path / "d", wanted, kill_guard, lambda drill: len(drill.watch.samples) > 12 and not drill.watch.samples[-1].positions)
    )
    assert report.outcome == VENUE_STOP
    assert report.slices == 0


async def held_with_trader(folder: Path, wanted: DrillPlan, trader: StartTrader) -> DrillReport:
    stage = Stage(folder, wanted, InProcess())
    drill = Drill(stage, "named", trader)
    drill.ends = lambda: positions_closed(drill)
    try:
        return await drill.hold()
    finally:
        await stage.close()


@pytest.mark.slow
def test_a_trader_opens_the_positions_itself_where_one_is_started(tmp_path: Path) -> None:
    async def trader(stage: Stage) -> None:
        await stage.buy(Decimal("0.4"))

    report = asyncio.run(held_with_trader(tmp_path / "d", plan(), trader))
    assert "a trader's own decisions" in report.positions[0]
    assert report.drill_id == "named"


@pytest.mark.slow
def test_a_drill_whose_trader_opened_nothing_shows_nothing_and_says_so(tmp_path: Path) -> None:
    async def trader(stage: Stage) -> None:
        pass

    with pytest.raises(NothingHeld, match=r"nothing was held.*hold the drill again"):
        asyncio.run(held_with_trader(tmp_path / "d", plan(within_s=0.4), trader))


@pytest.mark.parametrize(("part", "words"), [("exchange", "exchange did not start"), ("guard", "does not watch")])
def test_a_stage_that_cannot_be_set_says_which_part_broke(part: str, words: str, tmp_path: Path) -> None:
    async def main() -> None:
        stage = Stage(tmp_path / "d", plan(), InProcess(breaks=[part]))
        try:
            await Drill(stage).hold()
        finally:
            await stage.close()

    with pytest.raises(VenueUnavailable, match=words):
        asyncio.run(main())


def test_an_order_that_the_exchange_refuses_ends_the_drill_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(VenueUnavailable, match="buying BTCUSDT was refused"):
        asyncio.run(held(tmp_path / "d", plan(gross_frac=Decimal(400))))


def test_a_hand_refuses_any_exchange_but_one_of_this_machine() -> None:
    for url in ("https://api.bybit.com", "http://example.com:80", "https://127.0.0.1"):
        with pytest.raises(AccessRefused):
            VenueHand(url, "key", "secret")


def test_a_hand_says_where_nobody_answers() -> None:
    async def main() -> None:
        hand = VenueHand("http://127.0.0.1:9", "key", "secret")
        try:
            await hand.positions()
        finally:
            await hand.close()

    with pytest.raises(VenueUnavailable):
        asyncio.run(main())


def test_ids_sort_by_time_and_say_what_was_held() -> None:
    first, second = (new_id(at_ns, plan(fault="thin book, twice")) for at_ns in (10**18, 10**18 + 10**9))
    assert first < second
    assert first.endswith("-small-drawdown-thin-book-twice")
