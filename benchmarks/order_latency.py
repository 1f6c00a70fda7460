"""From the call of `place` or `cancel` to the bytes on the socket, at a hundred orders a second.

    python benchmarks/order_latency.py [--seconds N] [--rate N] [--quick]

A started client on uvloop, an exchange in a process of its own, real sockets. Orders rest and are cancelled again, each at its time,
whether the one before was answered or not. The span covers body, grid texts, limits and alerts, timestamp, frame and the write itself,
which returns once the kernel has the bytes. Beside it in the same run: the write of the same bytes alone, and the answer's way back.
The exchange's budgets are raised, and the client's shares with them, so that nothing waits; they are counted as ever.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable
from typing import Any

import uvloop
from exchange_server import serving
from exchange_server_process import KEY, SPEC, SPEED

from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.venue import Taken
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings, addresses

WARM = 50


def order(number: int) -> ApprovedOrder:
    """A small order far below the market, which rests."""
    intent = OrderIntent(
        client_order_id=f"bench-{number}", decision_id="d", strategy="s", instrument=SPEC.instrument_id, side=Side.BUY, qty_lots=1,
        limit_ticks=550_000 + number % 100, kind=OrderKind.LIMIT, time_in_force=TimeInForce.POST_ONLY, reduce_only=False,
    )  # fmt: skip
    return ApprovedOrder(order=intent, limits_version="bench")


class Probe:
    """Stands before the trade connection's `send` and notes, by client id, when the bytes were written and what writing them took."""

    def __init__(self, venue: BybitVenue) -> None:
        assert venue._trade is not None
        connection: Any = venue._trade.connection
        self._plain = connection.send
        self.left_ns: dict[tuple[str, str], int] = {}
        self.writes_us: list[float] = []
        connection.send = self._send

    def _send(self, text: bytes) -> None:
        begun_ns = time.perf_counter_ns()
        self._plain(text)
        left_ns = time.perf_counter_ns()
        if b'"op":"order.' in text:
            said = json.loads(text)
            self.left_ns[said["op"], said["args"][0]["orderLinkId"]] = left_ns
            self.writes_us.append((left_ns - begun_ns) / 1e3)


class Run:
    """Orders at a pace, and what they took in microseconds."""

    def __init__(self, venue: BybitVenue) -> None:
        self._venue, self._probe = venue, Probe(venue)
        self.us: dict[str, list[float]] = {"order.create": [], "order.cancel": [], "answer": []}
        self.refused = 0

    async def at_pace(self, count: int, rate: float) -> None:
        begun_s, loop = time.monotonic(), asyncio.get_running_loop()
        tasks = set()
        for number in range(count):
            await asyncio.sleep(max(0.0, begun_s + number / rate - time.monotonic()))
            tasks.add(task := loop.create_task(self._both(number)))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        for column in (*self.us.values(), self._probe.writes_us):
            del column[:WARM]

    async def _both(self, number: int) -> None:
        approved = order(number)
        name = approved.order.client_order_id
        await self._timed("order.create", name, self._venue.place(approved))
        await self._timed("order.cancel", name, self._venue.cancel(SPEC.instrument_id, name))

    async def _timed(self, op: str, name: str, call: Awaitable[Any]) -> None:
        begun_ns = time.perf_counter_ns()
        answer = await call
        done_ns = time.perf_counter_ns()
        self.refused += not isinstance(answer, Taken)
        left_ns = self._probe.left_ns.pop((op, name))
        self.us[op].append((left_ns - begun_ns) / 1e3)
        self.us["answer"].append((done_ns - left_ns) / 1e3)

    @property
    def writes_us(self) -> list[float]:
        return self._probe.writes_us


async def measure(port: int, count: int, rate: float) -> Run:
    settings = VenueSettings(addresses=addresses(f"http://127.0.0.1:{port}"), instruments=(SPEC.instrument_id,), speed=SPEED)
    venue = BybitVenue(settings, Credentials(Rung.PAPER, KEY.key, KEY.secret))
    await venue.start()
    try:
        gc.collect()
        run = Run(venue)
        await run.at_pace(WARM + count, rate)
        return run
    finally:
        await venue.close()


def row(name: str, us: list[float], write: float | None = None) -> str:
    p50, p99 = statistics.median(us), statistics.quantiles(us, n=100)[98]
    share = "" if write is None else f"{p50 / write:>10.1f}"
    return f"{name:<52}{p50:>9.1f}{p99:>9.1f}{max(us):>9.1f}{len(us):>9,}{share}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=100.0, help="orders a second; as many cancels go beside them")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    seconds = 2.0 if given.quick else given.seconds
    with serving(profile=False) as server:
        run = uvloop.run(measure(server.ports["exchange"], int(seconds * given.rate), given.rate))
    if run.refused:
        raise SystemExit(f"{run.refused} requests were not taken: every one must be")
    write = statistics.median(run.writes_us)
    print(f"{given.rate:g} orders and as many cancels a second for {seconds:g} s, every one taken")
    print(f"{'microseconds':<52}{'p50':>9}{'p99':>9}{'most':>9}{'samples':>9}{'writes':>10}")
    print(row("the write of the same bytes alone", run.writes_us, write))
    print(row("call of place to bytes on the socket", run.us["order.create"], write))
    print(row("call of cancel to bytes on the socket", run.us["order.cancel"], write))
    print(row("bytes on the socket to the answer in hand", run.us["answer"], write))


if __name__ == "__main__":
    main()
