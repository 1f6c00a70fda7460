"""Whatever a network loses, doubles or delays, and wherever the trader dies: in the end its books are the venue's."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.builders import AAA, BBB, Scripted, walk
from tests.unit.services.live_world import QUICK, PlayedMarket, World, booked_ids, compare_books, die, executed_ids
from tests.unit.services.venue_in_process import VenueInProcess

from kedge.domain.outputs import OrderSent
from kedge.domain.venue import Stream, StreamDown
from kedge.services.kill_points import KILL_POINTS, KillAt
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader

TABLE = (0.1, 0.1, -0.12, -0.12, 0.05, 0.0, 0.15, -0.05)
SETTINGS = msgspec.structs.replace(QUICK, snapshot_every=7)

faults = st.fixed_dictionaries(
    {
        "lose_requests": st.integers(0, 2),
        "lose_answers": st.integers(0, 2),
        "lose_cancels": st.integers(0, 1),
        "fail_questions": st.integers(0, 3),
        "twice": st.booleans(),
    }
)
deaths = st.lists(st.tuples(st.sampled_from(KILL_POINTS), st.integers(1, 6)), max_size=3)


fault_cases = given(seed=st.integers(0, 999), faults=faults, deaths=deaths, cut_at=st.integers(2, 9), entry_shift=st.integers(0, 7))


@settings(max_examples=5)
@fault_cases
@example(seed=1, faults={"lose_answers": 1, "twice": True}, deaths=[("after_send", 2), ("lookup", 1)], cut_at=3, entry_shift=0)
def test_books_end_equal(seed: int, faults: dict[str, int], deaths: list[tuple[str, int]], cut_at: int, entry_shift: int) -> None:
    live_through(seed, faults, deaths, cut_at, entry_shift)


@pytest.mark.slow
@settings(max_examples=150)
@fault_cases
def test_books_end_equal_in_many_worlds(
    seed: int, faults: dict[str, int], deaths: list[tuple[str, int]], cut_at: int, entry_shift: int
) -> None:
    live_through(seed, faults, deaths, cut_at, entry_shift)


def live_through(seed: int, faults: dict[str, int], deaths: list[tuple[str, int]], cut_at: int, entry_shift: int) -> None:
    """Run one world through its faults and deaths to the end of its market, and compare everything."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), (AAA, BBB), seed=seed)
        market = PlayedMarket(world.exchange, walk(seed, 10, (AAA, BBB), start=1_000, step=6))
        rng = random.Random(seed)

        def prepare(venue: VenueInProcess) -> None:
            for name, value in faults.items():
                setattr(venue, name, value)

        def shake() -> None:
            """The private stream breaks and comes back, and what it brings afterwards is shuffled."""
            world.venue.cut()
            world.venue.mend()
            told = [news for news in world.venue.news_at_hand() if not isinstance(news, StreamDown)]
            rng.shuffle(told)
            world.venue.queue.extend([StreamDown(Stream.PRIVATE, "drill"), *told])

        world.prepare = prepare
        market.before = {cut_at: shake}
        table = TABLE[entry_shift:] + TABLE[:entry_shift]
        for point, count in deaths:
            world.run_until_killed(world.trader(market=market, kill=KillAt(point, count, die), settings=SETTINGS, strategy=Scripted(table)))
        trader = world.trader(market=market, settings=SETTINGS, strategy=Scripted(table))
        world.run(trader)
        steps = world.steps()
        compare_books(trader.engine, world.exchange)
        assert Counter(booked_ids(steps)) == Counter(executed_ids(world.exchange))
        placed = Counter(approved.order.client_order_id for venue in world.venues for approved in venue.placed)
        wanted = {output.approved.order.client_order_id for step in steps for output in step.outputs if isinstance(output, OrderSent)}
        assert set(placed.values()) <= {1}
        assert set(placed) <= wanted
        assert trader.engine.state.halt_code == "", "nothing of this is a reason to halt"
        with SqliteJournalReader(world.path) as reader:
            assert replay(reader, code_sha256="", strategy=Scripted(table)).equal
