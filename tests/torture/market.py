"""One exchange in lock-step with its trader and with us: while we do not acknowledge a bar, the market stands still."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp

from kedge.venues.lockstep import LockStep

from .processes import Child, Starter

TRADER = "trader"
POLL_S = 0.01
START_S = 60.0


class Market:
    """The exchange process, its control endpoint and its faults."""

    def __init__(self, exchange: Child, url: str) -> None:
        self.exchange, self.url = exchange, url
        self.bars = 0
        self.acknowledged = 0
        self._lockstep = LockStep(url, "auditor")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._open, self._came = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._playing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, starter: Starter, state: Path, seed: int, *more: object) -> Market:
        """Start the exchange and wait until it answers."""
        argv = ("exchange", "serve", "--speed", "max", "--seed", seed, "--port", 0, "--wait-for", 2, "--faults")
        out = state / "exchange.out"
        exchange = await starter.spawn((*argv, *more, "--state-dir", state, "--json"), out)
        async with asyncio.timeout(START_S):
            while not out.exists() or b"\n" not in out.read_bytes():
                if not exchange.is_alive:
                    raise RuntimeError(f"the exchange ended with {await exchange.ended}: {out.read_text()}")
                await asyncio.sleep(POLL_S)
        market = cls(exchange, json.loads(out.read_text().splitlines()[0])["url"])
        await market._lockstep.connect()
        market._playing = asyncio.ensure_future(market._play())
        return market

    async def close(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        await self._lockstep.close()
        await self._session.close()
        self.exchange.signal(signal.SIGTERM)
        await asyncio.wait([self.exchange.ended], timeout=START_S)
        self.exchange.signal(signal.SIGKILL)
        await self.exchange.ended

    def hold(self) -> None:
        """Let the market stand still at the next bar, or at this one."""
        self._open.clear()

    def release(self) -> None:
        """Let it go on."""
        self._open.set()

    @property
    def stands_still(self) -> bool:
        """Whether a bar is out that we have not acknowledged."""
        return self.bars > self.acknowledged

    async def next_bar(self) -> None:
        """Wait for one more bar."""
        self._came.clear()
        await self._came.wait()

    async def venue_ms(self) -> int:
        """The exchange's venue time."""
        return int((await self._status())["venue_ms"])

    async def acked(self) -> int:
        """The last bar that the trader has acknowledged; -1 when it never registered."""
        clients = {client["name"]: client for client in (await self._status())["clients"]}
        return int(clients[TRADER]["acked"]) if TRADER in clients else -1

    async def order(self, fault: dict[str, Any]) -> None:
        """Order a fault."""
        async with self._session.post(f"{self.url}/kedge/faults", json=fault) as answer:
            if answer.status != 200:
                raise RuntimeError(await answer.text())

    async def clear_faults(self) -> None:
        async with self._session.delete(f"{self.url}/kedge/faults") as answer:
            await answer.read()

    async def faults_done(self) -> dict[str, int]:
        async with self._session.get(f"{self.url}/kedge/faults") as answer:
            done: dict[str, int] = (await answer.json())["done"]
            return done

    async def _status(self) -> dict[str, Any]:
        async with self._session.get(f"{self.url}/kedge/status") as answer:
            told: dict[str, Any] = await answer.json()
            return told

    async def _play(self) -> None:
        while not (bar := await self._lockstep.next_bar()).ended:
            self.bars = bar.seq
            self._came.set()
            await self._open.wait()
            self.acknowledged = bar.seq
            await self._lockstep.acknowledge(bar.seq)
