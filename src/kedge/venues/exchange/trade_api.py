"""Trade endpoints: orders are made, changed and cancelled by `order_ops`; here they are listed, and disconnection is provided for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_DAY
from kedge.simulation.venue_types import ExecType, ExecutionRow, OrderRow, Page, Reject, Status, StopType
from kedge.venues.exchange import order_ops
from kedge.venues.exchange.fields import Params, chosen, is_linear, word, wrong
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.orders_in import parse_create
from kedge.venues.exchange.paging import before, cursor, window
from kedge.venues.exchange.routes import CONTRACTS, ORDERS, ApiError, Call, Result, Routes
from kedge.venues.exchange.routes_params import limit, text, whole
from kedge.venues.exchange.rows import EMPTY_PAGE, execution_rest, order_rest, page
from kedge.venues.exchange.texts import share_e4

TRADE_ROUTES: Final = Routes()

_STATUSES: Final = {"": None, **{status.value: status for status in Status}}
_EXEC_TYPES: Final = {"": None, **{kind.value: kind for kind in ExecType}}
_FILTERS: Final = {"": None, "Order": False, "StopOrder": True, "OpenOrder": None}
_PRODUCTS: Final = {"DERIVATIVES": "DERIVATIVES"}
_WINDOW_LEAST_S, _WINDOW_MOST_S = 3, 300


@TRADE_ROUTES.post("/v5/order/create", group="order.create", permissions=ORDERS)
def create(call: Call) -> Result:
    """Accepted, which says nothing of what became of it: the order stream does."""
    return order_ops.create(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/amend", group="order.amend", permissions=ORDERS)
def amend(call: Call) -> Result:
    """Change an open order."""
    return order_ops.amend(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/cancel", group="order.cancel", permissions=ORDERS)
def cancel(call: Call) -> Result:
    """Cancel an open order."""
    return order_ops.cancel(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/cancel-all", group="order.cancel-all", permissions=ORDERS)
def cancel_all(call: Call) -> Result:
    """Cancel all open orders of a symbol or coin."""
    return order_ops.cancel_all(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/create-batch", group="order.create-batch", permissions=ORDERS, cost=order_ops.batch_size)
def create_batch(call: Call) -> Result:
    """Up to twenty orders, each taken or refused by itself."""
    return order_ops.create_batch(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/amend-batch", group="order.amend-batch", permissions=ORDERS, cost=order_ops.batch_size)
def amend_batch(call: Call) -> Result:
    """Up to twenty changes."""
    return order_ops.amend_batch(call.hall, call.account, call.params)


@TRADE_ROUTES.post("/v5/order/cancel-batch", group="order.cancel-batch", permissions=ORDERS, cost=order_ops.batch_size)
def cancel_batch(call: Call) -> Result:
    """Up to twenty cancels."""
    return order_ops.cancel_batch(call.hall, call.account, call.params)


@TRADE_ROUTES.get("/v5/order/realtime", group="order.realtime", permissions=CONTRACTS)
def realtime(call: Call) -> Result:
    """Open orders, or with openOnly=1 closed ones, newest first; by id an order that is open or was closed lately."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    instruments = chosen(params, hall, needed=True)
    wanted = _order_filter(params, instruments)
    if text(params, "orderId") or text(params, "orderLinkId"):
        return _orders(_found(call, instruments), hall)
    closed = word(params, "openOnly", {"0": False, "1": True}, "0")
    ask = hall.venue.order_history if closed else hall.venue.open_orders
    return _orders(ask(call.account, before(params), limit(params, 20, 50), wanted), hall)


@TRADE_ROUTES.get("/v5/order/history", group="order.history", permissions=CONTRACTS)
def history(call: Call) -> Result:
    """Closed orders, the latest closed first; times are those of the last update. Orders without a fill are kept for a day."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    instruments = chosen(params, hall, needed=False)
    span = window(params, call.now_ns)
    kept_ns = call.now_ns - NS_PER_DAY
    if text(params, "orderId") or text(params, "orderLinkId"):
        rows = [row for row in _found(call, instruments).rows if not row.is_open and (row.cum_lots or row.updated_ns >= kept_ns)]
        return _orders(Page(rows, None), hall)
    wanted, status = _order_filter(params, instruments), word(params, "orderStatus", _STATUSES)

    def asked(row: OrderRow) -> bool:
        return (
            span.holds(row.updated_ns)
            and (status is None or row.status is status)
            and (row.cum_lots > 0 or row.updated_ns >= kept_ns)
            and wanted(row)
        )

    return _orders(hall.venue.order_history(call.account, before(params), limit(params, 20, 50), asked), hall)


@TRADE_ROUTES.get("/v5/execution/list", group="execution.list", permissions=CONTRACTS)
def executions(call: Call) -> Result:
    """Fills, takeovers and fundings, newest first; by an order's id whatever the other filters say."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    found = hall.venue.executions(call.account, before(params), limit(params, 50, 100), _execution_filter(call))
    return page((execution_rest(row, hall.grids[row.instrument]) for row in found.rows), cursor(found.next_before))


@TRADE_ROUTES.post("/v5/order/pre-check", group="order.pre-check", permissions=ORDERS)
def pre_check(call: Call) -> Result:
    """Margin rates before and after an order that is not placed, in 1e-4; initial as it rests, maintenance as if filled at the mark."""
    hall = call.hall
    request = parse_create(call.params, hall)
    if isinstance(request, ApiError):
        return request
    if request.trigger_ticks:
        return ApiError.parameter("conditional orders cannot be pre-checked")
    now, after = hall.venue.wallet(call.account), hall.venue.preview(call.account, request, call.now_ns)
    hall.publish()
    if isinstance(after, Reject):
        return ApiError.of(after)
    rates = {
        f"{name}{rate}E4": share_e4(part_e8, row.equity_e8)
        for name, row in (("pre", now), ("post", after))
        for rate, part_e8 in (("Imr", row.position_initial_e8 + row.order_initial_e8), ("Mmr", row.maintenance_e8))
    }
    return {"orderId": "", "orderLinkId": request.link_id, **rates}


@TRADE_ROUTES.post("/v5/order/disconnected-cancel-all", group="order.disconnected-cancel-all", permissions=ORDERS)
def protect(call: Call) -> Result:
    """Cancel the account's orders once all its protected connections have been gone for `timeWindow` seconds."""
    word(call.params, "product", _PRODUCTS, "OPTIONS")
    seconds = whole(call.params, "timeWindow") or 0
    if not _WINDOW_LEAST_S <= seconds <= _WINDOW_MOST_S:
        raise wrong("timeWindow", f"{_WINDOW_LEAST_S} to {_WINDOW_MOST_S} seconds")
    call.hall.disconnect_windows_s[call.account] = seconds
    return {}


def _orders(found: Page[OrderRow], hall: Hall) -> bytes:
    return page((order_rest(row, hall.grids[row.instrument]) for row in found.rows), cursor(found.next_before))


def _found(call: Call, instruments: Sequence[InstrumentId]) -> Page[OrderRow]:
    """The one order with the id that was sent; the venue's id wins over the client's."""
    order_id, link_id = text(call.params, "orderId"), text(call.params, "orderLinkId")
    asked = (call.hall.venue.find_order(call.account, instrument, order_id, link_id) for instrument in instruments)
    return Page([row for row in asked if row is not None], None)


def _order_filter(params: Params, instruments: Sequence[InstrumentId]) -> Callable[[OrderRow], bool]:
    """Orders of these instruments, and of them active (Order) or conditional (StopOrder) ones."""
    names, conditional = frozenset(instruments), word(params, "orderFilter", _FILTERS)
    if conditional is None:
        return lambda row: row.instrument in names
    return lambda row: row.instrument in names and (row.stop_type is not StopType.NONE) == conditional


def _execution_filter(call: Call) -> Callable[[ExecutionRow], bool]:
    params = call.params
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    if order_id:
        return lambda row: row.order_id == order_id
    if link_id:
        return lambda row: row.link_id == link_id
    names, kind = frozenset(chosen(params, call.hall, needed=False)), word(params, "execType", _EXEC_TYPES)
    span = window(params, call.now_ns)
    return lambda row: span.holds(row.ts_ns) and row.instrument in names and (kind is None or row.exec_type is kind)
