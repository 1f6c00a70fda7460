"""The venue's orders into the port's nouns and the engine's events, and the words both share. Pure: rows and records in, values out.

Rules: a word or a number that is not understood is refused by name, never guessed; a blank is None or refused, never 0.
Executions are in `mapping_fills`, positions and money in `mapping_account`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import (
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.venue import (
    OrderNews,
    VenueOrder,
    VenueOrderState,
)
from kedge.venues.bybit.codec import (
    OrderData,
    UnreadablePayload,
    ns_from_ms,
    qty_lots,
    unset_price_ticks,
)

T = TypeVar("T")

CATEGORIES: Final = ("linear", "")
"""The category this client trades; a row that does not name one came from a request that did."""

SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
KINDS: Final = {"Market": OrderKind.MARKET, "Limit": OrderKind.LIMIT}
TIMES_IN_FORCE: Final = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}
STATES: Final = {
    "Created": VenueOrderState.OPEN,
    "New": VenueOrderState.OPEN,
    "PartiallyFilled": VenueOrderState.OPEN,
    "Untriggered": VenueOrderState.WAITING,
    "Triggered": VenueOrderState.OPEN,
    "Filled": VenueOrderState.FILLED,
    "Cancelled": VenueOrderState.CANCELED,
    "PartiallyFilledCanceled": VenueOrderState.CANCELED,
    "Deactivated": VenueOrderState.CANCELED,
    "Rejected": VenueOrderState.REJECTED,
}
_ACCEPTING: Final = frozenset({"Created", "New"})
_CONDITIONAL: Final = frozenset({"Untriggered", "Deactivated"})
_NOTHING: Final = ("", "UNKNOWN", "EC_NoError")


class UnknownSymbol(VenueUnavailable):
    """The venue speaks of an instrument whose record we do not hold, so its numbers have no grid yet."""

    def __init__(self, symbol: str) -> None:
        super().__init__(
            f"the venue reports on {symbol!r}, whose record is not loaded",
            why="quantities and prices cannot be put on a grid",
            fix="its record is being fetched; if this stays, the symbol is not a linear perpetual of this account",
        )
        self.symbol = symbol


def record_of(symbol: str, records: Mapping[str, Instrument]) -> Instrument:
    """The record of a symbol.

    Raises
    ------
    UnknownSymbol
        None is loaded.
    """
    record = records.get(symbol)
    if record is None:
        raise UnknownSymbol(symbol)
    return record


def word_of(words: Mapping[str, T], word: str, field: str) -> T:
    """Our word for the venue's; one that is not in the table is refused by name."""
    try:
        return words[word]
    except KeyError:
        raise UnreadablePayload(
            f"{field} is {word!r} in the venue's answer",
            why=f"known are {', '.join(words)}",
            fix="read the venue's documentation; the client must be taught this word",
        ) from None


def needed(text: str | None, field: str) -> str:
    """A text that must not be blank."""
    if text is None or text == "":
        raise UnreadablePayload(f"{field} is blank in the venue's answer", why="unknown is not zero", fix="ask the venue again by REST")
    return text


def ending_reason(row: OrderData) -> str:
    """The venue's word for why an order ended: who cancelled it, else what was wrong with it."""
    return next((word for word in (row.cancel_type, row.reject_reason) if word not in _NOTHING), row.order_status)


def order_news(row: OrderData) -> OrderNews | None:
    """What an order row tells the engine.

    None for what executions tell better (fills), for other categories, and for orders without a client id: nobody can match those,
    and `open_orders` shows them.
    """
    state = word_of(STATES, row.order_status, f"orderStatus of {row.order_id}")
    if not row.order_link_id or row.category not in CATEGORIES:
        return None
    ts_ns = ns_from_ms(row.updated_ms)
    if state is VenueOrderState.CANCELED:
        return OrderCanceled(ts_ns, row.order_link_id, ending_reason(row))
    if state is VenueOrderState.REJECTED:
        return OrderRejected(ts_ns, row.order_link_id, row.reject_reason or row.order_status, ending_reason(row))
    if row.order_status == "Triggered":
        return OrderTriggered(ts_ns, row.order_link_id)
    if state is VenueOrderState.WAITING:
        return OrderWaits(ts_ns, row.order_link_id, row.order_id)
    return OrderAccepted(ts_ns, row.order_link_id, row.order_id) if row.order_status in _ACCEPTING else None


def venue_order(row: OrderData, records: Mapping[str, Instrument]) -> VenueOrder:
    """One order in the venue's books."""
    instrument = record_of(row.symbol, records)
    kind = word_of(KINDS, row.order_type, f"orderType of {row.order_id}")
    return VenueOrder(
        client_order_id=row.order_link_id,
        venue_order_id=row.order_id,
        instrument=instrument.instrument_id,
        side=word_of(SIDES, row.side, f"side of {row.order_id}"),
        kind=kind,
        time_in_force=word_of(TIMES_IN_FORCE, row.time_in_force, f"timeInForce of {row.order_id}"),
        qty_lots=qty_lots(row.qty, instrument, "qty"),
        cum_lots=qty_lots(row.cum_exec_qty, instrument, "cumExecQty"),
        limit_ticks=0 if kind is OrderKind.MARKET else unset_price_ticks(row.price, instrument, "price"),
        reduce_only=row.reduce_only,
        is_conditional=row.order_status in _CONDITIONAL,
        state=word_of(STATES, row.order_status, f"orderStatus of {row.order_id}"),
        reason=ending_reason(row) if STATES[row.order_status] in (VenueOrderState.CANCELED, VenueOrderState.REJECTED) else "",
        created_ts_ns=ns_from_ms(row.created_ms),
        updated_ts_ns=ns_from_ms(row.updated_ms),
        trigger_ticks=unset_price_ticks(row.trigger_price, instrument, "triggerPrice"),
    )
