"""Two traders with one account's keys and state folders of their own, which no lock can keep apart: one of them must stand down.

What both would decide alike carries the same client id, so the exchange takes it once. Whatever else one of them does is foreign to the
other, which halts. Neither may own what it did not send, and nobody's order may be without a record.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .journal_books import JournalSays
from .market import Market
from .processes import Child, Starter
from .venue_books import VenueReader, VenueSays

RIVAL = "rival"
BARS_ALONE = 3
BARS_TOGETHER = 40
SETTLES_S = 1.0
"""Wall time in which what is on its way arrives, once the market stands still."""
TOGETHER_S = 30.0
END_S = 45.0
SECOND_S = 20.0
"""Wall time in which a second trader on one state folder must have been refused."""
CONFLICT = 6
"""Exit code of a trader that finds the state folder in use."""
HALTED = "trading is halted"


async def refuse_second(starter: Starter, argv: Sequence[object], out: Path) -> list[str]:
    """Start another trader on a state folder that is in use: it must end, and say why."""
    second = await starter.spawn(argv, out)
    await asyncio.wait([second.ended], timeout=SECOND_S)
    second.signal(signal.SIGKILL)
    status, said = await second.ended, out.read_text()
    if status == CONFLICT and "a trader is running already" in said:
        return []
    return [f"a second trader on one state folder ended with {status} and said {said[-400:]!r}"]


@dataclass
class Two:
    """What both journals say, and the exchange."""

    first: JournalSays
    second: JournalSays | None
    venue: VenueSays

    @property
    def journals(self) -> list[JournalSays]:
        return [self.first, *([self.second] if self.second else [])]

    def findings(self) -> list[str]:
        """Orders without a record, or twice; trades that their owner has not booked, or booked twice; two who both went on."""
        links = Counter(row["orderLinkId"] for row in self.venue.orders.values())
        known = {name for journal in self.journals for name in journal.sent}
        found = [f"order at the exchange {times} times: {name!r}" for name, times in links.items() if times > 1]
        found += [f"the exchange has an order that nobody recorded: {name!r}" for name in sorted(links.keys() - known)]
        for journal in self.journals:
            found += [f"order {name} was decided {order.times} times" for name, order in journal.orders.items() if order.times > 1]
            booked = Counter(fill["fill_id"] for fill in journal.fills)
            found += [f"execution booked {times} times: {name}" for name, times in booked.items() if times > 1]
            theirs = {row["execId"] for row in self.venue.trades}
            found += [f"execution never happened: {name}" for name in sorted(booked.keys() - theirs)]
        everywhere = {fill["fill_id"] for journal in self.journals for fill in journal.fills}
        found += [f"execution lost: {row['execId']}" for row in self.venue.trades if row["execId"] not in everywhere]
        return found + self._both_went_on()

    @property
    def strangers(self) -> frozenset[str]:
        """Orders of the second one alone, also those whose trades the first one has heard of."""
        return frozenset(self.second.sent - self.first.sent) if self.second is not None else frozenset()

    def _both_went_on(self) -> list[str]:
        if self.second is None or any(HALTED in text for journal in self.journals for text in journal.strange):
            return []
        apart = len(self.strangers)
        return [f"two traders went on beside each other: {apart} orders are the second one's alone"] if apart else []


class Rivals:
    """Lets a second trader loose on the account of the first.

    Parameters
    ----------
    argv : callable
        The command line of a trader with this state folder.

    Attributes
    ----------
    told : str
        How it ended, for people.
    strangers : frozenset of str
        Orders that the second one sent and the first one did not: their fills are orphans in the journal of the first, and rightly so.
    """

    def __init__(
        self, folder: Path, starter: Starter, market: Market, reader: VenueReader, argv: Callable[[Path], Sequence[object]]
    ) -> None:
        self._folder, self._starter, self._market, self._reader, self._argv = folder, starter, market, reader, argv
        self._other = folder.with_name(folder.name + "-rival")
        self.told = ""
        self.strangers: frozenset[str] = frozenset()

    async def play(self, begun_ms: int) -> list[str]:
        """Start both, let the market play on, stop both, and compare."""
        keys = self._other / "paper" / "keys.json"
        keys.parent.mkdir(parents=True, mode=0o700)
        shutil.copy2(self._folder / "paper" / "keys.json", keys)
        first = await self._start(self._folder, "rival-first.out")
        await self._bars(BARS_ALONE)
        second = await self._start(self._other, "rival-second.out")
        try:
            await self._bars(BARS_TOGETHER)
            self._market.hold()
            await asyncio.sleep(SETTLES_S)
        finally:
            ends = [await self._end(one) for one in (first, second)]
        venue = await self._reader.read(begun_ms, await self._market.venue_ms())
        two = Two(read_journals(self._folder)[0], next(iter(read_journals(self._other)), None), venue)
        self.strangers = two.strangers
        halts = [sorted({text.split(" ", 4)[3] for text in journal.strange if HALTED in text}) for journal in two.journals]
        self.told = f"ended with {ends}, halted by {halts}, {[len(one.orders) for one in two.journals]} orders"
        found = [*two.findings(), *(f"a stop ended with {code}" for code in ends if code not in (0, CONFLICT))]
        return [f"two traders, one account: {text}" for text in found]

    async def _start(self, state: Path, out: str) -> Child:
        return await self._starter.spawn(self._argv(state), self._folder / out)

    async def _bars(self, count: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TOGETHER_S):
                for _ in range(count):
                    await self._market.next_bar()

    async def _end(self, trader: Child) -> int:
        trader.signal(signal.SIGTERM)
        await asyncio.wait([trader.ended], timeout=END_S)
        trader.signal(signal.SIGKILL)
        return await trader.ended


def read_journals(state: Path) -> list[JournalSays]:
    """Every run's journal of a state folder."""
    found = [JournalSays(path) for path in sorted((state / "runs").glob("*/journal.sqlite"))]
    for journal in found:
        journal.read_on()
    return found
