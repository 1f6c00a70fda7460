"""From a frame of the venue to what follows from it: a confirmed bar to the bytes of an order, an execution to a booked fill.

    python benchmarks/live_latency.py [--samples N] [--folder FOLDER] [--quick]

The path is the trader's own, on its event loop: frame, codec, bar line, queue, gate, engine, journal, desk, gateway, limits, request. Every
bar in the timed loop makes one order; over the trade socket, and over REST with an HMAC of the body. It is timed without a journal and
with the journal of a live run, which commits each step before anything leaves; the folder decides on which disk. Sockets are left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from live_latency_parts import MINUTE_NS, NAME, SIGNER, SPEC, START_NS, LivePath, NoJournal, bar_frame

from kedge.domain.orders import OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import NS_PER_MS
from kedge.kernel.compiling import compile_all, mark_ready
from kedge.services.backtest import RunJournal
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import SigningKey
from kedge.venues.bybit.gateway_bodies import rest_create, socket_create

WARM = 50
WAYS = (("trade socket", False), ("REST, HMAC", True))


class Spans:
    """Durations in microseconds."""

    def __init__(self, name: str, us: list[float]) -> None:
        self.name, self.us = name, us

    @property
    def p50(self) -> float:
        return statistics.median(self.us)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.us, n=100)[98]

    def row(self, sync: Spans | None = None) -> str:
        shares = f"{self.p50 / sync.p50:>9.2f}{self.p99 / sync.p50:>9.2f}" if sync is not None else ""
        return f"{self.name:<58}{self.p50:>9.1f}{self.p99:>9.1f}{len(self.us):>9,}{shares}"


def fdatasyncs(folder: Path, rounds: int) -> Spans:
    """One 4 KiB overwrite made durable."""
    path, us = folder / "fdatasync", []
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(4_096))
    os.fsync(fd)
    for n in range(rounds):
        begun_ns = time.perf_counter_ns()
        os.pwrite(fd, bytes([n % 256]) * 4_096, 0)
        os.fdatasync(fd)
        us.append((time.perf_counter_ns() - begun_ns) / 1e3)
    os.close(fd)
    return Spans("one fdatasync of 4 KiB on the same disk", us)


class Timed:
    """Stands before an engine or a journal and times one of its methods."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner, self._method = inner, getattr(inner, method)
        self.us: list[float] = []
        setattr(self, method, self._call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _call(self, *given: Any) -> Any:
        begun_ns = time.perf_counter_ns()
        answer = self._method(*given)
        self.us.append((time.perf_counter_ns() - begun_ns) / 1e3)
        return answer


class Walk(NamedTuple):
    """What one walk took, in microseconds: bar to bytes, trade to books, and of the first the engine's step and the commit."""

    out: list[float]
    booked: list[float]
    step: list[float]
    commit: list[float]


async def walk(journal: RunJournal, samples: int, *, over_rest: bool) -> Walk:
    """A bar, its order, and the order's trade, again and again."""
    timed: Any = Timed(journal, "commit")
    path = LivePath(timed, over_rest=over_rest)
    engine: Any = Timed(path.core.engine, "step")
    path.core.engine = engine
    taken = Walk([], [], [], [])
    try:
        for n in range(WARM + samples):
            ts_ns = START_NS + (n + 1) * MINUTE_NS
            steps = len(engine.us)
            out_ns = await path.bar(bar_frame(n))
            spans = (out_ns / 1e3, await path.fill(n, ts_ns // NS_PER_MS) / 1e3, engine.us[steps], timed.us[steps])
            if n >= WARM:
                for column, us in zip(taken, spans, strict=True):
                    column.append(us)
    finally:
        await path.close()
    orders, fills = path.desk.sent, engine.summary()["fills"]
    if not orders == fills == WARM + samples:
        raise SystemExit(f"{WARM + samples} bars made {orders} orders and {fills} fills: each must make one")
    return taken


async def pure(samples: int) -> list[Spans]:
    """The client's pure functions by themselves."""
    path = LivePath(NoJournal(), over_rest=False)
    frames, read = iter([bar_frame(n) for n in range(WARM + samples)]), path.client.feed.read
    order = OrderIntent(
        client_order_id="k" * 32, decision_id="bench-1.1", strategy="to_and_fro", instrument=NAME, side=Side.BUY, kind=OrderKind.MARKET,
        time_in_force=TimeInForce.IOC, qty_lots=16,
    )  # fmt: skip
    now_ms = time.time_ns() // NS_PER_MS
    found = [
        each("  of it: frame to bar", lambda: read(path.client.connection, next(frames)), samples),
        each("  of it: order to the trade socket's frame", lambda: socket_create(order, SPEC, "kedge-19b5c6a-1", now_ms), samples),
        each("  of it: order to a signed REST request", lambda: rest_create(order, SPEC, SIGNER, now_ms), samples),
    ]
    await path.close()
    return found


def each(name: str, work: Callable[[], Any], samples: int) -> Spans:
    us = []
    for n in range(WARM + samples):
        begun_ns = time.perf_counter_ns()
        work()
        if n >= WARM:
            us.append((time.perf_counter_ns() - begun_ns) / 1e3)
    return Spans(name, us)


async def measure(folder: Path, samples: int) -> str:
    key, syncs, walks = SigningKey.generate(), max(100, samples // 4), {}
    sync = fdatasyncs(folder, syncs)
    for way, over_rest in WAYS:
        walks[way, False] = await walk(NoJournal(), samples, over_rest=over_rest)
        with SqliteJournal(folder / f"{over_rest}.journal", signer=key, source="live", group_size=1) as journal:
            walks[way, True] = await walk(journal, samples, over_rest=over_rest)
    again = fdatasyncs(folder, syncs)
    plain, durable = walks["trade socket", False], walks["trade socket", True]
    rows = [
        *(Spans(f"bar frame to order bytes, {way}, no journal", walks[way, False].out).row() for way, _ in WAYS),
        Spans("  of it: engine, bar to approved order", plain.step).row(),
        *(one.row() for one in await pure(samples)),
        *(Spans(f"bar frame to order bytes, {way}, with the commit", walks[way, True].out).row(sync) for way, _ in WAYS),
        Spans("  of it: the commit", durable.commit).row(sync),
        Spans("execution frame to booked fill, no journal", plain.booked).row(),
        Spans("execution frame to booked fill, with the commit", durable.booked).row(sync),
        Spans("one fdatasync of 4 KiB on the same disk, before", sync.us).row(),
        Spans("one fdatasync of 4 KiB on the same disk, after", again.us).row(),
    ]
    head = f"{'microseconds; the last columns in fdatasyncs (p50 before)':<58}{'p50':>9}{'p99':>9}{'samples':>9}{'p50':>9}{'p99':>9}"
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=4_000, help="bars, orders and fills of each row")
    parser.add_argument("--folder", type=Path, default=None, help="where the journal is written; decides which disk is measured")
    parser.add_argument("--quick", action="store_true", help="few samples: shows that it works, not how fast it is")
    given = parser.parse_args()
    compile_all()
    mark_ready()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(uvloop.run(measure(Path(folder), 200 if given.quick else given.samples)))


if __name__ == "__main__":
    main()
