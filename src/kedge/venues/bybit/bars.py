"""Bars of the venue to bars of the engine: the interval's word, the grid, and which are closed.

Rules: prices lie on the grid or the bar is refused by name; volume finer than the lot is rounded down, as for bars from files; a
bar that is not confirmed becomes no event.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.market.intervals import interval_text
from kedge.venues.bybit.codec_market import KlineData
from kedge.venues.bybit.codec_numbers import UnreadablePayload, money_e8, ns_from_ms, price_ticks, unreadable

_MINUTE_NS: Final = 60 * NS_PER_S
INTERVAL_NS: Final = MappingProxyType(
    {str(m): m * _MINUTE_NS for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {"D": NS_PER_DAY, "W": 7 * NS_PER_DAY}
)
"""The venue's word for an interval to nanoseconds; months have no fixed length and are not among them."""

_WORDS: Final = MappingProxyType({ns: word for word, ns in INTERVAL_NS.items()})


def interval_word(interval_ns: int) -> str:
    """The venue's word, such as "60" for an hour.

    Raises
    ------
    InvalidInput
        The venue has no bars of this length.
    """
    word = _WORDS.get(interval_ns)
    if word is None:
        raise InvalidInput(
            f"bars of {interval_text(interval_ns // NS_PER_MS)}",
            why=f"the venue has {', '.join(interval_text(ns // NS_PER_MS) for ns in sorted(_WORDS))}",
            fix="choose one of these intervals",
        )
    return word


def bar_from_kline(kline: KlineData, instrument: Instrument, interval_ns: int) -> BarClosed | None:
    """The event of a closed bar; None while it is open.

    Raises
    ------
    UnreadablePayload
        A price is off the grid or not within high and low, or the start is not on the interval.
    """
    if not kline.confirm:
        return None
    open_ts_ns = ns_from_ms(kline.start_ms)
    name = f"kline {instrument.venue_symbol} {kline.start_ms}"
    if open_ts_ns % _MINUTE_NS or (interval_ns <= NS_PER_DAY and open_ts_ns % interval_ns):
        raise unreadable(f"{name}: start", kline.start_ms, f"not on the interval of {interval_ns // NS_PER_MS} ms")
    prices = [price_ticks(getattr(kline, field), instrument, f"{name}: {field}") for field in ("open", "high", "low", "close")]
    opened, high, low, close = prices
    if not 0 < low <= min(opened, close) <= max(opened, close) <= high:
        raise unreadable(f"{name}: open, high, low, close", prices, "must be positive, with low and high around open and close")
    volume_e8 = money_e8(kline.volume or "", f"{name}: volume")
    if volume_e8 < 0:
        raise unreadable(f"{name}: volume", kline.volume, "a volume is not negative")
    return BarClosed(
        open_ts_ns + interval_ns, instrument.instrument_id, open_ts_ns, opened, high, low, close, volume_e8 // instrument.lot_e8
    )


__all__ = ["INTERVAL_NS", "UnreadablePayload", "bar_from_kline", "interval_word"]
