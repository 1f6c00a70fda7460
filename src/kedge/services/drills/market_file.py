"""The file of prices that a drill hands to its exchange: bars of any length to play, and daily and minute bars of before.

Rules: ticks and lots of shipped instrument records, times in venue time (UTC ns), ordered by time; what is told as the past ends before
the first bar that is played. One JSON document, so that a report can name its hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S

SCHEMA: Final = "kedge/market-path/v1"


class PathBar(msgspec.Struct, frozen=True, array_like=True):
    """One bar of one symbol: from, to (venue ns), open, high, low, close in ticks, volume in lots."""

    symbol: str
    open_ts_ns: int
    ts_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int

    def event(self, instrument: InstrumentId) -> BarClosed:
        """The bar as the exchange plays it."""
        prices = (self.open_ticks, self.high_ticks, self.low_ticks, self.close_ticks)
        return BarClosed(self.ts_ns, instrument, self.open_ts_ns, *prices, self.volume_lots)


class MarketPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an exchange needs to play a drill.

    Attributes
    ----------
    title, source : str
        Which crash, and where its prices come from, in words.
    symbols : tuple of str
        What is listed.
    start_ts_ns : int
        Venue time at which the market begins.
    past, played : tuple of PathBar
        What is told as history, and what is played.
    """

    title: str
    source: str
    symbols: tuple[str, ...]
    start_ts_ns: int
    past: tuple[PathBar, ...]
    played: tuple[PathBar, ...]
    schema: str = SCHEMA

    @property
    def seconds(self) -> float:
        """How long it plays at the speed of the wall."""
        return (max(bar.ts_ns for bar in self.played) - self.start_ts_ns) / NS_PER_S


def write_market(path: Path, market: MarketPath) -> Path:
    """Write the document; returns where."""
    path.write_bytes(msgspec.json.encode(market))
    return path


def read_market(path: Path) -> MarketPath:
    """Read and check the document.

    Raises
    ------
    InvalidInput
        Not such a document, or bars that cannot be played in their order.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=MarketPath)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read", why=error.strerror or str(error), fix="name the file that a drill wrote") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is no market path", why=str(error), fix="name the file that a drill wrote") from None
    problem = _problem(found)
    if problem:
        raise InvalidInput(f"{path} cannot be played", why=problem, fix="write it again")
    return found


def _problem(market: MarketPath) -> str:
    """Why a document cannot be played; empty where it can."""
    if market.schema != SCHEMA:
        return f"schema is {market.schema!r}, not {SCHEMA}"
    if not market.symbols or not market.played:
        return "it lists nothing, or holds no bar to play"
    for name, bars in (("past", market.past), ("played", market.played)):
        for symbol in market.symbols:
            ends = [(bar.open_ts_ns, bar.ts_ns) for bar in bars if bar.symbol == symbol]
            if any(begin >= end for begin, end in ends) or any(before[1] > after[0] for before, after in zip(ends, ends[1:], strict=False)):
                return f"{name} bars of {symbol} overlap or span no time"
        strangers = {bar.symbol for bar in bars} - set(market.symbols)
        if strangers:
            return f"{name} bars of {', '.join(sorted(strangers))}, which it does not list"
    if max((bar.ts_ns for bar in market.past), default=0) > market.start_ts_ns:
        return "its past ends after the market begins"
    if min(bar.open_ts_ns for bar in market.played) < market.start_ts_ns:
        return "it plays a bar of before the market begins"
    return ""
