"""Our order book against the exchange's while changes of it are lost, doubled and turned round on the way.

Every frame is looked at twice: by our client, and by a plain reading of the wire made here. After each frame the client must quote
nothing where the plain reading has missed something, and where it says that its book is whole, the book must be the exchange's own, level
by level, as it stood at that update.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop
from tests import steady

from kedge.domain.orders import Side
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S
from kedge.market.catalogue import instrument_at
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import BookSnapshot, Crowd
from kedge.simulation.venue_types import VenueSettings as SimulatedSettings
from kedge.venues.bybit import venue as client
from kedge.venues.bybit.book_mending import MendingPace
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.venue_settings import VenueSettings, addresses
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import HandClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.server import ExchangeServer

ID, SYMBOL = "bybit-linear:BTCUSDT", "BTCUSDT"
TOPIC = f"orderbook.50.{SYMBOL}"
T0 = 1_767_225_600 * NS_PER_S
SPEC = instrument_at(ID, T0)
ACCOUNT, KEY, SECRET = "10000001", "PAPERKEY", "PAPER-SECRET-OF-A-TEST"
FAST = 1_000
"""Speed of the exchange: book streams are paced by it, and so are its limits."""
MID = 600_000


class StillMarket:
    """Opening prices; what moves them afterwards is the test."""

    bars = gaps = 0
    playing, ended, failed, paused_why = True, False, "", ""

    def __init__(self, feed: Callable[[int], None]) -> None:
        self._feed = feed

    async def prime(self) -> None:
        self._feed(MID)

    async def play(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""


class PlainReading:
    """The wire read as the venue documents it, with nothing but its own dictionary."""

    def __init__(self) -> None:
        self.update: int | None = None
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
        self.breaks = 0

    def read(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        if frame["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
        elif self.update is None or data["u"] <= self.update:
            return
        elif data["u"] != self.update + 1:
            self.update = None
            self.breaks += 1
            return
        self.update = data["u"]
        for side, levels in self.sides.items():
            for price, size in data[side]:
                levels[Decimal(price)] = Decimal(size)
                if not levels[Decimal(price)]:
                    del levels[Decimal(price)]

    def is_crossed(self) -> bool:
        return bool(self.sides["b"] and self.sides["a"]) and max(self.sides["b"]) >= min(self.sides["a"])


class NotingHall(FaultyHall):
    """The exchange's own hall, with somebody noting how its book stands whenever a stream looks at it."""

    note: Callable[[], None]

    def shown_book(self, symbol: str, levels: int) -> BookSnapshot:
        self.note()
        return super().shown_book(symbol, levels)


class World:
    """The exchange, the client, and what both said."""

    def __init__(self) -> None:
        self.venue = Venue([SPEC], SimulatedSettings(crowd=Crowd(levels=60)), T0)
        self.venue.open_account(ACCOUNT, 10_000 * E8, T0)
        self.clock = HandClock(T0)
        self.faults = Faults(time.monotonic_ns, seed=7)
        self.hall = NotingHall(self.venue, self.clock, [SPEC], speed=FAST, faults=self.faults)
        market, control = StillMarket(self.set_price), Control(1, self.clock.venue_ns)
        keys = ApiKeys([ApiKey(key=KEY, secret=SECRET, account=ACCOUNT)])
        self.server = ExchangeServer(self.hall, self.clock, keys, market, control, source="test", faults=self.faults)
        self.hall.note = self._note
        self.hall.listen(lambda _: self._note())
        self.truth: dict[int, BookSnapshot] = {}
        self.reading = PlainReading()
        self.compared = self.blind = 0
        self.compared_after: set[int] = set()
        self.url = ""
        self.client: client.BybitVenue

    def set_price(self, ticks: int) -> None:
        self.venue.set_prices(ID, ticks, ticks * SPEC.tick_e8, ticks * SPEC.tick_e8, self.clock.venue_ns())
        self.hall.publish()

    def _note(self) -> None:
        """How the exchange's book stands at the update that its stream is at.

        Called when a publication is over, and when a follower joins: the update stands at what was just told then. A look that comes
        before the stream moves on finds its update noted already.
        """
        stream = self.server._sockets.public_feed._books.get(TOPIC)
        if stream is not None:
            self.truth.setdefault(stream._depth._update, self.venue.depth(ID, 50))

    def heard(self, frame: dict[str, Any]) -> None:
        """The client has read one frame: it must know what the plain reading knows, and say nothing that it does not."""
        if frame.get("topic") != TOPIC:
            return
        self.reading.read(frame)
        assert self.client.feed is not None
        book, quote = self.client.feed.quotes[SYMBOL].book, self.client.feed.quote(SYMBOL)
        if self.reading.update is None or self.reading.is_crossed():
            self.blind += 1
            assert quote is None
            assert not book.is_whole
            return
        if not book.is_whole:  # it was crossed, and no snapshot has come since
            assert quote is None
            return
        assert book.update == self.reading.update
        bids, asks = book.levels(Side.BUY, 1_000), book.levels(Side.SELL, 1_000)
        plain = [sorted((int(p * 10), int(q * 1000)) for p, q in self.reading.sides[side].items()) for side in "ba"]
        assert [sorted(bids), asks] == plain
        assert quote is not None
        assert (quote.bid_ticks, quote.bid_lots, quote.ask_ticks, quote.ask_lots) == (*bids[0], *asks[0])
        told = self.truth[book.update]
        assert (bids, asks) == (list(told.bids), list(told.asks))
        self.compared += 1
        self.compared_after.add(self.mender.asked)

    @property
    def mender(self) -> Any:
        assert self.client.feed is not None
        return self.client.feed._menders[SYMBOL]

    async def arm(self, **fault: Any) -> None:
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/kedge/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def move(self, steps: int, seed: int, step_ns: int = 50 * NS_PER_MS) -> None:
        """So many changes of the book, with pauses by chance, in which the client reads and asks."""
        chance, ticks = random.Random(seed), MID
        for _ in range(steps):
            ticks += chance.randint(-3, 3)
            self.clock.venue_at_ns += step_ns
            self.set_price(ticks)
            await asyncio.sleep(0.001 if chance.random() < 0.05 else 0)

    async def whole_again(self) -> None:
        assert self.client.feed is not None
        async with asyncio.timeout(30):
            while not self.client.feed.quotes[SYMBOL].book.is_whole:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def world(monkeypatch: pytest.MonkeyPatch, **feed: Any) -> Any:
    made = World()

    class Watched(PublicFeed):
        """The client's own feed, with somebody looking at each frame after it."""

        def read(self, connection: Connection, text: bytes) -> None:
            super().read(connection, text)
            made.heard(msgspec.json.decode(text))

    monkeypatch.setattr(client, "PublicFeed", Watched)
    port = await made.server.start("127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{port}"
    pace = MendingPace(snapshot_within_s=0.5, pause_least_s=0.002, pause_most_s=0.05, calm_s=0.0)
    settings = VenueSettings(
        addresses=addresses(made.url), instruments=(ID,), feed=FeedSettings(mending=pace, **feed), start_within_s=5.0, dead_man_s=0
    )  # fmt: skip
    made.client = client.BybitVenue(settings, Credentials(Rung.PAPER, KEY, SECRET))
    try:
        await made.client.start()
        yield made
    finally:
        await made.client.close()
        await made.server.close()


def run(test: Callable[[], Any]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    uvloop.run(bounded())


TWO_PERCENT = {"rate_bps": 200, "for_ms": 3_600_000}
KINDS = ("drop_book", "duplicate_book", "reorder_book")


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=lambda kinds: "+".join(kinds))
def test_two_percent_of_changes_lost_doubled_or_turned_round(kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with world(monkeypatch) as w:
            for kind in kinds:
                await w.arm(fault=kind, symbol=SYMBOL, **TWO_PERCENT)
            await w.move(3_000, seed=11)
            w.faults.clear()
            await w.move(5, seed=12)
            await w.whole_again()
            await w.client.barrier()
            struck = w.faults.shown()["done"]
            print(
                f"{kinds}: struck {struck}, {w.reading.breaks} breaks, {w.mender.asked} snapshots, {w.compared} compared, {w.blind} blind"
            )
            assert all(20 <= struck[kind] <= 120 for kind in kinds)
            assert w.client.interruptions == 0
            assert w.compared > 1_000
            if kinds == ("duplicate_book",):
                assert (w.reading.breaks, w.mender.asked) == (0, 0)
            else:
                assert w.reading.breaks >= 20
                assert w.compared_after == set(range(w.mender.asked + 1))  # before the first break, and after each snapshot

    run(test)


def test_a_crossed_book_is_not_quoted_and_is_mended_when_it_is_uncrossed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with world(monkeypatch) as w:
            await w.move(20, seed=1)
            await w.client.barrier()  # the first snapshot may still be on its way: a start waits for streams, not for books
            assert w.client.quote(ID) is not None
            await w.arm(fault="crossed_book", ms=3_600_000, symbol=SYMBOL)
            await w.move(200, seed=2)
            await w.client.barrier()
            assert w.client.quote(ID) is None
            assert "crossed" in w.client.feed.quotes[SYMBOL].book.why
            assert w.mender.asked >= 2
            w.faults.clear()
            await w.move(20, seed=3)
            await w.whole_again()
            await w.move(5, seed=4)
            await w.client.barrier()
            assert w.client.quote(ID) is not None
            assert w.compared_after >= {0, w.mender.asked}

    run(test)


def test_a_book_that_trades_leave_behind_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with world(monkeypatch) as w:
            await w.move(20, seed=1)
            await w.client.barrier()
            assert w.client.quote(ID) is not None
            await w.arm(fault="stale_book", ms=3_600_000)
            await w.move(20, seed=2, step_ns=NS_PER_S)
            await w.client.barrier()
            assert w.client.feed.quotes[SYMBOL].book.is_whole
            assert w.client.quote(ID) is None
            w.faults.clear()
            await w.move(2, seed=3)
            await w.client.barrier()
            assert w.client.quote(ID) is not None

    run(test)


def test_nothing_is_quoted_while_the_stream_is_down_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with world(monkeypatch, quote_silence_s=0.2) as w:
            await w.move(20, seed=1)
            await w.client.barrier()
            assert w.client.quote(ID) is not None
            async with asyncio.timeout(30):
                while w.client.quote(ID) is not None:
                    await asyncio.sleep(0.02)
            await w.client.barrier()
            await w.arm(fault="cut", stream="public")
            async with asyncio.timeout(30):
                while not w.client.interruptions:
                    assert w.client.quote(ID) is None or w.client.feed.quotes[SYMBOL].book.is_whole
                    await asyncio.sleep(0.005)
            await w.whole_again()
            await w.client.barrier()
            assert w.client.quote(ID) is not None

    steady.run(test(), within_s=60)  # silence is the stream's, not the machine's
