"""What the order endpoints do, by REST and by the trade socket alike.

Rules: an operation reads the clock, changes the venue and publishes in one piece. It answers the JSON of `result`, an `ApiError`, or
for batches a `Reply` whose `ext` tells of each order; a batch succeeds as a whole even where none of its orders did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from kedge.simulation.venue_types import OrderRow, Reject, Status, StopType
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.fields import Params, is_linear
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.orders_in import Scope, parse_amend, parse_cancel, parse_cancel_all, parse_create
from kedge.venues.exchange.routes import ApiError, Reply
from kedge.venues.exchange.routes_params import RefusedCall

BATCH_MAX: Final = 20
_ALL: Final = 1 << 30
BATCH_SIZE: Final = ApiError.parameter(f"params error: request must be a list of 1 to {BATCH_MAX} orders")
NO_CONDITIONAL: Final = ApiError.parameter("conditional orders cannot be amended in a batch")

_encode: Final = msgspec.json.Encoder().encode
_One = Callable[[Hall, str, Params], OrderRow | ApiError]


def create(hall: Hall, account: str, params: Params) -> bytes | ApiError:
    """`order/create` and `order.create`."""
    return _single(hall, _create(hall, account, params))


def amend(hall: Hall, account: str, params: Params) -> bytes | ApiError:
    """`order/amend` and `order.amend`."""
    return _single(hall, _amend(hall, account, params))


def cancel(hall: Hall, account: str, params: Params) -> bytes | ApiError:
    """`order/cancel` and `order.cancel`."""
    return _single(hall, _cancel(hall, account, params))


def cancel_all(hall: Hall, account: str, params: Params) -> bytes | ApiError:
    """`order/cancel-all`."""
    scope = parse_cancel_all(params, hall)
    if isinstance(scope, ApiError):
        return scope
    gone = _gone(hall, account, scope)
    hall.publish()
    return b'{"list":[%b],"success":"1"}' % b",".join(_ids(row) for row in gone)


def create_batch(hall: Hall, account: str, params: Params, allowed: int | None = None) -> Reply | ApiError:
    """`order/create-batch`; of the orders only the first `allowed` fit the rate limit, the rest are refused one by one."""
    return _batch(hall, account, params, _create, allowed, is_new=True)


def amend_batch(hall: Hall, account: str, params: Params, allowed: int | None = None) -> Reply | ApiError:
    """`order/amend-batch`; conditional orders are refused."""
    return _batch(hall, account, params, _amend_active, allowed)


def cancel_batch(hall: Hall, account: str, params: Params, allowed: int | None = None) -> Reply | ApiError:
    """`order/cancel-batch`."""
    return _batch(hall, account, params, _cancel, allowed)


def batch_size(params: Params) -> int:
    """How many orders a batch counts for in the rate limit; at least 1."""
    request = params.get("request")
    return max(1, len(request)) if isinstance(request, list) else 1


def _create(hall: Hall, account: str, params: Params) -> OrderRow | ApiError:
    request = parse_create(params, hall)
    if isinstance(request, ApiError):
        return request
    row = hall.venue.place(account, request, hall.clock.venue_ns())
    return ApiError.of(row) if isinstance(row, Reject) else row


def _amend(hall: Hall, account: str, params: Params) -> OrderRow | ApiError:
    wish = parse_amend(params, hall)
    if isinstance(wish, ApiError):
        return wish
    instrument, order_id, link_id = wish.target
    row = hall.venue.amend(
        account, instrument, hall.clock.venue_ns(), order_id=order_id, link_id=link_id,
        qty_lots=wish.qty_lots, limit_ticks=wish.limit_ticks, trigger_ticks=wish.trigger_ticks,
    )  # fmt: skip
    return ApiError.of(row) if isinstance(row, Reject) else row


def _amend_active(hall: Hall, account: str, params: Params) -> OrderRow | ApiError:
    wish = parse_amend(params, hall)
    if isinstance(wish, ApiError):
        return wish
    found = hall.venue.find_order(account, *wish.target)
    if found is not None and found.status is Status.UNTRIGGERED:
        return NO_CONDITIONAL
    return _amend(hall, account, params)


def _cancel(hall: Hall, account: str, params: Params) -> OrderRow | ApiError:
    target = parse_cancel(params, hall)
    if isinstance(target, ApiError):
        return target
    instrument, order_id, link_id = target
    row = hall.venue.cancel(account, instrument, hall.clock.venue_ns(), order_id=order_id, link_id=link_id)
    return ApiError.of(row) if isinstance(row, Reject) else row


def _gone(hall: Hall, account: str, scope: Scope) -> list[OrderRow]:
    venue, now_ns = hall.venue, hall.clock.venue_ns()
    gone: list[OrderRow] = []
    for instrument in scope.instruments:
        if not scope.only_stops:
            gone += venue.cancel_all(account, instrument, now_ns, conditional=scope.conditional)
            continue
        waits = [row for row in venue.open_orders(account, limit=_ALL, where=_is_stop).rows if row.instrument == instrument]
        answers = [venue.cancel(account, instrument, now_ns, order_id=row.order_id) for row in waits]
        gone += [row for row in answers if isinstance(row, OrderRow)]
    return gone


def _is_stop(row: OrderRow) -> bool:
    return row.status is Status.UNTRIGGERED and row.stop_type is StopType.STOP


def _single(hall: Hall, row: OrderRow | ApiError) -> bytes | ApiError:
    hall.publish()
    return row if isinstance(row, ApiError) else _ids(row)


def _ids(row: OrderRow) -> bytes:
    return f'{{"orderId":"{row.order_id}","orderLinkId":"{row.link_id}"}}'.encode()


def _batch(hall: Hall, account: str, params: Params, one: _One, allowed: int | None, *, is_new: bool = False) -> Reply | ApiError:
    request = params.get("request")
    if not isinstance(request, list) or not 1 <= len(request) <= BATCH_MAX or not all(isinstance(item, dict) for item in request):
        return BATCH_SIZE
    try:
        is_linear(params)
    except RefusedCall as refusal:
        return refusal.error
    most = len(request) if allowed is None else allowed
    category = params["category"]
    rows, notes = [], []
    for n, item in enumerate(request):
        row = one(hall, account, {**item, "category": category}) if n < most else ApiError(Code.TOO_MANY_VISITS)
        rows.append(_batch_row(item, category, row, is_new))
        notes.append({"code": row.code, "msg": row.message} if isinstance(row, ApiError) else {"code": 0, "msg": "OK"})
    hall.publish()
    return Reply(_encode({"list": rows}), _encode({"list": notes}))


def _batch_row(item: dict[str, Any], category: str, row: OrderRow | ApiError, is_new: bool) -> dict[str, Any]:
    """One entry of a batch's result; what was refused names what the client sent, and no id of ours."""
    if isinstance(row, ApiError):
        ids = {"orderId": "" if is_new else item.get("orderId") or "", "orderLinkId": item.get("orderLinkId") or ""}
        created = ""
    else:
        ids = {"orderId": row.order_id, "orderLinkId": row.link_id}
        created = str(row.created_ns // 1_000_000)
    entry = {"category": category, "symbol": item.get("symbol") or "", **ids}
    return {**entry, "createAt": created} if is_new else entry
