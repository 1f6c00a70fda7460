"""The brake over HTTP: who may engage it, at the guard's door or by a file, and with the store of people slow, locked or gone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from tests.unit.api.people_world import Browser, World, in_world
from tests.unit.services.guard_words import journalled, latch, reading, said, status

from kedge.api import brake_entry
from kedge.api.cookies import Given
from kedge.api.known import KEPT_MAX, KNOWN_S, KnownActors
from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.people import Actor, Role, Source
from kedge.ops.guard_files import operator_token, read_request, waiting_requests
from kedge.ops.health_file import GUARD, write_health_file
from kedge.services.guard import records

BRAKE = "/api/v1/brake"


def wish(level: str = "halted", reason: str = "odd feed") -> dict[str, str]:
    return {"level": level, "reason": reason}


def asked(state: Path) -> list[tuple[str, str, str]]:
    """Level, who, and reason of the requests that wait."""
    return [(str(one.level), one.actor_id, one.reason) for one in map(read_request, waiting_requests(state))]


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Somebody holds the store of people, and does not let go."""
    db = sqlite3.connect(state / "people" / "people.sqlite", isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


async def door(state: Path, heard: list[dict[str, Any]]) -> web.AppRunner:
    """A guard's door that takes everything, and says what it was asked."""

    async def engage(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {operator_token(state)}":
            return web.json_response({"what": "wrong token"}, status=401)
        given = await request.json()
        heard.append(given)
        held = latch(BrakeLevel(given["level"]), generation=9, actor_id=given["actor_id"], reason=given["reason"], changed_wall_ns=5)
        return web.Response(body=msgspec.json.encode({"latch": held, "is_durable": True}), content_type="application/json")

    app = web.Application()
    app.router.add_post("/engage", engage)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    write_health_file(state, GUARD, {"url": f"http://127.0.0.1:{port}"}, datetime.now(UTC))
    return runner


def test_the_guard_is_asked_at_its_door_in_the_name_of_who_engages(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        heard: list[dict[str, Any]] = []
        runner = await door(tmp_path, heard)
        try:
            answer = await ada.post(BRAKE, wish())
            me = (await ada.get("/api/v1/me"))["person_id"]
            assert (answer.status, answer.body["via"], answer.body["latched"]) == (200, "guard", True)
            assert (answer.body["level"], answer.body["generation"], answer.body["actor_id"]) == ("halted", 9, me)
            assert heard == [{"level": "halted", "reason": "odd feed", "actor_id": me, "source": "browser"}]
            assert waiting_requests(tmp_path) == []
            again = await ada.post(BRAKE, wish(reason=""))
            assert again.status == 200
            assert heard[1]["reason"] == "engaged by ada, who gave no reason"
        finally:
            await runner.cleanup()

    in_world(tmp_path, then)


def test_a_guard_that_does_not_answer_finds_a_file_and_nothing_is_taken_for_done(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        answer = await ada.post(BRAKE, wish("flattening", "enough"))
        assert (answer.status, answer.body["via"], answer.body["latched"], answer.body["generation"]) == (202, "request", False, None)
        assert "nothing is confirmed yet" in answer.body["words"]
        assert [(level, reason) for level, _, reason in asked(tmp_path)] == [("flattening", "enough")]
        while not (acts := [one for one in (await ada.get("/api/v1/acts"))["items"] if one["action"] == "brake-engage"]):
            await asyncio.sleep(0.02)
        assert (acts[0]["outcome"], acts[0]["reason"]) == ("done", "enough")
        assert acts[0]["details"] == {"asked": "flattening", "level": "flattening", "via": "request"}
        assert acts[0]["correlation_id"] == answer.headers["X-Correlation-Id"]

    in_world(tmp_path, then)


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("researcher", False), ("trader", True)])
def test_who_may_engage_it(tmp_path: Path, role: str, may: bool) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        bob = await world.invited(ada, "bob", role)
        answer = await bob.post(BRAKE, wish())
        assert (answer.status == 202) is may, answer.text
        assert len(waiting_requests(tmp_path)) == int(may)
        if not may:
            assert answer.body["code"] == "FORBIDDEN"

    in_world(tmp_path, then)


def test_a_token_needs_the_scope_and_a_stranger_gets_nowhere(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        brakes, reads = await world.token(ada, "brake:engage"), await world.token(ada, "read")
        for token, expected in ((brakes, 202), (reads, 403), ("kedge_pat_" + "0" * 60, 401), ("", 401)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await world.ask("POST", BRAKE, wish(), **headers)
            assert answer.status == expected, answer.text
        assert len(waiting_requests(tmp_path)) == 1
        assert [(await ada.ask("POST", BRAKE, wish(), bare=True)).status for _ in range(2)] == [403, 403]

    in_world(tmp_path, then)


@pytest.mark.parametrize("body", [{"level": "running"}, {"level": "halted_flat"}, {"level": "halted", "force": True}, {"reason": "x"}, {}])
def test_what_cannot_be_asked_for_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        assert (await ada.post(BRAKE, body)).status == 422
        assert waiting_requests(tmp_path) == []

    in_world(tmp_path, then)


def test_a_locked_store_does_not_keep_anybody_from_braking_who_was_known_a_moment_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brake_entry, "WITHIN_S", 0.1)

    async def then(world: World) -> None:
        ada = await world.first()
        bob = await world.invited(ada, "bob", "viewer")
        token = await world.token(ada, "brake:engage")
        for one in (ada, bob):
            await one.get("/api/v1/me")
        await world.ask("GET", "/api/v1/me", Authorization=f"Bearer {token}")
        world.clock.wait_s(120)  # from now on being seen is written, which the lock forbids
        with locked(tmp_path):
            answer = await ada.post(BRAKE, wish(reason="the database hangs"))
            assert answer.status == 202, answer.text
            by_token = await world.ask("POST", BRAKE, wish("flattening"), Authorization=f"Bearer {token}")
            assert by_token.status == 202, by_token.text
            assert (await bob.post(BRAKE, wish())).body["code"] == "FORBIDDEN"
            forged = await ada.ask("POST", BRAKE, wish(), **{"X-Kedge-CSRF": ""})
            assert forged.body["code"] == "CSRF_REFUSED"
            stranger = await world.ask("POST", BRAKE, wish(), Authorization="Bearer kedge_pat_" + "1" * 60)
            assert stranger.status in (401, 403)
        assert [(level, reason) for level, _, reason in asked(tmp_path)] == [
            ("halted", "the database hangs"), ("flattening", "odd feed"),
        ]  # fmt: skip

    in_world(tmp_path, then)


def test_a_session_that_ended_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brake_entry, "WITHIN_S", 0.1)

    async def then(world: World) -> None:
        ada = await world.first()
        twin = Browser(world)
        twin.cookies, twin.csrf = dict(ada.cookies), ada.csrf
        await ada.get("/api/v1/me")
        await ada.ask("DELETE", "/api/v1/session")
        assert (await twin.ask("GET", "/api/v1/session")).body["signed_in"] is False
        with locked(tmp_path):
            assert (await twin.post(BRAKE, wish())).status in (401, 403)
        assert waiting_requests(tmp_path) == []

    in_world(tmp_path, then)


def test_the_status_tells_level_triggers_and_how_fresh_the_word_is(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        nobody = await ada.get(BRAKE)
        assert (nobody["level"], nobody["guard"]["state"], nobody["triggers"], nobody["dry_run"]["source"]) == (None, "absent", [], "none")
        me = (await ada.get("/api/v1/me"))["person_id"]
        held = latch(BrakeLevel.HALTED, trigger=Trigger.MANUAL, actor_id=me, reason="odd", engaged_wall_ns=1_700_000_000_000_000_000)
        said(tmp_path, status(latch=held, readings=[reading(Trigger.DRAWDOWN, 4_000_000, 8_000_000)], permits="the brake is on"))
        shown = await ada.get(BRAKE)
        assert (shown["level"], shown["actor"], shown["reason"], shown["permits"]) == ("halted", "Ada Lovelace", "odd", False)
        assert (shown["guard"]["state"], shown["triggers"][0]["used"]) == ("fresh", "0.50000000")
        said(tmp_path, status(latch=held), age_s=20)
        assert (await ada.get(BRAKE))["guard"]["state"] == "stale"
        assert (await world.ask("GET", BRAKE)).status == 401

    in_world(tmp_path, then)


def test_history_and_drills_are_read_in_pages(tmp_path: Path) -> None:
    journalled(tmp_path, *(records.PermitsGranted(wall_ns=n, generation=n) for n in range(1, 6)))

    async def then(world: World) -> None:
        ada = await world.first()
        first = await ada.get(f"{BRAKE}/history?limit=3")
        rest = await ada.get(f"{BRAKE}/history?limit=3&cursor={first['next_cursor']}")
        assert [row["fields"]["generation"] for row in first["items"] + rest["items"]] == ["5", "4", "3", "2", "1"]
        assert rest["next_cursor"] is None
        drills = await ada.get(f"{BRAKE}/drills")
        assert (drills["items"], drills["missed"]) == ([], True)
        assert "kedge brake test" in drills["why"]
        assert json.loads((await ada.ask("GET", f"{BRAKE}/history?cursor=zzz")).text)["status"] == 422

    in_world(tmp_path, then)


def test_the_known_are_few_and_forgotten_in_time() -> None:
    now = [0.0]
    known = KnownActors(lambda: now[0])
    actor = Actor(person_id="p", name="n", roles=(Role.TRADER,), source=Source.BROWSER)
    known.note(Given(session="a"), actor)
    assert known.find(Given(session="a")) is actor
    assert known.find(Given(bearer="a")) is None
    assert known.find(Given(session="a", bearer="a")) is None
    assert known.find(Given()) is None
    now[0] = KNOWN_S + 1
    assert known.find(Given(session="a")) is None
    known.note(Given(session="a"), actor)
    known.note(Given(session="a"), None)
    assert known.find(Given(session="a")) is None
    for n in range(KEPT_MAX + 5):
        known.note(Given(bearer=str(n)), actor)
    assert known.find(Given(bearer="0")) is None
    assert known.find(Given(bearer=str(KEPT_MAX))) is actor
