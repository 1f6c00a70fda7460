"""Positions are closed in the order in which the venue lists them, in every process alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, cast

from kedge.domain.errors import VenueUnavailable
from kedge.domain.venue import Depth, GuardVenue, VenuePosition
from kedge.risk.brake.flatten import Closing
from kedge.services.guard.closing import Closer

NAMES = [f"sim:{letter * 3}USDT" for letter in "QWERTYUIOPAS"]


class Asked:
    """A venue whose books cannot be had, and which notes whose were asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def depth(self, name: str) -> Depth:
        self.names.append(name)
        raise VenueUnavailable("no book", why="a test", fix="wait")


async def _passed(question: Awaitable[Any]) -> Any:
    return await question


def test_books_are_asked_for_in_the_order_of_the_positions_and_not_in_that_of_hashes() -> None:
    positions = [
        VenuePosition(instrument=name, position_idx=0, lots=5, cost_e8=1, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=1)
        for name in NAMES
    ]
    truth = SimpleNamespace(positions=positions, positions_ns=0, records={}, within=_passed)
    truth.records = {name: SimpleNamespace(instrument_id=name) for name in NAMES}
    closer = Closer("acct", Closing(), 1.0, cast(Any, truth), cast(Any, None), cast(Any, None), lambda: 0, lambda: 0)
    venue = Asked()

    async def step() -> None:
        closer.begin(1)
        closer.step(cast(GuardVenue, venue))
        await asyncio.sleep(0)
        await closer.close()

    asyncio.run(step())
    assert venue.names == NAMES
