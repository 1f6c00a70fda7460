"""Public market endpoints. Everything is the venue's own, in the venue's texts; wall time only where the server's clock is asked.

Only linear contracts are listed: other categories have empty lists, and a symbol of theirs is not supported.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.simulation.venue_types import MINUTE_NS, PriceLevel, TickerRow
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.market_api_history import OPEN_INTEREST_NS, MarketHistory, PriceKind
from kedge.venues.exchange.market_api_instruments import instruments_info, risk_limit
from kedge.venues.exchange.market_api_klines import price_klines, trade_klines
from kedge.venues.exchange.public_rows import ticker_fields
from kedge.venues.exchange.routes import ApiError, Call, Handler, Result, Routes
from kedge.venues.exchange.routes_params import LINEAR, RefusedCall, category, instrument, limit, text, whole
from kedge.venues.exchange.texts import Grid, e8_text

OPEN_INTEREST_INTERVALS: Final = {
    "5min": OPEN_INTEREST_NS,
    "15min": 15 * MINUTE_NS,
    "30min": 30 * MINUTE_NS,
    "1h": 60 * MINUTE_NS,
    "4h": 240 * MINUTE_NS,
    "1d": 1440 * MINUTE_NS,
}
_FUNDINGS_KEPT: Final = 1_000
_FUNDINGS_MOST: Final = 200
_NO_DELIVERY: Final = {
    "predictedDeliveryPrice": "", "basis": "", "basisRate": "", "basisRateYear": "", "deliveryFeeRate": "", "deliveryTime": "0",
}  # fmt: skip
"""What a perpetual's ticker says of delivery."""


def market_routes(hall: Hall) -> Routes:
    """The table of public endpoints of a hall, which is listened to from now on."""
    history = MarketHistory(hall)
    routes = Routes()
    handlers: dict[str, Handler] = {
        "/v5/market/time": server_time,
        "/v5/market/kline": trade_klines,
        "/v5/market/mark-price-kline": price_klines(history, PriceKind.MARK),
        "/v5/market/index-price-kline": price_klines(history, PriceKind.INDEX),
        "/v5/market/premium-index-price-kline": price_klines(history, PriceKind.PREMIUM),
        "/v5/market/instruments-info": instruments_info,
        "/v5/market/orderbook": orderbook,
        "/v5/market/tickers": tickers,
        "/v5/market/funding/history": funding_history,
        "/v5/market/recent-trade": recent_trades,
        "/v5/market/risk-limit": risk_limit,
        "/v5/system/status": lambda call: {"list": []},
        "/v5/announcements/index": lambda call: {"total": 0, "list": []},
    }
    for path, handler in handlers.items():
        routes.get(path, public=True)(handler)
    routes.get("/v5/market/open-interest", public=True)(lambda call: open_interest(call, history))
    routes.get("/v5/market/price-limit", public=True, message="")(price_limit)
    return routes


def server_time(call: Call) -> Result:
    """GET /v5/market/time: the wall's, against which requests are checked."""
    return {"timeSecond": str(call.wall_ns // NS_PER_S), "timeNano": str(call.wall_ns)}


def orderbook(call: Call) -> Result:
    """GET /v5/market/orderbook."""
    spec = instrument(call.hall, call.params)
    grid = call.hall.grids[spec.instrument_id]
    book = call.hall.venue.depth(spec.instrument_id, limit(call.params, 25, 1_000))
    ts = book.ts_ns // NS_PER_MS
    return {
        "s": spec.venue_symbol, "b": _levels(book.bids, grid), "a": _levels(book.asks, grid), "ts": ts, "u": book.update,
        "seq": book.seq, "cts": ts,
    }  # fmt: skip


def _levels(levels: tuple[PriceLevel, ...], grid: Grid) -> list[list[str]]:
    return [[grid.price(ticks), grid.qty(lots)] for ticks, lots in levels]


def tickers(call: Call) -> Result:
    """GET /v5/market/tickers; an instrument without a price yet has no row."""
    kind, hall = category(call.params), call.hall
    if kind != LINEAR:
        return {"category": kind, "list": []}
    base = text(call.params, "baseCoin")
    if text(call.params, "symbol"):
        specs = [instrument(hall, call.params)]
    else:
        specs = [hall.instruments[name] for name in sorted(hall.instruments) if not base or hall.instruments[name].base == base]
    rows = [(hall.venue.ticker(spec.instrument_id), spec) for spec in specs]
    return {"category": kind, "list": [_ticker(row, spec, hall) for row, spec in rows if row.mark_e8]}


def _ticker(row: TickerRow, spec: Instrument, hall: Hall) -> dict[str, str]:
    fields = ticker_fields(row, hall.grids[spec.instrument_id], spec, hall.venue.settings.funding_cap_e8)
    del fields["tickDirection"]
    return fields | _NO_DELIVERY


def funding_history(call: Call) -> Result:
    """GET /v5/market/funding/history: newest first; a start alone is refused."""
    spec = instrument(call.hall, call.params)
    start, end = whole(call.params, "startTime"), whole(call.params, "endTime")
    if start is not None and end is None:
        raise RefusedCall(ApiError.parameter("params error: endTime is required with startTime"))
    rows = [
        {"symbol": spec.venue_symbol, "fundingRate": e8_text(row.rate_e8), "fundingRateTimestamp": str(row.ts_ns // NS_PER_MS)}
        for row in call.hall.venue.funding_history(spec.instrument_id, _FUNDINGS_KEPT)
        if _is_within(row.ts_ns, start, end)
    ]
    return {"category": LINEAR, "list": rows[: limit(call.params, _FUNDINGS_MOST, _FUNDINGS_MOST)]}


def _is_within(ts_ns: int, start_ms: int | None, end_ms: int | None) -> bool:
    return (start_ms is None or ts_ns >= start_ms * NS_PER_MS) and (end_ms is None or ts_ns <= end_ms * NS_PER_MS)


def recent_trades(call: Call) -> Result:
    """GET /v5/market/recent-trade: newest first, the taker's side."""
    spec = instrument(call.hall, call.params)
    grid = call.hall.grids[spec.instrument_id]
    rows = [
        {
            "execId": row.trade_id,
            "symbol": spec.venue_symbol,
            "price": grid.price(row.price_ticks),
            "size": grid.qty(row.qty_lots),
            "side": "Buy" if row.side is Side.BUY else "Sell",
            "time": str(row.ts_ns // NS_PER_MS),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(row.seq),
        }
        for row in call.hall.venue.recent_trades(spec.instrument_id, limit(call.params, 500, 1_000))
    ]
    return {"category": LINEAR, "list": rows}


def open_interest(call: Call, history: MarketHistory) -> Result:
    """GET /v5/market/open-interest: newest first, as long as the server has watched."""
    spec, params = instrument(call.hall, call.params), call.params
    every_ns = OPEN_INTEREST_INTERVALS.get(text(params, "intervalTime"))
    if every_ns is None:
        raise RefusedCall(ApiError.parameter("params error: intervalTime invalid"))
    grid = call.hall.grids[spec.instrument_id]
    start, end = whole(params, "startTime"), whole(params, "endTime")
    before = whole(params, "cursor")
    samples = [
        (ts, lots)
        for ts, lots in history.open_interest(spec.instrument_id)
        if not ts % every_ns and _is_within(ts, start, end) and (before is None or ts < before * NS_PER_MS)
    ]
    size = limit(params, 50, 200)
    page = samples[:size]
    rows = [
        {"openInterest": grid.qty(lots), "singleOpenInterest": grid.qty(lots // 2), "timestamp": str(ts // NS_PER_MS)} for ts, lots in page
    ]
    cursor = str(page[-1][0] // NS_PER_MS) if len(samples) > size else ""
    return {"category": LINEAR, "symbol": spec.venue_symbol, "list": rows, "nextPageCursor": cursor}


def price_limit(call: Call) -> Result:
    """GET /v5/market/price-limit: empty texts before the first price."""
    spec = instrument(call.hall, call.params, LINEAR)
    grid, bounds = call.hall.grids[spec.instrument_id], call.hall.venue.price_limits(spec.instrument_id)
    return {
        "symbol": spec.venue_symbol,
        "buyLmt": grid.price(bounds.buy_max_ticks) if bounds else "",
        "sellLmt": grid.price(bounds.sell_min_ticks) if bounds else "",
        "ts": str(call.now_ns // NS_PER_MS),
    }
