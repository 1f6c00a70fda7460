"""What the simulated venue does a second on one core: placing, cancelling and trading with every check, margin, fee and change row.

Run: `python benchmarks/venue_core.py`. Four accounts, one instrument, resting books of a few hundred orders; the changes are drained
after every operation, as a server would. The floor is 50,000 operations a second. `--profile` prints where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import time
from collections.abc import Callable

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.market.catalogue import CATALOGUE
from kedge.simulation.orderbook import OrderBook
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, OrderRequest, OrderRow, VenueLimits, VenueSettings

FLOOR = 50_000
SPEC = CATALOGUE["bybit-linear:BTCUSDT"][-1]
NAME = SPEC.instrument_id
ACCOUNTS = ("1001", "1002", "1003", "1004")
PRICE = 600_000
START_NS = 1_767_000_000 * 10**9


class Desk:
    """A venue with accounts and a prepared list of operations."""

    def __init__(self, seed: int) -> None:
        self.venue = Venue([SPEC], VenueSettings(seed=seed, limits=VenueLimits(orders_max=100_000), crowd=Crowd(levels=25)), START_NS)
        self.now_ns, self.rng, self.done, self.changes, self.rejects = START_NS, random.Random(seed), 0, 0, 0
        for account in ACCOUNTS:
            self.venue.open_account(account, 10_000_000 * E8, START_NS)
        self.feed()
        self.resting: list[tuple[str, str]] = []

    def feed(self) -> None:
        self.venue.set_prices(NAME, PRICE, PRICE * SPEC.tick_e8, PRICE * SPEC.tick_e8, self.now_ns)
        self.venue.drain()

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
        self.changes += len(self.venue.drain())
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
        self.changes += len(self.venue.drain())
        self.done += 1


def limits_and_cancels(desk: Desk, limits: list[OrderRequest], _: list[OrderRequest]) -> None:
    """Half places, half cancels, some 400 orders resting."""
    for n, request in enumerate(limits):
        desk.place(request)
        if len(desk.resting) > 400:
            desk.cancel(n % len(desk.resting))


def mix(desk: Desk, limits: list[OrderRequest], markets: list[OrderRequest]) -> None:
    """Of ten operations four place, four cancel and two are market orders."""
    for n, request in enumerate(limits):
        desk.place(request)
        if len(desk.resting) > 400:
            desk.cancel(n % len(desk.resting))
        if n % 2:
            desk.place(markets[n // 2])
        if n % 2_000 == 0:
            desk.feed()


def markets_alone(desk: Desk, _: list[OrderRequest], markets: list[OrderRequest]) -> None:
    """Market orders against the crowd."""
    for n, request in enumerate(markets):
        desk.place(request)
        if n % 2_000 == 0:
            desk.feed()


def bare_book(count: int) -> float:
    """Adds and cancels a second of the order book alone: what this machine could do without accounts."""
    book, now = OrderBook(), time.process_time
    start = now()
    for n in range(count // 2):
        book.add(f"o{n}", "a", Side.BUY, 5, PRICE - 1 - n % 200)
        if n >= 400:
            book.cancel(f"o{n - 400}")
    return count / (now() - start)


Play = Callable[[Desk, list[OrderRequest], list[OrderRequest]], None]


def measure(name: str, play: Play, limits: int, worst: int, markets: int, rounds: int) -> None:
    """The best of some rounds; requests are made before the clock starts, as a server's decoder would."""
    best, desk = 0.0, Desk(1)
    for seed in range(1, rounds + 1):
        desk = Desk(seed)
        asked = desk.requests(limits, OrderKind.LIMIT, worst), desk.requests(markets, OrderKind.MARKET, 1)
        start = time.process_time()
        play(desk, *asked)
        best = max(best, desk.done / (time.process_time() - start))
    print(f"{name:<34}{best:>12,.0f}{best / FLOOR:>10.2f}{desk.changes / desk.done:>12.1f}{desk.rejects:>10}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    n = given.operations
    if given.profile:
        desk = Desk(1)
        asked = desk.requests(n * 4 // 10, OrderKind.LIMIT, 60), desk.requests(n * 2 // 10, OrderKind.MARKET, 1)
        profile = cProfile.Profile()
        profile.runcall(mix, desk, *asked)
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return
    print(f"{'venue core':<34}{'ops/CPU s':>12}{'of floor':>10}{'changes/op':>12}{'rejects':>10}")
    print(f"{'order book alone, for scale':<34}{bare_book(n):>12,.0f}")
    measure("place and cancel", limits_and_cancels, n // 2, 200, 0, given.rounds)
    measure("place, cancel and market orders", mix, n * 4 // 10, 60, n * 2 // 10, given.rounds)
    measure("market orders", markets_alone, 0, 1, n, given.rounds)


if __name__ == "__main__":
    main()
