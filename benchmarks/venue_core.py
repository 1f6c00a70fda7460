"""What the simulated venue does a second on one core: placing, cancelling and trading with every check, margin, fee and change row.

Run: `python benchmarks/venue_core.py`. Four accounts, one instrument, resting books of a few hundred orders; the changes are drained
after every operation, as a server would. "private frames" adds what the private sockets of all four accounts would be sent, "all
frames" also what one follower of the public trades and of 50 levels of the book gets. Frames end in a transport that counts them.
The floor is 50,000 operations a second, frames included. `--profile` prints where the time goes.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import time
from collections.abc import Callable, Iterator, Sequence

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.market.catalogue import CATALOGUE
from kedge.simulation.orderbook import OrderBook
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Change, Crowd, OrderRequest, OrderRow, VenueLimits, VenueSettings
from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.clocks import WallVenueClock
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.private_feed import PrivateFeed
from kedge.venues.exchange.public_feed import PublicFeed
from kedge.venues.exchange.socket_link import Kind, Link
from kedge.venues.exchange.subscriptions import Topic

FLOOR = 50_000
SPEC = CATALOGUE["bybit-linear:BTCUSDT"][-1]
NAME = SPEC.instrument_id
ACCOUNTS = ("1001", "1002", "1003", "1004")
PRICE = 600_000
START_NS = 1_767_000_000 * 10**9


PRIVATE_TOPICS = ("order", "execution", "position", "wallet")
PUBLIC_TOPICS = (Topic("publicTrade", "", SPEC.venue_symbol), Topic("orderbook", "50", SPEC.venue_symbol))
NO_FRAMES, PRIVATE_FRAMES, ALL_FRAMES = range(3)
WORDS = ("none", "private", "all")
LET_LOOP_RUN = 32
"""Steps of a play between two turns of the event loop."""


class Sink(asyncio.WriteTransport):
    """Where frames end: they are counted, and have always been read."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.bytes += len(data)

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Desk:
    """A venue with accounts, those who listen to it, and prepared operations."""

    def __init__(self, seed: int, frames: int = NO_FRAMES) -> None:
        self.venue = Venue([SPEC], VenueSettings(seed=seed, limits=VenueLimits(orders_max=100_000), crowd=Crowd(levels=25)), START_NS)
        self.now_ns, self.rng, self.done, self.changes, self.rejects = START_NS, random.Random(seed), 0, 0, 0
        self.hall = Hall(self.venue, WallVenueClock(), [SPEC])
        self.hall.listen(self.count)
        self.sink, self.public = Sink(), PublicFeed(self.hall, time.monotonic)
        for account in ACCOUNTS:
            self.venue.open_account(account, 10_000_000 * E8, START_NS)
        self.feed()
        if frames >= PRIVATE_FRAMES:
            private = PrivateFeed(self.hall)
            for account in ACCOUNTS:
                link = self.link(Kind.PRIVATE, account)
                link.topics.update(dict.fromkeys(PRIVATE_TOPICS))
                private.admit(link)
            self.hall.listen(private.hear)
        if frames >= ALL_FRAMES:
            link = self.link(Kind.PUBLIC, "")
            for topic in PUBLIC_TOPICS:
                self.public.join(link, ".".join(part for part in topic if part), topic)
            self.hall.listen(self.public.hear)
        self.resting: list[tuple[str, str]] = []

    def link(self, kind: Kind, account: str) -> Link:
        link = Link(kind, self.sink, "1", "127.0.0.1", time.monotonic, 1 << 20, 600.0)
        link.key = ApiKey(key=account, secret="benchmark", account=account) if account else None
        return link

    def count(self, changes: Sequence[Change]) -> None:
        self.changes += len(changes)

    def feed(self) -> None:
        self.venue.set_prices(NAME, PRICE, PRICE * SPEC.tick_e8, PRICE * SPEC.tick_e8, self.now_ns)
        self.hall.publish()

    def requests(self, count: int, kind: OrderKind, worst: int) -> list[OrderRequest]:
        rng, found = self.rng, []
        for _ in range(count):
            side = rng.choice((Side.BUY, Side.SELL))
            away = rng.randint(1, worst)
            price = 0 if kind is OrderKind.MARKET else PRICE - 1 - away if side is Side.BUY else PRICE + 1 + away
            force = TimeInForce.IOC if kind is OrderKind.MARKET else TimeInForce.GTC
            found.append(
                OrderRequest(instrument=NAME, side=side, kind=kind, qty_lots=rng.randint(1, 9), limit_ticks=price, time_in_force=force)
            )
        return found

    def place(self, request: OrderRequest) -> None:
        self.now_ns += 10_000
        account = ACCOUNTS[self.done & 3]
        answer = self.venue.place(account, request, self.now_ns)
        self.hall.publish()
        self.done += 1
        if isinstance(answer, OrderRow):
            if answer.is_open:
                self.resting.append((account, answer.order_id))
        else:
            self.rejects += 1

    def cancel(self, at: int) -> None:
        self.now_ns += 10_000
        self.resting[at], self.resting[-1] = self.resting[-1], self.resting[at]
        account, order_id = self.resting.pop()
        self.venue.cancel(account, NAME, self.now_ns, order_id=order_id)
        self.hall.publish()
        self.done += 1


def limits_and_cancels(desk: Desk, limits: list[OrderRequest], _: list[OrderRequest]) -> Iterator[None]:
    """Half places, half cancels, some 400 orders resting."""
    for n, request in enumerate(limits):
        desk.place(request)
        if len(desk.resting) > 400:
            desk.cancel(n % len(desk.resting))
        if not n % LET_LOOP_RUN:
            yield


def mix(desk: Desk, limits: list[OrderRequest], markets: list[OrderRequest]) -> Iterator[None]:
    """Of ten operations four place, four cancel and two are market orders."""
    for n, request in enumerate(limits):
        desk.place(request)
        if len(desk.resting) > 400:
            desk.cancel(n % len(desk.resting))
        if n % 2:
            desk.place(markets[n // 2])
        if n % 2_000 == 0:
            desk.feed()
        if not n % LET_LOOP_RUN:
            yield


def markets_alone(desk: Desk, _: list[OrderRequest], markets: list[OrderRequest]) -> Iterator[None]:
    """Market orders against the crowd."""
    for n, request in enumerate(markets):
        desk.place(request)
        if n % 2_000 == 0:
            desk.feed()
        if not n % LET_LOOP_RUN:
            yield


def bare_book(count: int) -> float:
    """Adds and cancels a second of the order book alone: what this machine could do without accounts."""
    book, now = OrderBook(), time.process_time
    start = now()
    for n in range(count // 2):
        book.add(f"o{n}", "a", Side.BUY, 5, PRICE - 1 - n % 200)
        if n >= 400:
            book.cancel(f"o{n - 400}")
    return count / (now() - start)


Play = Callable[[Desk, list[OrderRequest], list[OrderRequest]], Iterator[None]]


async def run(play: Iterator[None]) -> float:
    """CPU seconds of a play; between its steps the event loop sends what its timers held back."""
    start = time.process_time()
    for _ in play:
        await asyncio.sleep(0)
    return time.process_time() - start


async def measure(name: str, play: Play, frames: int, limits: int, worst: int, markets: int, rounds: int) -> None:
    """The best of some rounds; requests are made before the clock starts, as a server's decoder would."""
    best, desk = 0.0, Desk(1)
    for seed in range(1, rounds + 1):
        desk = Desk(seed, frames)
        asked = desk.requests(limits, OrderKind.LIMIT, worst), desk.requests(markets, OrderKind.MARKET, 1)
        spent = await run(play(desk, *asked))
        best = max(best, desk.done / spent)
        desk.public.close()
    per = [count / desk.done for count in (desk.changes, desk.sink.bytes)]
    print(f"{name:<36}{WORDS[frames]:<10}{best:>10,.0f}{best / FLOOR:>10.2f}{per[0]:>12.1f}{per[1]:>10,.0f}{desk.rejects:>10}", flush=True)


def profiled(count: int, frames: int) -> None:
    """Where the time of the mix goes."""
    desk = Desk(1, frames)
    asked = desk.requests(count * 4 // 10, OrderKind.LIMIT, 60), desk.requests(count * 2 // 10, OrderKind.MARKET, 1)
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, run(mix(desk, *asked)))
    desk.public.close()
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


async def measure_all(n: int, rounds: int) -> None:
    print(f"{'venue core':<36}{'frames':<10}{'ops/CPU s':>10}{'of floor':>10}{'changes/op':>12}{'bytes/op':>10}{'rejects':>10}")
    print(f"{'order book alone, for scale':<46}{bare_book(n):>10,.0f}")
    for frames in (NO_FRAMES, PRIVATE_FRAMES, ALL_FRAMES):
        await measure("place and cancel", limits_and_cancels, frames, n // 2, 200, 0, rounds)
        await measure("place, cancel and market orders", mix, frames, n * 4 // 10, 60, n * 2 // 10, rounds)
        await measure("market orders", markets_alone, frames, 0, 1, n, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", choices=WORDS, help="profile the mix with these frames instead of measuring")
    given = parser.parse_args()
    if given.profile:
        profiled(given.operations, WORDS.index(given.profile))
    else:
        asyncio.run(measure_all(given.operations, given.rounds))


if __name__ == "__main__":
    main()
