"""The health server: what each page says while parts live, are missing, fall silent or break."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.builders import run_spec

from kedge.api import checks
from kedge.api.checks import findings
from kedge.api.server import ApiServer, check_host
from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.events import BarClosed, Command
from kedge.ops.health_file import SUPERVISOR, write_health_file
from kedge.ops.metrics import CONTENT_TYPE, write_metrics
from kedge.ops.state_folder import inbox_path
from kedge.ops.trader_status import trader_lock, write_trader_status
from kedge.services.backtest import first_record
from kedge.services.inbox import Inbox
from kedge.storage import SqliteJournal, load_or_create_key

NEEDED = ("journal", "trader", "exchange", "feed", "reconciliation")


class World:
    """A state folder with a journal, a trader's status and an exchange that answers, each of which a test may spoil."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time_answer: dict[str, Any] = {"retCode": 0}
        self.time_status = 200
        self.started = first_record(run_spec(), "paper")
        self.run_id = self.started.run_id
        self.url = ""

    def journal(self) -> None:
        path = self.folder / "runs" / self.run_id
        path.mkdir(parents=True)
        with SqliteJournal(path / "journal.sqlite", signer=load_or_create_key(self.folder / "keys"), source="synthetic") as journal:
            journal.start(self.started)
            journal.commit(BarClosed(60, self.started.instruments[0].instrument_id, 0, 1, 1, 1, 1, 1), ())

    def trader(self, *, age_s: float = 0.0, **more: Any) -> None:
        status = {
            "run_id": self.run_id,
            "venue_url": self.url,
            "phase": "trading",
            "risk_state": "running",
            "streams": {"public": True, "private": True, "trade": True},
            "feed_stale": False,
            "reconciled": True,
            "equity": "98765.43",
            **more,
        }
        write_trader_status(self.folder, status, datetime.now(UTC) - timedelta(seconds=age_s))

    async def time(self, _: web.BaseRequest) -> web.Response:
        return web.json_response(self.time_answer, status=self.time_status)


def asked(folder: Path, then: Callable[[World, Callable[..., Awaitable[Any]]], Awaitable[None]], *, spoiled: bool = False) -> None:
    """Start a server over a whole world (or an empty folder) and let the test ask it."""

    async def main() -> None:
        world = World(folder)
        venue = web.ServerRunner(web.Server(world.time))
        await venue.setup()
        site = web.TCPSite(venue, "127.0.0.1", 0)
        await site.start()
        world.url = f"http://127.0.0.1:{venue.addresses[0][1]}"
        if not spoiled:
            world.journal()
            world.trader()
        server = ApiServer(folder)
        port = await server.start("127.0.0.1", 0)

        async def ask(path: str, method: str = "GET") -> tuple[int, Any, aiohttp.typedefs.LooseHeaders]:
            server._found_s = float("-inf")  # the next question is asked anew
            async with aiohttp.ClientSession() as session, session.request(method, f"http://127.0.0.1:{port}{path}") as answer:
                text = await answer.text()
                plain = answer.content_type == "text/plain"
                return answer.status, text if plain else json.loads(text) if text else None, answer.headers

        try:
            with trader_lock(folder):
                await then(world, ask)
        finally:
            await server.close()
            await venue.cleanup()

    asyncio.run(main())


def test_a_whole_system_is_ok_on_every_page(tmp_path: Path) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        write_health_file(world.folder, SUPERVISOR, {"children": [{"name": "trader", "state": "ready"}]}, datetime.now(UTC))
        status, body, headers = await ask("/health")
        assert (status, body["status"]) == (200, "ok")
        not_there = ("models", "guard", "stops", "requests", "operator", "inbox")
        assert body["services"] == {**dict.fromkeys((*NEEDED, "supervisor"), "ok"), **dict.fromkeys(not_there, "none")}
        assert body["uptime_s"] >= 0
        assert body["memory"]["rss_bytes"] > 1_000_000
        assert datetime.fromisoformat(body["timestamp"]).utcoffset() == timedelta(0)
        assert {"version", "git_sha"} <= body.keys()
        assert headers["Cache-Control"] == "no-store"
        assert (await ask("/health/ready"))[:2] == (200, {
            "schema": "kedge/ready/v1", "ready": True, "checks": dict.fromkeys(NEEDED, "ok"), "failed": []
        })  # fmt: skip
        assert (await ask("/health/startup"))[0] == 200
        assert (await ask("/health/live"))[1]["pid"] == os.getpid()

    asked(tmp_path, then)


def test_figures_of_living_processes_are_shown_as_prometheus_reads_them(tmp_path: Path) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        assert (await ask("/metrics"))[:2] == (200, "")
        write_metrics(world.folder, "trader", "# HELP x X.\n# TYPE x gauge\nx 1.0\n")
        status, text, headers = await ask("/metrics")
        assert (status, text) == (200, '# HELP x X.\n# TYPE x gauge\nx{process="trader"} 1.0\n')
        assert headers["Content-Type"] == CONTENT_TYPE
        assert headers["Cache-Control"] == "no-store"

    asked(tmp_path, then)


def test_an_empty_system_is_alive_and_not_ready_and_says_why(tmp_path: Path) -> None:
    async def then(_: World, ask: Callable[..., Awaitable[Any]]) -> None:
        assert (await ask("/health/live"))[0] == 200
        status, body, _headers = await ask("/health/ready")
        assert (status, body["ready"]) == (503, False)
        assert [row["check"] for row in body["failed"]] == list(NEEDED)
        assert all(row["seen"] and row["fix"] for row in body["failed"])
        assert (await ask("/health/startup"))[0] == 503
        status, body, _headers = await ask("/health")
        assert (status, body["status"], body["services"]["supervisor"]) == (503, "failing", "none")

    asked(tmp_path, then, spoiled=True)


@pytest.mark.parametrize(
    ("spoil", "failed"),
    [
        (lambda world: world.trader(age_s=60), {"trader", "feed", "reconciliation"}),
        (lambda world: world.trader(age_s=-60), {"trader", "feed", "reconciliation"}),
        (lambda world: world.trader(phase="reconciling", reconciled=False), {"trader", "reconciliation"}),
        (lambda world: world.trader(problem="the venue is down", problem_fix="wait"), {"trader"}),
        (lambda world: world.trader(streams={"public": False, "private": True}), {"feed"}),
        (lambda world: world.trader(streams={}), {"feed"}),
        (lambda world: world.trader(feed_stale=True), {"feed"}),
        (lambda world: world.trader(feed_stale=None), {"feed"}),
        (lambda world: world.trader(run_id="paper-2"), {"journal"}),
        (lambda world: world.trader(run_id=""), {"journal"}),
        (lambda world: world.trader(venue_url="http://127.0.0.1:1"), {"exchange"}),
        (lambda world: world.trader(venue_url=""), {"exchange"}),
        (lambda world: setattr(world, "time_status", 503), {"exchange"}),
        (lambda world: world.time_answer.update(retCode=10016), {"exchange"}),
        (lambda world: (world.folder / "trader.json").write_text("{"), set(NEEDED)),
        (lambda world: world.trader(streams=["public"]), {"feed"}),
        (lambda world: world.trader(streams={"public": "perhaps"}), {"feed"}),
        (lambda world: world.trader(reconciled="not yet"), {"reconciliation"}),
        (lambda world: world.trader(venue_url=8100), {"exchange"}),
        (lambda world: (world.folder / "trader.json").write_text("[]"), set(NEEDED)),
    ],
)
def test_each_part_that_fails_is_named(tmp_path: Path, spoil: Callable[[World], object], failed: set[str]) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        spoil(world)
        status, body, _ = await ask("/health/ready")
        assert {row["check"] for row in body["failed"]} == failed
        assert status == (503 if failed else 200)
        assert all(row["fix"] for row in body["failed"])

    asked(tmp_path, then)


def test_a_trader_that_has_no_run_yet_is_told_in_words(tmp_path: Path) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        write_trader_status(world.folder, {"run_id": "", "phase": "finding the exchange"}, datetime.now(UTC))
        _, body, _ = await ask("/health/ready")
        seen = {row["check"]: row["seen"] for row in body["failed"]}
        assert seen["feed"] == seen["reconciliation"] == "it has no figures yet: it is finding the exchange"

    asked(tmp_path, then)


def test_what_was_ready_once_stays_started(tmp_path: Path) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        assert (await ask("/health/ready"))[0] == 200
        world.trader(age_s=60)
        assert (await ask("/health/ready"))[0] == 503
        assert (await ask("/health/startup"))[0] == 200

    asked(tmp_path, then)


def test_a_supervisor_that_gave_up_or_fell_silent_degrades_and_no_more(tmp_path: Path) -> None:
    async def then(world: World, ask: Callable[..., Awaitable[Any]]) -> None:
        rows = {"children": [{"name": "server", "state": "given up"}]}
        for now in (datetime.now(UTC), datetime.now(UTC) - timedelta(hours=1)):
            write_health_file(world.folder, SUPERVISOR, rows, now)
            status, body, _ = await ask("/health")
            assert (status, body["status"], body["services"]["supervisor"]) == (200, "degraded", "failed")
            assert (await ask("/health/ready"))[0] == 200

    asked(tmp_path, then)


FULL = {"group": "order", "used_frac": 0.853, "own": 20, "remaining": 3, "level": "critical"}
CALM = {"group": "position", "used_frac": 0.1, "own": 10, "remaining": 9, "level": "ok"}


@pytest.mark.parametrize(
    ("told", "name", "state", "seen"),
    [
        ({"limits": []}, "requests", "ok", "nothing of our share is used"),
        ({"limits": [FULL, CALM]}, "requests", "ok", "of our share: order 85% (critical), position 10%"),
        ({"limits": "full"}, "requests", "failed", "TypeError: string indices must be integers, not 'str'"),
        ({"action_needed": []}, "operator", "ok", "nothing waits for a person"),
        ({"action_needed": ["it answered 10005; permit it"]}, "operator", "failed", "a person must act: it answered 10005"),
        ({"action_needed": ["a; b", "c; d"]}, "operator", "failed", "a person must act: a, and 1 more"),
        ({"stops_missing_s": {}}, "stops", "ok", "none is missing"),
        ({"stops_missing_s": {"x": 0.4}}, "stops", "ok", "1 on their way"),
        ({"stops_missing_s": {"x": 0.4, "y": 3.0}}, "stops", "failed", "2 missing, the longest for 3.0 s"),
        ({}, "stops", "none", "this trader does not tell"),
        ({"age_s": 60}, "stops", "failed", "the trader is silent, so this is not known"),
    ],
)
def test_limits_stops_and_what_a_person_must_do_are_told_and_readiness_needs_none(
    tmp_path: Path, told: dict[str, Any], name: str, state: str, seen: str
) -> None:
    World(tmp_path).trader(**told)
    found = asyncio.run(findings(tmp_path, None, datetime.now(UTC)))  # type: ignore[arg-type]  # nobody is asked over a network
    part = next(one for one in found if one.name == name)
    assert (part.state, part.seen, part.needed) == (state, seen, False)
    assert bool(part.fix) == (state == "failed")


def test_an_inbox_that_takes_no_stop_is_told_and_one_that_does_is_well(tmp_path: Path) -> None:
    def told() -> tuple[str, str, bool]:
        found = asyncio.run(findings(tmp_path, None, datetime.now(UTC)))  # type: ignore[arg-type]  # nobody is asked over a network
        part = next(one for one in found if one.name == "inbox")
        return part.state, part.seen, bool(part.fix)

    World(tmp_path).trader()
    assert told() == ("none", "nobody told the trader anything", False)
    with Inbox(inbox_path(tmp_path)) as inbox:
        name = inbox.put(Command.HALT, "ann", "drill", wall_ns=1)
        assert told() == ("ok", "1 commands wait for a trader", False)
        inbox.taken(name)
    assert told() == ("ok", "no command waits", False)
    inbox_path(tmp_path).write_bytes(b"no inbox at all " * 64)
    state, seen, has_fix = told()
    assert (state, has_fix) == ("failed", True)
    assert "is no Kedge inbox" in seen


def test_a_check_that_hangs_fails_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(_: checks.Subject) -> checks.Answer:
        await asyncio.sleep(60)
        return checks.Health.OK, "", ""

    monkeypatch.setattr(checks, "CHECK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(checks, "CHECKS", (("slow", True, hangs),))

    async def then(_: World, ask: Callable[..., Awaitable[Any]]) -> None:
        status, body, _headers = await ask("/health/ready")
        assert (status, body["failed"][0]["check"]) == (503, "slow")
        assert "no answer" in body["failed"][0]["seen"]

    asked(tmp_path, then)


def test_what_answers_is_well_though_this_process_stood_still_for_longer_than_a_check_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers_late(_: checks.Subject) -> checks.Answer:
        for _ in range(3):
            await asyncio.sleep(0.001)  # an answer takes several turns of the loop
        return checks.Health.OK, "", ""

    async def stands_still(_: checks.Subject) -> checks.Answer:
        time.sleep(1.2)
        return checks.Health.OK, "", ""

    monkeypatch.setattr(checks, "CHECK_TIMEOUT_S", 0.8)
    monkeypatch.setattr(checks, "CHECKS", (("late", True, answers_late), ("still", True, stands_still)))

    async def then(_: World, ask: Callable[..., Awaitable[Any]]) -> None:
        status, body, _headers = await ask("/health/ready")
        assert (status, body["failed"]) == (200, [])

    asked(tmp_path, then)


def test_no_page_tells_money_or_secrets(tmp_path: Path) -> None:
    async def then(_: World, ask: Callable[..., Awaitable[Any]]) -> None:
        for page in ("/health", "/health/live", "/health/ready", "/health/startup"):
            text = json.dumps((await ask(page))[1])
            assert "98765" not in text
            assert "equity" not in text

    asked(tmp_path, then)


def test_a_name_that_a_web_page_had_resolved_to_this_machine_is_refused(tmp_path: Path) -> None:
    async def main() -> list[int]:
        server = ApiServer(tmp_path)
        port = await server.start("127.0.0.1", 0)
        found = []
        try:
            async with aiohttp.ClientSession() as session:
                for host in (f"evil.example:{port}", "[", f"localhost:{port}", "[::1]"):
                    async with session.get(f"http://127.0.0.1:{port}/health/live", headers={"Host": host}) as answer:
                        found.append(answer.status)
        finally:
            await server.close()
        return found

    assert asyncio.run(main()) == [403, 403, 200, 200]


def test_head_is_answered_without_a_body_and_other_methods_are_refused(tmp_path: Path) -> None:
    async def then(_: World, ask: Callable[..., Awaitable[Any]]) -> None:
        status, body, headers = await ask("/health", "HEAD")
        assert (status, body) == (200, None)
        assert int(headers["Content-Length"]) > 100
        status, body, headers = await ask("/health", "POST")
        assert (status, body["code"], headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD")
        status, body, headers = await ask("/nothing")
        assert (status, body["status"], headers["Content-Type"].split(";")[0]) == (404, 404, "application/problem+json")

    asked(tmp_path, then)


def test_a_port_that_is_taken_is_named_with_the_remedy(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            port = held.getsockname()[1]
            with pytest.raises(Conflict, match=f"port {port}") as refused:
                await ApiServer(tmp_path).start("127.0.0.1", port)
            assert "--port" in refused.value.fix

    asyncio.run(main())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_addresses_than_loopback_are_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="TLS"):
        check_host(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_addresses_are_taken(host: str) -> None:
    assert check_host(host) == host


def test_a_server_that_never_started_can_be_closed(tmp_path: Path) -> None:
    asyncio.run(ApiServer(tmp_path).close())
