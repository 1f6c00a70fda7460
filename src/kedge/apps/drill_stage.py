"""The stage of a drill: a private exchange that plays the crash, the guard, and whoever holds positions, each a process of its own.

Rules: everything lives in the drill's own folder, keys, wallets and latch too; nothing of the real account is read or written. What was
started is ended by its process id, whatever happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from kedge.apps.up_parts import free_port
from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import Instrument
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.ops.guard_files import permit_key
from kedge.ops.paper_keys import TRADER, paper_key
from kedge.services.drills.crash import market_of
from kedge.services.drills.market_file import MarketPath, write_market
from kedge.services.drills.plan import DrillPlan, moved, price_text, qty_of
from kedge.services.drills.venue_hand import VenueHand
from kedge.services.guard.status import Heartbeat
from kedge.services.guard_permits import beat_headers
from kedge.venues.lockstep import LockStep

START_S: Final = 120.0
END_S: Final = 5.0
LOOK_EVERY_S: Final = 0.05
CLIENT: Final = "drill"
ACCOUNT: Final = "drill"
"""The account's alias in the drill's own configuration: no latch, permit or release of it fits any other account."""


class Child(Protocol):
    """A process of ours; `ended` becomes its exit code."""

    pid: int
    ended: asyncio.Future[int]

    @property
    def is_alive(self) -> bool: ...
    def signal(self, number: int) -> None: ...


class Starter(Protocol):
    """Whoever can start a `kedge` command; what it prints is added to `out`."""

    async def spawn(self, argv: Sequence[object], out: Path, **env: str) -> Child: ...


class Stage:
    """One drill's processes and doors.

    Parameters
    ----------
    folder : Path
        Empty, the drill's own; becomes the state folder of all its processes.

    Attributes
    ----------
    hand : VenueHand
        Of the trader's key; there once the exchange answers.
    """

    def __init__(self, folder: Path, plan: DrillPlan, starter: Starter) -> None:
        self.folder, self.plan, self._starter = folder, plan, starter
        self.instruments: dict[str, Instrument] = {symbol: CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in plan.symbols}
        self.market: MarketPath = market_of(plan.crash, self.instruments, plan.timing, seed=plan.seed)
        self.market_file = folder / "market.json"
        self.url = ""
        self.guard_url = ""
        self.hand: VenueHand
        self.children: dict[str, Child] = {}
        self.begins = 0
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        self._lockstep: LockStep | None = None

    @property
    def config(self) -> Path:
        """The configuration of all processes of this drill."""
        return self.folder / "kedge.yaml"

    # --- processes -------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Write configuration and prices, and start the exchange; its market stands at the opening prices."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = free_port()
        self.guard_url = f"http://127.0.0.1:{port}"
        triggers = {change.key.rpartition(".")[2]: change.drill for change in moved(self.plan.kind)}
        self.config.write_text(json.dumps({"account": ACCOUNT, "guard": {"port": port, "triggers": triggers}, **self.plan.config}))
        write_market(self.market_file, self.market)
        argv = ("exchange", "serve", "--market", f"path:{self.market_file}", "--seed", self.plan.seed, "--port", 0, "--wait-for", 1)
        exchange = await self.start("exchange", (*argv, "--faults", "--json"))
        told = await self._first_line(exchange, self.folder / "exchange.out")
        self.url = told["url"]
        key = paper_key(self.folder, TRADER)
        self.hand = VenueHand(self.url, key.api_key, key.api_secret)

    async def start(self, name: str, argv: Sequence[object]) -> Child:
        """Start a command with this drill's state folder and configuration."""
        self.begins += 1
        child = await self._starter.spawn((*argv, "--state-dir", self.folder, "--config", self.config), self.folder / f"{name}.out")
        self.children[name] = child
        return child

    async def start_guard(self) -> Child:
        """Start the guard, or start it again."""
        return await self.start("guard", ("guard", "--venue", self.url, "--json"))

    async def guard_watches(self, within_s: float = START_S) -> dict[str, Any]:
        """Wait until the guard has read the venue and permits new risk; its status.

        Raises
        ------
        VenueUnavailable
            It ended, or did not begin to watch in time.
        """
        why = "it does not answer"
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.children["guard"].is_alive:
                    status = await self.guard_status()
                    if status is not None and status["view_age_ns"] is not None and not status["permits"]:
                        return status
                    why = why if status is None else f"it says {status['permits'] or 'nothing yet'}"
                    await asyncio.sleep(LOOK_EVERY_S)
        said = (self.folder / "guard.out").read_text(errors="replace")[-1_000:]
        raise VenueUnavailable("the guard does not watch", why=f"{why}; it said: {said}", fix="look into the drill's folder")

    async def guard_status(self) -> dict[str, Any] | None:
        """What the guard says at its door; None where it does not answer."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
            async with self._session.get(f"{self.guard_url}/status") as answer:
                found: dict[str, Any] = await answer.json(content_type=None)
                return found
        return None

    def beat(self, nonce: str) -> dict[str, str]:
        """A sign of life as the trader's, for a question with this nonce."""
        return beat_headers(Heartbeat(run_id=CLIENT, pid=os.getpid()), nonce, ACCOUNT, permit_key(self.folder))

    # --- positions -------------------------------------------------------------------------------------------------------

    async def buy(self, gross_frac: Decimal) -> None:
        """Bring every position up to its share of this gross exposure, each with its stop at the venue.

        Raises
        ------
        VenueUnavailable
            The exchange refuses an order.
        """
        equity, _ = await self.hand.equity()
        share = gross_frac * equity / len(self.plan.symbols)
        for symbol in self.plan.symbols:
            instrument, price = self.instruments[symbol], await self.hand.mark(symbol)
            held = (await self.hand.positions()).get(symbol, {}).get("size_signed", Decimal(0))
            wanted = share - held * price
            if wanted >= price * instrument.lot_size * instrument.order_qty_min_lots:
                self._taken(await self.hand.place(symbol, "Buy", qty_of(instrument, wanted, price)), f"buying {symbol}")
            self._taken(await self.hand.set_stop(symbol, price_text(instrument, price * (1 - self.plan.stop_frac))), f"stop of {symbol}")

    async def rest(self, count: int) -> None:
        """Leave orders in the book that add risk and are far from the price: something to cancel."""
        for number in range(count):
            symbol = self.plan.symbols[number % len(self.plan.symbols)]
            instrument, price = self.instruments[symbol], await self.hand.mark(symbol)
            limit = price_text(instrument, price * (Decimal("0.35") + Decimal(number) / 1_000))
            qty = qty_of(instrument, max(Decimal(20), price * instrument.lot_size * instrument.order_qty_min_lots), price * Decimal("0.35"))
            self._taken(await self.hand.place(symbol, "Buy", qty, price=limit, link_id=f"drill-{number}"), f"resting order in {symbol}")

    def _taken(self, answer: dict[str, Any], what: str) -> None:
        if answer["retCode"] not in (0, 34040):  # 34040: the stop lies there already
            raise VenueUnavailable(f"{what} was refused", why=f"{answer['retCode']} {answer['retMsg']}", fix="look into the exchange's log")

    # --- time ------------------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Let the market begin."""
        self._lockstep = LockStep(self.url, CLIENT)
        await self._lockstep.connect()

    async def close(self) -> None:
        """End everything that was started, politely first."""
        if self._lockstep is not None:
            await self._lockstep.close()
        if hasattr(self, "hand"):
            await self.hand.close()
        await self._session.close()
        for child in reversed(list(self.children.values())):
            await end(child)

    async def _first_line(self, child: Child, out: Path) -> dict[str, Any]:
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while child.is_alive:
                    if out.exists() and b"\n" in (said := out.read_bytes()):
                        found: dict[str, Any] = json.loads(said.splitlines()[0])
                        return found
                    await asyncio.sleep(LOOK_EVERY_S)
        said_last = out.read_text(errors="replace")[-1_000:] if out.exists() else ""
        raise VenueUnavailable("the drill's exchange did not start", why=said_last or "it said nothing", fix="look into the drill's folder")


async def end(child: Child, *, hard: bool = False) -> None:
    """End one process, by force where it does not go. A stopped one goes on first, so that it can go at all."""
    if not child.is_alive:
        return
    child.signal(signal.SIGCONT)
    child.signal(signal.SIGKILL if hard else signal.SIGTERM)
    await asyncio.wait([child.ended], timeout=END_S)
    child.signal(signal.SIGKILL)
    await child.ended
