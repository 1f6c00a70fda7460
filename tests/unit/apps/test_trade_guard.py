"""A trader's tie to its guard: who permits risk, what speaks against it, and the address it takes."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kedge.apps import guard_client, trade_guard
from kedge.apps.guard_client import checked_guard, local_issuer
from kedge.apps.trade import guard_url, tell_guard
from kedge.apps.trade_guard import GuardTies
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import AccessRefused, IntegrityError, InvalidInput, MarketGone, RecordingFailed
from kedge.ops.config import load_config
from kedge.ops.guard_files import BrakeRequest, drop_request
from kedge.ops.health_file import GUARD, write_health_file
from kedge.ops.latch_file import LatchFile, latch_path

ON = Latch(account="demo", generation=2, level=BrakeLevel.REDUCE_ONLY, trigger=Trigger.MANUAL, reason="odd")


@pytest.mark.parametrize(
    "given", ["", "guard", "https://127.0.0.1:8081", "http://10.0.0.1:8081", "http://127.0.0.1", "http://127.0.0.1:x", "http://h:1/p"]
)
def test_an_address_elsewhere_or_none_at_all_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="--guard"):
        checked_guard(given)


def test_none_is_none_and_an_address_of_this_machine_is_taken() -> None:
    assert checked_guard("none") == ""
    assert checked_guard("http://localhost:8081/") == "http://localhost:8081"


def test_by_default_the_guard_of_this_state_folder_is_asked(tmp_path: Path) -> None:
    assert guard_url(tmp_path, None) == ""
    write_health_file(tmp_path, GUARD, {"url": "http://127.0.0.1:7"}, datetime.now(UTC))
    assert guard_url(tmp_path, None) == "http://127.0.0.1:7"
    assert guard_url(tmp_path, "none") == ""


def test_without_a_guard_a_brake_that_is_on_or_asked_for_permits_nothing(tmp_path: Path) -> None:
    issuer = local_issuer("paper", tmp_path, "demo")
    issuer.renew()
    assert issuer.granted_ns is not None
    drop_request(tmp_path, BrakeRequest(level=BrakeLevel.HALTED, actor_id="a", reason="r", source="cli", asked_wall_ns=1))
    issuer.renew()
    assert issuer.granted_ns is None
    LatchFile(latch_path(tmp_path), "demo").write(ON)
    with pytest.raises(AccessRefused, match="reduce_only") as refused:
        local_issuer("paper", tmp_path, "demo")
    assert "manual: odd" in refused.value.why
    latch_path(tmp_path).write_text("{")
    with pytest.raises(AccessRefused, match="halted"):
        local_issuer("paper", tmp_path, "demo")


def test_the_ties_say_who_permits_before_and_after_they_are_found(tmp_path: Path) -> None:
    async def main() -> None:
        ties = GuardTies("", "paper", tmp_path, "demo", lambda: "")
        assert ties.words()["guard"] == "none"
        async with contextlib.AsyncExitStack() as held:
            permits = await ties.find(held, asyncio.Event(), lambda _: None)
        assert permits.guard == "none"
        assert ties.words() == {"guard": "none", "guard_url": "", "guard_problem": "", "brake": None}

        silent = GuardTies("http://127.0.0.1:9", "paper", tmp_path, "demo", lambda: "run-1")
        stopped = asyncio.Event()
        stopped.set()
        async with contextlib.AsyncExitStack() as held:
            await silent.find(held, stopped, lambda _: None)
        assert silent.words()["guard"] == "unheard"
        assert silent.words()["guard_problem"] == "no guard has answered yet"

    asyncio.run(main())


def test_the_last_word_goes_to_a_guard_and_only_about_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(trade_guard.guard_client, "report", lambda *words: told.append(words))

    async def main() -> None:
        broken = RecordingFailed("disk full", why="w", fix="f")
        await GuardTies("", "paper", tmp_path, "demo", lambda: "").last_word(broken)
        ties = GuardTies("http://127.0.0.1:9", "paper", tmp_path, "demo", lambda: "")
        await ties.last_word(MarketGone("gone", why="w", fix="f"))
        assert told == []
        await ties.last_word(broken)

    asyncio.run(main())
    assert told == [("http://127.0.0.1:9", tmp_path, "demo", Trigger.JOURNAL, str(RecordingFailed("disk full", why="w", fix="f")))]


def test_a_guard_that_answers_with_anything_but_a_permit_is_unavailable(tmp_path: Path) -> None:
    async def main() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        permits, link = guard_client.remote_permits(url, tmp_path, "demo")
        await permits.ask_once()
        assert permits.problem == "the guard does not answer: it answered 503"
        server.close()
        await server.wait_closed()
        await permits.ask_once()
        assert permits.granted_ns is None
        await link.close()

    asyncio.run(main())


def test_a_model_that_is_not_what_its_name_says_is_told_to_the_guard_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(guard_client, "report", lambda *words: told.append(words))
    settings, error = load_config(flags={"state_dir": str(tmp_path)}), IntegrityError("model 1234 was altered", why="w", fix="f")
    tell_guard(settings, None, error)
    assert told == []
    tell_guard(settings, "http://127.0.0.1:9", error)
    assert told == [("http://127.0.0.1:9", tmp_path, settings.settings.account, Trigger.MODEL, "model 1234 was altered")]
