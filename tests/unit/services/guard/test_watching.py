"""What the guard sees by itself and what it does about it: triggers, permits, silence, the trader's word."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.simulation.client import SimVenue
from tests.simulation.world import ACCOUNT, IDS
from tests.unit.services.guard.scene import AAA, OFF, Scene, Unheard, play

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.services.guard.records import Breached, DeadMan, GuardStarted, GuardStopped, PermitsGranted, PermitsStopped, Seen
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import Heartbeat


def only(**limits: int) -> object:
    return msgspec.structs.replace(OFF, **limits)


async def ready(s: Scene, lots: int = 0, *, stop: int = 9_000) -> None:
    if lots:
        s.hold(lots, stop=stop)
    s.begin()
    s.beat()
    await s.seen()


async def brakes(s: Scene, level: BrakeLevel, trigger: Trigger, within_s: float = 30.0) -> None:
    await s.until(lambda: s.level is level, within_s)
    assert s.latch.held.trigger is trigger
    assert s.latch.held.observed
    assert s.latch.held.limit
    assert s.latch.held.actor_id == "guard"


# what is measured ---------------------------------------------------------------------------------------------------------


def test_var_of_the_stated_prior_beyond_its_limit_flattens() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_500)
        await asyncio.sleep(3)
        assert s.level is BrakeLevel.RUNNING
        s.hold(9_000)
        await brakes(s, BrakeLevel.FLATTENING, Trigger.VAR99)
        assert "prior" in s.latch.held.observed

    play(test, only(var99_flatten_e8=5_000_000))


def test_var_comes_from_the_venues_daily_closes_where_there_are_enough() -> None:
    async def test(s: Scene) -> None:
        s.closes[AAA] = tuple(10_000 + (200 if day % 2 else -200) for day in range(800))
        await ready(s, 5_000)
        await s.until(lambda: s.guard.status().var_method == "fhs-ewma")
        status = s.guard.status()
        assert status.var99_e8 is not None
        assert status.es975_e8 is not None
        assert 1_000_000 < status.var99_e8 < 4_000_000
        assert any("not fitted" in flag for flag in status.var_flags)

    play(test, only(var99_flatten_e8=50_000_000))


@pytest.mark.parametrize(
    ("limits", "lots", "level", "trigger"),
    [
        ({"gross_leverage_reduce_e8": 40_000_000}, 5_000, BrakeLevel.REDUCE_ONLY, Trigger.GROSS_LEVERAGE),
        ({"position_notional_reduce_e8": 35_000_000}, 5_000, BrakeLevel.REDUCE_ONLY, Trigger.POSITION_NOTIONAL),
        ({"margin_ratio_flatten_e8": 500_000}, 7_000, BrakeLevel.FLATTENING, Trigger.MARGIN_RATIO),
        ({"liquidation_flatten_e8": 60_000_000}, 18_000, BrakeLevel.FLATTENING, Trigger.LIQUIDATION_DISTANCE),
    ],
)
def test_each_measure_of_the_book_engages_its_level(limits: dict[str, int], lots: int, level: BrakeLevel, trigger: Trigger) -> None:
    async def test(s: Scene) -> None:
        await ready(s, lots // 4)
        await asyncio.sleep(1)
        assert s.level is BrakeLevel.RUNNING
        s.hold(lots)
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert (s.latch.held.trigger, s.journal.of(Breached)[0].level) == (trigger, level)

    play(test, only(**limits))


def test_a_position_without_its_stop_for_too_long_is_reduce_only() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        await asyncio.sleep(20)
        assert s.level is BrakeLevel.RUNNING
        s.act("stop_removed")
        gone_s = s.loop.time()
        await brakes(s, BrakeLevel.REDUCE_ONLY, Trigger.STOP_MISSING)
        assert 15 <= s.loop.time() - gone_s < 16

    play(test, only(stop_missing_s=15))


def test_a_clock_that_is_off_halts() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.act("clock_skew", ms=700, for_ms=600_000)
        await brakes(s, BrakeLevel.HALTED, Trigger.CLOCK)
        assert s.guard.status().clock_off_ms == -700 or abs((s.guard.status().clock_off_ms or 0) + 700) < 60

    play(test, only(clock_halt_ms=500))


def test_a_storm_of_refusals_halts() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        trader = SimVenue(s.world, Unheard())  # type: ignore[arg-type]
        await trader.start()
        s.act("refuse_later", count=11, ms=10)
        for number in range(11):
            assert s.level is BrakeLevel.RUNNING
            await trader.place(ApprovedOrder(order=intent(f"t-{number}"), limits_version="v"))
        await brakes(s, BrakeLevel.HALTED, Trigger.REJECTS)

    play(test, only(rejects_per_minute=10))


def intent(name: str) -> OrderIntent:
    return OrderIntent(
        client_order_id=name, decision_id="d", strategy="s", instrument=AAA, side=Side.BUY, kind=OrderKind.LIMIT,
        time_in_force=TimeInForce.GTC, qty_lots=1, limit_ticks=9_000,
    )  # fmt: skip


def test_the_traders_own_count_of_refusals_counts_too() -> None:
    async def test(s: Scene) -> None:
        s.begin()
        await s.seen()
        s.guard.permit("n", Heartbeat(run_id="r", pid=1, rejects=11))
        await brakes(s, BrakeLevel.HALTED, Trigger.REJECTS)

    play(test, only(rejects_per_minute=10))


def test_a_venue_that_cannot_be_read_with_risk_on_halts_and_goes_on_trying() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        s.act("deaf", ms=14_000)
        await asyncio.sleep(2)
        assert not s.guard.permit("n").granted
        assert "seen" in s.guard.permit("n").why
        await brakes(s, BrakeLevel.HALTED, Trigger.STALE_DATA)
        await asyncio.sleep(10)
        view_age_ns = s.guard.status().view_age_ns
        assert view_age_ns is not None
        assert view_age_ns < E8 * 10
        assert s.guard.status().venue == ""

    play(test, only(stale_halt_s=10))


def test_a_venue_that_cannot_be_read_without_risk_stops_permits_alone() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.act("deaf", ms=20_000)
        await asyncio.sleep(15)
        assert s.level is BrakeLevel.RUNNING
        assert not s.guard.permit("n").granted
        await asyncio.sleep(8)
        assert s.guard.permit("n").granted

    play(test, only(stale_halt_s=10))


def test_a_guard_that_never_sees_the_account_halts_since_there_may_be_risk() -> None:
    async def test(s: Scene) -> None:
        s.act("maintenance", ms=60_000)
        s.begin()
        await brakes(s, BrakeLevel.HALTED, Trigger.STALE_DATA)
        assert "VENUE" in s.pager.codes
        await s.until(lambda: s.guard.view is not None, 60)

    play(test, only(stale_halt_s=10))


# silence ------------------------------------------------------------------------------------------------------------------


def test_a_silent_traders_risky_orders_go_after_ten_seconds_and_the_level_stays() -> None:
    async def test(s: Scene) -> None:
        s.order(30, limit=9_800, link="adds")
        s.order(20, trigger=10_500, link="adds-later")
        await ready(s)
        await asyncio.sleep(15)
        assert len(s.open()) == 2
        await s.silence()
        silent_s = s.loop.time()
        await s.until(lambda: s.open() == [])
        assert 9.4 <= s.loop.time() - silent_s < 11
        assert s.level is BrakeLevel.RUNNING
        assert s.journal.of(DeadMan)[0].orders == 2
        assert "DEAD_MAN" in s.pager.codes

    play(test, only(heartbeat_cancel_s=10))


def test_a_silent_trader_with_positions_halts_after_a_minute() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        await s.silence()
        silent_s = s.loop.time()
        await brakes(s, BrakeLevel.HALTED, Trigger.HEARTBEAT, 90)
        assert 59 <= s.loop.time() - silent_s < 62
        assert s.lots() == 500

    play(test, only(heartbeat_halt_s=60))


def test_a_silent_trader_without_positions_halts_nothing() -> None:
    async def test(s: Scene) -> None:
        s.begin()
        await asyncio.sleep(120)
        assert s.level is BrakeLevel.RUNNING

    play(test, only(heartbeat_halt_s=60))


# permits ------------------------------------------------------------------------------------------------------------------


def test_permits_begin_with_the_first_view_and_end_with_the_latch_and_with_the_guard() -> None:
    async def test(s: Scene) -> None:
        assert not s.guard.permit("n").granted
        await ready(s)
        answer = s.guard.permit("abc", Heartbeat(run_id="run-1", pid=42))
        assert (answer.granted, answer.nonce, answer.guard, answer.level, answer.why) == (True, "abc", "guard", BrakeLevel.RUNNING, "")
        status = s.guard.status()
        assert (status.run_id, status.trader_pid, status.permits) == ("run-1", 42, "")
        s.guard.engage(BrakeLevel.REDUCE_ONLY, actor_id="ada", reason="a test", source="cli")
        answer = s.guard.permit("abc")
        assert (answer.granted, answer.level, answer.generation) == (False, BrakeLevel.REDUCE_ONLY, 1)
        assert (len(s.journal.of(PermitsGranted)), len(s.journal.of(PermitsStopped))) == (1, 1)

    play(test)


def test_a_quiet_account_keeps_its_permits_for_minutes() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        for _ in range(600):
            await asyncio.sleep(0.2)
            assert s.guard.permit("n").granted, s.guard.permit("n").why
        assert len(s.journal.of(Seen)) <= 4

    play(test)


def test_a_journal_that_takes_nothing_stops_permits_until_it_does() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        s.journal.fails = True
        await s.until(lambda: not s.guard.permit("n").granted)
        assert "journal" in s.guard.permit("n").why
        s.journal.fails = False
        await s.until(lambda: s.guard.permit("n").granted)

    play(test)


def test_a_stopped_guard_permits_nothing_and_says_what_it_leaves() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        s.guard.stop("told to")
        assert "stopping" in s.guard.permit("n").why
        await s.until(lambda: bool(s.journal.of(GuardStopped)))
        assert (s.journal.of(GuardStopped)[0].reason, s.journal.of(GuardStopped)[0].positions) == ("told to", 1)
        assert s.lots() == 500

    play(test)


# people, traders, levels ----------------------------------------------------------------------------------------------------


def test_a_milder_wish_changes_nothing_and_a_harder_one_keeps_when_it_began() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        first = s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="one", source="cli")
        await asyncio.sleep(1)
        assert s.guard.engage(BrakeLevel.REDUCE_ONLY, actor_id="bob", reason="two", source="page") == first
        assert s.guard.engage(BrakeLevel.HALTED, actor_id="bob", reason="two", source="page") == first
        harder = s.guard.engage(BrakeLevel.FLATTENING, actor_id="bob", reason="three", source="page")
        assert (harder.generation, harder.actor_id, harder.engaged_wall_ns) == (2, "bob", first.engaged_wall_ns)
        with pytest.raises(InvalidInput):
            s.guard.engage(BrakeLevel.HALTED_FLAT, actor_id="bob", reason="x", source="page")
        with pytest.raises(InvalidInput):
            s.guard.engage(BrakeLevel.FLATTENING, actor_id="bob", reason=" ", source="page")

    play(test)


def test_engaging_works_before_the_venue_answers() -> None:
    async def test(s: Scene) -> None:
        s.act("maintenance", ms=5_000)
        s.hold(300)
        s.begin()
        s.guard.engage(BrakeLevel.FLATTENING, actor_id="ada", reason="now", source="file")
        assert s.latch.held.level is BrakeLevel.FLATTENING
        await s.until(lambda: s.level is BrakeLevel.HALTED_FLAT, 30)
        assert s.lots() == 0

    play(test)


def test_a_trader_that_reports_its_journal_or_model_halts() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        assert s.guard.report(Trigger.MODEL, "the hash differs", source="trader").level is BrakeLevel.HALTED
        assert (s.latch.held.trigger, s.latch.held.observed) == (Trigger.MODEL, "the hash differs")

    play(test)


def test_a_breach_that_asks_for_no_more_than_what_holds_is_told_once() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="one", source="cli")
        s.hold(8_000)
        await asyncio.sleep(5)
        assert s.latch.held.trigger is Trigger.MANUAL
        assert [code for code, _ in s.pager.calls].count("BREACH gross_leverage") == 1
        assert len(s.journal.of(Breached)) == 1

    play(test, only(gross_leverage_reduce_e8=60_000_000))


def test_a_start_with_the_brake_on_calls_and_goes_on() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="one", source="cli")
        await s.crash()
        s.pager.calls.clear()
        s.new_guard()
        s.begin()
        s.order(10, limit=9_800, link="x")
        await s.until(lambda: s.open() == [])
        assert s.level is BrakeLevel.HALTED
        assert "BRAKE" in s.pager.codes
        assert [one.level for one in s.journal.of(GuardStarted)] == [BrakeLevel.RUNNING, BrakeLevel.HALTED]

    play(test)


def test_a_latch_file_that_somebody_changed_halts_and_is_written_again() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.latch.held = msgspec.structs.replace(s.latch.held, account="somebody")
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        assert (s.latch.held.account, s.latch.held.trigger) == (ACCOUNT, Trigger.UNREADABLE)
        s.latch.held = msgspec.structs.replace(s.latch.held, level=BrakeLevel.RUNNING, generation=9)
        await s.until(lambda: s.latch.held.level is BrakeLevel.HALTED)
        assert "LATCH" in s.pager.codes

    play(test)


def test_a_defect_in_one_round_is_called_about_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        real, calls = s.guard.watch.view, []

        def broken() -> object:
            calls.append(1)
            if len(calls) < 3:
                raise ZeroDivisionError("a defect")
            return real()

        monkeypatch.setattr(s.guard.watch, "view", broken)
        await s.until(lambda: len(calls) >= 5)
        assert "DEFECT" in s.pager.codes
        assert s.guard.permit("n").granted

    play(test)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="poll_risk_s"):
        GuardSettings(account="a", poll_risk_s=0)
    with pytest.raises(InvalidConfig, match="poll_flat_s"):
        GuardSettings(account="a", poll_flat_s=1.0, permit_view_s=1.0)
    assert GuardSettings(account="a", instruments=IDS).triggers.drawdown_flatten_e8 == 10_000_000
