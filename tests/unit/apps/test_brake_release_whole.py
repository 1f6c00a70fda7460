"""The brake is released by two people, their signed record at the guard's door and clean books at the exchange, and by nothing less."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apps.test_guard_process import Running, is_granted, run
from tests.unit.apps.test_trade import PARAMS, config_of, exchange
from tests.unit.services.people.world import Known, World, world

from kedge.apps.system_loop import Stopping
from kedge.apps.trade_plan import Options
from kedge.apps.trade_process import TraderProcess
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import ApprovalRefused, Conflict, Forbidden, KedgeError
from kedge.domain.people import Role
from kedge.governance.approval_checks import SOLO_COOLING_NS
from kedge.governance.approval_record import Mark, State
from kedge.ops import guard_files
from kedge.ops.config import Config, load_config
from kedge.ops.latch_file import guard_folder
from kedge.ops.paper_keys import paper_key
from kedge.services import guard_door
from kedge.services.kill_points import NoKillPoints
from kedge.services.people.approval_record import ApprovalRecord
from kedge.storage.guard_journal import GUARD_JOURNAL, newest_content, was_released_by

Said = Callable[..., Awaitable[Any]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


class Desk:
    """People of one state folder beside its guard; what they do runs in threads, since the guard answers in this loop."""

    def __init__(self, one: World) -> None:
        self.one = one
        self.ada = one.first("ada")
        self.rita = one.invited(self.ada, "rita")
        one.granted(self.rita, [Role.RISK])
        one.sign_in(self.rita)

    async def ask(self, guard: Running, by: Known | None = None, **changed: Any) -> ApprovalRecord:
        await guard.until(lambda found: found["latch"]["level"] != "running")
        latch = guard.status()["latch"]
        payload = {
            "account": latch["account"], "generation": latch["generation"], "high_water": "keep", "reason": "calm", "root_cause": "a drill",
        } | changed  # fmt: skip
        who = by or self.ada
        return await asyncio.to_thread(self.one.desk.approvals.request, who.actor, "brake-release", payload, "calm", who.client)

    async def approve(self, record: ApprovalRecord, by: Known | None = None) -> ApprovalRecord:
        def decide() -> ApprovalRecord:
            who = self.one.fresh(by or self.rita)
            approval = record.approval
            return self.one.desk.approvals.decide(
                who.actor, approval.approval_id, who.client, approve=True, reason="seen", payload_sha256=approval.payload_sha256
            )

        return await asyncio.to_thread(decide)

    async def use(self, record: ApprovalRecord) -> ApprovalRecord:
        def carry_out() -> ApprovalRecord:
            self.one.fresh(self.ada)
            return self.one.desk.approvals.use(self.ada.actor, record.approval.approval_id, self.ada.client)

        return await asyncio.to_thread(carry_out)


@asynccontextmanager
async def braked(state: Path, *, solo_reason: str = "", config: Config | None = None) -> AsyncIterator[tuple[Desk, Running]]:
    """Exchange, guard and people; the brake is on by hand."""
    with world(state, solo_reason=solo_reason) as one:
        one.clock.now_ns = time.time_ns()
        async with exchange(state, 5, speed=1, wait_for=0) as url:
            guard = Running(state, url, config=config)
            try:
                await guard.until(is_granted)
                await engage(state)
                yield await asyncio.to_thread(Desk, one), guard
            finally:
                guard.stopping.ask("TEST")
                await asyncio.gather(guard.task, return_exceptions=True)


async def engage(state: Path, level: BrakeLevel = BrakeLevel.HALTED) -> None:
    done = await asyncio.to_thread(guard_door.engage, state, level, actor_id="ana", reason="drill", source="test", wall_ns=1)
    assert done.via == "guard"


def test_two_people_release_it_once_and_the_trader_s_permits_come_back(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.ask(guard)
            with pytest.raises(ApprovalRefused, match="your own request"):
                await desk.approve(record, desk.ada)
            with pytest.raises(ApprovalRefused):
                await desk.use(record)
            record = await desk.approve(record)
            used = await desk.use(record)
            assert used.approval.state is State.USED
            status = await guard.until(is_granted)
            latch = status["latch"]
            assert (latch["level"], latch["trigger"], latch["release_id"]) == ("running", None, record.approval.approval_id)
            assert latch["generation"] == 2
            with pytest.raises(ApprovalRefused, match="used"):
                await desk.use(record)
            (act,) = [act for act in desk.one.acts() if act.action == "approval-use" and act.outcome == "done"]
            assert (act.details["level"], act.details["generation"], act.details["four_eyes"]) == ("running", "2", "true")

            # the record itself, handed to the guard again: while it is running that changes nothing, and later it is refused
            again = await asyncio.to_thread(guard_door.release, state, record.text)
            assert again["latch"]["generation"] == 2
            await engage(state)
            with pytest.raises(Conflict, match="not released"):
                await asyncio.to_thread(guard_door.release, state, record.text)
            await guard.until(lambda found: found["latch"]["level"] == "halted")

    run(main)
    journal = guard_folder(state) / GUARD_JOURNAL
    assert newest_content(journal, "released") is not None
    refused = newest_content(journal, "release_refused")
    assert refused is not None
    assert "generation" in str(refused["why"])


@pytest.mark.slow
def test_a_release_of_another_generation_is_refused_by_the_guard_itself(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.approve(await desk.ask(guard))
            await engage(state, BrakeLevel.FLATTENING)
            await guard.until(lambda found: found["latch"]["level"] == "halted_flat")
            with pytest.raises(Conflict, match="not released") as refused:
                await desk.use(record)
            assert "something happened since" in refused.value.why
            assert desk.one.desk.approvals.get(record.approval.approval_id).approval.state is State.APPROVED
            record = await desk.approve(await desk.ask(guard))
            await desk.use(record)
            await guard.until(is_granted)

    run(main)


def test_a_release_from_before_the_clock_was_set_is_refused_and_one_asked_for_afterwards_is_not(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.approve(await desk.ask(guard))
            clocks = guard.process._openings._clocks
            clocks._wall_ns = lambda: time.time_ns() - 60 * 10**9
            with pytest.raises(Forbidden, match="clock was set"):
                await desk.use(record)
            assert guard.status()["latch"]["level"] == "halted"
            clocks._wall_ns = time.time_ns
            clocks.look()
            desk.one.clock.now_ns = time.time_ns()
            await desk.use(await desk.approve(await desk.ask(guard)))
            await guard.until(is_granted)

    run(main)


def test_one_person_alone_releases_it_only_declared_after_fifteen_minutes_and_marked(state: Path) -> None:
    declared = load_config(flags={"state_dir": str(state), "governance.solo_reason": "one person runs this"})

    async def main() -> None:
        async with braked(state, solo_reason="one person runs this", config=declared) as (desk, guard):
            desk.one.clock.now_ns = time.time_ns() - SOLO_COOLING_NS
            record = await desk.ask(guard)
            desk.one.clock.now_ns = record.approval.requester.at_wall_ns + SOLO_COOLING_NS - 10**9
            with pytest.raises(ApprovalRefused, match="15 minutes"):
                await desk.approve(record, desk.ada)
            desk.one.clock.now_ns = time.time_ns()
            record = await desk.approve(record, desk.ada)
            assert (record.approval.mark, record.approval.four_eyes) == (Mark.SOLO, False)
            await desk.use(record)
            await guard.until(is_granted)
            acts = [act for act in desk.one.acts() if act.action == "approval-use"]
            assert (acts[-1].details["mark"], acts[-1].details["four_eyes"]) == ("SOLO", "false")

    run(main)
    released = newest_content(guard_folder(state) / GUARD_JOURNAL, "released")
    assert released is not None
    assert released["solo"] is True


def test_a_solo_mode_that_the_guard_s_own_configuration_does_not_declare_is_none(state: Path) -> None:
    async def main() -> None:
        async with braked(state, solo_reason="one person runs this") as (desk, guard):
            desk.one.clock.now_ns = time.time_ns() - SOLO_COOLING_NS
            record = await desk.ask(guard)
            desk.one.clock.now_ns = time.time_ns()
            record = await desk.approve(record, desk.ada)
            with pytest.raises(Forbidden, match="one person alone"):
                await desk.use(record)
            assert guard.status()["latch"]["level"] == "halted"

    run(main)


def test_a_server_with_another_key_than_the_first_one_releases_nothing(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.approve(await desk.ask(guard))
            (guard_folder(state) / guard_files.SERVER_KEY).write_text("ed25519:" + "ab" * 32)
            with pytest.raises(KedgeError, match="another key"):
                await desk.use(record)
            (guard_folder(state) / guard_files.SERVER_KEY).unlink()
            await desk.use(record)
            await guard.until(is_granted)

    run(main)


def test_while_nothing_can_be_recorded_nothing_is_released(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.approve(await desk.ask(guard))
            journal = guard_folder(state) / GUARD_JOURNAL
            away = journal.with_name("away")
            journal.rename(away)
            await guard.until(lambda found: bool(found["journal"]))
            with pytest.raises(KedgeError) as refused:
                await desk.use(record)
            assert refused.value.what
            assert guard.status()["latch"]["level"] == "halted"
            assert desk.one.desk.approvals.get(record.approval.approval_id).approval.state is State.APPROVED
            away.replace(journal)
            await guard.until(lambda found: not found["journal"])
            assert not was_released_by(journal, record.approval.approval_id)

    run(main)


@pytest.mark.slow
def test_a_trigger_that_is_still_breached_keeps_it_on_until_the_drawdown_counts_anew(state: Path) -> None:
    tight = load_config(flags={"state_dir": str(state), "guard.triggers.drawdown_halt_frac": "0.0000001"})

    async def main() -> None:
        with world(state) as one:
            one.clock.now_ns = time.time_ns()
            async with exchange(state, 100_000, speed=600) as url:
                guard = Running(state, url, config=tight)
                try:
                    await guard.until(is_granted)
                    desk = await asyncio.to_thread(Desk, one)
                    await trade_until_halted(state, url, guard)
                    record = await desk.approve(await desk.ask(guard))
                    with pytest.raises(Conflict, match="not released") as refused:
                        await desk.use(record)
                    assert "drawdown is still breached" in refused.value.why
                    await engage(state, BrakeLevel.FLATTENING)
                    await guard.until(lambda found: found["latch"]["level"] == "halted_flat")
                    record = await desk.approve(await desk.ask(guard))
                    with pytest.raises(Conflict, match="not released"):
                        await desk.use(record)
                    one.clock.now_ns = time.time_ns()
                    record = await desk.approve(await desk.ask(guard, high_water="reset"))
                    await desk.use(record)
                    status = await guard.until(is_granted)
                    assert status["high_water_e8"] == status["equity_e8"]
                finally:
                    guard.stopping.ask("TEST")
                    await asyncio.gather(guard.task, return_exceptions=True)

    run(main)


async def trade_until_halted(state: Path, url: str, guard: Running) -> None:
    """A trader's first fee is a drawdown."""
    options = Options(url, "paper", ("BTCUSDT",), "trend", dict(PARAMS), "1m", "leave", guard=guard_door.door_url(state))
    process = TraderProcess(config_of(state), options, paper_key(state), NoKillPoints(), logging.getLogger("kedge.trader"))
    stopping = Stopping()
    trading = asyncio.create_task(process.run(stopping, quiet=True))
    found = await guard.until(lambda found: found["latch"]["level"] == "halted")
    assert found["latch"]["trigger"] == "drawdown"
    stopping.ask("TEST")
    await trading


def test_what_is_no_record_is_none_at_the_door(state: Path) -> None:
    async def main() -> None:
        async with braked(state) as (desk, guard):
            record = await desk.ask(guard)
            for text in ("{}", record.text[:-2], record.text):
                with pytest.raises(KedgeError):
                    await asyncio.to_thread(guard_door.release, state, text)
            assert guard.status()["latch"]["level"] == "halted"

    run(main)
