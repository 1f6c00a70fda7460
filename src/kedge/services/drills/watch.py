"""The independent reader of a drill: samples the venue's truth, the latch's file and the guard's permits, and remembers when what was so.

Rules: it asks the venue over REST with the trader's key and hears prices from the public stream, so that a frozen private stream blinds it
as little as the guard; every sample carries this process's monotonic time. A question that fails is counted and asked again: a gap in the
samples is visible by their times.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.errors import KedgeError
from kedge.ops.latch_file import latch_path
from kedge.services.drills.venue_hand import POSITION_STOPS, VenueHand

VENUE_EVERY_S: Final = 0.1
PERMIT_EVERY_S: Final = 0.05
LATCH_EVERY_S: Final = 0.02
ASK_WITHIN_S: Final = 2.0


class Sample(NamedTuple):
    """The account at one moment: equity, signed sizes by symbol, orders that are no stops of positions, and those stops."""

    mono_ns: int
    equity: Decimal
    positions: dict[str, Decimal]
    orders: int
    stops: int


class Watch:
    """Watches one drill.

    Parameters
    ----------
    hand : VenueHand
    state_folder : Path
        Of the guard that is drilled.
    guard_url : str
        Its door; empty to ask for no permits.
    breach_frac : Decimal or None
        The loss that is a breach; None where prices alone do not tell.
    beat : callable
        Headers for a nonce, of a trader's sign of life; none where a real trader gives its own.
    from_high : bool
        Whether a loss counts from the highest equity seen, as a drawdown does; else from the first, as the loss of a day.

    Attributes
    ----------
    samples : list of Sample
    levels : list
        `(mono_ns, level, trigger)` whenever the latch's file said something new.
    blocked_ns : int or None
        When a permit was first refused after one had been granted.
    prices, price_ns
        The last price of each symbol, and when one was last heard.
    breach_ns : int or None
        When a price first took equity beyond `breach_frac`.
    """

    def __init__(
        self,
        hand: VenueHand,
        state_folder: Path,
        guard_url: str,
        symbols: tuple[str, ...],
        breach_frac: Decimal | None,
        beat: Callable[[str], dict[str, str]] = lambda nonce: {},
        *,
        from_high: bool = True,
    ) -> None:
        self._beat, self._from_high = beat, from_high
        self._hand, self._latch, self._guard = hand, latch_path(state_folder), guard_url.rstrip("/")
        self._symbols, self._breach_frac = symbols, breach_frac
        self.samples: list[Sample] = []
        self.levels: list[tuple[int, BrakeLevel, str]] = []
        self.permits: list[tuple[int, bool]] = []
        self.blocked_ns: int | None = None
        self.breach_ns: int | None = None
        self.breach_equity: Decimal | None = None
        self.high = Decimal(0)
        self.failures = 0
        self.judges = False
        self._entries: dict[str, tuple[Decimal, Decimal]] = {}
        self.prices: dict[str, Decimal] = {}
        self.price_ns = 0
        self._wallet = Decimal(0)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_WITHIN_S))
        self._tasks: list[asyncio.Task[None]] = []
        self.changed = asyncio.Event()

    async def open(self) -> None:
        """Begin to watch."""
        works: list[Callable[[], Coroutine[Any, Any, None]]] = [self._venue, self._prices_heard, self._latch_read]
        if self._guard:
            works.append(self._permits_asked)
        self._tasks = [asyncio.create_task(work()) for work in works]

    async def close(self) -> None:
        """End the watch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    @property
    def level(self) -> BrakeLevel | None:
        """What the latch's file said last."""
        return self.levels[-1][1] if self.levels else None

    def level_ns(self, least: BrakeLevel) -> int | None:
        """When the file first said at least this level."""
        return next((at for at, level, _ in self.levels if SEVERITY[level] >= SEVERITY[least]), None)

    def zero_since(self, what: Callable[[Sample], bool]) -> int | None:
        """The time of the first of those last samples in which something holds without interruption; None where it does not hold now."""
        since = None
        for sample in reversed(self.samples):
            if not what(sample):
                break
            since = sample.mono_ns
        return since

    async def until(self, met: Callable[[], bool], within_s: float) -> bool:
        """Wait until something is so, looking whenever anything new was seen."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not met():
                    self.changed.clear()
                    await self.changed.wait()
        return met()

    # --- what is watched -------------------------------------------------------------------------------------------------

    async def _venue(self) -> None:
        while True:
            try:
                positions, orders, (equity, wallet) = await asyncio.gather(
                    self._hand.positions(), self._hand.open_orders(), self._hand.equity()
                )
            except (KedgeError, KeyError, ValueError):
                self.failures += 1
            else:
                stops = sum(row["stopOrderType"] in POSITION_STOPS for row in orders)
                sizes = {symbol: row["size_signed"] for symbol, row in positions.items()}
                self.samples.append(Sample(time.monotonic_ns(), equity, sizes, len(orders) - stops, stops))
                self._entries = {symbol: (row["size_signed"], Decimal(row["avgPrice"])) for symbol, row in positions.items()}
                self._wallet = wallet
                self.high = max(self.high, equity)
                self.changed.set()
            await asyncio.sleep(VENUE_EVERY_S)

    async def _prices_heard(self) -> None:
        address = self._hand.url.replace("http", "ws", 1) + "/v5/public/linear"
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._session.ws_connect(address, heartbeat=10, timeout=aiohttp.ClientWSTimeout(ws_close=1)) as socket:
                    await socket.send_str(json.dumps({"op": "subscribe", "args": [f"publicTrade.{symbol}" for symbol in self._symbols]}))
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._heard(json.loads(message.data))
            await asyncio.sleep(VENUE_EVERY_S)

    def _heard(self, message: dict[str, Any]) -> None:
        for row in message.get("data") or ():
            if isinstance(row, dict) and "p" in row:
                self.prices[row["s"]] = Decimal(row["p"])
                self.price_ns = time.monotonic_ns()
        self._judge()
        self.changed.set()

    def _judge(self) -> None:
        """Whether this price is the one that breaches."""
        if not self.judges or self._breach_frac is None or self.breach_ns is not None or not self._entries:
            return
        if any(symbol not in self.prices for symbol in self._entries):
            return
        equity = self._wallet + sum((size * (self.prices[symbol] - entry) for symbol, (size, entry) in self._entries.items()), Decimal(0))
        base = self.high if self._from_high else self.samples[0].equity
        if base - equity > self._breach_frac * base:
            self.breach_ns, self.breach_equity = time.monotonic_ns(), equity
            self.changed.set()

    async def _latch_read(self) -> None:
        while True:
            with suppress(OSError, msgspec.DecodeError, ValueError, KeyError):
                told = msgspec.json.decode(self._latch.read_bytes(), type=dict[str, Any])
                level, trigger = BrakeLevel(told["level"]), str(told["trigger"] or "")
                if not self.levels or self.levels[-1][1:] != (level, trigger):
                    self.levels.append((time.monotonic_ns(), level, trigger))
                    self.changed.set()
            await asyncio.sleep(LATCH_EVERY_S)

    async def _permits_asked(self) -> None:
        number = 0
        while True:
            number += 1
            asked_ns, granted = time.monotonic_ns(), False
            with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
                nonce = f"{number:032x}"
                async with self._session.get(f"{self._guard}/permit", params={"nonce": nonce}, headers=self._beat(nonce)) as answer:
                    granted = answer.status == 200 and bool((await answer.json(content_type=None))["granted"])
            if not self.permits or self.permits[-1][1] != granted:
                was = bool(self.permits) and self.permits[-1][1]
                self.permits.append((asked_ns, granted))
                if was and self.judges and self.blocked_ns is None:
                    self.blocked_ns = time.monotonic_ns()
                self.changed.set()
            await asyncio.sleep(PERMIT_EVERY_S)
