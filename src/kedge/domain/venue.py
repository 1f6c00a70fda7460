"""A trading venue as the services see it: the port, and the nouns of its answers.

Rules: quantities and prices are on the instrument's grid, money in 1e-8 of the quote currency, times are venue time in UTC
nanoseconds except where a name says wall. What the venue reports of our orders arrives as engine events, so that streams, gap
filling and reconciliation speak one language. Unknown is None or `Unanswered`, never zero and never a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from kedge.domain.events import (
    BarClosed,
    FeedGap,
    FundingKnown,
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder, OrderKind, Side, TimeInForce

NO_PERMIT: Final = "NO_PERMIT"
"""Code of an order that was not sent because nobody permitted new risk."""

NOT_LISTED: Final = "NOT_LISTED"
"""Code of an order that was not sent because the venue lists the instrument no more."""


class VenueOrderState(StrEnum):
    """Where the venue says an order stands; a conditional order is WAITING until its trigger."""

    WAITING = "waiting"
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order in the venue's books.

    `client_order_id` is empty where nobody gave one. `limit_ticks` is 0 for market orders. `is_conditional` marks orders that wait
    for a trigger, the stops of positions among them. `reason` is the venue's word for a cancel or a refusal.
    """

    client_order_id: str
    venue_order_id: str
    instrument: InstrumentId
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    qty_lots: int
    cum_lots: int
    limit_ticks: int
    reduce_only: bool
    is_conditional: bool
    state: VenueOrderState
    reason: str
    created_ts_ns: int
    updated_ts_ns: int
    trigger_ticks: int = 0


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask of a book that is whole, with the venue's time of its last change."""

    instrument: InstrumentId
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    ts_ns: int


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position; `lots` signed, `cost_e8` signed like it. `stop_loss_ticks` is 0 without a stop at the venue.

    `only_reduces` says that the venue lowered a risk limit and lets it only be reduced.
    """

    instrument: InstrumentId
    position_idx: int
    lots: int
    cost_e8: int
    mark_e8: int | None
    leverage_e2: int | None
    stop_loss_ticks: int
    ts_ns: int
    only_reduces: bool = False


class VenueWallet(msgspec.Struct, frozen=True, kw_only=True):
    """The account's money: `equity = wallet + unrealised`. None where the venue did not say."""

    wallet_e8: int
    equity_e8: int | None
    available_e8: int | None
    ts_ns: int


class LedgerKind(StrEnum):
    """What changed the wallet. TRANSFER is any deposit, withdrawal or transfer; OTHER is a word that nobody taught the client."""

    TRADE = "trade"
    FUNDING = "funding"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    DELIVERY = "delivery"
    TRANSFER = "transfer"
    CONVERSION = "conversion"
    BONUS = "bonus"
    INTEREST = "interest"
    REFUND = "refund"
    OTHER = "other"


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the wallet: `change_e8 = cash_flow_e8 + funding_e8 - fee_e8`; `funding_e8` > 0 was received."""

    entry_id: str
    ts_ns: int
    kind: LedgerKind
    word: str
    instrument: InstrumentId
    change_e8: int
    cash_flow_e8: int
    funding_e8: int
    fee_e8: int
    balance_e8: int | None
    fill_id: str


class Taken(msgspec.Struct, frozen=True, gc=False):
    """The venue acknowledged a request; of an order it means accepted, not traded."""

    venue_order_id: str = ""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue said no, and nothing happened. `code` is its own."""

    code: str
    reason: str


class Unanswered(msgspec.Struct, frozen=True, gc=False):
    """Nobody knows: no reply in time, a broken connection, or an ambiguous code. The request may have been carried out."""

    why: str


Answer = Taken | Refused | Unanswered


class Stream(StrEnum):
    """The venue's streams."""

    PUBLIC = "public"
    PRIVATE = "private"
    TRADE = "trade"


class StreamUp(msgspec.Struct, frozen=True):
    """A stream is connected and subscribed; `again` after an interruption, so what was missed must be asked for."""

    stream: Stream
    again: bool


class StreamDown(msgspec.Struct, frozen=True):
    """A stream is gone; it is being reconnected."""

    stream: Stream
    why: str


class ActionNeeded(msgspec.Struct, frozen=True):
    """The venue refuses the key, the account or this machine: trading cannot go on until a person mends it. `code` is the venue's."""

    code: str
    what: str
    fix: str


OrderNews = OrderAccepted | OrderRejected | OrderFilled | OrderCanceled | OrderWaits | OrderTriggered | OrderAmended
VenueNews = (
    BarClosed | FeedGap | FundingKnown | OrderNews | FundingSettled | VenuePosition | VenueWallet | StreamUp | StreamDown | ActionNeeded
)
"""What a venue tells by itself, in the order in which it arrived. Of foreign orders `client_order_id` is whatever they carry.
Bars are confirmed, in order per instrument and without repeats; missed ones come from history before any later one, else a `FeedGap`.
`FundingKnown` comes only from a client that was set up for it; what settled while the public stream was away is asked of history."""


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """The visible book: `(price_ticks, qty_lots)` a level, best first; a side without orders is empty. `ts_ns` is the venue's data time."""

    instrument: InstrumentId
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    ts_ns: int


class DailyCloses(msgspec.Struct, frozen=True, kw_only=True):
    """Closes of finished UTC days without a gap, oldest first; `last_day_ts_ns` is the end of the last of them, a UTC midnight.

    0 and empty where the venue has none.
    """

    instrument: InstrumentId
    last_day_ts_ns: int
    closes_ticks: tuple[int, ...]


class CancelKind(StrEnum):
    """Which open orders go at once."""

    RESTING = "resting"
    """Active ones; what waits for a trigger stays, the stops of positions among them."""
    CONDITIONAL = "conditional"
    """Those that wait for a trigger and that somebody sent; the stops of positions stay."""
    EVERY = "every"
    """All of every kind, the stops of positions too."""


class TradingVenue(Protocol):
    """One account at one venue. Every call may raise `VenueUnavailable`; placing and cancelling answer `Unanswered` instead."""

    async def start(self) -> None:
        """Measure the clock, check the key and the account's mode, connect and subscribe the streams."""

    async def close(self) -> None:
        """Leave; open orders and positions stay as they are."""

    async def news(self) -> VenueNews:
        """The next piece of news; waits for one."""

    def news_at_hand(self) -> list[VenueNews]:
        """Everything that has arrived and was not taken yet, without waiting."""

    async def barrier(self) -> None:
        """Wait until everything the venue's private stream sent before this call has arrived."""

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        """Send an order, once. `is_permitted` is asked right before each signing, after every wait; False makes it `Refused`, unsent."""

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        """Ask for an order to be cancelled. `Refused` says the venue knows no such open order: it ended, or never came."""

    async def amend(
        self,
        instrument: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        is_permitted: Callable[[], bool] | None = None,
    ) -> Answer:
        """Ask for a resting order's whole quantity or limit to be changed; None leaves it. `Taken` means asked: its own row confirms.
        `is_permitted` as in `place`."""

    def quote(self, instrument: InstrumentId) -> Quote | None:
        """Best bid and ask now; None while the book is broken, crossed, empty on a side or too old."""

    async def set_stop_loss(self, instrument: InstrumentId, stop_loss_ticks: int) -> Answer:
        """Put a stop for the whole position at the venue, triggered by the mark; 0 removes it."""

    async def instruments(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        """The records in force, with this account's fees; what is not listed, or does not trade, is left out."""

    def remember(self, records: Sequence[Instrument]) -> None:
        """Read the rows of these instruments by these records from now on, whatever the venue lists: it has left their grid, or them."""

    async def open_orders(self) -> list[VenueOrder]: ...
    async def find_order(self, instrument: InstrumentId, client_order_id: str) -> VenueOrder | None:
        """Look an order up among open ones and in history; None where neither shows it."""

    async def executions(self, since_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        """Fills and settlements from `since_ts_ns` on, oldest first, whole."""

    async def positions(self) -> list[VenuePosition]:
        """Positions that are not flat."""

    async def wallet(self) -> VenueWallet: ...
    async def ledger(self, since_ts_ns: int) -> list[LedgerEntry]:
        """Changes of the wallet from `since_ts_ns` on, oldest first, whole."""

    async def bars(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        """Closed bars that end within `(from_ts_ns, to_ts_ns]`, oldest first."""

    async def funding_rates(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        """Rates that settled within `(from_ts_ns, to_ts_ns]`, oldest first."""

    async def wall_time_ns(self) -> int:
        """The venue's wall clock, asked now at its time endpoint."""


class GuardVenue(TradingVenue, Protocol):
    """What the guard needs beyond trading. Calls may raise `VenueUnavailable`; `cancel_all` answers `Unanswered` instead."""

    async def cancel_all(self, kind: CancelKind = CancelKind.RESTING) -> Answer:
        """Ask for all open orders of a kind to be cancelled; `Taken` means asked: only the list of open orders tells what is left."""

    async def depth(self, instrument: InstrumentId) -> Depth:
        """The book now, as deep as the venue shows it."""

    async def daily_closes(self, instrument: InstrumentId, days: int) -> DailyCloses:
        """The newest finished UTC days, at most so many."""

    async def data_time_ns(self) -> int:
        """The venue's data time, asked now: of its newest book; its wall clock where it trades nothing of ours."""

    def claim_room(self, *, whole: bool) -> None:
        """Use the venue's whole limit of creates and cancels instead of the guard's share; False goes back to the share."""
