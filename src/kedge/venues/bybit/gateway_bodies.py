"""What a request says, as the venue writes it, and the bytes that leave: pure functions that a benchmark can time.

Rules: numbers are plain decimal text on the instrument's grid, without exponent; the same body serves REST and the trade socket.
"""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.venues.bybit.codec import encode
from kedge.venues.bybit.signing import RECV_WINDOW_CREATE_MS, Signer, rest_headers
from kedge.venues.bybit.trade_socket import request_frame

CATEGORY: Final = "linear"
SELF_TRADE: Final = "CancelMaker"
"""Of two orders of ours that would meet, the resting one goes: the newer one is the later decision, and may be an exit."""

RISES, FALLS = 1, 2
"""The venue's words for the way a price comes to a trigger."""

_SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
_TIMES: Final = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}


def grid_text(steps: int, step_e8: int) -> str:
    """A count of steps as plain decimal text: 610_199 steps of 0.1 are "61019.9"."""
    whole, fraction = divmod(steps * step_e8, E8)
    return f"{whole}.{fraction:08d}".rstrip("0") if fraction else str(whole)


def create_fields(order: OrderIntent, instrument: Instrument, self_trade: str = SELF_TRADE) -> dict[str, Any]:
    """The members of a create without the category, as a batch takes them."""
    fields: dict[str, Any] = {
        "symbol": instrument.venue_symbol,
        "side": _SIDES[order.side],
        "orderType": "Market" if order.kind is OrderKind.MARKET else "Limit",
        "qty": grid_text(order.qty_lots, instrument.lot_e8),
        "orderLinkId": order.client_order_id,
        "positionIdx": 0,
        "reduceOnly": order.reduce_only,
        "smpType": self_trade,
    }
    if order.kind is OrderKind.LIMIT:
        fields["price"] = grid_text(order.limit_ticks, instrument.tick_e8)
        fields["timeInForce"] = _TIMES[order.time_in_force]
    if order.trigger_ticks:
        fields["triggerPrice"] = grid_text(order.trigger_ticks, instrument.tick_e8)
        fields["triggerDirection"] = RISES if order.trigger_rises else FALLS
        fields["triggerBy"] = "MarkPrice"
    return fields


def create_body(order: OrderIntent, instrument: Instrument, self_trade: str = SELF_TRADE) -> bytes:
    """The body of a create."""
    return encode({"category": CATEGORY} | create_fields(order, instrument, self_trade))


def cancel_body(symbol: str, client_order_id: str) -> bytes:
    """The body of a cancel."""
    return encode({"category": CATEGORY, "symbol": symbol, "orderLinkId": client_order_id})


def amend_fields(
    instrument: Instrument,
    client_order_id: str,
    *,
    qty_lots: int | None = None,
    limit_ticks: int | None = None,
    trigger_ticks: int | None = None,
) -> dict[str, Any]:
    """The members of an amend without the category; None leaves one as it is.

    `qty_lots` is the new whole quantity, what was filled included.
    """
    fields: dict[str, Any] = {"symbol": instrument.venue_symbol, "orderLinkId": client_order_id}
    if qty_lots is not None:
        fields["qty"] = grid_text(qty_lots, instrument.lot_e8)
    if limit_ticks is not None:
        fields["price"] = grid_text(limit_ticks, instrument.tick_e8)
    if trigger_ticks is not None:
        fields["triggerPrice"] = grid_text(trigger_ticks, instrument.tick_e8)
    return fields


def socket_create(order: OrderIntent, instrument: Instrument, request_id: str, timestamp_ms: int) -> bytes:
    """The frame of a create on the trade socket, ready to be written."""
    return request_frame(request_id, "order.create", create_body(order, instrument), timestamp_ms, RECV_WINDOW_CREATE_MS)


def rest_create(order: OrderIntent, instrument: Instrument, signer: Signer, timestamp_ms: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of a signed create over REST."""
    body = create_body(order, instrument)
    return rest_headers(signer, body, timestamp_ms, RECV_WINDOW_CREATE_MS), body
