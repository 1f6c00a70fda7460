"""What the API costs: answers at 200 requests a second, and how soon after its commit a record reaches a browser.

    python benchmarks/api.py [--records N] [--seconds S] [--rate R] [--folder FOLDER] [--quick]

The server is `kedge serve` in a process of its own over a run of a model strategy on a synthetic market, with a prediction at every bar.
Requests are sent at their appointed times whether or not earlier ones were answered, so that a stall is seen by all who wait; while they
are, a browser listens to every topic and a trader in a third process commits 20 bars a second. Catching up is timed first, with
questions on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
from lineage import GROUP_SIZE, INSTRUMENTS, MINUTE_NS, MONEY_E8, START_NS, WIDE, keep_model

from kedge.domain.events import BarClosed, Event
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.services.backtest import RunSpec, first_record, venue_of
from kedge.services.demo import SyntheticFeed
from kedge.services.models import model_strategy
from kedge.services.trading import run
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.simulation.session import Session
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.keys import SigningKey
from kedge.storage.model_store import ModelStore

RECORDS = 60_000
SECONDS = 20.0
RATE = 200
BARS_A_SECOND = 20
WAIT_S = 300.0
TOPICS = ["overview", "fills", "orders", "decisions", "predictions", "candles"]
PATHS = (
    "overview", "overview", "overview", "equity?points=500", "positions", "fills?limit=100", "orders?limit=100", "decisions?limit=100",
    "decisions?vetoed=true&limit=50", "predictions?limit=500", "candles?limit=500", "instruments",
)  # fmt: skip


class World:
    """A run whose journal is still open: `grow()` records the next bar as a trader would, durably."""

    def __init__(self, state: Path, records: int) -> None:
        params = {"model": keep_model(state), "exposure_frac": "0.001"}
        engine = EngineSettings(
            run_id="", account="bench", strategy="model", params=params, wallet_e8=MONEY_E8, start_ts_ns=START_NS, interval_ns=MINUTE_NS,
            limits=WIDE,
        )  # fmt: skip
        spec = RunSpec(
            engine=engine, venue=VenueSettings(wallet_e8=MONEY_E8), costs=BarCosts(), matcher="bar", instruments=INSTRUMENTS, data=(),
            assumptions={}, source="synthetic", speed="600", seed=7, engine_version="bench", code_sha256="bench",
        )  # fmt: skip
        started = first_record(spec, "paper")
        path = state / "runs" / started.run_id / "journal.sqlite"
        path.parent.mkdir(parents=True)
        self.journal = SqliteJournal(path, signer=SigningKey.generate(), source="bench", group_size=GROUP_SIZE)
        self.journal.start(started)
        strategy = model_strategy(params, ModelStore(state / "models"))
        self.engine = Engine(EngineSettings.from_plain(started.settings["engine"]), started.instruments, strategy)
        self._events = SyntheticFeed(INSTRUMENTS, 7, MINUTE_NS, START_NS).events()
        session = Session(venue_of(started), self._until(records), ())
        run(self.engine, (event for event in session if event.__class__.__name__ != "RunEnded"), self.journal, session)

    def _until(self, records: int) -> Iterator[Event]:
        for event in self._events:
            yield event
            if self.journal.count >= records:
                return

    def grow(self) -> tuple[int, float]:
        """Record one more bar; its record's number, and when it was durable, on the clock that all processes share."""
        event = next(event for event in self._events if isinstance(event, BarClosed))
        outputs = self.engine.step(event)
        blobs = self.engine.take_blobs()
        if blobs:
            self.journal.keep(blobs)
        self.journal.commit(event, outputs)
        self.journal.flush()
        return self.journal.count - 1, time.perf_counter()


def trade(state: Path, records: int, line: Connection) -> None:
    """A trader in a process of its own: make the run, say so, record bars at their pace until told to stop, and say which and when."""
    world = World(state, records)
    line.send(None)
    written: dict[int, float] = {}
    line.recv()
    begun = time.perf_counter()
    while not line.poll(max(0.0, begun + len(written) / BARS_A_SECOND - time.perf_counter())):
        seq, at = world.grow()
        written[seq] = at
    world.journal.close()
    line.send(written)


class Served:
    """`kedge serve` in a process of its own."""

    def __init__(self, state: Path) -> None:
        code = "from kedge.apps.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", "--port", "0", "--state-dir", str(state), "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()


async def catch_up(session: aiohttp.ClientSession, url: str) -> tuple[float, list[float], int]:
    """Seconds until the journal is read, what questions took on the way (ms), and how many records it holds."""
    begun, took = time.perf_counter(), []
    while time.perf_counter() - begun < WAIT_S:
        asked = time.perf_counter()
        async with session.get(f"{url}/api/v1/overview") as answer:
            following = (await answer.json())["following"]
        if following["state"] in ("following", "ended"):
            return time.perf_counter() - begun, took, following["records_read"]
        if following["state"] == "catching_up":
            took.append((time.perf_counter() - asked) * 1_000)
        await asyncio.sleep(0.02)
    raise SystemExit(f"the journal was not read within {WAIT_S} s: {following}")


async def ask(session: aiohttp.ClientSession, url: str, rate: int, seconds: float) -> dict[str, list[float]]:
    """Ask at a fixed rate; milliseconds from the appointed time to the last byte, by path."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}
    begun = time.perf_counter()

    async def one(path: str, due: float) -> None:
        async with session.get(f"{url}/api/v1/{path}") as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path}: HTTP {answer.status}")
        took[path].append((time.perf_counter() - due) * 1_000)

    async with asyncio.TaskGroup() as group:
        for n in range(int(rate * seconds)):
            due = begun + n / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(PATHS[n % len(PATHS)], due))
    return took


async def listen(session: aiohttp.ClientSession, url: str, seen: dict[int, float]) -> None:
    """Remember when each bar's record arrived."""
    async with session.ws_connect(f"{url}/ws/v1", max_msg_size=0) as socket:
        await socket.send_json({"op": "subscribe", "topics": TOPICS})
        async for message in socket:
            now, told = time.perf_counter(), json.loads(message.data)
            if told["topic"] == "candles" and told["type"] == "delta":
                seen.update((row["seq"], now) for row in told["data"]["items"])


def shares(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return f"{statistics.median(values):.1f} | {cuts[94]:.1f} | {cuts[98]:.1f} | {max(values):.1f} | {len(values):,}"


async def measure(trader: Connection, served: Served, rate: int, seconds: float) -> None:
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector) as session:
        caught_s, on_the_way, records = await catch_up(session, served.url)
        seen: dict[int, float] = {}
        listener = asyncio.create_task(listen(session, served.url, seen))
        trader.send("go")
        await asyncio.sleep(1.0)
        cpu, begun = served.cpu_s(), time.perf_counter()
        await asyncio.sleep(min(5.0, seconds))
        calm = (served.cpu_s() - cpu) / (time.perf_counter() - begun)
        cpu, begun = served.cpu_s(), time.perf_counter()
        took = await ask(session, served.url, rate, seconds)
        busy = (served.cpu_s() - cpu) / (time.perf_counter() - begun)
        trader.send("stop")
        written: dict[int, float] = await asyncio.to_thread(trader.recv)
        await asyncio.sleep(0.5)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    delays = [(seen[seq] - at) * 1_000 for seq, at in written.items() if seq in seen]
    lost = sum(1 for seq in written if seq < max(seen) and seq not in seen and seq > min(seen))
    print(f"Catching up on {records:,} records: {caught_s:.1f} s, {records / caught_s:,.0f} a second. Following 20 bars a second for one")
    print(f"browser with every topic takes {100 * calm:.0f} % of a core, with {rate} requests a second beside it {100 * busy:.0f} %. The")
    print("95th percentile of the answers is to stay below 20 ms.")
    print()
    print("| milliseconds | p50 | p95 | p99 | worst | asked |\n|---|---|---|---|---|---|")
    print(f"| all, {rate} a second for {seconds:g} s | {shares([ms for values in took.values() for ms in values])} |")
    for path in dict.fromkeys(PATHS):
        print(f"| `{path}` | {shares(took[path])} |")
    if on_the_way:
        print(f"| `overview` while catching up | {shares(on_the_way)} |")
    print(f"| WebSocket, commit to client (news go out 4 times a second), {lost} lost | {shares(delays)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    records, seconds = (3_000, 3.0) if given.quick else (given.records, given.seconds)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        spawn = multiprocessing.get_context("spawn")
        line, other = spawn.Pipe()
        trader = spawn.Process(target=trade, args=(Path(folder), records, other), daemon=True)
        trader.start()
        line.recv()
        served = Served(Path(folder))
        try:
            asyncio.run(measure(line, served, given.rate, seconds))
        finally:
            served.close()
            trader.join(WAIT_S)


if __name__ == "__main__":
    main()
