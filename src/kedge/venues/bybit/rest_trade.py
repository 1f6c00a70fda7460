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
from kedge.venues.bybit.codes import DONE, reaction
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_market import CATEGORY
from kedge.venues.bybit.rest_outcome import Outcome, order_answer
from kedge.venues.bybit.rest_pages import all_pages, query_text, windowed

SETTLE_COIN: Final = "USDT"
BATCH_MAX: Final = 20
Body = Mapping[str, Any] | bytes


class _Items(msgspec.Struct, frozen=True):
    list: tuple[BatchItem, ...]


class RestTrade:
    """Order endpoints of linear contracts."""

    caller: Caller

    async def create_order(self, body: Body, *, reduces_risk: bool = False) -> Answer:
        """Place one order; `body` is the whole request, category included. Never repeated."""
        return await self._order(ends.CREATE, body, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def amend_order(self, body: Body, *, reduces_risk: bool = False) -> Answer:
        """Change one order. Never repeated: read it again first."""
        return await self._order(ends.AMEND, body, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def cancel_order(self, symbol: str, *, order_link_id: str = "", order_id: str = "") -> Answer:
        """Cancel one order by either id; repeated where no answer came. `Refused` says that no such order is open."""
        body = {"category": CATEGORY, "symbol": symbol, **_one_id(order_link_id, order_id)}
        return await self._order(ends.CANCEL, body, Priority.EXIT)

    async def _order(self, endpoint: Endpoint, body: Body, priority: Priority) -> Answer:
        return order_answer(await self.caller.write(endpoint, _bytes(body), priority=priority), endpoint)

    async def cancel_all(self, symbol: str | None = None, *, settle_coin: str = SETTLE_COIN) -> Answer:
        """Cancel every open order of a symbol, or of all contracts settled in `settle_coin`, conditional ones too."""
        scope = {"symbol": symbol} if symbol else {"settleCoin": settle_coin}
        return (await self.caller.write(ends.CANCEL_ALL, encode({"category": CATEGORY, **scope}), priority=Priority.EXIT)).answer()

    async def create_batch(self, orders: Sequence[Mapping[str, Any]], *, reduces_risk: bool = False) -> list[Answer]:
        """Place orders (without category), as many at once as the limits allow; one answer each, in order."""
        return await self._batches(ends.CREATE_BATCH, orders, Priority.EXIT if reduces_risk else Priority.TRADE)

    async def amend_batch(self, orders: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Change orders; one answer each, in order."""
        return await self._batches(ends.AMEND_BATCH, orders, Priority.TRADE)

    async def cancel_batch(self, orders: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Cancel orders; one answer each, in order."""
        return await self._batches(ends.CANCEL_BATCH, orders, Priority.EXIT)

    async def _batches(self, endpoint: Endpoint, orders: Sequence[Mapping[str, Any]], priority: Priority) -> list[Answer]:
        size = min(BATCH_MAX, self.caller.limits.largest(endpoint.group, priority) or BATCH_MAX)
        answers: list[Answer] = []
        for first in range(0, len(orders), size):
            part = orders[first : first + size]
            body = encode({"category": CATEGORY, "request": list(part)})
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
        query = query_text(category=CATEGORY, symbol=symbol, **_one_id(order_link_id, order_id))
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


def _one_id(order_link_id: str, order_id: str) -> dict[str, str]:
    if bool(order_link_id) == bool(order_id):
        raise InvalidInput(
            f"order ids are {order_link_id!r} and {order_id!r}", why="exactly one names an order", fix="pass order_link_id or order_id"
        )
    return {"orderLinkId": order_link_id} if order_link_id else {"orderId": order_id}


def _bytes(body: Body) -> bytes:
    return body if isinstance(body, bytes) else encode(body)
