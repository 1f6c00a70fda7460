"""Waiting for room: in order, one at a time, not in vain, and not during a ban."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests import steady

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.limits import GroupLimit, Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_queue import PATIENCE_NS, Admission, NoRoom

MS = 1_000_000
GROUP = "order.create"


def admission(limit: int = 2, *, exit_room: int = 0, window_ms: int = 40, mono_ns: Callable[[], int] = steady.monotonic_ns) -> Admission:
    limits = RequestLimits({GROUP: GroupLimit(limit, limit, exit_room, window_ms * MS)})
    return Admission(limits, mono_ns)


def run(test: Callable[[], Awaitable[None]]) -> None:
    steady.run(test())


def request(priority: Priority = Priority.TRADE, cost: int = 1) -> Request:
    return Request(GROUP, priority, cost)


async def enter(door: Admission, name: str, order: list[str], priority: Priority = Priority.TRADE, cost: int = 1) -> Ticket:
    """Enter, note it, and be answered at once."""
    ticket = await door.enter(request(priority, cost))
    order.append(name)
    door.answered(ticket)
    return ticket


def test_who_came_first_goes_first() -> None:
    async def test() -> None:
        door, order = admission(), list[str]()
        await asyncio.gather(*(enter(door, str(number), order) for number in range(9)))
        assert order == [str(number) for number in range(9)]

    run(test)


def test_exits_go_before_others_who_came_earlier() -> None:
    async def test() -> None:
        door, order = admission(), list[str]()
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(enter(door, f"trade {number}", order))
            await asyncio.sleep(0)
            for number in range(3):
                group.create_task(enter(door, f"exit {number}", order, Priority.EXIT))
        assert order == ["trade 0", "trade 1", "exit 0", "exit 1", "exit 2", "trade 2", "trade 3"]

    run(test)


def test_a_large_exit_is_not_overtaken_by_small_ones_behind_it() -> None:
    async def test() -> None:
        door, order = admission(limit=3), list[str]()
        async with asyncio.TaskGroup() as group:
            for name, cost in (("a", 1), ("b", 1), ("batch", 3), ("c", 1)):
                group.create_task(enter(door, name, order, Priority.EXIT, cost))
        assert order == ["a", "b", "batch", "c"]

    run(test)


def test_an_answer_frees_room_before_it_was_hoped_for() -> None:
    async def test() -> None:
        door = admission(limit=1, window_ms=20)
        ticket = await door.enter(request())
        waiting = asyncio.create_task(door.enter(request()))
        await asyncio.sleep(0)
        door.unsent(ticket)
        begun_ns = steady.monotonic_ns()
        assert isinstance(await waiting, Ticket)
        assert steady.monotonic_ns() - begun_ns < 500 * MS

    run(test)


def test_a_request_whose_turn_cannot_come_in_time_is_turned_away_at_once() -> None:
    async def test() -> None:
        door = admission(limit=1, window_ms=900, mono_ns=lambda: MS)
        door.answered(await door.enter(request()))
        waiting = [asyncio.create_task(door.enter(request())) for _ in range(2)]
        await asyncio.sleep(0)
        begun_ns = steady.monotonic_ns()
        with pytest.raises(NoRoom, match="no room under the limit of order.create for 2.7 s; it was not sent"):
            await door.enter(request())
        assert steady.monotonic_ns() - begun_ns < 500 * MS
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(test)


def test_a_request_waits_no_longer_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("kedge.venues.bybit.limits_queue.PATIENCE_NS", {**PATIENCE_NS, Priority.TRADE: 60 * MS})
        door = admission(limit=1, window_ms=50)
        await door.enter(request())  # never answered: its room is hoped for after 50 ms and does not come
        with pytest.raises(NoRoom, match="it was not sent"):
            await door.enter(request())

    run(test)


def test_a_request_too_large_for_ever_is_refused_by_name() -> None:
    async def test() -> None:
        with pytest.raises(InvalidInput, match="cost 3"):
            await admission(limit=2).enter(request(cost=3))

    run(test)


def test_a_ban_turns_all_away_those_who_wait_among_them() -> None:
    async def test() -> None:
        door = admission(limit=1)
        await door.enter(request())
        waiting = [asyncio.create_task(door.enter(request(priority))) for priority in (Priority.TRADE, Priority.EXIT)]
        await asyncio.sleep(0)
        door.ban("HTTP 403")
        for task in waiting:
            with pytest.raises(NoRoom, match="banned: HTTP 403"):
                await task
        with pytest.raises(NoRoom, match="banned for 600 s more: HTTP 403"):
            await door.enter(Request("another.group", Priority.EXIT))
        assert door.banned_for_s() > 599

    run(test)


def test_a_cancelled_waiter_leaves_its_place_and_its_room_to_others() -> None:
    async def test() -> None:
        door, order = admission(limit=1), list[str]()
        first = await door.enter(request())
        quits = [asyncio.create_task(enter(door, "quits", order)) for _ in range(2)]
        stays = asyncio.create_task(enter(door, "stays", order))
        await asyncio.sleep(0)
        quits[1].cancel()
        await asyncio.sleep(0)
        door.unsent(first)  # hands the room to the first of those who quit, before it can run
        quits[0].cancel()
        await asyncio.gather(*quits, return_exceptions=True)
        await stays
        assert order == ["stays"]

    run(test)


@pytest.mark.parametrize("code", [10006, 170222, 429, 10403, 10429, 20003])
def test_codes_about_limits_rest_the_group_or_everything(code: int) -> None:
    async def test() -> None:
        door = admission(limit=5, window_ms=1_000)
        door.judged(GROUP, 0, None)
        assert not door.limits.wait_ns(request(), steady.monotonic_ns())
        door.judged(GROUP, code, None)
        assert door.limits.wait_ns(request(), steady.monotonic_ns()) > 900 * MS
        assert door.banned_for_s() == 0
        door.judged(GROUP, 10018, None)
        assert door.banned_for_s() > 0
        assert door.limits.ban_why == "code 10018"

    run(test)


def test_groups_without_a_limit_wait_for_the_address_alone() -> None:
    async def test() -> None:
        door = Admission(RequestLimits({}, idle_per_minute=1), steady.monotonic_ns)
        await door.enter(Request("market.kline", Priority.IDLE))
        waiting = asyncio.create_task(door.enter(Request("market.kline", Priority.IDLE)))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert isinstance(await door.enter(Request("market.kline", Priority.CHECK)), Ticket)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    run(test)


def test_two_hundred_tasks_get_their_turns_evenly() -> None:
    async def test() -> None:
        door, turns = admission(limit=400, window_ms=50), [0] * 200

        async def work(number: int) -> None:
            for _ in range(5):
                door.answered(await door.enter(Request(GROUP, Priority.TRADE, over_http=False)))
                turns[number] += 1
                await asyncio.sleep(0)
                assert max(turns) - min(turns) <= 1

        await asyncio.gather(*(work(number) for number in range(200)))
        assert turns == [5] * 200

    run(test)


def test_a_waiting_batch_that_a_lowered_limit_makes_too_large_is_refused_and_blocks_nobody() -> None:
    async def test() -> None:
        door = admission(limit=4, window_ms=60)
        first = await door.enter(request(cost=4))
        batch = asyncio.create_task(door.enter(request(cost=3)))
        small = asyncio.create_task(door.enter(request(cost=1)))
        await asyncio.sleep(0)
        door.answered(first, limit=2, remaining=0)
        with pytest.raises(NoRoom, match="a request of cost 3; our share is 2 at once by now; it was not sent"):
            await batch
        assert isinstance(await small, Ticket)

    run(test)
