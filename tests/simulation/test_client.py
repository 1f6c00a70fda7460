"""The simulated client tells of its streams as the real ones do: a beginning after each end, and no end of what was left behind."""

from __future__ import annotations

import asyncio

from tests.simulation.auditor import Auditor
from tests.simulation.client import SimVenue, answer_of
from tests.simulation.clock import VirtualLoop
from tests.simulation.script import read
from tests.simulation.world import ACCOUNT, T0, WALLET_E8, World

from kedge.domain.venue import Refused, Stream, StreamDown, StreamUp, Taken
from kedge.simulation.venue_rules import DUPLICATE, NOT_REDUCING

BREAK = tuple[int, int, int]
"""When a stream breaks, how long it is away, and how late that is noticed, in milliseconds."""


def told(*breaks: BREAK) -> list[tuple[int, bool]]:
    """What a client says of its private stream, with the millisecond of it."""
    loop = VirtualLoop()
    auditor = Auditor(lambda: T0 + loop.now_ns, T0, WALLET_E8, ACCOUNT, 100_000_000, expects_stops=False)
    world = World(read("seed 1\ntheme made\nstyle market\nseconds 90\nlatency_ms 8\nvolatility_bps 3\nstop_bps 0"), loop, auditor)
    venue, found = SimVenue(world, auditor), list[tuple[int, bool]]()

    async def listen() -> None:
        await venue.start()
        for at_ms, away_ms, late_ms in breaks:
            loop.call_at(at_ms / 1e3, venue.cut, True, away_ms, late_ms)
        while True:
            news = await venue.news()
            if isinstance(news, StreamDown | StreamUp) and news.stream is Stream.PRIVATE and loop.time() > 0.5:
                found.append((round(loop.time() * 1e3), isinstance(news, StreamUp)))

    async def live() -> None:
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(10)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    loop.run_until_complete(live())
    loop.close()
    return found


def test_an_id_that_the_venue_has_had_is_taken_as_the_real_client_says_it_and_other_refusals_are_none() -> None:
    assert answer_of(DUPLICATE) == Taken()
    assert answer_of(NOT_REDUCING) == Refused("110017", "Reduce-only rule not satisfied")


def test_a_break_is_told_when_it_is_noticed_and_its_end_when_the_stream_is_back() -> None:
    assert told((1_000, 3_000, 700)) == [(1_700, False), (4_001, True)]


def test_a_break_that_nobody_had_noticed_is_not_told_after_the_stream_came_back_from_a_later_one() -> None:
    assert told((1_000, 3_712, 711), (1_559, 13, 0)) == [(1_559, False), (1_573, True)]


def test_a_stream_that_breaks_again_while_it_is_away_comes_back_once() -> None:
    assert told((1_000, 3_000, 100), (2_000, 4_000, 100)) == [(1_100, False), (2_100, False), (6_001, True)]
