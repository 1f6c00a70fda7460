"""Position endpoints: one-way mode and cross margin, so that switches answer that nothing was modified, or refuse."""

from __future__ import annotations

from typing import Final

from kedge.simulation.venue_types import PositionRow, Reject
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.fields import ABSENT, Params, chosen, is_linear, listed, price_ticks, trigger_by, wrong
from kedge.venues.exchange.orders_in import check_idx, check_stops
from kedge.venues.exchange.paging import before, cursor, window
from kedge.venues.exchange.routes import CONTRACTS, POSITIONS, ApiError, Call, Result, Routes
from kedge.venues.exchange.routes_params import limit, text
from kedge.venues.exchange.rows import EMPTY_PAGE, page
from kedge.venues.exchange.rows_account import closed_pnl_rest, position_rest
from kedge.venues.exchange.texts import e2_text, read_e8

POSITION_ROUTES: Final = Routes()

HEDGE: Final = ApiError(110029, "Hedge mode is not supported for this symbol")
NOT_UNIFIED: Final = ApiError(100028, "This operation is not available for unified accounts: margin mode belongs to the account")
CROSS: Final = ApiError(110015, "The position is in cross margin")
NO_PENDING: Final = ApiError.parameter("no maintenance margin change of this symbol waits for confirmation")
STOPS_MISSING: Final = ApiError.parameter("takeProfit or stopLoss is required; 0 removes")
NO_TRAILING: Final = ApiError.parameter("trailing stops are not supported by this venue: leave trailingStop and activePrice out")
ONE_LEVERAGE: Final = ApiError.parameter("buy leverage must equal sell leverage in one-way mode")

_E6: Final = 1_000_000


@POSITION_ROUTES.get("/v5/position/list", group="position.list", permissions=CONTRACTS)
def positions(call: Call) -> Result:
    """One symbol's position, flat or not; without a symbol those that are not flat."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    instruments = chosen(params, hall, needed=True)
    if text(params, "symbol"):
        rows = [hall.venue.position(call.account, instruments[0])]
    else:
        rows = [row for row in hall.venue.positions(call.account) if row.instrument in instruments]
    start, count = before(params) or 0, limit(params, 20, 200)
    shown = rows[start : start + count]
    return page(
        (position_rest(row, hall.grids[row.instrument]) for row in shown),
        cursor(start + count if start + count < len(rows) else None),
    )


@POSITION_ROUTES.get("/v5/position/closed-pnl", group="position.closed-pnl", permissions=CONTRACTS)
def closed_pnl(call: Call) -> Result:
    """What closing orders earned, newest first."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    names, span = frozenset(chosen(params, hall, needed=False)), window(params, call.now_ns)
    found = hall.venue.closed_pnl(
        call.account, before(params), limit(params, 50, 100), lambda row: row.instrument in names and span.holds(row.updated_ns)
    )
    return page((closed_pnl_rest(row, hall.grids[row.instrument]) for row in found.rows), cursor(found.next_before))


@POSITION_ROUTES.get("/v5/position/symbol-info", permissions=CONTRACTS)
def symbol_info(call: Call) -> Result:
    """The leverage of a symbol."""
    params, hall = call.params, call.hall
    if not is_linear(params):
        return EMPTY_PAGE
    rows = [hall.venue.position(call.account, name) for name in chosen(params, hall, needed=True)]
    items = [{"symbol": hall.grids[row.instrument].symbol, "leverage": e2_text(row.leverage_e2), "positionIdx": 0} for row in rows]
    return {"category": "linear", "list": items, "nextPageCursor": ""}


@POSITION_ROUTES.post("/v5/position/set-leverage", group="position.set-leverage", permissions=POSITIONS)
def set_leverage(call: Call) -> Result:
    """Set a symbol's leverage; the same for both sides."""
    _, instrument = listed(call.params, call.hall)
    wanted = _leverage_e2(call.params, "buyLeverage")
    if wanted != _leverage_e2(call.params, "sellLeverage"):
        return ONE_LEVERAGE
    return _done(call, call.hall.venue.set_leverage(call.account, instrument, wanted, call.now_ns))


@POSITION_ROUTES.post("/v5/position/trading-stop", group="position.trading-stop", permissions=POSITIONS)
def trading_stop(call: Call) -> Result:
    """Set, move or (0) remove the stops that close a whole position at market; what is not sent stays as it is."""
    params = call.params
    grid, instrument = listed(params, call.hall)
    check_idx(params)
    if any(params.get(name) not in (*ABSENT, "0", 0) for name in ("trailingStop", "activePrice")):
        return NO_TRAILING
    check_stops(params)
    profit, loss = price_ticks(params, "takeProfit", grid), price_ticks(params, "stopLoss", grid)
    if profit is None and loss is None:
        return STOPS_MISSING
    answer = call.hall.venue.set_trading_stop(
        call.account,
        instrument,
        call.now_ns,
        take_profit_ticks=profit,
        stop_loss_ticks=loss,
        tp_trigger_by=trigger_by(params, "tpTriggerBy"),
        sl_trigger_by=trigger_by(params, "slTriggerBy"),
    )
    return _done(call, answer)


@POSITION_ROUTES.post("/v5/position/switch-mode", group="position.switch-mode", permissions=POSITIONS)
def switch_mode(call: Call) -> Result:
    """One-way mode (0) is the only one: a symbol's is not modified, and a coin's symbols all have it."""
    params = call.params
    by_symbol = bool(text(params, "symbol"))
    if by_symbol:
        listed(params, call.hall)
    elif not is_linear(params) or text(params, "coin") != call.hall.coin:
        raise wrong("symbol or coin", f"a listed symbol, or {call.hall.coin}")
    mode = text(params, "mode")
    if mode == "3":
        return HEDGE
    if mode != "0":
        raise wrong("mode", "0 or 3")
    return ApiError(Code.MODE_UNCHANGED) if by_symbol else {}


@POSITION_ROUTES.post("/v5/position/switch-isolated", group="", permissions=POSITIONS)
def switch_isolated(call: Call) -> Result:
    """Of classic accounts alone."""
    return NOT_UNIFIED


@POSITION_ROUTES.post("/v5/position/set-auto-add-margin", group="position.set-auto-add-margin", permissions=POSITIONS)
def set_auto_add_margin(call: Call) -> Result:
    """Of isolated positions alone."""
    listed(call.params, call.hall)
    return CROSS


@POSITION_ROUTES.post("/v5/position/add-margin", group="position.add-margin", permissions=POSITIONS)
def add_margin(call: Call) -> Result:
    """Of isolated positions alone."""
    listed(call.params, call.hall)
    return CROSS


@POSITION_ROUTES.post("/v5/position/confirm-pending-mmr", group="position.confirm-pending-mmr", permissions=POSITIONS)
def confirm_pending_mmr(call: Call) -> Result:
    """Risk limits never wait for a confirmation here."""
    listed(call.params, call.hall)
    return NO_PENDING


def _done(call: Call, answer: PositionRow | Reject) -> Result:
    call.hall.publish()
    return ApiError.of(answer) if isinstance(answer, Reject) else {}


def _leverage_e2(params: Params, name: str) -> int:
    value_e8 = read_e8(params.get(name))
    if value_e8 is None or value_e8 % _E6:
        raise wrong(name, "a number with at most two decimals")
    return value_e8 // _E6
