"""What the exchange's server does a second on one core: signed orders over HTTP and orders over the trade socket.

    python benchmarks/exchange_server.py [--quick] [--profile]

The server is a process of its own on one core, the client is raw bytes on another: requests are signed before the clock starts, so that
the client is not the limit. Rounds of creates and then their cancels; each row says whether a private connection listened to order,
execution, position and wallet meanwhile. Figures are per CPU second of the server and per second of the wall, which includes whatever
else the machine did; beside them what bare servers of the same process do with a constant and an echo.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop
from exchange_server_client import Orders, Pipe, authenticated, connect, http_request, listening, open_socket, spread

HTTP_FLOOR, SOCKET_FLOOR = 4_000, 8_000
HTTP_CONNECTIONS, HTTP_DEPTH, SOCKET_DEPTH = 8, 8, 32
ROUND = 400
"""Creates, then as many cancels; an account's book holds 500 orders by default."""
WARM_ROUNDS = 1


class Rate(NamedTuple):
    """One round: requests a second of the server's CPU and a second of the wall."""

    per_cpu_s: float
    per_s: float


class Server:
    """The exchange's process, its ports and its CPU clock."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ports: dict[str, int] = json.loads(self._line())

    def figures(self) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline() or sys.exit("the exchange did not start")


@contextmanager
def serving(*, profile: bool) -> Iterator[Server]:
    """The server on the first core, this process on the others; where there is only one, both share it."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = ["--core", str(cores[0])] if len(cores) > 1 else []
    if pinned:
        os.sched_setaffinity(0, set(cores[1:]))
    command = [sys.executable, str(Path(__file__).with_name("exchange_server_process.py")), *pinned, *(["--profile"] if profile else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.communicate()


Make = Callable[[str, bytes], bytes]
"""An operation and its body as bytes on the wire."""


class Bench:
    """Rounds on one server."""

    def __init__(self, server: Server, rounds: int, samples: int) -> None:
        self._server, self._rounds, self._samples, self._orders = server, rounds, samples, Orders(1)
        self._exchange = server.ports["exchange"]
        self.rates: list[tuple[str, int, list[Rate]]] = []
        self.spans_us: list[tuple[str, list[float]]] = []

    async def run(self) -> None:
        await self._bare()
        for name, floor in (("HTTP", HTTP_FLOOR), ("trade socket", SOCKET_FLOOR)):
            if floor == HTTP_FLOOR:
                pipes, depth = [await connect(self._exchange, b'{"retCode":0,') for _ in range(HTTP_CONNECTIONS)], HTTP_DEPTH
                make: Make = http_request
            else:
                pipes, depth = [await authenticated(self._exchange, "/v5/trade", b'"retCode":0,')], SOCKET_DEPTH
                make = self._orders.frame
            await self._orders_by(f"{name}, nobody listens", 0, make, pipes, depth)
            listener = await listening(self._exchange)
            await self._orders_by(name, floor, make, pipes, depth)
            await self._one_by_one(f"{name}, create", pipes[0], [make("create", body) for body in self._orders.markets(self._samples)])
            if not listener.all_seen:
                raise SystemExit("the private connection heard nothing")
            for pipe in (*pipes, listener):
                pipe.transport.close()

    async def _orders_by(self, name: str, floor: int, make: Make, pipes: Sequence[Pipe], depth: int) -> None:
        """Rounds of creates that rest and their cancels, then of market orders that trade."""
        resting, canceled, trading = [], [], []
        for _ in range(WARM_ROUNDS + self._rounds):
            creates, cancels = self._orders.limits(ROUND)
            resting.append(await self._timed(pipes, [make("create", body) for body in creates], depth))
            canceled.append(await self._timed(pipes, [make("cancel", body) for body in cancels], depth))
            trading.append(await self._timed(pipes, [make("create", body) for body in self._orders.markets(ROUND)], depth))
        for what, bound, rates in (("create, rests", floor, resting), ("create, trades", floor, trading), ("cancel", 0, canceled)):
            self.rates.append((f"{name}: {what}", bound, rates[WARM_ROUNDS:]))

    async def _bare(self) -> None:
        body = self._orders.limits(1)[0][0]
        pipes = [await connect(self._server.ports["constant"], b'"retExtInfo"') for _ in range(HTTP_CONNECTIONS)]
        await self._limit("bare aiohttp, a constant", pipes, http_request("create", body), HTTP_DEPTH)
        echoed = [await open_socket(self._server.ports["echo"], "/", b'"op"')]
        await self._limit("bare WebSocket echo", echoed, self._orders.frame("create", body), SOCKET_DEPTH)
        for pipe in (*pipes, *echoed):
            pipe.transport.close()

    async def _limit(self, name: str, pipes: Sequence[Pipe], request: bytes, depth: int) -> None:
        rates = [await self._timed(pipes, [request] * ROUND, depth) for _ in range(WARM_ROUNDS + self._rounds)]
        self.rates.append((name, 0, rates[WARM_ROUNDS:]))
        await self._one_by_one(name, pipes[0], [request] * self._samples)

    async def _timed(self, pipes: Sequence[Pipe], requests: Sequence[bytes], depth: int) -> Rate:
        cpu_s, begun_s = self._server.figures()["cpu_s"], time.perf_counter()
        await spread(pipes, requests, depth)
        wall_s = time.perf_counter() - begun_s
        return Rate(len(requests) / (self._server.figures()["cpu_s"] - cpu_s), len(requests) / wall_s)

    async def _one_by_one(self, name: str, pipe: Pipe, requests: Sequence[bytes]) -> None:
        spans = []
        for request in requests:
            begun_ns = time.perf_counter_ns()
            await pipe.play([request], 1)
            spans.append((time.perf_counter_ns() - begun_ns) / 1e3)
        self.spans_us.append((name, spans))


def table(bench: Bench) -> str:
    head = f"{'CPU second':>12}{'best round':>12}{'second':>10}{'of floor':>10}"
    lines = ["requests a second of the server's CPU and of the wall, median of rounds of 400", f"{'':<44}{head}"]
    for name, floor, rates in bench.rates:
        cpu, best = statistics.median(rate.per_cpu_s for rate in rates), max(rate.per_cpu_s for rate in rates)
        share = f"{cpu / floor:.2f}" if floor else ""
        lines.append(f"{name:<44}{cpu:>12,.0f}{best:>12,.0f}{statistics.median(rate.per_s for rate in rates):>10,.0f}{share:>10}")
    lines += ["", f"{'one in flight, microseconds there and back':<44}{'p50':>12}{'p99':>12}{'samples':>10}"]
    for name, spans in bench.spans_us:
        p99 = statistics.quantiles(spans, n=100)[98]
        lines.append(f"{name:<44}{statistics.median(spans):>12,.0f}{p99:>12,.0f}{len(spans):>10,}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two rounds: shows that it works, not how fast it is")
    parser.add_argument("--profile", action="store_true", help="print where the server's time went")
    given = parser.parse_args()
    with serving(profile=given.profile) as server:
        bench = Bench(server, rounds=2 if given.quick else 12, samples=200 if given.quick else 2_000)
        uvloop.run(bench.run())
        print(table(bench))
        print(f"\nmemory of the server at its largest: {server.figures()['rss_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
