"""One market, one trader that dies again and again on one state folder, and an auditor who compares the books whenever they stand still."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import aiohttp

from kedge.domain.events import Command
from kedge.services.inbox import Inbox

from .compare import findings
from .course import Course
from .frozen import Freeze, go_on
from .journal_books import JournalSays
from .journal_checks import check_journal
from .market import POLL_S, Market
from .outcome import Outcome
from .plan import FROZEN, LIVES_ON, OUTSIDE, SECOND, Blow
from .processes import Child, Starter
from .rivals import RIVAL, Rivals, refuse_second
from .venue_books import VenueReader, VenueSays

LIFE_S = 45.0
"""Wall time in which a life must get where it is to die, or prove that it has recovered."""
AGREE_S = 15.0
"""Wall time in which the books must agree once the market stands still again and again."""
SPARED_BARS = 12
LAST_BARS = 20


class Round:
    """Plays one list of blows through.

    Parameters
    ----------
    course : Course
        What is played and who trades; its folder is empty and becomes the state folder of exchange and trader.
    rivals : bool
        In the end let another trader loose on the same account.
    """

    def __init__(self, course: Course, starter: Starter, blows: Sequence[Blow], *, rivals: bool = True) -> None:
        self.outcome = Outcome()
        self._course, self._folder, self._starter, self._blows, self._rivals = course, course.folder, starter, blows, rivals
        self._market: Market
        self._reader: VenueReader
        self._journal: JournalSays | None = None
        self._lives = 0
        self._begun_ms = 0
        self._strangers: frozenset[str] = frozenset()

    async def run(self) -> Outcome:
        """Everything, then the last comparison, the audit of the journal and its replay."""
        began = time.monotonic()
        course = self._course
        course.write_config()
        self._market = await Market.open(self._starter, self._folder, course.seed, *course.prices(), *course.config)
        course.url = self._market.url
        self._begun_ms = await self._market.venue_ms()
        (key, *_) = json.loads((self._folder / "paper" / "keys.json").read_text())["keys"]
        self._reader = VenueReader(self._market.url, key["api_key"], key["api_secret"])
        try:
            for blow in self._blows:
                await self._life(blow)
                if self.outcome.found:  # what follows would only repeat it
                    break
            await self._last_life()
            if self._rivals and not self.outcome.found:
                await self._play_rivals()
            self.outcome.faults.update(await self._market.faults_done())
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            self._find(f"the exchange failed: {error!r}; {self._tail()}")
        finally:
            await self._reader.close()
            await self._market.close()
        await self._check_the_journal()
        self._sum_up(began)
        return self.outcome

    # lives ------------------------------------------------------------------------------------------------------------

    async def _life(self, blow: Blow) -> None:
        """From a start to a death, or to a comparison that found nothing."""
        trader, before = await self._start(blow)
        freeze = Freeze(self._fresh_journal, self._venue_says, self.outcome)
        freezing = asyncio.ensure_future(freeze.watch(trader, blow))
        try:
            async with asyncio.timeout(LIFE_S + (blow.frozen_s if blow.point == FROZEN else 0.0)):
                if blow.point == OUTSIDE and blow.is_early:
                    await asyncio.sleep(blow.wait_s)
                    trader.signal(signal.SIGKILL)
                elif await self._recovers(trader, before) and await self._audit(trader, str(blow)):
                    await self._strike(trader, blow, freeze)
                if blow.kills:
                    await self._dies(trader, blow)
        except TimeoutError:
            self._find(f"{blow}: not reached in {LIFE_S:.0f} s; {self._tail()}")
        finally:
            freezing.cancel()
            await asyncio.gather(freezing, return_exceptions=True)
            go_on(trader)
            self._market.release()
            if trader.is_alive and blow.kills:
                trader.signal(signal.SIGKILL)
                await trader.ended
            elif trader.is_alive:
                trader.signal(signal.SIGTERM)
                await self._stops(trader, str(blow))

    async def _start(self, blow: Blow | None) -> tuple[Child, int]:
        self._lives += 1
        before = max(0, await self._market.acked())
        out = self._folder / f"trader-{self._lives:03}.out"
        kill = {"KEDGE_KILL_AT": blow.armed} if blow is not None and blow.armed else {}
        return await self._starter.spawn(self._course.trader(self._folder), out, **kill), before

    async def _recovers(self, trader: Child, before: int) -> bool:
        """Wait until this life has acknowledged a bar; False when it ended first."""
        while trader.is_alive and await self._market.acked() <= before:
            await asyncio.sleep(POLL_S)
        return trader.is_alive

    async def _strike(self, trader: Child, blow: Blow, freeze: Freeze) -> None:
        for fault in blow.faults:
            await self._market.order(fault)
        if blow.point == OUTSIDE:
            await asyncio.sleep(blow.wait_s)
            trader.signal(signal.SIGKILL)
        elif blow.point == "stop":
            trader.signal(signal.SIGTERM)
        elif blow.point == "before_cancel":
            await self._cancel_often(trader)
        elif blow.point in LIVES_ON:
            if blow.point == SECOND:
                out = self._folder / f"second-{self._lives:03}.out"
                self.outcome.found += await refuse_second(self._starter, self._course.trader(self._folder), out)
                self.outcome.faults[SECOND] += 1
            elif blow.point == FROZEN:
                await freeze.strike(trader, blow)
            for _ in range(SPARED_BARS):
                await self._market.next_bar()
            if await self._audit(trader, str(blow)):
                self.outcome.found += [f"{blow}: {one}" for one in freeze.findings(await self._venue_says())]

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
                    await self._stands_still(trader)  # what rests may trade while nobody is there to hear of it
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
        deadline, first = 0.0, True
        while True:
            if not await self._stands_still(trader):
                return False
            deadline = deadline or time.monotonic() + AGREE_S
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
        says = await self._venue_says()
        self._journal.read_on()
        return findings(self._journal, says)

    async def _venue_says(self) -> VenueSays:
        return await self._reader.read(self._begun_ms, await self._market.venue_ms())

    def _fresh_journal(self) -> JournalSays | None:
        """What is in the journal now, read from its beginning."""
        journal = self._newest_journal()
        if journal is not None:
            journal.read_on()
        return journal

    def _newest_journal(self) -> JournalSays | None:
        paths = list((self._folder / "runs").glob("*/journal.sqlite"))
        if len(paths) > 1:
            self._find(f"one market has {len(paths)} runs")
        return JournalSays(paths[0]) if paths else None

    async def _play_rivals(self) -> None:
        """Another trader, another state folder, the same account."""
        self._market.release()
        rivals = Rivals(self._folder, self._starter, self._market, self._reader, self._course.trader)
        self.outcome.found += await rivals.play(self._begun_ms)
        self.outcome.faults[RIVAL] += 1
        self.outcome.rivals.append(rivals.told)
        self._strangers = rivals.strangers

    async def _check_the_journal(self) -> None:
        if self._journal is not None:
            run, config = self._journal.path.parent.name, (*self._course.config, "--state-dir", self._folder)
            self.outcome.found += await check_journal(
                self._starter, self._folder, run, config, predicts=self._course.by_model, strangers=self._strangers
            )

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
