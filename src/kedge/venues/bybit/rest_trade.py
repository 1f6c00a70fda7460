"""Orders over REST: create, amend, cancel, alone and in batches; and what the venue knows of orders and executions.

Rules: a body is written once and these bytes are signed and sent; a create is never sent twice; every answer is `Taken`, `Refused`
or `Unanswered`, and an item of a batch has one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.venue import Answer, Unanswered
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import BatchItem, ExecutionData, OrderData, OrderIds, Page, UnreadablePayload, decode, encode
from kedge.venues.bybit.codec_account import PreCheckData
from kedge.venues.bybit.codes import DONE, Reaction, reaction
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.requests import Amend, Create, impossible, one_id, one_of
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_market import CATEGORY
from kedge.venues.bybit.rest_outcome import Outcome, order_answer
from kedge.venues.bybit.rest_pages import all_pages, query_text, windowed

SETTLE_COIN: Final = "USDT"
BATCH_MAX: Final = 20
FILTERS: Final = ("", "Order", "StopOrder", "OpenOrder")
Body = Mapping[str, Any] | bytes | Create | Amend
Item = Mapping[str, Any] | Create | Amend


class _Items(msgspec.Struct, frozen=True):
    list: tuple[BatchItem, ...]


class RestTrade:
    """Order endpoints of linear contracts."""

    caller: Caller

    async def create_order(self, body: Body, *, reduces_risk: bool = False) -> Answer:
        """Place one order; `body` is a `Create`, or the whole request, category included. Never repeated."""
        return await self._order(ends.CREATE, body, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def amend_order(self, body: Body, *, reduces_risk: bool = False) -> Answer:
        """Change one order; `body` is an `Amend`, or the whole request. Never repeated: read it again first."""
        return await self._order(ends.AMEND, body, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def cancel_order(self, symbol: str, *, order_link_id: str = "", order_id: str = "") -> Answer:
        """Cancel one order by either id; repeated where no answer came. `Refused` says that no such order is open."""
        body = {"category": CATEGORY, "symbol": symbol, **one_id(order_link_id, order_id)}
        return await self._order(ends.CANCEL, body, Priority.EXIT)

    async def _order(self, endpoint: Endpoint, body: Body, priority: Priority) -> Answer:
        return order_answer(await self.caller.write(endpoint, _bytes(body), priority=priority), endpoint)

    async def cancel_all(
        self, symbol: str | None = None, *, settle_coin: str = SETTLE_COIN, order_filter: str = "", only_stops: bool = False
    ) -> Answer:
        """Cancel open orders of a symbol, or of all contracts settled in `settle_coin`; at most 500 a call.

        Parameters
        ----------
        order_filter : str
            "Order" for active ones, "StopOrder" for conditional ones; all by default, the stops of positions among them.
        only_stops : bool
            Of conditional ones those alone that somebody sent: the stops of positions stay.
        """
        body = {"category": CATEGORY, **({"symbol": symbol} if symbol else {"settleCoin": settle_coin})}
        if one_of("orderFilter", order_filter, FILTERS):
            body["orderFilter"] = order_filter
        if only_stops:
            body["stopOrderType"] = "Stop"
        return (await self.caller.write(ends.CANCEL_ALL, encode(body), priority=Priority.EXIT)).answer()

    async def pre_check(self, wanted: Create) -> PreCheckData | Answer:
        """What an order would do to the account's margin rates, without sending it; the answer instead where the venue refuses it.

        Raises
        ------
        InvalidInput
            A conditional order: the venue checks none.
        """
        if wanted.trigger is not None:
            raise impossible("a conditional order for pre-check", "the venue checks active orders alone", "leave the trigger out")
        outcome = await self.caller.write(ends.PRE_CHECK, encode({"category": CATEGORY} | wanted.fields()))
        if outcome.reaction is not Reaction.OK or outcome.envelope is None:
            return outcome.answer()
        return decode(outcome.envelope.result, PreCheckData, ends.PRE_CHECK.path)

    async def create_batch(self, orders: Sequence[Item], *, reduces_risk: bool = False) -> list[Answer]:
        """Place orders (without category), as many at once as the limits allow; one answer each, in order."""
        return await self._batches(ends.CREATE_BATCH, orders, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def amend_batch(self, orders: Sequence[Item]) -> list[Answer]:
        """Change orders, no conditional ones; one answer each, in order."""
        for order in map(_fields, orders):
            if "triggerPrice" in order:
                raise impossible("triggerPrice in amend_batch", "the venue amends conditional orders one by one", "use amend_order")
        return await self._batches(ends.AMEND_BATCH, orders, Priority.TRADE)

    async def cancel_batch(self, orders: Sequence[Item]) -> list[Answer]:
        """Cancel orders; one answer each, in order."""
        return await self._batches(ends.CANCEL_BATCH, orders, Priority.EXIT)

    async def _batches(self, endpoint: Endpoint, orders: Sequence[Item], priority: Priority) -> list[Answer]:
        size = min(BATCH_MAX, self.caller.limits.largest(endpoint.group, priority) or BATCH_MAX)
        answers: list[Answer] = []
        for first in range(0, len(orders), size):
            part = [_fields(order) for order in orders[first : first + size]]
            body = encode({"category": CATEGORY, "request": part})
            outcome = await self.caller.write(endpoint, body, priority=priority, cost=len(part))
            answers += batch_answers(endpoint, outcome, len(part))
        return answers

    async def open_orders(self, symbol: str | None = None, *, settle_coin: str = SETTLE_COIN) -> list[OrderData]:
        """Every open order of a symbol or of all, conditional ones too, newest first, over all pages."""
        scope = {"symbol": symbol} if symbol else {"settleCoin": settle_coin}
        return await all_pages(self.caller, ends.REALTIME, query_text(category=CATEGORY, **scope, openOnly=0, limit=50), OrderData)

    async def find_realtime(self, symbol: str, *, order_link_id: str = "", order_id: str = "") -> OrderData | None:
        """An order by id among open and recently closed ones; None where the venue does not show it there, which proves nothing yet."""
        return await self._find(ends.REALTIME, symbol, order_link_id, order_id)

    async def find_in_history(self, symbol: str, *, order_link_id: str = "", order_id: str = "") -> OrderData | None:
        """An order by id in the history, which may lag."""
        return await self._find(ends.HISTORY, symbol, order_link_id, order_id)

    async def _find(self, endpoint: Endpoint, symbol: str, order_link_id: str, order_id: str) -> OrderData | None:
        query = query_text(category=CATEGORY, symbol=symbol, **one_id(order_link_id, order_id))
        envelope = await self.caller.read(endpoint, query)
        rows = decode(envelope.result, Page[OrderData], endpoint.path).list
        wanted = [row for row in rows if (row.order_link_id == order_link_id if order_link_id else row.order_id == order_id)]
        return max(wanted, key=lambda row: row.updated_ms, default=None)

    async def order_history(self, start_ms: int, end_ms: int, symbol: str | None = None) -> list[OrderData]:
        """Orders of a span, oldest first; the venue forgets orders cancelled without a fill after a day."""
        query = query_text(category=CATEGORY, symbol=symbol, settleCoin=None if symbol else SETTLE_COIN, limit=50)
        return await windowed(self.caller, ends.HISTORY, query, OrderData, (start_ms, end_ms), lambda row: row.order_id)

    async def executions(self, start_ms: int, end_ms: int, symbol: str | None = None) -> list[ExecutionData]:
        """Executions of a span, funding and liquidations among them, oldest first, each once."""
        query = query_text(category=CATEGORY, symbol=symbol, settleCoin=None if symbol else SETTLE_COIN, limit=100)
        rows = await windowed(self.caller, ends.EXECUTIONS, query, ExecutionData, (start_ms, end_ms), lambda row: row.exec_id)
        return sorted(rows, key=lambda row: row.exec_ms)

    async def set_dcp(self, window_s: int) -> Answer:
        """Have the venue cancel everything when our private sockets are gone for `window_s` seconds (3 to 300)."""
        if not 3 <= window_s <= 300:
            raise InvalidInput(f"window_s is {window_s}", why="the venue takes 3 to 300 seconds", fix="choose a window between them")
        return (await self.caller.write(ends.SET_DCP, encode({"product": "DERIVATIVES", "timeWindow": window_s}))).answer()


def batch_answers(endpoint: Endpoint, outcome: Outcome, count: int) -> list[Answer]:
    """One answer for each of `count` items of a batch; where the lists do not fit, nobody knows."""
    if outcome.reaction not in DONE or outcome.envelope is None:
        return [outcome.answer()] * count
    try:
        ids = decode(outcome.envelope.result, Page[OrderIds], endpoint.path).list
        items = decode(outcome.envelope.ret_ext_info, _Items, endpoint.path).list
    except UnreadablePayload as error:
        return [Unanswered(error.what)] * count
    if not len(ids) == len(items) == count:
        return [Unanswered(f"{endpoint.path} answered {len(ids)} ids and {len(items)} codes to {count} items")] * count
    return [_item_answer(endpoint, item, given) for item, given in zip(items, ids, strict=True)]


def _item_answer(endpoint: Endpoint, item: BatchItem, given: OrderIds) -> Answer:
    judged = reaction(item.code, endpoint.operation, item.msg)
    return Outcome(judged, str(item.code), item.msg).answer(given.order_id)


def _bytes(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    return encode({"category": CATEGORY} | body.fields() if isinstance(body, Create | Amend) else body)


def _fields(item: Item) -> Mapping[str, Any]:
    return item.fields() if isinstance(item, Create | Amend) else item
