"""Klines over REST: of trades, of mark, index and premium. Newest first; the first may still be open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from kedge.domain.units import NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.simulation.venue_types import KLINE_INTERVALS, KlineRow
from kedge.venues.exchange.market_api_history import MarketHistory, PriceKind
from kedge.venues.exchange.routes import ApiError, Call, Handler, Result
from kedge.venues.exchange.routes_params import LINEAR, RefusedCall, instrument, limit, text, whole
from kedge.venues.exchange.texts import e8_text

_LIMIT_USUAL: Final = 200
_LIMIT_MOST: Final = 1_000
_DAY: Final = "D"
_EPOCH_MONDAY_NS: Final = 4 * NS_PER_DAY  # 1970-01-05; weeks begin on Mondays

Read = Callable[[str, int, int | None, int | None], list[KlineRow]]
"""Rows of `(interval, limit, start_ns, end_ns)`, newest first, bounds inclusive by start."""


def trade_klines(call: Call) -> Result:
    """GET /v5/market/kline."""
    spec = instrument(call.hall, call.params, LINEAR)
    name, grid, venue = spec.instrument_id, call.hall.grids[spec.instrument_id], call.hall.venue
    rows = _read(call, lambda interval, size, start, end: venue.klines(name, interval, size, start, end))
    price = grid.price
    return _result(
        call,
        (
            [_ms(k), price(k.open_ticks), price(k.high_ticks), price(k.low_ticks), price(k.close_ticks), grid.qty(k.volume_lots),
             e8_text(k.turnover_e8)]
            for k in rows
        ),
    )  # fmt: skip


def price_klines(history: MarketHistory, kind: PriceKind) -> Handler:
    """GET /v5/market/{mark-price,index-price,premium-index-price}-kline: five columns."""

    def handler(call: Call) -> Result:
        spec = instrument(call.hall, call.params, LINEAR)
        name = spec.instrument_id
        price = e8_text if kind is PriceKind.PREMIUM else call.hall.grids[name].price_e8
        rows = _read(call, lambda interval, size, start, end: history.klines(kind, name, interval, size, start, end))
        return _result(call, ([_ms(k), price(k.open_ticks), price(k.high_ticks), price(k.low_ticks), price(k.close_ticks)] for k in rows))

    return handler


def _result(call: Call, rows: Iterable[list[str]]) -> Result:
    return {"category": LINEAR, "symbol": text(call.params, "symbol"), "list": list(rows)}


def _ms(row: KlineRow) -> str:
    return str(row.start_ns // NS_PER_MS)


def _read(call: Call, read: Read) -> list[KlineRow]:
    """The page that was asked for; with a start and no end it begins at the start."""
    params = call.params
    interval, size = text(params, "interval"), limit(params, _LIMIT_USUAL, _LIMIT_MOST)
    start_ms, end_ms = whole(params, "start"), whole(params, "end")
    start = None if start_ms is None else start_ms * NS_PER_MS
    end = None if end_ms is None else end_ms * NS_PER_MS
    if start is not None and end is not None and start > end:
        raise RefusedCall(ApiError.parameter("params error: start is after end"))
    if interval in _LONG:
        return _anchored(_grouped(interval, read(_DAY, _ALL, None, None), start, end), size, start, end)
    length = KLINE_INTERVALS.get(interval)
    if length is None:
        raise RefusedCall(ApiError.parameter("params error: Invalid period!"))
    if start is not None and end is None:
        first = -(-start // length) * length
        return _anchored(read(interval, _ALL, first, None), size, start, end)
    return read(interval, size, start, end)


_ALL: Final = 1 << 30


def _anchored(rows: list[KlineRow], size: int, start: int | None, end: int | None) -> list[KlineRow]:
    return rows[-size:] if start is not None and end is None else rows[:size]


def _week_ns(start_ns: int) -> int:
    return start_ns - (start_ns - _EPOCH_MONDAY_NS) % (7 * NS_PER_DAY)


def _month_ns(start_ns: int) -> int:
    day = datetime.fromtimestamp(start_ns // NS_PER_S, UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * NS_PER_S


_LONG: Final[dict[str, Callable[[int], int]]] = {"W": _week_ns, "M": _month_ns}


def _grouped(interval: str, days: list[KlineRow], start: int | None, end: int | None) -> list[KlineRow]:
    """Weeks or months out of days (newest first), bounded by their own starts."""
    opens = _LONG[interval]
    groups: dict[int, list[KlineRow]] = {}
    for day in days:
        groups.setdefault(opens(day.start_ns), []).append(day)
    return [
        _joined(interval, at, members) for at, members in groups.items() if (start is None or at >= start) and (end is None or at <= end)
    ]


def _joined(interval: str, start_ns: int, days: list[KlineRow]) -> KlineRow:
    newest, oldest = days[0], days[-1]
    return KlineRow(
        newest.instrument, interval, start_ns, newest.end_ns, oldest.open_ticks, max(day.high_ticks for day in days),
        min(day.low_ticks for day in days), newest.close_ticks, sum(day.volume_lots for day in days),
        sum(day.turnover_e8 for day in days), newest.confirm, newest.trade_ns,
    )  # fmt: skip
