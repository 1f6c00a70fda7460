"""Events: everything the engine may learn. Time, replies and prices all arrive this way.

Each has `ts_ns`, the venue's time of the fact. Instances are frozen, hold integers and text only, and are
recorded whole. Adding a field needs a default, so that old journals stay readable.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.instrument import Instrument, InstrumentId, NonNegativeInt, PositiveInt
from kedge.domain.orders import ClientOrderId, FillCause, Liquidity, Side
from kedge.domain.people import Role, Source


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
    """An order from a person: who, what, and why. `command_id` is the inbox's, so that each is taken once.

    `actor` is a person's id, `local:` and the system's user at the machine, or a part of the trader; `roles` are those the person had then.
    """

    command: Command
    actor: str
    reason: str
    command_id: str = ""
    roles: tuple[Role, ...] = ()
    source: Source | None = None


class LimitsChanged(_Event, frozen=True, tag="limits_changed"):
    """From here on these limits hold: a whole document, by field, as the limits store keeps it.

    Attributes
    ----------
    limits : dict
        Every field of the document: whole numbers, and lists of text. A field that it does not name has its default.
    version : str
        First 16 hex digits of the content hash of these limits; stands on every decision.
    number : int
        Which document of the account this is, counted from 1.
    actor : str
        Who changed it; for a loosening, who asked for it.
    approval_id : str
        The approval by a second person that a loosening needs; empty for a tightening.
    """

    limits: dict[str, int | tuple[str, ...]]
    version: str
    number: PositiveInt
    actor: str
    reason: str
    approval_id: str = ""


class OverrideGranted(_Event, frozen=True, tag="override"):
    """Two people let one order pass limits that would refuse it: this instrument and side, at most so large, once, until it expires.

    Attributes
    ----------
    approval_id : str
        The approval that it follows from; each is used by one order at most.
    qty_max_lots : int
        The largest order that it lets pass.
    rules : tuple of str
        Codes of the refusals that it sets aside, such as 'FAT_FINGER'.
    expires_ts_ns : int
        Venue time from which on it is void.
    requester, approver : str
        Ids of the two people.
    """

    approval_id: str
    instrument: InstrumentId
    side: Side
    qty_max_lots: PositiveInt
    rules: tuple[str, ...]
    expires_ts_ns: int
    requester: str
    approver: str
    reason: str


class BooksAgreed(_Event, frozen=True, gc=False, tag="books_agreed"):
    """Positions, orders and wallet were compared with the venue's at `ts_ns`, and nothing differs."""


class VenueRestricted(_Event, frozen=True, gc=False, tag="venue_restricted"):
    """The venue lets orders on an instrument only reduce, since it lowered a risk limit; or, with False, not any more."""

    instrument: InstrumentId
    only_reduces: bool


class BrakeTold(_Event, frozen=True, gc=False, tag="brake_told"):
    """The guard's brake is at this level. Above RUNNING it limits what the trader may do until the guard says otherwise.

    `generation` is the latch's; `trigger` is None and `reason` empty where it is RUNNING.
    """

    level: BrakeLevel
    generation: NonNegativeInt
    trigger: Trigger | None = None
    reason: str = ""


class DailyHistory(_Event, frozen=True, tag="daily_history"):
    """What the venue's daily bars closed at before our own bars began: one close for each UTC day without a gap, oldest first.

    `last_day_ts_ns` is the end of the last of these days, a UTC midnight. It is recorded as it was told, even where it cannot be: what is
    used of it is the engine's to say.
    """

    instrument: InstrumentId
    last_day_ts_ns: int
    closes_ticks: tuple[int, ...]


class AccountInherited(_Event, frozen=True, gc=False, tag="inherited"):
    """An earlier run traded this account: what held trading at its end, and what losses are measured from, hold here too.

    Attributes
    ----------
    from_run, from_record, from_hash : str, int, str
        That run, the number of its last record, and the chain hash (hex) of its last row: what was inherited can be looked up there.
    risk_state : str
        'running', 'reduce_only' or 'halted', with the code, what was observed (`reason`) and the limit that led there.
    drawdown_accepted : bool
        Whether a person had accepted the drawdown, and trading ran.
    peak_e8 : int or None
        The high-water mark, moved by the flows since; None where this run has books of its own, which know all that follows here.
    drawdown_e8, day_loss_e8 : int
        The losses as they were measured last, as fractions in 1e-8.
    day, day_start_e8 : int
        The UTC day of that, counted from 1970, and the equity it began with, moved by the flows since.
    flows_e8, traded_e8, unexplained_e8 : int
        What changed the wallet between the two runs by the venue's ledger: deposits less withdrawals; trades and settlements that the
        earlier run did not see; and what no row explains, which is a loss where it is negative and a flow where it is positive.
    """

    from_run: str
    from_record: NonNegativeInt
    from_hash: str
    risk_state: str = "running"
    code: str = ""
    reason: str = ""
    limit: str = ""
    drawdown_accepted: bool = False
    peak_e8: int | None = None
    drawdown_e8: int = 0
    day: int = 0
    day_start_e8: int = 0
    day_loss_e8: int = 0
    flows_e8: int = 0
    traded_e8: int = 0
    unexplained_e8: int = 0


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
    | LimitsChanged
    | OverrideGranted
    | BooksAgreed
    | VenueRestricted
    | BrakeTold
    | DailyHistory
    | AccountInherited
    | RunEnded
)
