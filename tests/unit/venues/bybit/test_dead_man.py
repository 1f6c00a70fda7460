"""The dead-man timer: when it acts, on what, and that a stream that is back calls it off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.unit.venues.bybit.test_mapping import order

from kedge.domain.errors import VenueUnavailable
from kedge.domain.orders import client_order_id
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import ActionNeeded, Answer, Refused, Stream, StreamDown, StreamUp, Taken
from kedge.venues.bybit.codec import OrderData
from kedge.venues.bybit.dead_man import AGAIN_NS, DeadMan, DeadManWatch, can_add_risk, is_ours

OURS = client_order_id("account", "decision", 0, 0, 0)
DOWN, UP = StreamDown(Stream.PRIVATE, "cut"), StreamUp(Stream.PRIVATE, again=True)
RESTING = msgspec.structs.replace(order(), order_link_id=OURS)


def resting(**changed: Any) -> OrderData:
    return msgspec.structs.replace(RESTING, **changed)


def test_it_is_due_after_the_window_and_then_again_until_the_stream_is_back() -> None:
    man = DeadMan(30 * NS_PER_S)
    assert man.due_in_ns(0) is None
    man.acted(0)
    assert man.due_in_ns(0) is None
    man.down(NS_PER_S)
    man.down(20 * NS_PER_S)
    assert man.due_in_ns(2 * NS_PER_S) == 29 * NS_PER_S
    assert man.due_in_ns(99 * NS_PER_S) == 0
    man.acted(31 * NS_PER_S)
    assert man.due_in_ns(31 * NS_PER_S) == AGAIN_NS
    man.up()
    assert man.due_in_ns(99 * NS_PER_S) is None
    man.down(100 * NS_PER_S)
    assert man.due_in_ns(100 * NS_PER_S) == 30 * NS_PER_S


def test_ids_of_ours_are_those_that_the_domain_makes() -> None:
    assert is_ours(OURS)
    assert not any(map(is_ours, ("", "bot-1", OURS.upper(), OURS + "0")))


@pytest.mark.parametrize(
    ("changed", "cancelled"),
    [
        ({}, True),
        ({"order_status": "Untriggered", "trigger_price": "59000"}, True),
        ({"order_status": "PartiallyFilled", "symbol": "NOBODYKNOWSUSDT"}, True),
        ({"order_status": "AWordOfTomorrow"}, True),
        ({"reduce_only": True}, False),
        ({"order_link_id": "by-hand"}, False),
        ({"order_link_id": "kg-0123456789abcdef0123456789abcdef"}, False),
        ({"order_link_id": ""}, False),
        ({"order_status": "Filled"}, False),
    ],
)
def test_it_cancels_resting_orders_of_ours_that_can_add_risk_and_no_others(changed: dict[str, Any], cancelled: bool) -> None:
    assert bool(can_add_risk([resting(**changed)])) is cancelled


class Venue:
    """Says what rests and takes cancels; `told` is set with each look at the account."""

    def __init__(self, orders: Sequence[OrderData]) -> None:
        self.orders, self.asked, self.answers = list(orders), 0, [Taken("v")]
        self.cancelled: list[str] = []
        self.looked = asyncio.Event()
        self.fails: Exception | None = None

    async def open_orders(self) -> Sequence[OrderData]:
        self.asked += 1
        self.looked.set()
        if self.fails is not None:
            raise self.fails
        return self.orders

    async def cancel(self, wanted: OrderData) -> Answer:
        self.cancelled.append(wanted.order_link_id)
        return self.answers[0]


async def until_looks(venue: Venue, times: int) -> None:
    async with asyncio.timeout(30):
        while venue.asked < times:
            venue.looked.clear()
            await venue.looked.wait()


def test_it_looks_and_cancels_again_while_the_stream_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        venue = Venue([resting(), resting(reduce_only=True)])
        watch = DeadManWatch(DeadMan(1, again_ns=1_000_000), venue.open_orders, venue.cancel)
        watch.heard(ActionNeeded("1", "x", "y"))
        watch.heard(DOWN)
        watch.heard(DOWN)
        await until_looks(venue, 3)
        watch.heard(UP)
        await watch.close()
        assert set(venue.cancelled) == {OURS}
        assert 2 <= watch.cancelled <= len(venue.cancelled)
        assert "1 of 1 orders cancelled" in caplog.text

    asyncio.run(test())


def test_a_stream_that_is_back_in_time_calls_it_off_and_the_next_break_counts_anew() -> None:
    async def test() -> None:
        venue = Venue([resting()])
        watch = DeadManWatch(DeadMan(3600 * NS_PER_S), venue.open_orders, venue.cancel)
        watch.heard(DOWN)
        await asyncio.sleep(0)
        watch.heard(UP)
        watch.heard(DOWN)
        await asyncio.sleep(0)
        await watch.close()
        await watch.close()
        assert (venue.asked, watch.cancelled) == (0, 0)

    asyncio.run(test())


def test_a_refused_cancel_is_not_counted_and_a_deaf_venue_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        venue = Venue([resting()])
        venue.fails = VenueUnavailable("no answer", why="the line is cut", fix="wait")
        venue.answers = [Refused("110001", "gone")]
        watch = DeadManWatch(DeadMan(1, again_ns=1_000_000), venue.open_orders, venue.cancel)
        watch.heard(DOWN)
        await until_looks(venue, 2)
        venue.fails = RuntimeError("nobody thought of this")
        await until_looks(venue, 4)
        venue.fails = None
        await until_looks(venue, 6)
        watch.heard(UP)
        await watch.close()
        assert venue.cancelled
        assert watch.cancelled == 0
        assert "cannot be looked at" in caplog.text
        assert "a defect; it goes on" in caplog.text

    asyncio.run(test())


def test_a_stream_that_comes_back_while_the_account_is_looked_at_calls_it_off() -> None:
    async def test() -> None:
        venue, found = Venue([resting()]), asyncio.Event()

        async def slowly() -> Sequence[OrderData]:
            rows = await venue.open_orders()
            await found.wait()
            return rows

        watch = DeadManWatch(DeadMan(1), slowly, venue.cancel)
        watch.heard(DOWN)
        await until_looks(venue, 1)
        watch.heard(UP)
        found.set()
        assert watch._task is not None
        await watch._task
        assert (venue.cancelled, watch.cancelled) == ([], 0)
        await watch.close()

    asyncio.run(test())
