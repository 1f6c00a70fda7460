"""The guard's own door: pages without script, JSON, permits, and who may engage; nobody who hangs on keeps anybody else out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from kedge.api import listening
from kedge.apps import guard_client, guard_http
from kedge.apps.guard_client import first_word, remote_permits, report_mac
from kedge.apps.guard_http import CONNECTIONS_MAX, Doors, GuardDoor
from kedge.domain.brake import BrakeLevel, Latch, Trigger, worse
from kedge.domain.errors import Conflict, RecordingFailed
from kedge.ops.guard_files import permit_key
from kedge.risk.brake.triggers import Reading
from kedge.services.guard.status import GuardStatus, Heartbeat, OrderStatus, PermitAnswer, PositionStatus
from kedge.services.guard_permits import SignedPermit, beat_headers, read_permit

TOKEN, KEY, NOW_NS = "ab" * 32, b"k" * 32, 1_790_000_000_000_000_000
OFF = Latch(account="demo", generation=3, level=BrakeLevel.RUNNING)
STATUS = GuardStatus(
    account="demo", guard="guard", wall_ns=NOW_NS, started_wall_ns=NOW_NS, latch=OFF, latch_is_durable=True, is_flat=False,
    view_age_ns=80_000_000, permits="", heartbeat_age_ns=None, equity_e8=10_000_000_000_000,
    orders=OrderStatus(resting=2, stops=1),
    positions=(PositionStatus(instrument="bybit-linear:BTCUSDT", lots=-5, mark_e8=None, notional_e8=-900, stop_ticks=0, waits="<thin> b"),),
    readings=(
        Reading(trigger=Trigger.DRAWDOWN, level=BrakeLevel.HALTED, unit="1e-8", observed=9_000_000, limit=8_000_000, is_breached=True),
        Reading(trigger=Trigger.CLOCK, level=BrakeLevel.HALTED, unit="ms", observed=5, limit=500, room_e8=99_000_000),
    ),
)  # fmt: skip


class Brake:
    """What the door opens to, as a guard would do it."""

    def __init__(self) -> None:
        self.status = STATUS
        self.is_durable = True
        self.engaged: list[tuple[BrakeLevel, str, str, str]] = []
        self.beats: list[Heartbeat | None] = []
        self.released: list[str] = []
        self.reports: list[tuple[Trigger, str]] = []

    def permit(self, nonce: str, beat: Heartbeat | None) -> PermitAnswer:
        self.beats.append(beat)
        latch = self.status.latch
        granted = latch.level is BrakeLevel.RUNNING
        return PermitAnswer(
            granted=granted, level=latch.level, trigger=latch.trigger, generation=latch.generation, guard="guard", nonce=nonce
        )

    def engage(self, level: BrakeLevel, actor_id: str, reason: str, source: str) -> tuple[Latch, bool]:
        self.engaged.append((level, actor_id, reason, source))
        latch = self.status.latch
        if worse(latch.level, level) is not latch.level:
            latch = replace(latch, level=level, trigger=Trigger.MANUAL, reason=reason, actor_id=actor_id, generation=latch.generation + 1)
            self.status = replace(self.status, latch=latch, latch_is_durable=self.is_durable)
        return latch, self.is_durable

    async def release(self, record: str) -> Latch:
        self.released.append(record)
        if record == "bad":
            raise Conflict("the brake is not released", why="drawdown is still breached", fix="ask anew")
        return OFF

    async def history(self, limit: int, before: int | None) -> dict[str, Any]:
        return {"records": [limit], "before": before}

    def report(self, trigger: Trigger, reason: str) -> Latch:
        self.reports.append((trigger, reason))
        return OFF

    def doors(self) -> Doors:
        return Doors(self.permit, self.engage, self.release, lambda: self.status, self.history, self.report)


class House:
    """A door that answers on a free port."""

    def __init__(self, brake: Brake, url: str, session: aiohttp.ClientSession) -> None:
        self.brake, self.url, self.session = brake, url, session

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.text(), {name.lower(): value for name, value in answer.headers.items()}

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        form = isinstance(body, str)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        data = body if form else json.dumps(body)
        async with self.session.post(self.url + path, data=data, headers={"Content-Type": kind, **headers}) as answer:
            text = await answer.text()
            return answer.status, text if form and answer.content_type == "text/html" else json.loads(text)


@contextlib.asynccontextmanager
async def house(now_s: Callable[[], float] = lambda: 0.0) -> AsyncIterator[House]:
    brake = Brake()
    door = GuardDoor(brake.doors(), account="demo", token=TOKEN, key=KEY, clock_s=now_s, wall_ns=lambda: NOW_NS)
    sockets = listening.listen("127.0.0.1", 0)
    await door.start(sockets)
    async with aiohttp.ClientSession() as session:
        try:
            yield House(brake, f"http://127.0.0.1:{sockets[0].getsockname()[1]}", session)
        finally:
            await door.close()


def run(scene: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with house() as made:
            await scene(made)

    asyncio.run(whole())


class Page(HTMLParser):
    """Counts what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.labelled: set[str] = set()
        self.fields: list[dict[str, str | None]] = []
        self.refreshes = False
        self._in_label = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag == "label":
            self._in_label += 1
            self.labelled.add(str(found.get("for")))
        if tag in ("input", "textarea", "select"):
            self.fields.append({**found, "in_label": str(bool(self._in_label))})
        if tag == "meta" and found.get("http-equiv") == "refresh":
            self.refreshes = True

    def handle_endtag(self, tag: str) -> None:
        self._in_label -= tag == "label"


# pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/now"])
def test_pages_have_one_heading_no_script_and_a_label_for_every_field(path: str) -> None:
    async def scene(door: House) -> None:
        status, text, headers = await door.get(path, Accept="text/html")
        page = Page(text)
        assert status == 200
        assert page.tags.count("h1") == page.tags.count("main") == 1
        assert not {"script", "img", "link"} & set(page.tags)
        assert not re.search(r"\son[a-z]+=", text)
        assert all(field["in_label"] == "True" or field.get("id") in page.labelled for field in page.fields)
        assert page.refreshes is (path == "/now"), "a page with a form must not take away what is being typed"
        assert '<html lang="en">' in text
        assert "script-src" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert "RUNNING" in text
        assert TOKEN not in text

    run(scene)


def test_the_page_shows_what_is_known_in_words_and_escapes_it() -> None:
    async def scene(door: House) -> None:
        text = (await door.get("/now"))[1]
        assert "breached" in text
        assert "9.000 %" in text
        assert "never heard" in text
        assert "&lt;thin&gt; b" in text
        assert "100,000.00" in text
        latch = Latch(
            account="demo", generation=9, level=BrakeLevel.FLATTENING, trigger=Trigger.MANUAL, reason="<b>odd</b>", actor_id="ana"
        )
        door.brake.status = replace(
            STATUS, latch=latch, positions=(), readings=(), view_age_ns=None, equity_e8=None, heartbeat_age_ns=10**9, latch_is_durable=False
        )
        text = (await door.get("/now"))[1]
        assert "&lt;b&gt;odd&lt;/b&gt;" in text
        assert "FLATTENING" in text
        assert "never" in text
        assert "unknown" in text
        assert "holds in memory" in text
        assert "No open position" in text

    run(scene)


def test_the_form_engages_with_the_token_and_says_what_became_of_it() -> None:
    async def scene(door: House) -> None:
        form = urlencode({"level": "flatten", "reason": " odd\nfills ", "token": TOKEN})
        status, text = await door.post("/engage", form, Origin=door.url)
        assert status == 200
        assert door.brake.engaged == [(BrakeLevel.FLATTENING, "operator", "odd fills", "guard-page")]
        assert "FLATTENING" in text
        assert "on the disk" in text
        _, text = await door.post("/engage", urlencode({"level": "halt", "reason": "", "token": TOKEN}))
        assert "harder already" in text
        assert door.brake.engaged[-1][2] == "no reason was given"
        door.brake.is_durable = False
        assert "could not be written" in (await door.post("/engage", form))[1]

    run(scene)


def test_a_wrong_token_in_the_form_gets_a_page_that_says_so() -> None:
    async def scene(door: House) -> None:
        status, text = await door.post("/engage", urlencode({"level": "halt", "token": "x"}), Accept="text/html")
        assert status == 401
        assert "operator token is wrong" in text
        assert Page(text).tags.count("h1") == 1
        assert door.brake.engaged == []

    run(scene)


# engaging over JSON ---------------------------------------------------------------------------------------------------


def test_engaging_takes_a_level_and_the_token_and_answers_with_the_latch() -> None:
    async def scene(door: House) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        asked = {"level": "reduce-only", "reason": "drill", "actor_id": "ana", "source": "cli"}
        status, answer = await door.post("/engage", asked, **bearer)
        assert status == 200
        latch = msgspec.convert(answer["latch"], Latch)
        assert (latch.level, latch.actor_id, latch.generation, answer["is_durable"]) == (BrakeLevel.REDUCE_ONLY, "ana", 4, True)
        assert door.brake.engaged == [(BrakeLevel.REDUCE_ONLY, "ana", "drill", "cli")]
        again = (await door.post("/engage", asked, **bearer))[1]
        assert again["latch"]["generation"] == 4, "a second time changes nothing"

    run(scene)


@pytest.mark.parametrize("level", ["running", "halted_flat", "", "faster"])
def test_a_level_that_nobody_may_ask_for_is_refused(level: str) -> None:
    async def scene(door: House) -> None:
        status, answer = await door.post("/engage", {"level": level, "token": TOKEN})
        assert (status, answer["code"]) == (400, "INVALID_INPUT")
        assert door.brake.engaged == []

    run(scene)


def test_wrong_tokens_are_slowed_down_and_the_right_one_never_is() -> None:
    async def whole() -> None:
        now_s = [0.0]
        async with house(lambda: now_s[0]) as door:
            wrong = [(await door.post("/engage", {"level": "halt", "token": "guess"}))[0] for _ in range(8)]
            assert wrong == [401] * 5 + [429] * 3
            assert (await door.post("/engage", {"level": "halt", "token": TOKEN}))[0] == 200
            assert (await door.post("/engage", {"level": "halt"}))[0] == 429
            now_s[0] = 1.0
            assert (await door.post("/engage", {"level": "halt", "token": ""}))[0] == 401
        assert len(door.brake.engaged) == 1

    asyncio.run(whole())


# who may ask ----------------------------------------------------------------------------------------------------------


def test_a_name_that_is_resolved_to_this_machine_and_another_page_are_refused() -> None:
    async def scene(door: House) -> None:
        for host in ("evil.example", "evil.example:8081", "127.0.0.1.evil.example", ""):
            status, _, _ = await door.get("/status", Host=host)
            assert status in (400, 403), host
        assert (await door.get("/status", Host="localhost:8081"))[0] == 200
        engage = {"level": "halt", "token": TOKEN}
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            assert (await door.post("/engage", engage, Origin=origin))[0] == 403
        assert door.brake.engaged == []

    run(scene)


def test_it_listens_on_this_machine_alone_in_both_families() -> None:
    sockets = listening.listen("127.0.0.1", 0)
    try:
        addresses = {one.getsockname()[0] for one in sockets}
        assert addresses <= {"127.0.0.1", "::1"}
        assert "127.0.0.1" in addresses
    finally:
        listening.close(sockets)


def test_what_is_no_page_and_what_is_no_body_are_refused() -> None:
    async def scene(door: House) -> None:
        assert (await door.get("/nothing"))[0] == 404
        assert (await door.get("/engage"))[0] == 405
        assert (await door.get("/release"))[0] == 405
        assert (await door.post("/engage", {"level": "x" * guard_http.BODY_MAX_BYTES}))[0] == 400
        assert (await door.post("/engage", {}, **{"Content-Type": "text/plain"}))[0] == 400
        async with door.session.post(door.url + "/engage", data=b"{", headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 400
        for query in ("limit=x", "limit=-1", "before=9999999999999999"):
            assert (await door.get(f"/history?{query}"))[0] == 400
        status, text, _ = await door.get("/history?limit=7&before=5")
        assert (status, json.loads(text)) == (200, {"records": [7], "before": 5})

    run(scene)


def test_the_status_is_the_guard_s_with_its_writer() -> None:
    async def scene(door: House) -> None:
        status, text, headers = await door.get("/status")
        assert status == 200
        assert headers["content-type"].startswith("application/json")
        assert msgspec.json.decode(text, type=GuardStatus) == STATUS
        assert json.loads(text)["written_wall_ns"] == NOW_NS
        assert TOKEN not in text
        assert KEY.hex() not in text

    run(scene)


# releases and reports -------------------------------------------------------------------------------------------------


def test_a_release_takes_a_record_and_no_form() -> None:
    async def scene(door: House) -> None:
        assert (await door.post("/release", {"record": "signed"}))[1]["latch"]["level"] == "running"
        status, answer = await door.post("/release", {"record": "bad"})
        assert (status, answer["why"]) == (409, "drawdown is still breached")
        assert (await door.post("/release", {}))[0] == 400
        assert (await door.post("/release", urlencode({"record": "signed"})))[0] == 400
        assert door.brake.released == ["signed", "bad"]

    run(scene)


def test_a_guard_that_cannot_record_answers_in_its_own_words() -> None:
    async def whole() -> None:
        async with house() as door:

            async def full(_: str) -> Latch:
                raise RecordingFailed("a release that cannot be recorded is none", why="disk full", fix="free space")

            door.brake.release = full  # type: ignore[method-assign]
        brake = door.brake
        made = GuardDoor(brake.doors(), account="demo", token=TOKEN, key=KEY, clock_s=lambda: 0.0, wall_ns=lambda: NOW_NS)
        sockets = listening.listen("127.0.0.1", 0)
        await made.start(sockets)
        async with aiohttp.ClientSession() as session:
            other = House(brake, f"http://127.0.0.1:{sockets[0].getsockname()[1]}", session)
            status, answer = await other.post("/release", {"record": "x"})
        await made.close()
        assert (status, answer["code"]) == (503, "RECORDING_FAILED")

    asyncio.run(whole())


def test_a_trader_s_report_counts_with_its_signature_and_while_it_is_fresh() -> None:
    def said(trigger: str = "journal", at_ns: int = NOW_NS, key: bytes = KEY) -> dict[str, str]:
        mac = report_mac(key, "demo", trigger, "disk full", at_ns, "n")
        return {"trigger": trigger, "reason": "disk full", "said_wall_ns": str(at_ns), "nonce": "n", "mac": mac}

    async def scene(door: House) -> None:
        assert (await door.post("/report", said()))[0] == 200
        assert (await door.post("/report", said("model")))[0] == 200
        assert (await door.post("/report", said("drawdown")))[0] == 400
        assert (await door.post("/report", said(key=b"x")))[0] == 401
        assert (await door.post("/report", {**said(), "reason": "other"}))[0] == 401
        assert (await door.post("/report", said(at_ns=NOW_NS - 61 * 10**9)))[0] == 409
        assert (await door.post("/report", {**said(), "said_wall_ns": "x"}))[0] == 400
        assert door.brake.reports == [(Trigger.JOURNAL, "disk full"), (Trigger.MODEL, "disk full")]

    run(scene)


# permits --------------------------------------------------------------------------------------------------------------


def test_a_permit_is_signed_for_its_nonce_and_a_sign_of_life_counts_when_it_is_signed_too() -> None:
    async def scene(door: House) -> None:
        nonce = "0123456789abcdef" * 2
        status, text, _ = await door.get(f"/permit?nonce={nonce}", **beat_headers(Heartbeat(run_id="r", pid=5), nonce, "demo", KEY))
        assert status == 200
        permit = read_permit(text.encode(), nonce=nonce, account="demo", key=KEY)
        assert permit == msgspec.json.decode(text, type=SignedPermit)
        assert (permit.granted, permit.generation) == (True, 3)
        await door.get(f"/permit?nonce={nonce}", **beat_headers(Heartbeat(run_id="r", pid=5), nonce, "demo", b"x"))
        assert door.brake.beats == [Heartbeat(run_id="r", pid=5), None]
        for bad in ("", "short", "x" * 33, "%C3%A9" * 16):
            assert (await door.get(f"/permit?nonce={bad}"))[0] == 400

    run(scene)


def test_the_trader_s_client_hears_the_guard_over_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(door: House) -> None:
        monkeypatch.setattr(guard_client, "permit_key", lambda _: KEY)
        permits, link = remote_permits(door.url, tmp_path, "demo")
        heard: list[str] = []
        await first_word(permits, asyncio.Event(), heard.append)
        assert permits.granted_ns is not None
        door.brake.engage(BrakeLevel.HALTED, "ana", "odd", "cli")
        await permits.ask_once()
        assert permits.granted_ns is None
        assert permits.told is not None
        assert permits.told.level is BrakeLevel.HALTED
        assert door.brake.beats[0] is not None
        assert heard == []
        await permits.close()
        await link.close()

    run(scene)


def test_where_no_guard_answers_the_first_word_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async def scene() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        permits, link = remote_permits(url, tmp_path, "demo")
        said: list[str] = []
        await first_word(permits, asyncio.Event(), said.append, within_s=0.05)
        assert "does not answer: Connection refused" in said[0]
        assert permits.told is None
        stopped = asyncio.Event()
        stopped.set()
        await first_word(permits, stopped, said.append)
        await link.close()
        assert permit_key(tmp_path)

    asyncio.run(scene())


# who hangs on ---------------------------------------------------------------------------------------------------------


def test_connections_that_say_nothing_keep_nobody_out() -> None:
    async def scene(door: House) -> None:
        host, port = "127.0.0.1", int(door.url.rpartition(":")[2])
        hung = [await asyncio.open_connection(host, port) for _ in range(3 * CONNECTIONS_MAX)]
        for _, writer in hung[:20]:
            writer.write(b"POST /engage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nhalf")
        try:
            async with asyncio.timeout(30):
                status, _ = await door.post("/engage", {"level": "halt", "token": TOKEN})
                assert status == 200
                assert (await door.get("/status"))[0] == 200
        finally:
            for _, writer in hung:
                writer.close()

    run(scene)


def test_a_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_http, "BODY_WITHIN_S", 0.05)

    async def scene(door: House) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(door.url.rpartition(":")[2]))
        head = "POST /engage HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        assert b"408" in answer
        writer.close()

    run(scene)
