"""Near the venue's limits for a minute: never past them, nearly all of our share used, exits on time, and silence during a ban.

The exchange is ours, over real sockets, with the venue's real limits; the client counts by itself and is checked against its counter.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import Counter, deque
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from tests.integration.limits_scene import ID, Scene, order, scene

from kedge.domain.errors import VenueUnavailable
from kedge.domain.orders import Side
from kedge.domain.venue import Answer, Refused, Stream, Taken
from kedge.simulation.faults import Fault
from kedge.venues.bybit.rest_outcome import NO_ROOM

OWN = {"order.create": 7, "order.cancel": 6, "order.amend": 10}
EXITS_A_SECOND, CANCELS_A_SECOND = 1.9, 5.75
SECONDS = 60.0


def run(test: Any, within_s: float) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await test()

    uvloop.run(bounded())


class Pace:
    """Turns at a steady rate. What a busy machine made late is not caught up: a burst would measure the venue's limit, not the client."""

    def __init__(self, per_s: float) -> None:
        self._every_s, self._next_s = 1 / per_s, 0.0
        self._one_at_a_time = asyncio.Lock()

    async def turn(self) -> None:
        async with self._one_at_a_time:
            await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))
            self._next_s = time.monotonic() + self._every_s


class Stalls:
    """When the machine, not the client, stood still: every wake-up of a 5 ms sleep that came 20 ms late or more."""

    def __init__(self) -> None:
        self.spans_ns: list[tuple[int, int]] = []

    async def watch(self) -> None:
        while True:
            due_ns = time.monotonic_ns() + 5_000_000
            await asyncio.sleep(0.005)
            woke_ns = time.monotonic_ns()
            if woke_ns - due_ns >= 20_000_000:
                self.spans_ns.append((due_ns, woke_ns))

    def within_ms(self, begun_ns: int, ended_ns: int) -> float:
        """How much of a span was stall, in ms."""
        return sum(max(0, min(end, ended_ns) - max(begin, begun_ns)) for begin, end in self.spans_ns) / 1e6


class Crowd:
    """Two hundred tasks on one client: they place, amend, cancel, and look at the books in between."""

    def __init__(self, at: Scene) -> None:
        self.at, self.venue = at, at.venue
        self.resting: deque[str] = deque()
        self.names = (f"c-{n}" for n in itertools.count())
        self.chance = random.Random(1)
        self.outcomes: Counter[str] = Counter()
        self.cancels_ns: list[tuple[int, int]] = []
        self.stalls = Stalls()
        self.pace_of_cancels = Pace(CANCELS_A_SECOND)
        self.turns: Counter[int] = Counter()
        self.ticks = itertools.count()
        self.begun_s = time.monotonic()
        self.goes_on = True

    async def work(self, seconds: float) -> None:
        """All tasks side by side for so long; each ends what it has begun."""
        watching = asyncio.create_task(self.stalls.watch())
        async with asyncio.TaskGroup() as group:
            for task in self.tasks():
                group.create_task(task)
            await asyncio.sleep(seconds)
            self.goes_on = False
        watching.cancel()

    def cancel_leaves_ms(self) -> list[float]:
        """From each call of cancel to its bytes on the socket, least first, without what the machine itself stood still."""
        return sorted((left - called) / 1e6 - self.stalls.within_ms(called, left) for called, left in self.cancels_ns)

    def tasks(self) -> list[Any]:
        amenders = [self.amend(n) for n in range(80)]
        placers = [self.place(n) for n in range(80, 160)]
        cancellers = [self.cancel() for _ in range(12)]
        leavers = [self.leave(n / EXITS_A_SECOND, 8 / EXITS_A_SECOND) for n in range(8)]
        readers = [self.look() for _ in range(20)]
        return [*amenders, *placers, *cancellers, *leavers, *readers]

    async def noted(self, answer: Answer) -> bool:
        word = answer.code if isinstance(answer, Refused) else type(answer).__name__
        self.outcomes[word] += 1
        if word == NO_ROOM:
            await asyncio.sleep(self.chance.uniform(0.05, 0.2))
        return isinstance(answer, Taken)

    async def place(self, number: int) -> None:
        while self.goes_on:
            name = next(self.names)
            if await self.noted(await self.venue.place(order(name, Side.BUY, 1, 550_000))):
                self.resting.append(name)
                self.turns[number] += 1

    async def amend(self, number: int) -> None:
        while self.goes_on:
            if not self.resting:
                await asyncio.sleep(0.05)
                continue
            name = self.resting[self.chance.randrange(len(self.resting))]
            ticks = 540_000 + self.chance.randrange(9_000)
            if await self.noted(await self.venue.gateway.amend(ID, name, limit_ticks=ticks)):
                self.turns[number] += 1

    async def cancel(self) -> None:
        while self.goes_on:
            await self.pace_of_cancels.turn()
            if self.resting:
                name = self.resting.popleft()
                called_ns = time.monotonic_ns()
                await self.noted(await self.venue.cancel(ID, name))
                self.cancels_ns.append((called_ns, self.at.left_ns[name]))

    async def leave(self, first_s: float, every_s: float) -> None:
        async for _ in self._beats(first_s, every_s):
            name = next(self.names)
            if await self.noted(await self.venue.place(order(name, Side.SELL, 1, 650_000, reduce=True))):
                self.resting.append(name)

    async def look(self) -> None:
        while self.goes_on:
            await self.venue.open_orders()
            await asyncio.sleep(self.chance.uniform(0.5, 1.5))

    async def _beats(self, first_s: float, every_s: float) -> Any:
        for n in itertools.count():
            await asyncio.sleep(max(0.0, self.begun_s + first_s + n * every_s - time.monotonic()))
            if not self.goes_on:
                return
            yield n


def alerts(caplog: pytest.LogCaptureFixture) -> Counter[tuple[str, str]]:
    """How often each level was told of each group."""
    told = [vars(record) for record in caplog.records if record.name.endswith("limits_watch")]
    return Counter((one["group"], one["event"]) for one in told if "group" in one)


@pytest.mark.slow
def test_two_hundred_tasks_use_nearly_all_of_our_share_and_never_more_than_the_venue_allows(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with scene() as at:
            assert isinstance(await at.venue.place(order("long", Side.BUY, 200)), Taken)
            await asyncio.sleep(1.1)
            at.counted.verdicts.clear()
            at.read.clear()
            crowd = Crowd(at)
            begun_ns = time.monotonic_ns()
            await crowd.work(SECONDS)
            took_ns = time.monotonic_ns() - begun_ns
            took_s = (
                took_ns / 1e9 - crowd.stalls.within_ms(begun_ns, begun_ns + took_ns) / 1e3
            )  # nobody uses a share while all stands still
            shares = {group: sum(one.ok for one in at.counted.verdicts[group]) / took_s / own for group, own in OWN.items()}
            leaves = crowd.cancel_leaves_ms()
            print(f"use of our share: { {group: f'{share:.1%}' for group, share in shares.items()} }; answers {dict(crowd.outcomes)}")
            stood_still = f"the machine stood still {len(crowd.stalls.spans_ns)} times"
            print(f"cancels: {len(leaves)}, p50 {leaves[len(leaves) // 2]:.1f} ms, worst {leaves[-1]:.1f} ms to the socket; {stood_still}")
            print(f"turns of a task: {min(crowd.turns.values())} to {max(crowd.turns.values())}, {len(crowd.turns)} of 160 had one")
            refused = {group: sum(not one.ok for one in verdicts) for group, verdicts in at.counted.verdicts.items()}
            assert not any(refused.values()), refused
            assert at.venue.rest.caller.admission.banned_for_s() == 0
            assert all(share >= 0.85 for share in shares.values()), shares
            for group in OWN:  # what the headers said is what the exchange counted
                assert Counter(at.read[group]) == Counter((one.limit, one.remaining) for one in at.counted.verdicts[group])
            assert leaves[-1] <= 300.0  # 100 ms, with three times slack
            assert len(crowd.turns) >= 0.9 * 160
            at.venue.utilisation()
            text = at.metrics.text()
            print("\n".join(line for line in text.splitlines() if line.startswith("kedge_venue_limit") and "order." in line))
            for group in OWN:
                assert f'kedge_venue_limit_alerts_total{{group="{group}",level="critical"}} 1.0' in text
            assert "kedge_venue_limit_refusals_total{" not in text

    with caplog.at_level(logging.INFO, "kedge"):
        run(test, SECONDS + 30)
    told = alerts(caplog)
    for group in OWN:  # once for the whole minute, not once a request
        assert (told[group, "limit_warning"], told[group, "limit_critical"]) == (1, 1)


def test_a_ban_silences_us_until_it_ends_and_then_all_goes_on() -> None:
    async def test() -> None:
        async with scene(ban_s=2.0) as at:
            assert isinstance(await at.venue.place(order("one", Side.BUY, 1, 550_000)), Taken)
            at.faults.arm(Fault(fault="ban", ms=1_500))
            hit_s = time.monotonic()
            with pytest.raises(VenueUnavailable, match="403"):
                await at.venue.open_orders()
            for kind in ("public", "private", "trade"):
                await at.server._sockets.drop(kind)
            began = len(at.arrivals)
            banned_s = at.venue.rest.caller.admission.banned_for_s()
            assert 2.0 - (time.monotonic() - hit_s) <= banned_s <= 2.0
            silent_until_s = time.monotonic() + banned_s - 0.1
            refusals: Counter[str] = Counter()
            while True:
                answers = await at.venue.cancel(ID, "one"), await at.venue.place(order("two", Side.BUY, 1, 550_000))
                with suppress(VenueUnavailable):
                    await at.venue.positions()
                arrived = len(at.arrivals)
                if time.monotonic() >= silent_until_s:  # of what came after it, nothing follows
                    break
                assert arrived == began, "not a request and not a connection while the ban lasts"
                refusals.update(answer.code for answer in answers if isinstance(answer, Refused))
                assert all(isinstance(answer, Refused) for answer in answers)
                await asyncio.sleep(0.02)
            assert set(refusals) == {NO_ROOM}
            await at.venue.barrier()  # the streams come back by themselves
            for name, answer in zip(("one", "two"), answers, strict=True):  # what passed when the ban had just ended is undone
                if isinstance(answer, Refused) is (name == "one"):
                    assert isinstance(await at.venue.cancel(ID, name), Taken)
            assert [one.client_order_id for one in await at.venue.open_orders()] == []
            assert at.venue.streams()[Stream.TRADE] == ""
            assert "kedge_venue_bans_total 1.0" in at.metrics.text()

    run(test, 30)


def test_a_stream_that_is_turned_away_silences_the_orders_too() -> None:
    async def test() -> None:
        async with scene(ban_s=4.0) as at:
            at.faults.arm(Fault(fault="ban", ms=700))
            await at.server._sockets.drop("public")
            async with asyncio.timeout(12):
                while not at.venue.rest.caller.admission.banned_for_s():
                    await asyncio.sleep(0.005)
            seen = len(at.counted.verdicts["order.cancel"])
            answer = await at.venue.cancel(ID, "one")
            assert isinstance(answer, Refused)
            assert answer.code == NO_ROOM
            assert "public stream" in answer.reason
            assert len(at.counted.verdicts["order.cancel"]) == seen
            await at.venue.barrier()

    run(test, 30)
