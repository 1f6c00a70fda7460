"""One market, one trader that dies again and again on one state folder, and an auditor who compares the books whenever they stand still."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from kedge.domain.events import Command
from kedge.services.inbox import Inbox

from .compare import findings
from .journal_books import JournalSays
from .market import POLL_S, Market
from .models import keep_drill_model
from .plan import OUTSIDE, SPARED, Blow
from .prices import INTERVAL_NS, write_bars
from .processes import Child, Starter
from .venue_books import VenueReader

CONFIG = """\
limits:
  daily_loss_soft_frac: "0.90"
  daily_loss_reduce_frac: "0.95"
  daily_loss_halt_frac: "0.99"
  drawdown_soft_frac: "0.90"
  drawdown_reduce_frac: "0.95"
  drawdown_halt_frac: "0.99"
  orders_per_second_max: 2
journal: {snapshot_every: 60}
"""
"""Losses do not stop it, a low order rate makes timers, and snapshots are frequent."""

LIFE_S = 45.0
"""Wall time in which a life must get where it is to die, or prove that it has recovered."""
AGREE_S = 15.0
"""Wall time in which the books must agree once the market stands still again and again."""
CHECK_S = 120.0
"""Wall time that the audit of a journal and its replay may take."""
MINUTE_NS = 60 * 10**9
SPARED_BARS = 12
LAST_BARS = 20
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@dataclass
class Outcome:
    """What a round did and found."""

    deaths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    audits: int = 0
    bars: int = 0
    fills: int = 0
    fundings: int = 0
    orders: int = 0
    records: int = 0
    seconds: float = 0.0
    found: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Comparisons that needed another bar, and the first thing that was missing."""

    def add(self, other: Outcome) -> None:
        """Sum two rounds up."""
        self.deaths += other.deaths
        self.faults += other.faults
        self.found += other.found
        self.late += other.late
        for name in ("audits", "bars", "fills", "fundings", "orders", "records", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Round:
    """Plays one list of blows through.

    Parameters
    ----------
    folder : Path
        Empty; becomes the state folder of exchange and trader.
    replayed : bool
        Play recorded quarter hours, with a settlement every 32 bars, instead of synthetic minutes.
    by_model : bool
        Trade by a model, whose predictions and their features are in the journal, instead of by a rule.
    """

    def __init__(
        self, folder: Path, starter: Starter, blows: Sequence[Blow], seed: int, *, replayed: bool = False, by_model: bool = False
    ) -> None:
        self.outcome = Outcome()
        self._replayed, self._by_model = replayed, by_model
        self._folder, self._starter, self._blows, self._seed = folder, starter, blows, seed
        self._market: Market
        self._reader: VenueReader
        self._journal: JournalSays | None = None
        self._lives = 0
        self._begun_ms = 0

    async def run(self) -> Outcome:
        """Everything, then the last comparison, the audit of the journal and its replay."""
        began = time.monotonic()
        (self._folder / "kedge.yaml").write_text(CONFIG)
        self._market = await Market.open(self._starter, self._folder, self._seed, *self._prices(), *self._config)
        self._begun_ms = await self._market.venue_ms()
        (key, *_) = json.loads((self._folder / "paper" / "keys.json").read_text())["keys"]
        self._reader = VenueReader(self._market.url, key["api_key"], key["api_secret"])
        try:
            for blow in self._blows:
                await self._life(blow)
                if self.outcome.found:  # what follows would only repeat it
                    break
            await self._last_life()
            self.outcome.faults.update(await self._market.faults_done())
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            self._find(f"the exchange failed: {error!r}; {self._tail()}")
        finally:
            await self._reader.close()
            await self._market.close()
        await self._check_the_journal()
        self._sum_up(began)
        return self.outcome

    @property
    def _config(self) -> tuple[object, ...]:
        return "--config", self._folder / "kedge.yaml"

    def _prices(self) -> list[object]:
        if self._replayed:
            paths = write_bars(self._folder, SYMBOLS, self._seed)
            return ["--market", "replay:" + ",".join(map(str, paths))]
        return ["--market", "synthetic", *(word for symbol in SYMBOLS for word in ("--instrument", symbol))]

    def _strategy(self) -> list[str]:
        if not self._by_model:
            return ["--param", "fast=2", "--param", "slow=4"]
        sha256 = keep_drill_model(self._folder, INTERVAL_NS if self._replayed else MINUTE_NS)
        return ["--strategy", "model", "--param", f"model={sha256}", "--param", "outside_max=0"]

    # lives ------------------------------------------------------------------------------------------------------------

    async def _life(self, blow: Blow) -> None:
        """From a start to a death, or to a comparison that found nothing."""
        trader, before = await self._start(blow)
        try:
            async with asyncio.timeout(LIFE_S):
                if blow.point == OUTSIDE and blow.is_early:
                    await asyncio.sleep(blow.wait_s)
                    trader.signal(signal.SIGKILL)
                elif await self._recovers(trader, before) and await self._audit(trader, str(blow)):
                    await self._strike(trader, blow)
                if blow.point != SPARED:
                    await self._dies(trader, blow)
        except TimeoutError:
            self._find(f"{blow}: not reached in {LIFE_S:.0f} s; {self._tail()}")
        finally:
            self._market.release()
            if trader.is_alive and blow.point != SPARED:
                trader.signal(signal.SIGKILL)
                await trader.ended
            elif trader.is_alive:
                trader.signal(signal.SIGTERM)
                await self._stops(trader, str(blow))

    async def _start(self, blow: Blow | None) -> tuple[Child, int]:
        self._lives += 1
        before = max(0, await self._market.acked())
        out = self._folder / f"trader-{self._lives:03}.out"
        argv = ["trade", "--state-dir", self._folder, *self._config, *self._strategy(), "--json"]
        argv += ["--venue", self._market.url, "--on-stop", "leave", *(word for one in SYMBOLS for word in ("--instrument", one))]
        argv += ["--interval", "15m" if self._replayed else "1m"]
        kill = {"KEDGE_KILL_AT": f"{blow.point}:{blow.count}"} if blow is not None and blow.is_named else {}
        return await self._starter.spawn(argv, out, **kill), before

    async def _recovers(self, trader: Child, before: int) -> bool:
        """Wait until this life has acknowledged a bar; False when it ended first."""
        while trader.is_alive and await self._market.acked() <= before:
            await asyncio.sleep(POLL_S)
        return trader.is_alive

    async def _strike(self, trader: Child, blow: Blow) -> None:
        for fault in blow.faults:
            await self._market.order(fault)
        if blow.point == OUTSIDE:
            await asyncio.sleep(blow.wait_s)
            trader.signal(signal.SIGKILL)
        elif blow.point == "stop":
            trader.signal(signal.SIGTERM)
        elif blow.point == "before_cancel":
            await self._cancel_often(trader)
        elif blow.point == SPARED:
            for _ in range(SPARED_BARS):
                await self._market.next_bar()
            await self._audit(trader, str(blow))

    async def _cancel_often(self, trader: Child) -> None:
        """Tell it to cancel everything again and again, so that one of the commands meets an order on its way."""
        with Inbox(self._folder / "inbox.sqlite") as inbox:
            while trader.is_alive:
                inbox.put(Command.CANCEL_ALL, "drill", "cancel whatever is on its way", wall_ns=time.time_ns())
                await asyncio.wait([trader.ended], timeout=0.2)

    async def _dies(self, trader: Child, blow: Blow) -> None:
        status = await asyncio.shield(trader.ended)
        if status == -signal.SIGKILL:
            self.outcome.deaths[blow.point] += 1
        else:
            self._find(f"{blow}: ended with {status}, not by signal 9; {self._tail()}")

    async def _stops(self, trader: Child, what: str) -> None:
        try:
            async with asyncio.timeout(LIFE_S):
                status = await asyncio.shield(trader.ended)
            if status:
                self._find(f"{what}: a polite stop ended with {status}; {self._tail()}")
        except TimeoutError:
            self._find(f"{what}: no stop in {LIFE_S:.0f} s; {self._tail()}")
            trader.signal(signal.SIGKILL)
            await trader.ended

    async def _last_life(self) -> None:
        """Recover once more, trade on, stop politely, compare for good."""
        trader, before = await self._start(None)
        fills = 0
        try:
            async with asyncio.timeout(LIFE_S):
                if await self._recovers(trader, before) and await self._audit(trader, "last life"):
                    fills = len(self._journal.fills) if self._journal is not None else 0
                    for _ in range(LAST_BARS):
                        await self._market.next_bar()
                    await self._audit(trader, "last bars")
        except TimeoutError:
            self._find(f"last life: no recovery in {LIFE_S:.0f} s; {self._tail()}")
        self._market.hold()
        trader.signal(signal.SIGTERM)
        await self._stops(trader, "last life")
        await self._market.clear_faults()
        self._journal = self._newest_journal()
        self.outcome.found += [f"at the end: {one}" for one in await self._compare()]
        if self._journal is not None and len(self._journal.fills) <= fills:
            self._find("the last life traded no more")

    # comparing --------------------------------------------------------------------------------------------------------

    async def _audit(self, trader: Child, what: str) -> bool:
        """Compare while the market stands still; what frames were lost shows at a later bar. False when the trader ended."""
        await self._market.clear_faults()
        deadline = time.monotonic() + AGREE_S
        first = True
        while True:
            if not await self._stands_still(trader):
                return False
            found = await self._compare()
            if not found or time.monotonic() > deadline:
                break
            if first:
                self.outcome.late.append(f"{what}: {found[0]}")
            first = False
            self._market.release()
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._market.next_bar()
        self._market.release()
        if trader.is_alive:
            self.outcome.audits += 1
            self.outcome.found += [f"{what}: {one}" for one in found]
        return trader.is_alive

    async def _stands_still(self, trader: Child) -> bool:
        """Hold the market until the trader has finished its bar."""
        self._market.hold()
        while trader.is_alive and (await self._market.acked() < self._market.bars or not self._market.stands_still):
            await asyncio.sleep(POLL_S)
        return trader.is_alive

    async def _compare(self) -> list[str]:
        if self._journal is None:
            self._journal = self._newest_journal()
            if self._journal is None:
                return ["there is no journal"]
        says = await self._reader.read(self._begun_ms, await self._market.venue_ms())
        self._journal.read_on()
        return findings(self._journal, says)

    def _newest_journal(self) -> JournalSays | None:
        paths = list((self._folder / "runs").glob("*/journal.sqlite"))
        if len(paths) > 1:
            self._find(f"one market has {len(paths)} runs")
        return JournalSays(paths[0]) if paths else None

    async def _check_the_journal(self) -> None:
        """Chain, signatures, snapshots and features hold, deciding again gives the same records, and nothing comes from nowhere."""
        if self._journal is None:
            return
        run = self._journal.path.parent.name
        for command in (("audit", "verify", run), ("replay", run), ("audit", "orphans", run)):
            out = self._folder / f"{'-'.join(command[:-1])}.out"
            child = await self._starter.spawn((*command, "--state-dir", self._folder, *self._config, "--json"), out)
            await asyncio.wait([child.ended], timeout=CHECK_S)
            child.signal(signal.SIGKILL)
            status = await child.ended
            told = json.loads(out.read_text()) if status in (0, 9) else {}
            grave = [one for one in told.get("findings", ()) if one["kind"] != "crash"]
            grave += [one for report in told.get("runs", ()) for one in report["orphans"]]
            if self._by_model and "runs" in told and not sum(report["predictions"] for report in told["runs"]):
                grave.append("no prediction was recorded")
            if status not in (0, 9) or grave or not told.get("equal", True):
                self._find(f"kedge {' '.join(command[:-1])} ended with {status}: {grave or out.read_text()[-400:]}")

    def _find(self, text: str) -> None:
        self.outcome.found.append(text)

    def _tail(self) -> str:
        out = self._folder / f"trader-{self._lives:03}.out"
        log = self._folder / "logs" / "trader.jsonl"
        said = out.read_text()[-600:] if out.exists() else ""
        return f"it said {said!r}, its log ends {log.read_text().splitlines()[-3:] if log.exists() else []}"

    def _sum_up(self, began: float) -> None:
        outcome = self.outcome
        outcome.bars, outcome.seconds = self._market.bars, time.monotonic() - began
        if self._journal is not None:
            outcome.fills, outcome.fundings = len(self._journal.fills), len(self._journal.fundings)
            outcome.orders, outcome.records = len(self._journal.orders), self._journal.count
