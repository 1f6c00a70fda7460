"""The market of a day: it stands still in the end, and goes on for whoever must close what he holds."""

from __future__ import annotations

import asyncio

from tests.simulation.auditor import Auditor
from tests.simulation.clock import VirtualLoop
from tests.simulation.script import read
from tests.simulation.world import ACCOUNT, IDS, T0, WALLET_E8, World

from kedge.domain.orders import OrderKind, Side
from kedge.simulation.venue_types import OrderRequest


def offered_after(*, is_playing: bool, is_wanted: bool) -> int:
    """Lots that the book still offers, seconds after somebody bought all of them."""
    loop = VirtualLoop()
    auditor = Auditor(lambda: T0 + loop.now_ns, T0, WALLET_E8, ACCOUNT, 100_000_000, expects_stops=False)
    world = World(read("seed 1\ntheme made\nstyle market\nseconds 90\nlatency_ms 8\nvolatility_bps 3\nstop_bps 0"), loop, auditor)
    name = IDS[0]

    def offered() -> int:
        return sum(lots for _, lots in world.core.depth(name, 50).asks)

    async def live() -> int:
        await asyncio.sleep(2)
        world.is_calm, world.is_playing, world.is_wanted = True, is_playing, lambda: is_wanted
        all_of_it = OrderRequest(instrument=name, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=offered(), link_id="")
        world.core.place("777002", all_of_it, world.now_ns)
        world.publish()
        await asyncio.sleep(4)
        return offered()

    found = loop.run_until_complete(live())
    loop.close()
    return found


def test_books_fill_again_while_the_market_plays_and_not_when_it_stands_still() -> None:
    assert offered_after(is_playing=True, is_wanted=False) > 100
    assert offered_after(is_playing=False, is_wanted=False) == 0


def test_books_fill_again_for_whoever_must_close_although_the_market_stands_still() -> None:
    assert offered_after(is_playing=False, is_wanted=True) > 100
