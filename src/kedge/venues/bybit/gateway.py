"""Orders to the venue: the body of a request, the way it goes, and what its answer means for us.

Rules: only approved orders; every order carries our id, position index 0 and a tag against trading with ourselves; the trade socket
first, REST only for what was certainly never written; a request leaves when the limits have room for it, cancels and reductions from
the room kept for them; ambiguity is `Unanswered`, never a refusal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder, OrderIntent
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import Answer, Refused
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import Envelope, TradeReply, encode
from kedge.venues.bybit.codes import IP_BAN_CODES, LIMIT_CODES, Operation, Reaction, is_known, reaction
from kedge.venues.bybit.gateway_bodies import CATEGORY, SELF_TRADE, amend_body, cancel_body, create_body, create_fields
from kedge.venues.bybit.instruments import symbol_of
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.mapping import UnknownSymbol, record_of
from kedge.venues.bybit.rest_calls import PATIENCE_NS, Caller
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
        self, instrument: InstrumentId, client_order_id: str, *, qty_lots: int | None = None, limit_ticks: int | None = None
    ) -> Answer:
        """Change a resting order's whole quantity or limit; None leaves it."""
        record = record_of(symbol_of(instrument), self._records)
        body = amend_body(record, client_order_id, qty_lots=qty_lots, limit_ticks=limit_ticks)
        return order_answer(await self.send(ends.AMEND, body, Priority.TRADE), ends.AMEND)

    async def place_batch(self, approved: Sequence[ApprovedOrder]) -> list[Answer]:
        """Send several creates in one request; one answer each, in their order."""
        orders = [one.order for one in approved]
        items = [create_fields(order, record_of(symbol_of(order.instrument), self._records), self._self_trade) for order in orders]
        priority = Priority.EXIT if all(order.reduce_only for order in orders) else Priority.TRADE
        return await self._batch(ends.CREATE_BATCH, items, priority)

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
        try:
            await self._caller.measure_clock()
        except VenueUnavailable:
            return outcome
        return await self._once(trade, endpoint, body, priority, cost, is_permitted)

    async def _once(
        self, trade: TradeSocket, endpoint: Endpoint, body: bytes, priority: Priority, cost: int, is_permitted: Permitted | None
    ) -> Outcome:
        caller = self._caller
        refusal = await self._room(endpoint, priority, cost) or unpermitted(is_permitted)
        if refusal is not None:
            return refusal
        sent_ns = caller.mono_ns()
        window_ms = RECV_WINDOW_CREATE_MS if endpoint.operation is Operation.CREATE else RECV_WINDOW_MS
        timestamp_ms = caller.clock.timestamp_ms(sent_ns)
        reply = await trade.request(_OPS[endpoint.path], body, timestamp_ms, window_ms, within_s=self._within_s)
        self.over_socket += 1
        return self._judge(endpoint, reply, sent_ns)

    async def _room(self, endpoint: Endpoint, priority: Priority, cost: int) -> Outcome | None:
        """Wait for room under the limits; None when it was found, and a refusal of ours when there will be none in time."""
        caller = self._caller
        begun_ns = caller.mono_ns()
        while wait_ns := caller.limits.take(endpoint.group, priority, now_ns := caller.mono_ns(), cost=cost, over_http=False):
            if now_ns + wait_ns - begun_ns > PATIENCE_NS[priority] or caller.limits.banned_for_ns(now_ns):
                words = f"no room under the limit of {endpoint.group} for {wait_ns / NS_PER_S:.1f} s; it was not sent"
                return Outcome(Reaction.RETRY, NO_ROOM, words)
            await asyncio.sleep(wait_ns / NS_PER_S)
        return None

    def _judge(self, endpoint: Endpoint, reply: TradeReply, sent_ns: int) -> Outcome:
        if reply.ret_code is None:
            return Outcome(Reaction.AMBIGUOUS, "UNREADABLE", "an answer without a code")
        now_ns, code = self._caller.mono_ns(), reply.ret_code
        limits = self._caller.limits
        limits.observe(endpoint.group, sent_ns, now_ns, _header(reply, "X-Bapi-Limit"), _header(reply, "X-Bapi-Limit-Status"))
        if code in IP_BAN_CODES:
            limits.ban(now_ns, f"code {code}")
        elif code in LIMIT_CODES:
            reset_ms = _header(reply, "X-Bapi-Limit-Reset-Timestamp")
            reset_ns = None if reset_ms is None else reset_ms * NS_PER_MS - self._caller.clock.venue_wall_ns(now_ns)
            limits.refused(endpoint.group, now_ns, reset_ns)
        if not is_known(code):
            _LOG.warning("%s: unknown code %d %s, so its outcome is unknown", endpoint.group, code, reply.ret_msg)
        envelope = Envelope(ret_code=code, ret_msg=reply.ret_msg, result=reply.data, ret_ext_info=reply.ret_ext_info)
        return Outcome(reaction(code, endpoint.operation, reply.ret_msg), str(code), reply.ret_msg, envelope)

    async def _batch(self, endpoint: Endpoint, items: Sequence[Mapping[str, Any]], priority: Priority) -> list[Answer]:
        size = min(BATCH_MAX, self._caller.limits.largest(endpoint.group, priority) or BATCH_MAX)
        answers: list[Answer] = []
        for first in range(0, len(items), size):
            part = list(items[first : first + size])
            outcome = await self.send(endpoint, encode({"category": CATEGORY, "request": part}), priority, len(part))
            answers += batch_answers(endpoint, outcome, len(part))
        return answers


def _priority(order: OrderIntent) -> Priority:
    return Priority.EXIT if order.reduce_only else Priority.TRADE


def _header(reply: TradeReply, name: str) -> int | None:
    """One of the limit fields of an answer; None where it is missing or no number."""
    text = str((reply.header or {}).get(name, ""))
    return int(text) if text.isascii() and text.isdigit() else None
