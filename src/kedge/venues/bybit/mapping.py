"""The venue's orders and executions into the port's nouns and the engine's events. Pure: rows and records in, values out.

Rules: a word or a number that is not understood is refused by name, never guessed; a blank is None or refused, never 0. Signs:
`fee_e8` and `paid_e8` > 0 were paid by us, `position_lots` < 0 is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import FundingSettled, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, Liquidity, OrderKind, Side, TimeInForce
from kedge.domain.venue import (
    OrderNews,
    VenueOrder,
    VenueOrderState,
)
from kedge.venues.bybit.codec import (
    ExecutionData,
    OrderData,
    UnreadablePayload,
    money_e8,
    ns_from_ms,
    price_ticks,
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
    "Untriggered": VenueOrderState.OPEN,
    "Triggered": VenueOrderState.OPEN,
    "Filled": VenueOrderState.FILLED,
    "Cancelled": VenueOrderState.CANCELED,
    "PartiallyFilledCanceled": VenueOrderState.CANCELED,
    "Deactivated": VenueOrderState.CANCELED,
    "Rejected": VenueOrderState.REJECTED,
}
_ACCEPTING: Final = frozenset({"Created", "New", "Untriggered"})
_CONDITIONAL: Final = frozenset({"Untriggered", "Deactivated"})
_CAUSES: Final = {"Trade": FillCause.TRADE, "BustTrade": FillCause.LIQUIDATION, "AdlTrade": FillCause.LIQUIDATION}
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
    if row.order_status in _ACCEPTING:
        return OrderAccepted(ts_ns, row.order_link_id, row.order_id)
    return None


def execution_news(row: ExecutionData, records: Mapping[str, Instrument]) -> OrderFilled | FundingSettled | None:
    """A fill or a settlement; None for other categories.

    Raises
    ------
    UnreadablePayload
        A word or number that is not understood, such as a kind of execution that moves the position in a way we do not know.
    """
    if row.category not in CATEGORIES:
        return None
    instrument = record_of(row.symbol, records)
    return _funding(row, instrument) if row.exec_type == "Funding" else _fill(row, instrument)


def _fill(row: ExecutionData, instrument: Instrument) -> OrderFilled:
    cause = word_of(_CAUSES, row.exec_type, f"execType of {row.exec_id}")
    ours = cause is FillCause.TRADE
    leaves = needed(row.leaves_qty, f"leavesQty of {row.exec_id}") if ours else row.leaves_qty or "0"
    if ours and row.is_maker is None:
        raise UnreadablePayload(
            f"isMaker is missing of {row.exec_id}", why="the role of a fill is not guessed", fix="ask the venue again by REST"
        )
    return OrderFilled(
        ns_from_ms(row.exec_ms),
        row.exec_id,
        row.order_link_id if ours else "",
        instrument.instrument_id,
        word_of(SIDES, row.side, f"side of {row.exec_id}"),
        _positive(qty_lots(row.exec_qty, instrument, "execQty"), f"execQty of {row.exec_id}"),
        _positive(price_ticks(row.exec_price, instrument, "execPrice"), f"execPrice of {row.exec_id}"),
        _fee_e8(row, instrument),
        Liquidity.MAKER if row.is_maker else Liquidity.TAKER,
        qty_lots(leaves, instrument, "leavesQty"),
        cause,
    )


def _positive(value: int, field: str) -> int:
    if value < 1:
        raise UnreadablePayload(f"{field} is {value}", why="a fill has a quantity and a price", fix="ask the venue again by REST")
    return value


def _fee_e8(row: ExecutionData, instrument: Instrument) -> int:
    if row.fee_currency not in ("", instrument.quote):
        raise UnreadablePayload(
            f"feeCurrency is {row.fee_currency!r} of {row.exec_id}",
            why=f"fees are booked in {instrument.quote}",
            fix="switch off paying fees in another coin in the account's settings",
        )
    return money_e8(row.exec_fee, "execFee")


def _funding(row: ExecutionData, instrument: Instrument) -> FundingSettled:
    lots = qty_lots(row.exec_qty, instrument, "execQty")
    side = word_of(SIDES, row.side, f"side of {row.exec_id}")
    return FundingSettled(
        ts_ns=ns_from_ms(row.exec_ms),
        instrument=instrument.instrument_id,
        rate_e8=money_e8(needed(row.fee_rate, f"feeRate of {row.exec_id}"), "feeRate"),
        mark_e8=money_e8(row.exec_price, "execPrice"),
        position_lots=lots if side is Side.BUY else -lots,
        paid_e8=_fee_e8(row, instrument),
        funding_id=row.exec_id,
    )


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
    )
