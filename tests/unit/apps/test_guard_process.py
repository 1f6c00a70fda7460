"""The guard's process with a real exchange and a real trader over sockets: permits, requests, copies, markets, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.apps.test_guard_http import STATUS
from tests.unit.apps.test_trade import PARAMS, config_of, exchange

from kedge.apps import guard_market, guard_process
from kedge.apps.guard_client import local_issuer, report
from kedge.apps.guard_market import ask_patiently
from kedge.apps.guard_process import GuardProcess, guard_settings, risk_of, run_guard
from kedge.apps.system_loop import Stopping
from kedge.apps.trade_plan import Options
from kedge.apps.trade_process import TraderProcess
from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import AccessRefused, Conflict, InvalidConfig, RecordingFailed
from kedge.ops import guard_files
from kedge.ops.config import Config
from kedge.ops.guard_files import BrakeRequest, drop_request
from kedge.ops.health_file import GUARD, read_health_file
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.ops.metrics import read_metrics
from kedge.ops.paper_keys import GUARD as GUARD_KEY
from kedge.ops.paper_keys import paper_key
from kedge.ops.process_lock import ProcessLock
from kedge.ops.state_folder import keys_folder
from kedge.services import guard_door
from kedge.services.kill_points import NoKillPoints
from kedge.storage.guard_journal import GUARD_JOURNAL, known_generation, newest_content, read_page
from kedge.storage.keys import PUBLIC_FILE

TIMES_OUT_S = 60.0
LOG = logging.getLogger("kedge.guard")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


class Running:
    """A guard that runs, and how to end it."""

    def __init__(
        self, state: Path, url: str, *, stays: bool = False, symbols: tuple[str, ...] = ("BTCUSDT",), config: Config | None = None
    ) -> None:
        self.state, self.stopping = state, Stopping()
        (guard_folder(state) / "status.json").unlink(missing_ok=True)  # the last word of a guard before this one
        settings, key = config or config_of(state), paper_key(state, GUARD_KEY)
        self.process = GuardProcess(settings, key, LOG, venue=url, symbols=symbols, port=0, stays=stays)
        self.task = asyncio.create_task(self.process.run(self.stopping))

    async def until(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            if self.task.done():
                await self.task
                raise AssertionError("it ended")
            found = self.status()
            if found and reached(found):
                return found
            await asyncio.sleep(0.02)

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((guard_folder(self.state) / "status.json").read_bytes())
        except FileNotFoundError:
            return {}

    async def end(self) -> dict[str, Any]:
        self.stopping.ask("TEST")
        return await self.task


@asynccontextmanager
async def guarded(state: Path, url: str, **more: Any) -> AsyncIterator[Running]:
    running = Running(state, url, **more)
    try:
        yield running
    finally:
        if not running.task.done():
            running.stopping.ask("TEST")
            running.stopping.ask("TEST")
            await asyncio.gather(running.task, return_exceptions=True)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(TIMES_OUT_S):
            return await main()

    return asyncio.run(bounded())


def is_granted(status: dict[str, Any]) -> bool:
    return status["permits"] == "" and status["pid"] == os.getpid()


def kinds(state: Path) -> list[str]:
    return [one.kind for one in read_page(guard_folder(state) / GUARD_JOURNAL, 200).records]


def test_it_watches_permits_and_leaves_copies_for_readers(state: Path) -> None:
    async def main() -> dict[str, Any]:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            status = await guard.until(is_granted)
            assert status["latch"]["level"] == "running"
            assert status["account"] == "demo"
            assert status["equity_e8"] is not None
            assert guard_files.read_status(state, datetime.now(UTC))["fresh"]
            health = read_health_file(state, GUARD, datetime.now(UTC))
            assert health["fresh"]
            live = await asyncio.to_thread(guard_door.status, state)
            assert (live["source"], live["permits"]) == ("guard", "")
            metrics = read_metrics(state, datetime.now(UTC))["guard"]
            assert "kedge_brake_level 0.0" in metrics
            assert "kedge_guard_permits 1.0" in metrics
            assert "kedge_guard_var99_fraction" in metrics
            history = await asyncio.to_thread(guard_door._ask, state, "GET", "/history", None, {})
            assert "guard_started" in [one["kind"] for one in history["records"]]
            return await guard.end()

    last = run(main)
    assert last["url"].startswith("http://127.0.0.1:")
    assert not (state / "guard.json").exists()
    assert kinds(state)[0] == "guard_stopped"
    assert LatchFile(latch_path(state), "demo", known=lambda: known_generation(guard_folder(state) / GUARD_JOURNAL)).read().generation == 0


def traded_until_braked(state: Path, level: BrakeLevel, ended: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trader trades under permits until somebody engages the brake; its last word, and the guard's when it is where it `ended`."""

    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        async with exchange(state, 100_000, speed=1_200) as url, guarded(state, url) as guard:
            await guard.until(is_granted)
            options = Options(url, "paper", ("BTCUSDT",), "trend", dict(PARAMS), "1m", "leave", guard=guard_door.door_url(state))
            process = TraderProcess(config_of(state), options, paper_key(state), NoKillPoints(), logging.getLogger("kedge.trader"))
            stopping = Stopping()
            trading = asyncio.create_task(process.run(stopping, quiet=True))
            while process.status().get("fills", 0) < 1:
                assert not trading.done(), await trading
                await asyncio.sleep(0.02)
            seen = process.status()
            assert (seen["guard"], seen["brake"], seen["may_add_risk"], seen["guard_problem"]) == ("guard", "running", True, "")
            await guard.until(lambda found: found["run_id"] == seen["run_id"])
            engaged = await asyncio.to_thread(guard_door.engage, state, level, actor_id="ana", reason="drill", source="test", wall_ns=1)
            assert (engaged.via, engaged.level) == ("guard", level)
            last = await guard.until(lambda found: found["latch"]["level"] == ended)
            while process.status()["halt_code"] != "BRAKE":  # it may see the guard's orders before it hears of the brake
                await asyncio.sleep(0.02)
            told = process.status()
            stopping.ask("TEST")
            await trading
            return told, last

    return run(main)


def test_a_trader_adds_risk_under_its_permits_and_stands_down_when_the_brake_comes_on(state: Path) -> None:
    told, _ = traded_until_braked(state, BrakeLevel.HALTED, "halted")
    assert (told["risk_state"], told["may_add_risk"]) == ("halted", False)


@pytest.mark.slow
def test_what_a_trader_held_is_gone_when_the_guard_has_flattened(state: Path) -> None:
    told, flat = traded_until_braked(state, BrakeLevel.FLATTENING, "halted_flat")
    assert (told["risk_state"], told["may_add_risk"], told["positions"]) == ("halted", False, [])
    assert (flat["positions"], flat["is_flat"]) == ([], True)
    assert newest_content(guard_folder(state) / GUARD_JOURNAL, "flat") is not None


def test_a_request_that_waited_is_carried_out_before_anything_else_and_taken_away(state: Path) -> None:
    drop_request(state, BrakeRequest(level=BrakeLevel.HALTED, actor_id="ana", reason="no guard", source="cli", asked_wall_ns=5))

    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            found = await guard.until(lambda found: found["latch"]["level"] == "halted")
            assert (found["latch"]["actor_id"], found["latch"]["source"]) == ("ana", "request by cli")
            assert guard_files.waiting_requests(state) == []
            drop_request(state, BrakeRequest(level=BrakeLevel.FLATTENING, actor_id="bo", reason="worse", source="cli", asked_wall_ns=6))
            found = await guard.until(lambda found: found["latch"]["level"] in ("flattening", "halted_flat"))
            assert found["latch"]["reason"] == "worse"
            while guard_files.waiting_requests(state):
                await asyncio.sleep(0.02)

    run(main)


def test_a_request_without_a_name_or_a_reason_brakes_and_neither_ends_the_guard_nor_holds_up_the_next(state: Path) -> None:
    drop_request(state, BrakeRequest(level=BrakeLevel.REDUCE_ONLY, actor_id=" ", reason=" \n", source="cli", asked_wall_ns=5))
    drop_request(state, BrakeRequest(level=BrakeLevel.HALTED, actor_id="ana", reason="next", source="cli", asked_wall_ns=6))

    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            found = await guard.until(lambda found: found["latch"]["level"] == "halted")
            assert found["latch"]["reason"] == "next"
            assert guard_files.waiting_requests(state) == []

    run(main)


def test_where_it_is_not_known_which_market_was_met_the_high_water_mark_stays(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url:
            async with guarded(state, url) as guard:
                await guard.until(lambda found: found["high_water_e8"] > 0)
                await asyncio.to_thread(guard_door.engage, state, BrakeLevel.HALTED, actor_id="ana", reason="odd", source="cli", wall_ns=1)
            before = LatchFile(latch_path(state), "demo").read()
            assert before.high_water_e8 > 0
            (guard_folder(state) / guard_market.FILE).unlink()
            async with guarded(state, url) as guard:
                await guard.until(lambda found: found["view_age_ns"] is not None)
        after = LatchFile(latch_path(state), "demo").read()
        assert (after.generation, after.high_water_e8) == (before.generation, before.high_water_e8)

    run(main)
    assert kinds(state).count("market_met") == 1


def test_the_server_s_key_is_pinned_when_the_guard_begins_and_not_at_the_first_release(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            await guard.until(is_granted)
            pinned = (guard_folder(state) / guard_files.SERVER_KEY).read_text()
            assert pinned == (keys_folder(state) / PUBLIC_FILE).read_text()

    run(main)


def test_a_trader_without_a_guard_takes_a_latch_that_is_gone_as_halted(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            await guard.until(is_granted)

    run(main)
    issuer = local_issuer("paper", state, "demo")
    issuer.renew()
    assert issuer.granted_ns is not None
    latch_path(state).unlink()
    issuer.renew()
    assert issuer.granted_ns is None
    with pytest.raises(AccessRefused, match="halted"):
        local_issuer("paper", state, "demo")


def test_the_brake_outlives_the_guard(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url:
            async with guarded(state, url) as guard:
                await guard.until(is_granted)
                await asyncio.to_thread(guard_door.engage, state, BrakeLevel.HALTED, actor_id="ana", reason="odd", source="cli", wall_ns=1)
            async with guarded(state, url) as guard:
                found = await guard.until(lambda found: found["view_age_ns"] is not None and found["latch"]["level"] == "halted")
                assert (found["latch"]["reason"], found["latch"]["generation"]) == ("odd", 1)
                assert "halted" in found["permits"]

    run(main)


def test_a_latch_that_was_damaged_or_taken_away_between_two_lives_is_halted(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url:
            for spoil in (
                lambda: latch_path(state).unlink(),
                lambda: latch_path(state).write_bytes(b"{"),
            ):
                async with guarded(state, url) as guard:
                    await guard.until(lambda found: found["view_age_ns"] is not None)
                spoil()
                async with guarded(state, url) as guard:
                    found = await guard.until(lambda found: found["latch"]["trigger"] == "unreadable")
                    assert found["latch"]["level"] == "halted"

    run(main)


@pytest.mark.slow
def test_while_the_journal_takes_nothing_there_are_no_permits_and_engaging_still_works(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            await guard.until(is_granted)
            journal = guard_folder(state) / GUARD_JOURNAL
            for path in guard_folder(state).glob(f"{GUARD_JOURNAL}*"):
                path.rename(path.with_name(f"away-{path.name}"))
            await asyncio.to_thread(guard_door.engage, state, BrakeLevel.REDUCE_ONLY, actor_id="ana", reason="odd", source="cli", wall_ns=1)
            found = await guard.until(lambda found: bool(found["journal"]) and found["latch"]["level"] == "reduce_only")
            assert "away" in found["journal"] or "gone" in found["journal"]
            assert LatchFile(latch_path(state), "demo").read().level is BrakeLevel.REDUCE_ONLY
            await asyncio.to_thread(
                guard_door.engage, state, BrakeLevel.FLATTENING, actor_id="ana", reason="worse", source="cli", wall_ns=2
            )
            await guard.until(lambda found: found["latch"]["level"] == "halted_flat")
            await guard.until(lambda found: not found["journal"])  # all of it is away, so a new one was begun
            assert journal.exists()

    run(main)


def test_a_new_market_begins_with_its_own_high_water_mark_and_the_same_brake(state: Path) -> None:
    async def main() -> None:
        for number in range(2):
            async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
                await guard.until(lambda found: found["view_age_ns"] is not None and found["high_water_e8"] > 0)
                if number == 0:
                    await asyncio.to_thread(
                        guard_door.engage, state, BrakeLevel.HALTED, actor_id="ana", reason="odd", source="cli", wall_ns=1
                    )
                    assert LatchFile(latch_path(state), "demo").read().high_water_e8 > 0
        latch = LatchFile(latch_path(state), "demo").read()
        assert (latch.level, latch.reason) == (BrakeLevel.HALTED, "odd")
        assert latch.generation == 2

    run(main)
    assert kinds(state).count("market_met") == 2


def test_with_risk_on_it_stays_pages_and_ends_at_the_second_word(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with exchange(state, 100_000, speed=600) as url, guarded(state, url, stays=True) as guard:
            await guard.until(is_granted)
            options = Options(url, "paper", ("BTCUSDT",), "trend", dict(PARAMS), "1m", "leave", guard=guard_door.door_url(state))
            process = TraderProcess(config_of(state), options, paper_key(state), NoKillPoints(), logging.getLogger("kedge.trader"))
            trader = Stopping()
            trading = asyncio.create_task(process.run(trader, quiet=True))
            await guard.until(lambda found: bool(found["positions"]))
            trader.ask("TEST")
            await trading
            await guard.until(lambda found: bool(found["positions"]))
            guard.stopping.ask("TEST")
            found = await guard.until(lambda found: found["permits"] == "the guard was told to end")
            assert found["positions"]
            assert not guard.task.done()
            guard.stopping.ask("TEST")
            await guard.task

    run(main)
    told = [record.__dict__.get("kedge_fields", {}) for record in caplog.records]
    paged = [one["code"] for one in told if one.get("event") == "page"]
    assert "GUARD_ASKED_TO_END" in paged
    assert "GUARD_ENDS_WITH_RISK" in paged


def test_without_risk_the_first_word_ends_it(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url, stays=True) as guard:
            await guard.until(is_granted)
            await guard.end()

    run(main)


def test_before_the_exchange_answers_it_waits_and_can_be_ended(state: Path) -> None:
    async def main() -> None:
        running = Running(state, "http://127.0.0.1:9")
        await asyncio.sleep(0)
        running.stopping.ask("TEST")
        with pytest.raises(Exception, match="never began"):
            await running.task
        asking = asyncio.create_task(ask_patiently("http://127.0.0.1:9", LOG))
        done, _ = await asyncio.wait({asking}, timeout=0.3)
        assert not done
        asking.cancel()

    run(main)


def test_a_disk_that_takes_nothing_at_the_start_pages_and_the_guard_goes_on(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: LatchFile) -> None:
        raise RecordingFailed("cannot write the latch", why="no space", fix="free space")

    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            await guard.until(lambda found: found["view_age_ns"] is not None)

    monkeypatch.setattr(LatchFile, "begin", full)
    run(main)
    assert "cannot write the latch" in caplog.text


def test_what_cannot_be_looked_at_does_not_end_it(state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real = guard_files.waiting_requests

    def waiting(folder: Path) -> list[Path]:
        if caplog.text.count("a look at requests") < 2:
            raise RuntimeError("odd")
        return real(folder)

    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url:
            running = Running(state, url)
            monkeypatch.setattr(guard_process.GuardProcess, "_take_requests", lambda *_: None)
            monkeypatch.setattr(guard_process.guard_files, "waiting_requests", waiting)
            await running.until(is_granted)
            await running.end()

    run(main)
    assert "a look at requests and copies failed" in caplog.text


# before it begins -----------------------------------------------------------------------------------------------------


def test_one_guard_for_each_state_folder(state: Path) -> None:
    with ProcessLock(guard_files.lock_path(state), what="another"), pytest.raises(Conflict, match="guard of demo"):
        run_guard(config_of(state), venue="http://127.0.0.1:9", symbols=("BTCUSDT",), port=0, stays=False, quiet=True)


def test_a_token_that_others_can_read_keeps_it_from_beginning(state: Path) -> None:
    guard_files.operator_token(state)
    (guard_folder(state) / guard_files.OPERATOR_TOKEN).chmod(0o644)
    with pytest.raises(InvalidConfig, match="operator token"):
        run_guard(config_of(state), venue="http://127.0.0.1:9", symbols=("BTCUSDT",), port=0, stays=False, quiet=True)


def test_its_settings_come_from_the_configuration(state: Path) -> None:
    found = guard_settings(config_of(state), ("ETHUSDT", "BTCUSDT"))
    assert found.instruments == ("bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT")
    assert (found.account, found.triggers.drawdown_flatten_e8, found.closing.participation_e8) == ("demo", 10_000_000, 25_000_000)


def test_a_trader_s_report_halts(state: Path) -> None:
    async def main() -> None:
        async with exchange(state, 5, speed=1, wait_for=0) as url, guarded(state, url) as guard:
            await guard.until(is_granted)
            door = guard_door.door_url(state)
            assert await asyncio.to_thread(report, door, state, "demo", Trigger.JOURNAL, "disk full")
            assert not await asyncio.to_thread(report, door, state, "other", Trigger.JOURNAL, "disk full")
            found = await guard.until(lambda found: found["latch"]["level"] == "halted")
            assert (found["latch"]["trigger"], found["latch"]["observed"]) == ("journal", "disk full")
        assert not await asyncio.to_thread(report, "http://127.0.0.1:9", state, "demo", Trigger.JOURNAL, "disk full")

    run(main)


def test_what_was_never_read_counts_as_risk() -> None:
    assert risk_of(replace(STATUS, view_age_ns=None)) == "an account that was never read"
    assert risk_of(STATUS) == "1 positions and 2 orders"
    assert risk_of(replace(STATUS, positions=(), orders=type(STATUS.orders)())) == ""
