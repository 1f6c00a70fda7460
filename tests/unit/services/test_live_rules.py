"""Rulings on their way into a running trader: documents of limits, overrides, the venue's restrictions, and past days."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel
from kedge.domain.events import BooksAgreed, BrakeTold, DailyHistory, LimitsChanged, OverrideGranted, VenueRestricted
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import Side
from kedge.domain.venue import DailyCloses, VenuePosition
from kedge.ops.settings import Limits as Configured
from kedge.risk.limits import Limits
from kedge.risk.limits_document import OverrideGrant
from kedge.risk.sizing_policy import SizingPolicy
from kedge.risk.states import RiskState
from kedge.services.live import LiveTrader
from kedge.services.live_rules import lots_of, needs_days
from kedge.services.overrides import OverrideFiles
from kedge.services.rulings import AccountRulings

from ...builders import AAA, T0, Wish, instrument
from .live_world import World, play, until
from .venue_in_process import ACCOUNT

PRODUCT = Limits.from_plain(Configured().engine_values())
NOW = 1_000


@pytest.fixture
def rulings(tmp_path: Path) -> AccountRulings:
    found = AccountRulings(tmp_path, ACCOUNT, wall_ns=lambda: NOW)
    found.begin(PRODUCT, None, "trader")
    return found


def trader_of(world: World, rulings: AccountRulings | None, **plan: Any) -> LiveTrader:
    trader = world.trader(strategy=Wish(), plan={"limits": PRODUCT, "limits_number": 1, **plan})
    trader._rulings = rulings  # type: ignore[attr-defined]
    return trader


def told(world: World, kind: type) -> list[Any]:
    return [step.event for step in world.steps() if isinstance(step.event, kind)]


def grant(**changes: Any) -> OverrideGrant:
    given: dict[str, Any] = {
        "approval_id": "a1", "account": ACCOUNT, "instrument": AAA, "side": Side.BUY, "qty": "1.5", "rules": ("FAT_FINGER",),
        "made_wall_ns": 1, "expires_wall_ns": NOW + 60, "requester": "p1", "approver": "p2", "reason": "a block", **changes,
    }  # fmt: skip
    return OverrideGrant(**given)


def test_a_tighter_document_reaches_a_running_trader_once(tmp_path: Path, rulings: AccountRulings) -> None:
    world = World(tmp_path)
    trader = trader_of(world, rulings)

    async def script(running: LiveTrader) -> None:
        document = rulings.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="thin books")
        await until(running, lambda: running.core.state.limits_number == 2)
        assert running.core.state.limits.version == document.version
        running.rules.look()

    play(world, trader, script)
    (event,) = told(world, LimitsChanged)
    assert (event.number, event.actor, event.reason) == (2, "p1", "thin books")


def test_a_document_that_cannot_be_read_changes_nothing_and_the_next_one_counts(tmp_path: Path, rulings: AccountRulings) -> None:
    world = World(tmp_path)
    trader = trader_of(world, rulings)

    async def script(running: LiveTrader) -> None:
        (rulings.folder / "000002.json").write_text("{}")
        for _ in range(3):
            running.rules.look()
        assert running.core.state.limits == PRODUCT
        (rulings.folder / "000002.json").unlink()
        rulings.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="one")
        rulings.tighten({"var99_max_frac": "0.032"}, actor="p1", reason="two")
        await until(running, lambda: running.core.state.limits_number == 3)

    play(world, trader, script)
    assert [event.number for event in told(world, LimitsChanged)] == [3]


def test_an_override_reaches_the_engine_once_and_only_while_it_holds(tmp_path: Path, rulings: AccountRulings) -> None:
    files, world = OverrideFiles(tmp_path, ACCOUNT), World(tmp_path)
    files.put(grant(approval_id="over", expires_wall_ns=NOW))
    files.put(grant(approval_id="where", instrument="v:NONE"))
    files.put(grant(approval_id="dust", qty="0.0000001"))
    files.put(grant())
    trader = trader_of(world, rulings)

    async def script(running: LiveTrader) -> None:
        await until(running, lambda: bool(running.core.state.gate.overrides))
        running.rules.look()

    play(world, trader, script)
    (event,) = told(world, OverrideGranted)
    assert (event.approval_id, event.qty_max_lots, event.expires_ts_ns - event.ts_ns) == ("a1", 1_500, 60)


def test_what_the_venue_restricts_is_told_when_it_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    trader = trader_of(world, None)

    def position(lots: int, only_reduces: bool) -> VenuePosition:
        return VenuePosition(
            instrument=AAA, position_idx=0, lots=lots, cost_e8=lots, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=T0,
            only_reduces=only_reduces,
        )  # fmt: skip

    async def script(running: LiveTrader) -> None:
        for one in (position(5, True), position(5, True)):
            running.rules.shown(one)
        assert running.core.state.slots[AAA].only_reduces
        running.rules.shown_all([])
        assert not running.core.state.slots[AAA].only_reduces
        running.rules.shown(position(0, True))
        running.rules.shown(msgspec.structs.replace(position(5, True), instrument="v:NONE"))

    play(world, trader, script)
    assert [event.only_reduces for event in told(world, VenueRestricted)] == [True, False]


def test_past_days_are_asked_of_a_venue_that_tells_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    asked: list[tuple[str, int]] = []

    def prepare(venue: Any) -> None:
        async def daily_closes(name: InstrumentId, days: int) -> DailyCloses:
            asked.append((name, days))
            return DailyCloses(instrument=name, last_day_ts_ns=T0, closes_ticks=(990, 1_000))

        venue.daily_closes = daily_closes

    world.prepare = prepare

    async def script(running: LiveTrader) -> None:
        assert [close for _, close in running.core.state.slots[AAA].days.closes][:2] == [9_900_000_000, 10_000_000_000]

    play(world, trader_of(world, None), script)
    assert asked == [(AAA, 1_001)]
    assert [event.closes_ticks for event in told(world, DailyHistory)] == [(990, 1_000)]
    bare = World(tmp_path / "bare") if (tmp_path / "bare").mkdir() is None else world
    bare.prepare = prepare
    play(bare, bare.trader(strategy=Wish()), lambda running: asyncio.sleep(0))
    assert told(bare, DailyHistory) == [], "no limit of it needs them"
    assert told(bare, BooksAgreed) == []
    (tmp_path / "capped").mkdir()
    capped = World(tmp_path / "capped")
    capped.prepare = prepare
    play(capped, capped.trader(strategy=Wish(), plan={"sizing": SizingPolicy()}), lambda running: asyncio.sleep(0))
    assert len(told(capped, DailyHistory)) == 1, "sizes are cut to the shortfall of these days"


def test_books_that_agree_are_told_where_a_limit_counts_their_age(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def script(running: LiveTrader) -> None:
        assert running.core.state.books_ts_ns > 0

    play(world, trader_of(world, None), script)
    assert told(world, BooksAgreed)


def test_while_the_guard_brakes_the_trader_takes_back_nothing_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def script(running: LiveTrader) -> None:
        running.core.step(BrakeTold(running.core.now_ns(), BrakeLevel.HALTED, 1, None, "manual"))
        assert running.core.state.risk_state is RiskState.HALTED
        await running.books.reconcile("asked")

    play(world, trader_of(world, None), script)


def test_what_needs_days_and_how_quantities_are_read() -> None:
    assert needs_days(PRODUCT)
    assert not needs_days(Limits())
    assert needs_days(Limits(liquidation_sigmas_min_e2=500, liquidation_distance_min_e8=1))
    spec = instrument()
    assert [lots_of(spec.qty_lots, text) for text in ("1.5", "0.0019", "0.0001", "much")] == [1_500, 1, 0, 0]
