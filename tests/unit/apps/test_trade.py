"""`kedge trade` against the real simulated exchange in the same loop: runs, restarts, stops, what it refuses and what it tells."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kedge.apps import trade, trade_process
from kedge.apps.exchange_build import Options as ExchangeOptions
from kedge.apps.exchange_build import build_server
from kedge.apps.exchange_market import chosen_market
from kedge.apps.exit_codes import CONFLICT, exit_code_for
from kedge.apps.system_loop import Stopping
from kedge.apps.trade_market import Market, ask_market
from kedge.apps.trade_plan import Options
from kedge.apps.trade_process import TraderProcess
from kedge.apps.trade_report import streams_down
from kedge.apps.trade_run_folder import find_or_make_run, unfinished, was_ended, was_taken
from kedge.apps.up_parts import POLICY
from kedge.domain.compliance import compliance_id
from kedge.domain.errors import IntegrityError, InvalidInput, MarketGone, VenueUnavailable
from kedge.domain.events import BooksDiffer, Command, CommandGiven, RunEnded
from kedge.market.catalogue import CATALOGUE
from kedge.ops.config import Config, load_config
from kedge.ops.paper_keys import load_or_create_paper_keys
from kedge.ops.state_folder import INBOX_NAME, models_folder
from kedge.ops.trader_status import read_trader_status, trader_lock
from kedge.services.inbox import Inbox
from kedge.services.kill_points import NoKillPoints
from kedge.services.training import synthetic_dataset
from kedge.storage.journal_files import seal_path
from kedge.venues.exchange.clocks import UNPACED_SPEED

from .market_files import kedge, refused, steps
from .model_world import keep_model

PARAMS = {"fast": 3, "slow": 6}
TIMES_OUT_S = 60.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def config_of(state: Path) -> Config:
    return load_config(flags={"state_dir": str(state)})


@asynccontextmanager
async def exchange(state: Path, bars: int, *, speed: int = UNPACED_SPEED, wait_for: int = 1, port: int = 0):
    """The exchange of a state folder, as `kedge exchange serve` would compose it."""
    config = config_of(state)
    chosen = chosen_market(config, "synthetic", bars=bars, funding=(), symbols=["BTCUSDT"])
    options = ExchangeOptions("127.0.0.1", 0, speed, wait_for, False, True)
    server = build_server(config, chosen, options, load_or_create_paper_keys(state), None, 0)
    port = await server.start("127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.close()


class Desk:
    """Trader processes of one state folder, one after the other."""

    def __init__(self, state: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.state, self.caplog = state, caplog

    def process(self, url: str, *, on_stop: str = "leave") -> TraderProcess:
        options = Options(url, "paper", ("BTCUSDT",), "trend", dict(PARAMS), "1m", on_stop)
        paper = load_or_create_paper_keys(self.state)[0]
        return TraderProcess(config_of(self.state), options, paper, NoKillPoints(), logging.getLogger("kedge.trader"))

    def steps_of(self, run_id: str) -> list[Any]:
        return steps(self.state / "runs" / run_id / "journal.sqlite")


@pytest.fixture
def desk(state: Path, caplog: pytest.LogCaptureFixture) -> Desk:
    caplog.set_level(logging.INFO, logger="kedge")
    return Desk(state, caplog)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(TIMES_OUT_S):
            return await main()

    return asyncio.run(bounded())


async def until(reached: Callable[[], bool], task: asyncio.Task[Any]) -> None:
    while not reached():
        if task.done():
            await task
            raise AssertionError("it ended")
        await asyncio.sleep(0.005)


def test_a_market_is_traded_to_its_end_sealed_and_told(desk: Desk, state: Path) -> None:
    async def main() -> dict[str, Any]:
        async with exchange(state, 40) as url:
            return await desk.process(url).run(Stopping(), quiet=True)

    status = run(main)
    assert (status["phase"], status["problem"], status["guard"], status["source"]) == ("ended", "", "none", "synthetic")
    assert status["bars"] == 40
    assert status["fills"] > 2
    assert status["round_trips"] >= 1
    assert (status["reconciled"], status["book_differences"], status["streams"]) == (
        True,
        [],
        dict.fromkeys(("public", "private", "trade"), True),
    )
    held = desk.steps_of(status["run_id"])
    assert isinstance(held[-1][0], RunEnded)
    assert (state / "runs" / status["run_id"] / "journal.sqlite.seal").exists()
    assert kedge("replay", status["run_id"], "--state-dir", state, "--json").json["equal"]
    told = read_trader_status(state, datetime.now(UTC))
    assert (told["fills"], told["equity"], told["pid"]) == (status["fills"], status["equity"], os.getpid())
    trades = [record.kedge_fields for record in desk.caplog.records if getattr(record, "kedge_fields", {}).get("event") == "trade_executed"]
    assert len(trades) == status["fills"]
    decided = {compliance_id(o.approved.order.decision_id) for _, out in held for o in out if type(o).__name__ == "OrderSent"}
    assert {trade["compliance_id"] for trade in trades} <= decided
    secret = load_or_create_paper_keys(state)[0].api_secret
    assert secret not in json.dumps(told)


def test_a_stop_leaves_the_run_open_and_the_next_trader_goes_on_with_it(desk: Desk, state: Path) -> None:
    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        async with exchange(state, 60) as url:
            first, stopping = desk.process(url), Stopping()
            running = asyncio.create_task(first.run(stopping, quiet=True))
            await until(lambda: first.status().get("bars", 0) >= 20, running)
            stopping.ask("STOPPED_BY_TEST")
            stopped = await running
            assert not was_ended(state / "runs" / stopped["run_id"] / "journal.sqlite", stopped["journal_count"])
            assert not (state / "runs" / stopped["run_id"] / "journal.sqlite.seal").exists()
            return stopped, await desk.process(url).run(Stopping(), quiet=True)

    stopped, ended = run(main)
    assert (stopped["phase"], ended["phase"]) == ("stopped", "ended")
    assert stopped["run_id"] == ended["run_id"]
    assert ended["bars"] == 60
    assert ended["reconciled"]
    assert len(list((state / "runs").iterdir())) == 1
    assert kedge("replay", ended["run_id"], "--state-dir", state, "--json").json["equal"]


def test_a_new_market_is_a_new_run(desk: Desk, state: Path) -> None:
    async def main() -> list[str]:
        runs = []
        for _ in range(2):
            async with exchange(state, 40) as url:
                process, stopping = desk.process(url), Stopping()
                running = asyncio.create_task(process.run(stopping, quiet=True))
                await until(lambda process=process: process.status().get("bars", 0) >= 3, running)
                stopping.ask("STOPPED_BY_TEST")
                runs.append((await running)["run_id"])
        return runs

    assert len(set(run(main))) == 2


def test_flatten_closes_everything_before_the_end(desk: Desk, state: Path) -> None:
    async def main() -> dict[str, Any]:
        async with exchange(state, 200, speed=600) as url:
            process, stopping = desk.process(url, on_stop="flatten"), Stopping()
            running = asyncio.create_task(process.run(stopping, quiet=True))
            await until(lambda: bool(process.status().get("positions")), running)
            stopping.ask("STOPPED_BY_TEST")
            return await running

    status = run(main)
    assert (status["positions"], status["live_orders"], status["risk_on"]) == ([], [], False)
    commands = [event.command for event, _ in desk.steps_of(status["run_id"]) if isinstance(event, CommandGiven)]
    assert commands == [Command.FLATTEN]


def test_a_person_is_asked_when_risk_is_on_and_may_go_on(desk: Desk, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def main() -> dict[str, Any]:
        async with exchange(state, 400, speed=600) as url:
            process, stopping = desk.process(url, on_stop="ask"), Stopping()

            async def answer(what: str, _: asyncio.Event) -> str:
                asked.append(what)
                if len(asked) > 1:
                    return "cancel"
                asyncio.get_running_loop().call_later(0.2, stopping.ask, "STOPPED_BY_TEST")
                return "go on"

            monkeypatch.setattr(trade_process, "ask", answer)
            running = asyncio.create_task(process.run(stopping, quiet=True))
            await until(lambda: bool(process.status().get("positions")), running)
            stopping.ask("STOPPED_BY_TEST")
            return await running

    status = run(main)
    assert len(asked) == 2
    assert "position" in asked[0]
    assert (status["phase"], status["live_orders"]) == ("stopped", [])


def test_a_stop_before_the_venue_answers_ends_it(desk: Desk, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def market(_: str) -> Market:
        return Market(1, True, "synthetic", "m", 0)

    monkeypatch.setattr(trade_process, "ask_market", market)

    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        process, stopping = desk.process("http://127.0.0.1:1"), Stopping()
        running = asyncio.create_task(process.run(stopping, quiet=True))
        await until(lambda: process.status()["phase"] == "connecting" and bool(process.status()["problem"]), running)
        seen = process.status()
        stopping.ask("STOPPED_BY_TEST")
        return seen, await running

    seen, last = run(main)
    assert seen["problem_fix"]
    assert last["phase"] == "stopped"


def test_a_command_in_the_inbox_reaches_the_engine(desk: Desk, state: Path) -> None:
    with Inbox(state / INBOX_NAME) as inbox:
        inbox.put(Command.HALT, "ann", "drill", wall_ns=1)

    async def main() -> dict[str, Any]:
        async with exchange(state, 12) as url:
            return await desk.process(url).run(Stopping(), quiet=True)

    status = run(main)
    assert status["risk_state"] == "halted"
    assert [event.actor for event, _ in desk.steps_of(status["run_id"]) if isinstance(event, CommandGiven)] == ["ann"]


@pytest.mark.parametrize("speed", [1, UNPACED_SPEED])
def test_a_run_ends_with_its_market_and_the_next_start_begins_another_one(desk: Desk, state: Path, speed: int) -> None:
    wait_for = int(speed != 1)

    async def main() -> tuple[dict[str, Any], str, dict[str, Any]]:
        async with exchange(state, 10_000, speed=speed, wait_for=wait_for) as url:
            process, stopping = desk.process(url), Stopping()
            running = asyncio.create_task(process.run(stopping, quiet=True))
            await until(lambda: process.status()["phase"] == "trading", running)
            first = process.status()
        async with exchange(state, 10_000, speed=speed, wait_for=wait_for, port=int(url.rpartition(":")[2])):
            with pytest.raises(MarketGone, match="another market"):
                await running
            again, stopping = desk.process(url), Stopping()
            going = asyncio.create_task(again.run(stopping, quiet=True))
            await until(lambda: again.status()["phase"] == "trading", going)
            stopping.ask("STOPPED_BY_TEST")
            return first, process.status()["problem"], await going

    first, problem, second = run(main)
    assert "start the trader again" in problem
    assert second["run_id"] != first["run_id"]
    journal = state / "runs" / first["run_id"] / "journal.sqlite"
    assert seal_path(journal).exists()
    events = [event for event, _ in desk.steps_of(first["run_id"])]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].reason == "MARKET_GONE"
    assert not any(isinstance(event, BooksDiffer) for event in events)
    assert exit_code_for(MarketGone("x")) == CONFLICT
    assert CONFLICT not in POLICY.final_codes


def test_a_command_that_a_dead_run_journalled_is_found_in_its_journal(desk: Desk, state: Path) -> None:
    with Inbox(state / INBOX_NAME) as inbox:
        name = inbox.put(Command.HALT, "ann", "drill", wall_ns=1)

    async def main() -> dict[str, Any]:
        async with exchange(state, 12) as url:
            return await desk.process(url).run(Stopping(), quiet=True)

    run_id = run(main)["run_id"]
    assert was_taken(state, run_id, name)
    assert not was_taken(state, run_id, "another")
    assert not was_taken(state, "paper-none", name)


def test_at_the_walls_speed_nothing_is_registered(desk: Desk, state: Path) -> None:
    async def main() -> dict[str, Any]:
        async with exchange(state, 10, speed=1, wait_for=0) as url:
            process, stopping = desk.process(url), Stopping()
            running = asyncio.create_task(process.run(stopping, quiet=True))
            await until(lambda: process.status()["phase"] == "trading", running)
            assert process.status()["lock_step"] is False
            assert process.status()["feed_stale"] is True  # no bar yet: not known to be well
            stopping.ask("STOPPED_BY_TEST")
            return await running

    assert run(main)["phase"] == "stopped"


def test_an_exchange_that_comes_late_is_waited_for_and_the_wait_is_told(desk: Desk, state: Path) -> None:
    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        process, stopping = desk.process("http://127.0.0.1:1"), Stopping()
        running = asyncio.create_task(process.run(stopping, quiet=True))
        await until(lambda: bool(process.status()["problem"]), running)
        seen = process.status()
        stopping.ask("STOPPED_BY_TEST")
        return seen, await running

    seen, last = run(main)
    assert seen["phase"] == "finding the exchange"
    assert "127.0.0.1:1" in seen["problem"]
    assert last["phase"] == "stopped"


async def answering(body: str, status: int) -> tuple[web.ServerRunner, str]:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text=body, status=status)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("no json", 200, InvalidInput),
        ("[]", 200, InvalidInput),
        ("{}", 200, InvalidInput),
        ("", 404, InvalidInput),
        ("", 503, VenueUnavailable),
    ],
)
def test_what_is_no_exchange_is_told_apart_from_one_that_is_down(body: str, status: int, error: type[Exception]) -> None:
    async def main() -> None:
        runner, url = await answering(body, status)
        try:
            with pytest.raises(error):
                await ask_market(url)
        finally:
            await runner.cleanup()

    run(main)


def test_a_failure_is_the_last_word_of_the_status(desk: Desk, state: Path) -> None:
    async def main() -> None:
        runner, url = await answering("{}", 200)
        try:
            await desk.process(url).run(Stopping(), quiet=True)
        finally:
            await runner.cleanup()

    with pytest.raises(InvalidInput):
        run(main)
    told = read_trader_status(state, datetime.now(UTC))
    assert told["phase"] == "failed"
    assert "no kedge exchange" in told["problem"]


def test_a_wrong_key_ends_it_and_says_what_to_do(desk: Desk, state: Path) -> None:
    other = state / "other"
    other.mkdir()

    async def main() -> None:
        async with exchange(other, 10) as url:
            await desk.process(url).run(Stopping(), quiet=True)

    with pytest.raises(Exception, match="key") as refusal:
        run(main)
    assert type(refusal.value).__name__ == "AccessRefused"
    assert refusal.value.fix  # type: ignore[attr-defined]


# the command line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", ["live", "testnet"])
def test_rungs_of_which_no_proof_is_kept_yet_are_refused_with_the_reason(state: Path, rung: str) -> None:
    answer = kedge("trade", "--rung", rung, "--venue", "http://127.0.0.1:1", "--state-dir", state, "--json")
    assert refused(answer) == (7, "ACCESS_REFUSED")
    assert "ladder" in answer.json["why"]
    assert not (state / "trader.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--venue", "https://api.bybit.com"], "--venue"),
        (["--venue", "http://192.168.1.7:8100"], "--venue"),
        (["--venue", "http://127.0.0.1:8100/v5"], "--venue"),
        (["--venue", "testnet"], "--venue"),
        (["--venue", "http://[::1"], "--venue"),
        (["--venue", "http://127.0.0.1:99999"], "--venue"),
        (["--venue", "http://somebody@127.0.0.1:8100"], "--venue"),
        ([], "--venue is not given"),
        (["--venue", "http://127.0.0.1:1", "--interval", "7m"], "bars of"),
        (["--venue", "http://127.0.0.1:1", "--interval", "soon"], "interval"),
        (["--venue", "http://127.0.0.1:1", "--param", "fast"], "--param"),
    ],
)
def test_what_cannot_be_traded_is_refused_at_once(state: Path, arguments: list[str], words: str) -> None:
    answer = kedge("trade", *arguments, "--state-dir", state, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert words in answer.json["title"]


@pytest.mark.slow
def test_a_model_that_was_altered_is_a_refusal_that_a_supervisor_does_not_repeat(state: Path) -> None:
    spec = CATALOGUE["bybit-linear:BTCUSDT"][-1]
    sha256 = keep_model(
        state, synthetic_dataset([spec], seed=9, bars=800, interval_ns=60 * 10**9, start_ts_ns=1_718_000_040 * 10**9), "mine"
    )
    path = models_folder(state) / sha256 / "model.json"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(body)
    asked = ("--venue", "http://127.0.0.1:1", "--strategy", "model", "--param", f"model={sha256}")
    answer = kedge("trade", *asked, "--state-dir", state, "--json")
    assert refused(answer)[0] in POLICY.final_codes
    assert sha256[:12] in f"{answer.json['title']} {answer.json['why']}"


def test_a_wrong_kill_point_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_KILL_AT", "nowhere")
    answer = kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "kill point" in answer.json["title"]


def test_a_second_trader_is_refused(state: Path) -> None:
    with trader_lock(state):
        answer = kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state, "--json")
    assert refused(answer) == (6, "CONFLICT")


def test_the_command_stops_on_a_signal_while_it_looks_for_its_exchange(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: str) -> Any:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(TIMES_OUT_S)

    monkeypatch.setattr(trade_process, "ask_market", never)
    answer = kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state, "--json")
    assert (answer.code, answer.json["phase"], answer.json["schema"]) == (0, "stopped", "kedge/trade/v1")


def test_a_failure_is_logged_and_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_: str) -> Any:
        raise InvalidInput("it broke", why="a test", fix="none")

    monkeypatch.setattr(trade_process, "ask_market", breaks)
    answer = kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "trader failed" in (state / "logs" / "trader.jsonl").read_text()


def test_a_person_reads_the_figures_at_the_end(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"phase": "ended", "run_id": "paper-1", "fills": 3, "round_trips": 1, "equity": "100000.5", "positions": []}
    monkeypatch.setattr(trade_process, "run_trader", lambda *_, **__: figures)
    text = kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state).out
    assert text.splitlines() == [
        "ended: 3 fills, 1 round trips, equity 100,000.50, 0 positions open",
        "journal: kedge audit verify paper-1",
    ]
    monkeypatch.setattr(trade_process, "run_trader", lambda *_, **__: {"run_id": ""})
    assert kedge("trade", "--venue", "http://127.0.0.1:1", "--state-dir", state).out == ""


def test_the_running_exchange_of_the_state_folder_is_the_default(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kedge.apps import exchange_file

    with exchange_file.exchange_lock(state):
        exchange_file.write_running(state, exchange_file.Running(os.getpid(), "http://127.0.0.1:9", "now"))
        assert trade.venue_url(state, None) == "http://127.0.0.1:9"
    assert trade.venue_url(state, "http://localhost:9/") == "http://localhost:9"


# runs -----------------------------------------------------------------------------------------------------------------


def test_the_newest_unfinished_run_of_the_same_settings_and_market_is_gone_on_with(tmp_path: Path) -> None:
    first, known = find_or_make_run(tmp_path, "paper", {"a": 1}, "m1", NOW)
    assert not known
    assert find_or_make_run(tmp_path, "paper", {"a": 1}, "m1", NOW) == (first, True)
    others = [
        find_or_make_run(tmp_path, *rest, NOW)[0]
        for rest in (("paper", {"a": 2}, "m1"), ("paper", {"a": 1}, "m2"), ("demo", {"a": 1}, "m1"))
    ]
    assert len({first.run_id, *(other.run_id for other in others)}) == 4
    (tmp_path / "runs" / first.run_id / "journal.sqlite.seal").touch()
    again, known = find_or_make_run(tmp_path, "paper", {"a": 1}, "m1", NOW.replace(hour=1))
    assert (known, again.run_id != first.run_id) == (False, True)
    assert [note.run_id for note in unfinished(tmp_path, "demo")] == [others[2].run_id]


def test_a_run_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    note, _ = find_or_make_run(tmp_path, "paper", {}, "", NOW)
    (tmp_path / "runs" / note.run_id / "trade.json").write_text("{")
    with pytest.raises(IntegrityError, match=note.run_id):
        find_or_make_run(tmp_path, "paper", {}, "", NOW)


def test_a_run_that_was_ended_and_not_sealed_is_sealed_and_no_more(desk: Desk, state: Path) -> None:
    async def main() -> tuple[str, dict[str, Any]]:
        async with exchange(state, 8) as url:
            first = (await desk.process(url).run(Stopping(), quiet=True))["run_id"]
            (state / "runs" / first / "journal.sqlite.seal").unlink()
            return first, await desk.process(url).run(Stopping(), quiet=True)

    first, again = run(main)
    assert (again["run_id"], again["phase"]) == (first, "ended")
    journal = state / "runs" / first / "journal.sqlite"
    assert was_ended(journal, len(desk.steps_of(first)) + 1)
    assert journal.with_name("journal.sqlite.seal").exists()


def test_streams_that_are_down_are_a_problem_in_words() -> None:
    assert streams_down({}) == streams_down({"public": True, "private": True}) == ""
    assert streams_down({"public": False, "private": True, "trade": False}) == "no public and no trade stream from the venue"
