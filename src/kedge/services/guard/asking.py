"""What the guard asks the venue where its books do not agree: the ledger, executions, and prices of what is held no more.

Rules: at once about every new wallet, and then again; all at the same time; losses do not wait for an answer that is late: it is taken
when it comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.events import OrderFilled
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import GuardVenue
from kedge.risk.brake.books import PositionBook, WalletBook
from kedge.risk.brake.earnings import Earnings
from kedge.services.guard.reading import Truth

_LOG: Final = logging.getLogger(__name__)

ASK_EVERY_NS: Final = 200 * NS_PER_MS
"""Between two questions about the same unexplained wallet; about another one the ledger is asked at once."""
WAIT_S: Final = 0.15
"""So long the reading that asks first waits for the answers before it is judged without them; later ones do not wait for the same."""
PRICE_KEPT_NS: Final = 2 * NS_PER_S


class Questions:
    """Asks about one account, one round of questions at a time."""

    def __init__(self, truth: Truth, earnings: Earnings, monotonic_ns: Callable[[], int]) -> None:
        self._truth, self._earnings, self._monotonic_ns = truth, earnings, monotonic_ns
        self._asking: asyncio.Task[None] | None = None
        self._ledger_ns = self._executions_ns = -(1 << 62)
        self._asked_of_e8: int | None = None
        self._prices: dict[InstrumentId, tuple[int, int]] = {}
        self._old_since_ns: dict[InstrumentId, int] = {}

    async def ask(
        self, venue: GuardVenue, wallet: WalletBook, positions: PositionBook, *, wallet_e8: int | None, in_doubt: bool, anyway: bool
    ) -> None:
        """Ask what is due, and wait a little for it.

        Parameters
        ----------
        wallet_e8 : int or None
            The wallet that nothing explains; None where it is explained.
        in_doubt : bool
            Whether positions, or the wallet, are not explained.
        anyway : bool
            The ledger is due whatever the books say.
        """
        self._take_answers()
        now_ns, rounds = self._monotonic_ns(), []
        is_new = wallet_e8 is not None and wallet_e8 != self._asked_of_e8
        if self._asking is None:
            if anyway or is_new or (wallet_e8 is not None and now_ns - self._ledger_ns >= ASK_EVERY_NS):
                self._ledger_ns, self._asked_of_e8 = now_ns, wallet_e8
                rounds.append(self._well("the ledger", self._ledger(venue, wallet)))
            if in_doubt and now_ns - self._executions_ns >= ASK_EVERY_NS:
                self._executions_ns = now_ns
                rounds.append(self._well("executions", self._executions(venue, positions)))
                rounds += [self._well(f"the book of {name}", self._price(venue, name)) for name in self._unpriced()]
                rounds.append(self._well("records of instruments", self._know(venue, self._earnings.instruments)))
            if rounds:
                self._asking = asyncio.create_task(_all(rounds))
                await asyncio.wait({self._asking}, timeout=WAIT_S if is_new or anyway else 0)
        self._take_answers()

    async def know(self, venue: GuardVenue, names: Collection[InstrumentId]) -> None:
        """Have the records of instruments that are held no more."""
        await self._well("records of instruments", self._know(venue, names))

    def prices_e8(self) -> dict[InstrumentId, int]:
        """Marks of what is held; of what was until lately the middle of the book, before that is answered its last mark."""
        now_ns = self._monotonic_ns()
        found: dict[InstrumentId, int] = {}
        for name in self._earnings.instruments:
            if mark_e8 := self._last_e8(name, now_ns):
                found[name] = mark_e8
        for name, (price_e8, at_ns) in self._prices.items():
            if now_ns - at_ns <= PRICE_KEPT_NS:
                found[name] = price_e8
        for position in self._truth.positions:
            if mark_e8 := self._truth.mark_e8(position):
                found[position.instrument] = mark_e8
        return found

    async def close(self) -> None:
        """Leave what is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    # within -------------------------------------------------------------------------------------------------------------

    def _last_e8(self, name: InstrumentId, now_ns: int) -> int | None:
        """The last mark; however old it is when something vanished while nobody could look, until its book had the time to answer."""
        if found := self._truth.last_mark_e8(name):
            self._old_since_ns.pop(name, None)
            return found
        is_new = now_ns - self._old_since_ns.setdefault(name, now_ns) <= PRICE_KEPT_NS
        return self._truth.marks_e8.get(name) if is_new else None

    def _take_answers(self) -> None:
        """A round that is over makes room for the next; a defect in it is raised."""
        if self._asking is not None and self._asking.done():
            asked, self._asking = self._asking, None
            asked.result()

    async def _know(self, venue: GuardVenue, names: Collection[InstrumentId]) -> None:
        await self._truth.within(self._truth.know(venue, sorted(names)))

    def _unpriced(self) -> list[InstrumentId]:
        held = {position.instrument for position in self._truth.positions}
        return sorted(self._earnings.instruments - held)

    async def _ledger(self, venue: GuardVenue, book: WalletBook) -> None:
        book.take(await self._truth.within(venue.ledger(max(0, book.ts_ns))))

    async def _executions(self, venue: GuardVenue, book: PositionBook) -> None:
        listed = await self._truth.within(venue.executions(max(0, book.ts_ns)))
        self._earnings.take(book.take(fill for fill in listed if isinstance(fill, OrderFilled)))
        await self._know(venue, self._earnings.instruments)

    async def _price(self, venue: GuardVenue, name: InstrumentId) -> None:
        await self._know(venue, [name])
        depth, spec = await self._truth.within(venue.depth(name)), self._truth.records.get(name)
        best = [levels[0][0] for levels in (depth.bids, depth.asks) if levels]
        if best and spec is not None:
            self._prices[name] = (sum(best) * spec.tick_e8 // len(best), self._monotonic_ns())

    async def _well(self, what: str, question: Awaitable[None]) -> None:
        try:
            await question
        except KedgeError as error:
            _LOG.warning("%s cannot be had: %s", what, error)


async def _all(rounds: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*rounds)
