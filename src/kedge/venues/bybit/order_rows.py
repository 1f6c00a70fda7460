"""Rows of our orders, one after the other, into the engine's events: what a single row cannot tell is told by what came before it.

Rules: an amendment is confirmed by the order's own row, when its quantity, price or trigger differs from the row before; an order that
waited and now stands in the book has been triggered, whether or not the venue said so, and its trigger is no term of it any more; a row
older than the last one amends nothing; what a closed order was is forgotten. The last words about an order are kept as the venue wrote
them and compared as numbers, since it writes 60000.1 and 60000.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from kedge.domain.events import OrderAmended, OrderCanceled, OrderTriggered
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind
from kedge.domain.venue import OrderNews
from kedge.venues.bybit import mapping
from kedge.venues.bybit.codec import OrderData, ns_from_ms, qty_lots, unset_price_ticks

KEPT_MAX: Final = 5_000
"""Orders remembered at most, ten times what the venue lets rest per contract; the oldest go first."""

ENDED: Final = frozenset({"Filled", "Cancelled", "PartiallyFilledCanceled", "Deactivated", "Rejected"})
_WAITS: Final = "Untriggered"
_IN_THE_BOOK: Final = frozenset({"New", "PartiallyFilled", "Filled"})


class _Seen(NamedTuple):
    """An order's row as it came last."""

    updated_ms: int
    status: str
    texts: tuple[str, str, str]


class OrderReader:
    """Reads the order rows of one account in the order of their arrival.

    Parameters
    ----------
    records : mapping
        Instruments by symbol; may grow meanwhile.
    """

    def __init__(self, records: Mapping[str, Instrument]) -> None:
        self._records = records
        self._seen: dict[str, _Seen] = {}

    def news(self, row: OrderData) -> list[OrderNews]:
        """What the row tells, in the order in which it happened; nothing for orders without a client id and other categories.

        Raises
        ------
        UnknownSymbol
            Its instrument's record is needed and not loaded; the row may be read again.
        UnreadablePayload
            A word or number that is not understood.
        """
        if not row.order_link_id or row.category not in mapping.CATEGORIES:
            return []
        told = self._told(row)
        found: list[OrderNews] = []
        before = self._seen.get(row.order_id)
        is_late = before is not None and row.updated_ms < before.updated_ms
        if is_late:
            return [] if told is None else [told]
        if before is not None and before.status == _WAITS and row.order_status in _IN_THE_BOOK:
            found.append(OrderTriggered(ns_from_ms(row.updated_ms), row.order_link_id))
        if told is not None:
            found.append(told)
        if before is not None and row.order_status not in ENDED:
            found += self._amended(row, before)
        self._keep(row)
        return found

    def _told(self, row: OrderData) -> OrderNews | None:
        """What the row alone tells; of an order that is over also how much of it traded, where that is said of a symbol that is known."""
        told = mapping.order_news(row)
        if isinstance(told, OrderCanceled) and row.cum_exec_qty and row.symbol in self._records:
            cum_lots = qty_lots(row.cum_exec_qty, mapping.record_of(row.symbol, self._records), "cumExecQty")
            return msgspec.structs.replace(told, cum_lots=cum_lots)
        return told

    def _amended(self, row: OrderData, before: _Seen) -> list[OrderNews]:
        texts = before.texts if row.order_status == _WAITS else (*before.texts[:2], "")
        if _texts(row) == texts:
            return []
        instrument = mapping.record_of(row.symbol, self._records)
        was, now = _numbers(texts, row, instrument), _numbers(_texts(row), row, instrument)
        if was == now:
            return []
        return [OrderAmended(ns_from_ms(row.updated_ms), row.order_link_id, *now)]

    def _keep(self, row: OrderData) -> None:
        self._seen.pop(row.order_id, None)
        if row.order_status in ENDED:
            return
        if len(self._seen) >= KEPT_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[row.order_id] = _Seen(row.updated_ms, row.order_status, _texts(row))


def _texts(row: OrderData) -> tuple[str, str, str]:
    return row.qty, row.price, (row.trigger_price or "") if row.order_status == _WAITS else ""


def _numbers(texts: tuple[str, str, str], row: OrderData, instrument: Instrument) -> tuple[int, int, int]:
    """Quantity, limit and trigger on the grid; the price of a market order is the venue's own bound, and no limit of ours."""
    qty, price, trigger = texts
    is_market = mapping.word_of(mapping.KINDS, row.order_type, f"orderType of {row.order_id}") is OrderKind.MARKET
    limit = 0 if is_market else unset_price_ticks(price, instrument, "price")
    return qty_lots(qty, instrument, "qty"), limit, unset_price_ticks(trigger, instrument, "triggerPrice")
