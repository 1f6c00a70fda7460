"""Orders to the venue: the body of a request, the way it goes, and what its answer means for us.

Rules: only approved orders; every order carries our id, position index 0 and a tag against trading with ourselves; the trade socket
first, REST only for what was certainly never written; a request leaves when the limits have room for it, cancels and reductions from
the room kept for them; ambiguity is `Unanswered`, never a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder, OrderIntent
from kedge.domain.venue import Answer, Refused
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import Envelope, TradeReply, encode
from kedge.venues.bybit.codes import Operation, Reaction, is_known, reaction
from kedge.venues.bybit.gateway_bodies import CATEGORY, SELF_TRADE, amend_fields, cancel_body, create_body, create_fields
from kedge.venues.bybit.http import header_number
from kedge.venues.bybit.instruments import symbol_of
from kedge.venues.bybit.limits import Priority, Request, Ticket
from kedge.venues.bybit.limits_queue import NoRoom
from kedge.venues.bybit.mapping import UnknownSymbol, record_of
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_outcome import NO_ROOM, Outcome, Permitted, order_answer, unpermitted
from kedge.venues.bybit.rest_trade import BATCH_MAX, batch_answers
from kedge.venues.bybit.signing import RECV_WINDOW_CREATE_MS, RECV_WINDOW_MS
from kedge.venues.bybit.trade_socket import NotSent, TradeSocket, Unknown

_LOG: Final = logging.getLogger(__name__)

ANSWER_WITHIN_S: Final = 5.0
_OPS: Final = {
    ends.CREATE.path: "order.create",
    ends.AMEND.path: "order.amend",
    ends.CANCEL.path: "order.cancel",
    ends.CREATE_BATCH.path: "order.create-batch",
    ends.AMEND_BATCH.path: "order.amend-batch",
    ends.CANCEL_BATCH.path: "order.cancel-batch",
}


class OrderGateway:
    """Sends requests about orders.

    Parameters
    ----------
    trade : TradeSocket, optional
        None where the venue has no trade socket (demo): everything goes over REST.
    records : mapping
        Instruments by symbol.
    """

    def __init__(
        self,
        caller: Caller,
        trade: TradeSocket | None,
        records: Mapping[str, Instrument],
        *,
        self_trade: str = SELF_TRADE,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self.over_socket = self.over_rest = 0
        self._caller, self._trade, self._records = caller, trade, records
        self._self_trade, self._within_s = self_trade, answer_within_s

    async def place(self, approved: ApprovedOrder, *, is_permitted: Permitted | None = None) -> Answer:
        """Send a create. `Taken` means accepted, not traded; a repeated client id counts as taken, since the first arrived."""
        order = approved.order
        try:
            body = create_body(order, record_of(symbol_of(order.instrument), self._records), self._self_trade)
        except UnknownSymbol as error:
            return Refused("UNKNOWN_INSTRUMENT", error.what)
        return order_answer(await self.send(ends.CREATE, body, _priority(order), is_permitted=is_permitted), ends.CREATE)

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        """Ask for a cancel; `Refused` where the venue knows no such open order."""
        body = cancel_body(symbol_of(instrument), client_order_id)
        return order_answer(await self.send(ends.CANCEL, body, Priority.EXIT), ends.CANCEL)

    async def amend(
        self,
        instrument: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        trigger_ticks: int | None = None,
        is_permitted: Permitted | None = None,
    ) -> Answer:
        """Ask for another whole quantity, limit or trigger of a resting order; None leaves it. One that changes nothing is not sent."""
        wanted = [number for number in (qty_lots, limit_ticks, trigger_ticks) if number is not None]
        if not wanted or min(wanted) < 1:
            return Refused("IMPOSSIBLE_AMEND", f"qty {qty_lots}, limit {limit_ticks}, trigger {trigger_ticks}: at least one, all positive")
        try:
            record = record_of(symbol_of(instrument), self._records)
        except UnknownSymbol as error:
            return Refused("UNKNOWN_INSTRUMENT", error.what)
        fields = amend_fields(record, client_order_id, qty_lots=qty_lots, limit_ticks=limit_ticks, trigger_ticks=trigger_ticks)
        body = encode({"category": CATEGORY} | fields)
        return order_answer(await self.send(ends.AMEND, body, Priority.TRADE, is_permitted=is_permitted), ends.AMEND)

    async def place_batch(self, approved: Sequence[ApprovedOrder], *, is_permitted: Permitted | None = None) -> list[Answer]:
        """Send several creates in one request; one answer each, in their order. None is sent where an instrument is not known."""
        orders = [one.order for one in approved]
        try:
            items = [create_fields(order, record_of(symbol_of(order.instrument), self._records), self._self_trade) for order in orders]
        except UnknownSymbol as error:
            return [Refused("UNKNOWN_INSTRUMENT", error.what)] * len(orders)
        priority = Priority.EXIT if all(order.reduce_only for order in orders) else Priority.TRADE
        return await self._batch(ends.CREATE_BATCH, items, priority, is_permitted)

    async def amend_batch(self, wanted: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Ask for several changes in one request, given as `gateway_bodies.amend_fields`; one answer each, in their order."""
        return await self._batch(ends.AMEND_BATCH, wanted, Priority.TRADE)

    async def cancel_batch(self, wanted: Sequence[tuple[InstrumentId, str]]) -> list[Answer]:
        """Ask for several cancels in one request, given as (instrument, client id)."""
        items = [{"symbol": symbol_of(instrument), "orderLinkId": client_id} for instrument, client_id in wanted]
        return await self._batch(ends.CANCEL_BATCH, items, Priority.EXIT)

    async def send(
        self, endpoint: Endpoint, body: bytes, priority: Priority, cost: int = 1, *, is_permitted: Permitted | None = None
    ) -> Outcome:
        """One request by the better way that is open; never raises for what venue or network do."""
        if self._trade is not None and self._trade.is_up and self._caller.clock.is_measured:
            try:
                return await self._over_socket(self._trade, endpoint, body, priority, cost, is_permitted)
            except NotSent as error:
                _LOG.info("%s goes over REST: %s", endpoint.group, error.why)
            except Unknown as error:
                return Outcome(Reaction.AMBIGUOUS, "", f"{error.what}: {error.why}")
        self.over_rest += 1
        return await self._caller.write(endpoint, body, priority=priority, cost=cost, is_permitted=is_permitted)

    async def _over_socket(
        self, trade: TradeSocket, endpoint: Endpoint, body: bytes, priority: Priority, cost: int, is_permitted: Permitted | None
    ) -> Outcome:
        outcome = await self._once(trade, endpoint, body, priority, cost, is_permitted)
        if outcome.reaction is not Reaction.CLOCK:
            return outcome
        if not await self._caller.clock_is_mended():
            return outcome
        return await self._once(trade, endpoint, body, priority, cost, is_permitted)

    async def _once(
        self, trade: TradeSocket, endpoint: Endpoint, body: bytes, priority: Priority, cost: int, is_permitted: Permitted | None
    ) -> Outcome:
        caller = self._caller
        try:
            ticket = await caller.admission.enter(Request(endpoint.group, priority, cost, over_http=False))
        except NoRoom as error:
            return Outcome(Reaction.RETRY, NO_ROOM, str(error))
        refusal = unpermitted(is_permitted)
        if refusal is not None:
            caller.admission.unsent(ticket)
            return refusal
        sent_ns = caller.mono_ns()
        window_ms = RECV_WINDOW_CREATE_MS if endpoint.operation is Operation.CREATE else RECV_WINDOW_MS
        timestamp_ms = caller.clock.timestamp_ms(sent_ns)
        try:
            reply = await trade.request(_OPS[endpoint.path], body, timestamp_ms, window_ms, within_s=self._within_s)
        except NotSent:
            caller.admission.unsent(ticket)
            raise
        self.over_socket += 1
        return self._judge(endpoint, reply, ticket)

    def _judge(self, endpoint: Endpoint, reply: TradeReply, ticket: Ticket) -> Outcome:
        admission, code = self._caller.admission, reply.ret_code
        admission.answered(ticket, _header(reply, "X-Bapi-Limit"), _header(reply, "X-Bapi-Limit-Status"))
        if code is None:
            return Outcome(Reaction.AMBIGUOUS, "UNREADABLE", "an answer without a code")
        admission.judged(endpoint.group, code, self._caller.reset_in_ns(_header(reply, "X-Bapi-Limit-Reset-Timestamp")))
        message = self._caller.without_key(reply.ret_msg)
        if not is_known(code):
            _LOG.warning("%s: unknown code %d %s, so its outcome is unknown", endpoint.group, code, message)
        envelope = Envelope(ret_code=code, ret_msg=message, result=reply.data, ret_ext_info=reply.ret_ext_info)
        return self._caller.heard(endpoint, Outcome(reaction(code, endpoint.operation, message), str(code), message, envelope))

    async def _batch(
        self, endpoint: Endpoint, items: Sequence[Mapping[str, Any]], priority: Priority, is_permitted: Permitted | None = None
    ) -> list[Answer]:
        size = min(BATCH_MAX, self._caller.limits.largest(endpoint.group, priority) or BATCH_MAX)
        answers: list[Answer] = []
        for first in range(0, len(items), size):
            part = list(items[first : first + size])
            body = encode({"category": CATEGORY, "request": part})
            outcome = await self.send(endpoint, body, priority, len(part), is_permitted=is_permitted)
            answers += batch_answers(endpoint, outcome, len(part))
        return answers


def _priority(order: OrderIntent) -> Priority:
    return Priority.EXIT if order.reduce_only else Priority.TRADE


def _header(reply: TradeReply, name: str) -> int | None:
    """One of the limit fields of an answer; None where it is missing or no number."""
    return header_number(str((reply.header or {}).get(name, "")))
