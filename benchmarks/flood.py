"""Memory and time of the client while the venue talks without end: 5,000 messages a second for ten minutes, over real sockets.

    python benchmarks/flood.py [--minutes N] [--rate N] [--quick]

Book changes, tickers, trades and our own orders, executions and wallets, read by the client's own sockets, codecs, book and queue; one
reader takes the news, as the trader does. The first third of the samples warms up; judged is the growth of the medians from the second
third's beginning to the end, as in `soak.py`. Every message must arrive, the book must never break, and all news must be taken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from live_latency_parts import SIGNER, SPEC
from soak import Sample, resident_mb, row

from kedge.domain.venue import Stream
from kedge.venues.bybit.private_stream import PrivateDialect, PrivateReader
from kedge.venues.bybit.public_feed import FeedSettings, PublicFeed
from kedge.venues.bybit.reconnect import Dialect, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.venue_news import NewsQueue
from kedge.venues.bybit.venue_settings import SocketPace

EVERY_S = {True: 0.25, False: 2.0}


class Counted:
    """Stands before a dialect and counts its frames."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.frames = 0
        self.greet, self.ping_text = dialect.greet, dialect.ping_text

    def read(self, connection: Connection, text: bytes) -> None:
        self.frames += 1
        self._dialect.read(connection, text)


class Client:
    """The client's sockets and what they fill."""

    def __init__(self, port: int) -> None:
        self.queue = NewsQueue()
        self.feed = PublicFeed([SPEC], FeedSettings(), self._no_history, self.queue.put)
        reader = PrivateReader({SPEC.venue_symbol: SPEC}, "USDT", self.queue.put, lambda _: None)
        self.dialects = {
            Stream.PUBLIC: Counted(self.feed),
            Stream.PRIVATE: Counted(PrivateDialect(reader, SIGNER, lambda: time.time_ns() // 1_000_000)),
        }
        url, budget = f"ws://127.0.0.1:{port}/v5", ConnectBudget()
        self.sockets = [
            SteadySocket(stream, f"{url}/{stream}", dialect, self.queue.put, backoff=Backoff(Random(1)), budget=budget, pace=SocketPace())
            for stream, dialect in self.dialects.items()
        ]
        self.news: Counter[str] = Counter()

    @property
    def frames(self) -> int:
        return sum(dialect.frames for dialect in self.dialects.values())

    async def take_news(self) -> None:
        while True:
            self.news[type(await self.queue.get()).__name__] += 1

    async def close(self) -> None:
        await self.feed.close()
        for socket in self.sockets:
            await socket.close()

    async def _no_history(self, *_: object) -> Sequence[Any]:
        return ()


async def watch(port: int, seconds: float, rate: float, *, quick: bool) -> tuple[list[Sample], Client, float, float]:
    """Read for so long; memory over time, the client, messages a second and the share of a core they took."""
    client = Client(port)
    taking = asyncio.create_task(client.take_news())
    try:
        await asyncio.gather(*(socket.start(10) for socket in client.sockets))
        samples: list[Sample] = []
        begun_s, cpu_s, first = time.monotonic(), time.process_time(), client.frames
        while (at_s := time.monotonic() - begun_s) < seconds:
            samples.append(Sample(at_s, resident_mb(os.getpid())))
            await asyncio.sleep(EVERY_S[quick])
        took_s = time.monotonic() - begun_s
        return samples, client, (client.frames - first) / took_s, (time.process_time() - cpu_s) / took_s
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=5_000.0, help="messages a second")
    parser.add_argument("--quick", action="store_true", help="6 seconds: shows that it works, not whether memory is flat")
    given = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        print("memory of processes is read from /proc, which this system does not have")
        return
    seconds = 6.0 if given.quick else given.minutes * 60
    command = [sys.executable, str(Path(__file__).with_name("flood_venue.py")), "--rate", str(given.rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as venue:
        try:
            assert venue.stdout is not None
            port = int(venue.stdout.readline() or sys.exit("the venue did not start"))
            samples, client, per_s, share = uvloop.run(watch(port, seconds, given.rate, quick=given.quick))
        finally:
            venue.kill()
    book, breaks = client.feed.quotes[SPEC.venue_symbol].book, sum(socket.interruptions for socket in client.sockets)
    if breaks or book.breaks or not book.is_whole or client.feed.unreadable or len(client.queue) > 1_000:
        raise SystemExit(f"{breaks} interruptions, book broken {book.breaks} times, {client.feed.unreadable} unreadable")
    news = sum(client.news.values())
    print(f"{seconds / 60:.1f} minutes, {per_s:,.0f} messages a second, {share:.0%} of a core, {news:,} pieces of news")
    print(f"{'resident MB':<12}{'start':>9}{'warm':>9}{'end':>9}{'most':>9}{'growth':>9}{'MB/min':>10}")
    print(row("client", samples))
    print(f"most ever {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MB; the book never broke, all news was taken")


if __name__ == "__main__":
    main()
