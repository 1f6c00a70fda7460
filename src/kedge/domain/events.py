"""Events: everything the engine may learn. Time, replies and prices all arrive this way.

Each has `ts_ns`, the venue's time of the fact. Instances are frozen, hold integers and text only, and are
recorded whole. Adding a field needs a default, so that old journals stay readable.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kedge.domain.instrument import Instrument, InstrumentId, NonNegativeInt, PositiveInt
from kedge.domain.orders import ClientOrderId, FillCause, Liquidity, Side


class _Event(msgspec.Struct, frozen=True, gc=False, kw_only=False, tag_field="type", omit_defaults=True):
    ts_ns: int


class BarClosed(_Event, frozen=True, gc=False, tag="bar"):
    """A confirmed bar over `[open_ts_ns, ts_ns)`; becomes usable at `ts_ns`, its close."""

    instrument: InstrumentId
    open_ts_ns: int
    open_ticks: PositiveInt
    high_ticks: PositiveInt
    low_ticks: PositiveInt
    close_ticks: PositiveInt
    volume_lots: NonNegativeInt


class FeedGap(_Event, frozen=True, gc=False, tag="gap"):
    """Bars `[from_ts_ns, ts_ns)` are missing. Unknown is never filled with invented bars."""

    instrument: InstrumentId
    from_ts_ns: int


class InstrumentChanged(_Event, frozen=True, tag="instrument_changed"):
    """The venue changed a grid, fee or tier table; open positions are re-expressed exactly or the engine refuses."""

    instrument: Instrument


class FundingSettled(_Event, frozen=True, gc=False, tag="funding"):
    """The venue settled funding: `paid_e8` > 0 was paid by us, on `position_lots` at `mark_e8`."""

    instrument: InstrumentId
    rate_e8: int
    mark_e8: int
    position_lots: int
    paid_e8: int
    funding_id: str = ""


class FundingKnown(_Event, frozen=True, gc=False, tag="funding_known"):
    """News of the market: at `ts_ns` the venue settled funding of an instrument at this rate. No money of ours moves by it.

    Features learn from it; what we paid or got arrives as `FundingSettled`, from the ledger.
    """

    instrument: InstrumentId
    rate_e8: int


class CashMoved(_Event, frozen=True, gc=False, tag="cash"):
    """A deposit (> 0), withdrawal (< 0), or the insurance fund's cover, from the venue's ledger.

    Of `cash_id`, as of a settlement's `funding_id`, the engine books each one once; without an id every event counts.
    """

    amount_e8: int
    reason: str
    cash_id: str = ""


class PositionAdopted(_Event, frozen=True, gc=False, tag="adopted"):
    """We take over what the venue holds for us: `lots` and `cost_e8` signed, in place of what our books say."""

    instrument: InstrumentId
    lots: int
    cost_e8: int


class CostRestated(_Event, frozen=True, gc=False, tag="restated"):
    """What the open position cost by the venue's books: `cost_e8`, signed, in place of ours.

    Fills that are told in another order than they happened in release other shares of the cost. Wallet and profit realised so far move by
    as much as the cost does; the position's lots and the equity stay what they are.
    """

    instrument: InstrumentId
    cost_e8: int


class BooksDiffer(_Event, frozen=True, gc=False, tag="books_differ"):
    """The venue's books and ours differ and nothing explains it. Trading halts with `code`.

    `ours` and `theirs` are lots, or money in 1e-8; `instrument` and `client_order_id` are empty where it is not about one. `detail` names
    what the figures are of, where that is not said by the code.
    """

    code: str
    instrument: str
    client_order_id: str
    ours: int
    theirs: int
    detail: str = ""


class OrderAccepted(_Event, frozen=True, gc=False, tag="accepted"):
    """The venue took the order and gave it its own id."""

    client_order_id: ClientOrderId
    venue_order_id: str


class OrderRejected(_Event, frozen=True, gc=False, tag="rejected"):
    """The venue said no; the outcome is known."""

    client_order_id: ClientOrderId
    code: str
    reason: str


class OrderFilled(_Event, frozen=True, gc=False, tag="fill"):
    """A trade that happened. `fee_e8` is the venue's figure, positive when paid.

    `client_order_id` is empty for what the venue did by itself (liquidation).
    """

    fill_id: str
    client_order_id: str
    instrument: InstrumentId
    side: Side
    qty_lots: PositiveInt
    price_ticks: PositiveInt
    fee_e8: int
    liquidity: Liquidity
    leaves_lots: NonNegativeInt
    cause: FillCause = FillCause.TRADE


class OrderCanceled(_Event, frozen=True, gc=False, tag="canceled"):
    """The order will not trade any more; `reason` is ours or the venue's code.

    `cum_lots` is what the venue says has traded of it; None where it does not say. Trades beyond those told are still to come.
    """

    client_order_id: ClientOrderId
    reason: str
    cum_lots: int | None = None


class Request(StrEnum):
    """What was asked of the venue about an order."""

    CREATE = "create"
    AMEND = "amend"
    CANCEL = "cancel"


class OrderUnanswered(_Event, frozen=True, gc=False, tag="unanswered"):
    """No reply in time to a request about an order. Not a refusal.

    An order that the venue has never shown becomes UNKNOWN when its creation stays unanswered, and keeps its reserved exposure.
    """

    client_order_id: ClientOrderId
    request: Request = Request.CREATE


class OrderWaits(_Event, frozen=True, gc=False, tag="waits"):
    """The venue holds a conditional order until its trigger."""

    client_order_id: ClientOrderId
    venue_order_id: str


class OrderTriggered(_Event, frozen=True, gc=False, tag="triggered"):
    """The trigger of a conditional order was reached: it may trade from now on."""

    client_order_id: ClientOrderId


class OrderAmended(_Event, frozen=True, gc=False, tag="amended"):
    """The venue shows a resting order with this whole quantity, limit and trigger; 0 where it has none."""

    client_order_id: ClientOrderId
    qty_lots: PositiveInt
    limit_ticks: NonNegativeInt
    trigger_ticks: NonNegativeInt = 0


class OrderAmendRefused(_Event, frozen=True, gc=False, tag="amend_refused"):
    """The venue did not change the order: it stands as it was, or it is over."""

    client_order_id: ClientOrderId
    code: str
    reason: str


class QuoteSampled(_Event, frozen=True, gc=False, tag="quote"):
    """Best bid and ask of a whole order book, taken when something was about to be decided."""

    instrument: InstrumentId
    bid_ticks: PositiveInt
    ask_ticks: PositiveInt
    bid_lots: PositiveInt
    ask_lots: PositiveInt


class QuoteLost(_Event, frozen=True, gc=False, tag="quote_lost"):
    """The book is broken, crossed or too old: nobody knows the best prices until the next `QuoteSampled`."""

    instrument: InstrumentId
    why: str


class StopPlaced(_Event, frozen=True, gc=False, tag="stop_placed"):
    """The venue shows this stop at the whole position, triggered by the mark; 0 where it shows none."""

    instrument: InstrumentId
    stop_ticks: NonNegativeInt


class StopUnconfirmed(_Event, frozen=True, gc=False, tag="stop_unconfirmed"):
    """A position stood without the stop it should have for as long as is allowed: it is to be closed."""

    instrument: InstrumentId
    waited_ns: NonNegativeInt
    why: str


class OrderProvenAbsent(_Event, frozen=True, gc=False, tag="absent"):
    """The venue's own records prove that the order never reached it."""

    client_order_id: ClientOrderId


class TimerFired(_Event, frozen=True, gc=False, tag="timer"):
    """A timer that the engine set has come due."""

    timer_id: str


class Command(StrEnum):
    """What a person may tell the engine: halt, resume, close every position and stay flat until resumed, cancel every order."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    CANCEL_ALL = "cancel_all"


class CommandGiven(_Event, frozen=True, gc=False, tag="command"):
    """An order from a person: who, what, and why. `command_id` is the inbox's, so that each is taken once."""

    command: Command
    actor: str
    reason: str
    command_id: str = ""


class RunEnded(_Event, frozen=True, gc=False, tag="run_ended"):
    """The last event of a finished run; `reason` says why it ended."""

    reason: str


Event = (
    BarClosed
    | FeedGap
    | InstrumentChanged
    | FundingSettled
    | FundingKnown
    | CashMoved
    | PositionAdopted
    | CostRestated
    | BooksDiffer
    | OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCanceled
    | OrderUnanswered
    | OrderProvenAbsent
    | OrderWaits
    | OrderTriggered
    | OrderAmended
    | OrderAmendRefused
    | QuoteSampled
    | QuoteLost
    | StopPlaced
    | StopUnconfirmed
    | TimerFired
    | CommandGiven
    | RunEnded
)
