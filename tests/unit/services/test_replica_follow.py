"""Following: which run, catching up, news as they come, a run that ends, a journal that cannot be read, and how old the data is."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.events import RunEnded
from kedge.ops.process_lock import ProcessLock
from kedge.ops.trader_status import trader_lock, write_trader_status
from kedge.services import replica_files, replica_follow
from kedge.services.replica_files import written_ns
from kedge.services.replica_follow import Follower

from ...builders import T0, bar, flat_bars
from .replica_runs import CODE, Live, model_run

WAIT_S = 20.0


def journal(state: Path, name: str = "run") -> Path:
    return state / "runs" / name / "journal.sqlite"


async def until(follower: Follower, true: Callable[[], bool]) -> None:
    """Wait for news until something holds."""
    news = asyncio.Event()
    follower.listeners.add(news)
    async with asyncio.timeout(WAIT_S):
        while not true():
            news.clear()
            try:
                async with asyncio.timeout(0.05):
                    await news.wait()
            except TimeoutError:
                continue
    follower.listeners.discard(news)


def followed(state: Path, then: Callable[[Follower], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        follower = Follower(state, code_sha256=CODE, **options)
        task = asyncio.create_task(follower.follow())
        try:
            await then(follower)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert follower.replica is None

    asyncio.run(main())


def test_where_nothing_ran_it_is_idle_until_a_run_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "CHOOSE_S", 0.02)

    async def then(follower: Follower) -> None:
        await asyncio.sleep(0)
        assert (follower.state, follower.run_id, follower.seq) == ("idle", None, 0)
        assert follower.freshness()["state"] == "unknown"
        assert follower.following()["progress"] is None
        started = model_run(journal(tmp_path), bars=10, seal=True)
        await until(follower, lambda: follower.run_id == started.run_id and follower.state == "ended")
        assert follower.following() == {
            "state": "ended",
            "records_read": follower.seq + 1,
            "records_total": follower.seq + 1,
            "progress": 1.0,
            "problem": None,
            "fix": None,
        }
        assert follower.freshness()["state"] == "ended"

    followed(tmp_path, then)


def test_news_are_folded_as_they_are_written_and_wake_who_listens(tmp_path: Path) -> None:
    async def then(follower: Follower) -> None:
        with Live(journal(tmp_path)) as live:
            live.step(*flat_bars(3))
            await until(follower, lambda: follower.state == "following" and follower.seq == 3)
            news = asyncio.Event()
            follower.listeners.add(news)
            live.step(bar(4))
            async with asyncio.timeout(WAIT_S):
                await news.wait()
            await until(follower, lambda: follower.seq == 4)
            fresh = follower.freshness()
            assert (fresh["state"], fresh["why"], fresh["stale_since"]) == ("fresh", "", None)
            assert fresh["bar_at"] == "2023-11-14T00:04:00Z"
            assert 0 <= fresh["age_s"] < WAIT_S
            live.step(RunEnded(T0 + 5 * 60_000_000_000, "END_OF_DATA"))
            await until(follower, lambda: follower.state == "ended")

    followed(tmp_path, then)


def test_a_newer_run_takes_over_and_a_chosen_one_does_not_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "CHOOSE_S", 0.02)
    with Live(journal(tmp_path, "old"), prefix="paper") as old:
        old.step(bar(1))
    past = time.time_ns() - 10**11
    os.utime(journal(tmp_path, "old"), ns=(past, past))

    async def newest(follower: Follower) -> None:
        await until(follower, lambda: follower.run_id == old.started.run_id)
        with Live(journal(tmp_path, "new"), prefix="bt") as new:
            new.step(bar(1), bar(2))
        await until(follower, lambda: follower.run_id == new.started.run_id and follower.seq == 2)

    followed(tmp_path, newest)

    async def chosen(follower: Follower) -> None:
        await until(follower, lambda: follower.seq == 1)
        await asyncio.sleep(0.1)  # several choices later it is still the one
        assert follower.run_id == old.started.run_id

    followed(tmp_path, chosen, run="old")


def test_the_run_of_a_living_trader_goes_before_a_newer_backtest(tmp_path: Path) -> None:
    with Live(journal(tmp_path, "paper-1")) as live:
        live.step(bar(1))
    past = time.time_ns() - 10**11
    os.utime(journal(tmp_path, "paper-1"), ns=(past, past))
    model_run(journal(tmp_path, "bt-1"), bars=5)

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.run_id == live.started.run_id)

    with trader_lock(tmp_path):
        write_trader_status(tmp_path, {"run_id": "paper-1"}, datetime.now(UTC))
        followed(tmp_path, then)


def test_a_journal_that_cannot_be_read_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "RETRY_S", 0.02)
    journal(tmp_path).parent.mkdir(parents=True)
    journal(tmp_path).write_bytes(b"no journal" * 1000)

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.state == "failed")
        told = follower.following()
        assert told["problem"]
        assert told["fix"]
        assert follower.run_id is None
        shutil.rmtree(journal(tmp_path).parent)
        started = model_run(journal(tmp_path), bars=5)
        await until(follower, lambda: follower.run_id == started.run_id and not follower.problem)

    followed(tmp_path, then)


def test_a_journal_in_which_nothing_stands_yet_is_not_damaged_and_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "CHOOSE_S", 0.01)
    with Live(journal(tmp_path, "before")) as before:
        before.step(bar(1))
    problems: list[str] = []

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.run_id == before.started.run_id)
        journal(tmp_path, "empty").parent.mkdir()
        journal(tmp_path, "empty").touch()
        write_trader_status(tmp_path, {"run_id": "now"}, datetime.now(UTC))
        with Live(journal(tmp_path, "now"), begins=False) as now:
            await asyncio.sleep(0.1)  # several choices later
            problems.append(follower.problem)
            assert follower.run_id == before.started.run_id
            now.journal.start(now.started)
            await until(follower, lambda: follower.run_id == now.started.run_id)
        problems.append(follower.problem)

    with trader_lock(tmp_path):
        followed(tmp_path, then)
    assert problems == ["", ""]


def test_a_chosen_run_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.state == "failed")
        assert "nowhere" in follower.problem

    followed(tmp_path, then, run="nowhere")


def test_a_journal_that_breaks_on_the_way_leaves_the_figures_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "RETRY_S", 60.0)
    import sqlite3

    with Live(journal(tmp_path)) as live:
        live.step(*flat_bars(20))
    with sqlite3.connect(journal(tmp_path)) as db:
        db.execute("UPDATE rows SET hash = zeroblob(32) WHERE seq = 30")
    db.close()

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.state == "failed")
        assert "row 30" in follower.problem
        assert follower.run_id == live.started.run_id
        assert follower.freshness()["state"] == "stale"

    followed(tmp_path, then)


def test_a_defect_while_following_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "RETRY_S", 0.02)
    model_run(journal(tmp_path), bars=10)

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.caught_up)
        assert follower.replica is not None
        monkeypatch.setattr(follower.replica, "advance", lambda _: 1 // 0)
        await until(follower, lambda: follower.state == "failed")
        assert "ZeroDivisionError" in follower.problem
        await until(follower, lambda: not follower.problem)
        assert follower.freshness()["state"] != "unknown"

    followed(tmp_path, then)


def test_a_journal_that_stays_broken_is_not_called_well_between_two_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "RETRY_S", 0.02)
    import sqlite3

    with Live(journal(tmp_path)) as live:
        live.step(*flat_bars(20))
    with sqlite3.connect(journal(tmp_path)) as db:
        db.execute("UPDATE rows SET hash = zeroblob(32) WHERE seq = 30")
    db.close()

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.state == "failed")
        tries = []
        once = Follower._switch

        async def counted(self: Follower, path: Path | None) -> None:
            tries.append(path)
            await once(self, path)

        monkeypatch.setattr(Follower, "_switch", counted)
        seen = set()
        while len(tries) < 3:
            seen.add((follower.state, follower.freshness()["state"]))
            await asyncio.sleep(0)
        assert {state for state, _ in seen} == {"failed"}
        assert "fresh" not in {data for _, data in seen}

    followed(tmp_path, then)


def test_who_fell_behind_says_that_it_is_reading_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_follow, "BEHIND_S", 0.0)
    monkeypatch.setattr(replica_follow, "SLICE_S", 0.0)
    with Live(journal(tmp_path)) as live:
        live.step(*flat_bars(5))

        async def then(follower: Follower) -> None:
            await until(follower, lambda: follower.caught_up)
            live.step(*flat_bars(400)[5:])  # as after a sleep of the machine
            live.journal.flush()
            await until(follower, lambda: follower.state == "catching_up")
            assert follower.freshness()["state"] == "late"
            assert follower.rows_total > 400
            await until(follower, lambda: follower.state == "following")

        followed(tmp_path, then)


def test_a_second_server_of_the_same_folder_works_on_a_file_of_its_own(tmp_path: Path) -> None:
    started = model_run(journal(tmp_path), bars=10)

    async def then(first: Follower) -> None:
        await until(first, lambda: first.caught_up)
        second = Follower(tmp_path, code_sha256=CODE)
        task = asyncio.create_task(second.follow())
        await until(second, lambda: second.run_id == started.run_id and second.seq == first.seq)
        assert second.replica is not None
        assert first.replica is not None
        assert second.replica.path != first.replica.path
        own = second.replica.path
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not own.exists()
        assert first.replica.path.exists()

    followed(tmp_path, then)


class Told:
    """A follower over a run of three bars, with a trader's status that a test may choose."""

    def __init__(self, state: Path) -> None:
        self.state = state
        with Live(journal(state)) as live:
            live.step(*flat_bars(3))
        self.run_id = live.started.run_id

    def trader(self, *, age_s: float = 0.0, **more: Any) -> None:
        status = {"run_id": self.run_id, "feed_stale": False, "streams": {"public": True}, **more}
        write_trader_status(self.state, status, datetime.now(UTC) - timedelta(seconds=age_s))

    def judged(self, *, later_s: float = 0.0, lock: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def then(follower: Follower) -> None:
            await until(follower, lambda: follower.caught_up)
            assert follower._bar is not None
            follower._bar = (follower._bar[0], time.time_ns() - int(later_s * 1e9))
            follower._told_s = float("-inf")
            found.update(follower.freshness())

        if lock:
            with trader_lock(self.state):
                followed(self.state, then)
        else:
            followed(self.state, then)
        return found


@pytest.mark.parametrize(
    ("later_s", "state"), [(1.0, "fresh"), (100.0, "late"), (200.0, "stale")]
)  # bars of a minute at full speed: late after 90 s, stale after 180 s
def test_age_is_judged_by_the_bars_own_pace(tmp_path: Path, later_s: float, state: str) -> None:
    found = Told(tmp_path).judged(later_s=later_s)
    assert (found["state"], found["late_after_s"], found["budget_s"]) == (state, 90.0, 180.0)
    assert (found["stale_since"] is not None) is (state == "stale")
    assert bool(found["why"]) is (state != "fresh")


@pytest.mark.parametrize(
    ("status", "lock", "why"),
    [
        ({"age_s": 60.0}, True, "silent for 60 s"),
        ({}, False, "does not run"),
        ({"feed_stale": True}, True, "no bar arrives"),
        ({"streams": {"public": False, "trade": True}}, True, "no public stream"),
    ],
)
def test_what_the_trader_says_against_its_data_makes_it_stale(tmp_path: Path, status: dict[str, Any], lock: bool, why: str) -> None:
    told = Told(tmp_path)
    told.trader(**status)
    found = told.judged(lock=lock)
    assert found["state"] == "stale"
    assert why in found["why"]


def test_another_runs_trader_says_nothing_about_this_one(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.trader(run_id="paper-2", feed_stale=True, age_s=60)
    assert told.judged()["state"] == "fresh"


def test_the_budget_follows_the_speed(tmp_path: Path) -> None:
    with Live(journal(tmp_path)) as live:
        live.step(bar(1))

    async def then(follower: Follower) -> None:
        await until(follower, lambda: follower.caught_up)
        assert follower.replica is not None
        import msgspec

        follower.replica.started = msgspec.structs.replace(follower.replica.started, speed="60")
        assert follower.budgets_s() == (5.0, 10.0)

    followed(tmp_path, then)


def test_a_journal_that_is_not_there_was_never_written(tmp_path: Path) -> None:
    assert written_ns(tmp_path / "none.sqlite") is None


def test_files_of_older_runs_and_of_dead_processes_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_files, "KEPT", 2)
    folder = tmp_path / replica_files.FOLDER
    folder.mkdir()
    dead = 2**22 + 1  # above the largest process number there is
    for n, name in enumerate(["oldest", "held", "old", "new", "newest", f"gone.{dead}", f"own.{os.getpid()}"]):
        path = folder / f"{name}.sqlite"
        path.write_bytes(b"x")
        path.with_suffix(".sqlite-wal").write_bytes(b"x")
        (folder / f"{name}.lock").touch()
        for one in (path, path.with_suffix(".sqlite-wal")):
            os.utime(one, ns=(n * 10**9, n * 10**9))
    with ProcessLock(folder / "held.lock", what="a test"):
        replica_files.tidy(tmp_path)
    assert sorted(path.stem for path in folder.glob("*.sqlite")) == sorted(["held", "new", "newest", f"own.{os.getpid()}"])
    assert not (folder / "oldest.sqlite-wal").exists()
    assert not (folder / "oldest.lock").exists()
