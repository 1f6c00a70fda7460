"""What clients ask, read into the venue's requests: parameters of create, amend, cancel and cancel-all.

Rules: those of `routes_params` and `fields`; what this venue cannot do is refused and never dropped in silence. A quantity between two
steps is cut to the lower one, as the venue does; a price between two ticks is refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.orderbook import SelfTrade
from kedge.simulation.venue_types import OrderRequest
from kedge.venues.exchange.fields import ABSENT, Params, chosen, flag, is_linear, listed, price_ticks, trigger_by, word, wrong
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.routes import ApiError
from kedge.venues.exchange.routes_params import RefusedCall, text
from kedge.venues.exchange.texts import Grid, read_e8

SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
KINDS: Final = {"Market": OrderKind.MARKET, "Limit": OrderKind.LIMIT}
FORCES: Final = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "PostOnly": TimeInForce.POST_ONLY}
SELF_TRADES: Final = {
    "None": SelfTrade.ALLOW,
    "CancelMaker": SelfTrade.CANCEL_MAKER,
    "CancelTaker": SelfTrade.CANCEL_TAKER,
    "CancelBoth": SelfTrade.CANCEL_BOTH,
}
DIRECTIONS: Final = {"0": 0, "1": 1, "2": 2}

QTY_INVALID: Final = ApiError.parameter("Qty invalid")
QTY_TRUNCATED: Final = ApiError(110017, "orderQty will be truncated to zero")
IDS_MISSING: Final = ApiError.parameter("params error: orderId or orderLinkId is required")
IDX_MISMATCH: Final = ApiError.parameter("position idx not match position mode")
FULL_ONLY: Final = ApiError.parameter("only tpslMode Full is supported, whose take profit and stop loss are market orders")
NO_AMENDED_STOPS: Final = ApiError.parameter("takeProfit and stopLoss of an order cannot be amended: use position/trading-stop")

_UNSUPPORTED: Final = ("slippageToleranceType", "slippageTolerance", "bboSideType", "bboLevel")
_PLAIN: Final = frozenset(
    {"category", "symbol", "side", "orderType", "qty", "price", "timeInForce", "orderLinkId", "reduceOnly", "positionIdx", "isLeverage"}
)
"""Members of most orders; one that has no others needs no look at stops, triggers and what is not supported."""


class Target(NamedTuple):
    """The order that is meant: by the venue's id, else by the client's."""

    instrument: InstrumentId
    order_id: str
    link_id: str


class Amendment(NamedTuple):
    """A change wished for; None leaves a part as it is."""

    target: Target
    qty_lots: int | None
    limit_ticks: int | None
    trigger_ticks: int | None


class Scope(NamedTuple):
    """Which orders a cancel-all means: of these instruments, and of them all, conditional (True) or active (False) ones.

    `only_stops` leaves take profits and stop losses of positions alone.
    """

    instruments: tuple[InstrumentId, ...]
    conditional: bool | None
    only_stops: bool


def parse_create(params: Params, hall: Hall) -> OrderRequest | ApiError:
    """An order to create."""
    try:
        return _create(params, *listed(params, hall))
    except RefusedCall as refusal:
        return refusal.error


def parse_amend(params: Params, hall: Hall) -> Amendment | ApiError:
    """An order to change."""
    try:
        grid, instrument = listed(params, hall)
        target = _target(params, instrument)
        if any(params.get(name) not in ABSENT for name in ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice")):
            raise RefusedCall(NO_AMENDED_STOPS)
        qty = None if params.get("qty") in ABSENT else _lots(params, grid, False, False)
        return Amendment(target, qty, price_ticks(params, "price", grid), price_ticks(params, "triggerPrice", grid))
    except RefusedCall as refusal:
        return refusal.error


def parse_cancel(params: Params, hall: Hall) -> Target | ApiError:
    """An order to cancel."""
    try:
        return _target(params, listed(params, hall)[1])
    except RefusedCall as refusal:
        return refusal.error


def parse_cancel_all(params: Params, hall: Hall) -> Scope | ApiError:
    """Orders to cancel: symbol before baseCoin before settleCoin, one of which is needed."""
    try:
        linear = is_linear(params)
        instruments = chosen(params, hall, needed=True) if linear else ()
        conditional = word(params, "orderFilter", {"": None, "Order": False, "StopOrder": True, "OpenOrder": None})
        only_stops = word(params, "stopOrderType", {"": False, "Stop": True}) and conditional is not False
        return Scope(instruments, True if only_stops else conditional, only_stops)
    except RefusedCall as refusal:
        return refusal.error


def check_idx(params: Params) -> None:
    """One-way mode knows position index 0 alone."""
    given = params.get("positionIdx")
    if given in (None, 0, "0", "") and given is not False:
        return
    raise RefusedCall(IDX_MISMATCH) if given in (1, 2, "1", "2") and given is not True else wrong("positionIdx", "0")


def check_stops(params: Params) -> None:
    """Stops close a whole position at market; partial and limit ones are not supported."""
    limited = any(params.get(name) not in (None, "", "0", 0) for name in ("tpLimitPrice", "slLimitPrice", "tpSize", "slSize"))
    kinds = {text(params, "tpOrderType"), text(params, "slOrderType")} - {"", "Market"}
    if limited or kinds or text(params, "tpslMode") not in ("", "Full"):
        raise RefusedCall(FULL_ONLY)


def _create(params: Params, grid: Grid, instrument: InstrumentId) -> OrderRequest:
    side, kind = SIDES.get(text(params, "side")), KINDS.get(text(params, "orderType"))
    if side is None:
        raise wrong("side", "Buy or Sell")
    if kind is None:
        raise wrong("orderType", "Market or Limit")
    if params.get("positionIdx"):
        check_idx(params)
    reduce_only = flag(params, "reduceOnly")
    plain = _PLAIN.issuperset(params)
    close = False if plain else flag(params, "closeOnTrigger")
    lots = _lots(params, grid, reduce_only, close)
    limit = (price_ticks(params, "price", grid) or 0) if kind is OrderKind.LIMIT else 0
    force = _force(params, kind)
    if plain:
        return OrderRequest(
            instrument=instrument, side=side, kind=kind, qty_lots=lots, limit_ticks=limit, time_in_force=force,
            link_id=text(params, "orderLinkId"), reduce_only=reduce_only,
        )  # fmt: skip
    _check_supported(params)
    trigger = price_ticks(params, "triggerPrice", grid) or 0
    return OrderRequest(
        instrument=instrument, side=side, kind=kind, qty_lots=lots, limit_ticks=limit, time_in_force=force,
        link_id=text(params, "orderLinkId"), reduce_only=reduce_only, close_on_trigger=close,
        self_trade=word(params, "smpType", SELF_TRADES, "None"), trigger_ticks=trigger,
        trigger_direction=word(params, "triggerDirection", DIRECTIONS, "0") if trigger else 0, trigger_by=trigger_by(params, "triggerBy"),
        take_profit_ticks=price_ticks(params, "takeProfit", grid) or 0, stop_loss_ticks=price_ticks(params, "stopLoss", grid) or 0,
        tp_trigger_by=trigger_by(params, "tpTriggerBy"), sl_trigger_by=trigger_by(params, "slTriggerBy"),
    )  # fmt: skip


def _check_supported(params: Params) -> None:
    for name in _UNSUPPORTED:
        if params.get(name) not in ABSENT:
            raise RefusedCall(ApiError.parameter(f"{name} is not supported by this venue: leave it out"))
    check_stops(params)


def _force(params: Params, kind: OrderKind) -> TimeInForce:
    """A market order is immediate whatever it says, but cannot be post-only."""
    given = params.get("timeInForce")
    if given is None or given == "":
        return TimeInForce.GTC if kind is OrderKind.LIMIT else TimeInForce.IOC
    force = FORCES.get(text(params, "timeInForce"))
    if force is None:
        raise wrong("timeInForce", "GTC, IOC, FOK or PostOnly")
    return force if kind is OrderKind.LIMIT or force is TimeInForce.POST_ONLY else TimeInForce.IOC


def _lots(params: Params, grid: Grid, reduce_only: bool, close: bool) -> int:
    """The quantity in lots, cut to the step; 0 only for what closes a whole position."""
    qty_e8 = read_e8(params.get("qty"))
    if qty_e8 is None:
        raise RefusedCall(QTY_INVALID)
    lots = qty_e8 // grid.lot_e8
    if lots:
        return lots
    if qty_e8 and reduce_only:
        raise RefusedCall(QTY_TRUNCATED)
    if qty_e8 or not (reduce_only and close):
        raise RefusedCall(QTY_INVALID)
    return 0


def _target(params: Params, instrument: InstrumentId) -> Target:
    order_id, link_id = text(params, "orderId"), text(params, "orderLinkId")
    if not (order_id or link_id):
        raise RefusedCall(IDS_MISSING)
    return Target(instrument, order_id, link_id)
