"""What the daily backtest keeps: a forecast before its day, what came of it, or why a day was not tested; and the fold of it.

Rules: two portfolios are tested. `account` is what the account held when the day began, frozen; `reference` is an equal long weight in
every instrument with a history, so that methods have a record while the account is flat or new. A forecast is judged once, by the closes of
its day; a day of the account that nobody looked at, or whose close is missing, is not tested. Whole numbers and text only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import E8
from kedge.risk.var.backtests import Colour
from kedge.risk.var.record import BacktestRecord, Judged, Standing

ACCOUNT: Final = "account"
REFERENCE: Final = "reference"
BOOKS: Final = (REFERENCE, ACCOUNT)
LIVE: Final = "live"
HISTORY: Final = "history"
"""Origin of a forecast that was made later, from nothing but the closes before its day: only ever of the reference."""
_SEVERITY: Final = (Colour.UNKNOWN, Colour.GREEN, Colour.YELLOW, Colour.RED)


class MethodForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One method's forecast, as fractions of equity in 1e-8, losses positive: VaR at 99 %, ES at 97.5 % and the VaR at that level."""

    method: str
    var_e8: int
    es_e8: int
    es_var_e8: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True, tag="forecast"):
    """Made before, or early in, the UTC day that it is for.

    Attributes
    ----------
    day : int
        UTC days since 1970.
    weights_e8 : tuple of int
        Signed notional of each instrument as a fraction of equity in 1e-8, frozen.
    main : str
        The method that acts; `flags` are its own.
    history_sha256 : str
        Of the closes that it was made from.
    late_s : int
        Venue seconds between the beginning of the day and the look at the account.
    """

    day: int
    book: str
    origin: str
    instruments: tuple[InstrumentId, ...]
    weights_e8: tuple[int, ...]
    methods: tuple[MethodForecast, ...]
    main: str
    flags: tuple[str, ...]
    history_days: int
    history_sha256: str
    late_s: int
    made_wall_ns: int


class Realised(msgspec.Struct, frozen=True, kw_only=True, tag="realised"):
    """What the frozen portfolio of a forecast made of its day, as a fraction of equity in 1e-8.

    `closes_e8` are, for each instrument of the forecast, those before and of the day.
    """

    day: int
    book: str
    realised_e8: int
    closes_e8: tuple[tuple[int, int], ...]
    made_wall_ns: int


class NotTested(msgspec.Struct, frozen=True, kw_only=True, tag="not_tested"):
    """A day without a forecast, or a forecast without its day."""

    day: int
    book: str
    why: str
    made_wall_ns: int


Item = Forecast | Realised | NotTested
_decoder: Final = msgspec.json.Decoder(Item)


def body_of(item: Item) -> bytes:
    """Canonical bytes."""
    return encode(item)


def item_of(body: bytes) -> Item:
    """Read one back; `msgspec.ValidationError` where it is none."""
    item: Item = _decoder.decode(body)
    return item


class Seen(NamedTuple):
    """How far a portfolio's record has come: the last day that was forecast or given up (-1 for none), and the forecast still open."""

    day: int
    open: Forecast | None


class DailyRecord:
    """The fold of all items, oldest first."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._books = {book: BacktestRecord() for book in BOOKS}
        self._seen = dict.fromkeys(BOOKS, Seen(-1, None))
        for item in items:
            self.take(item)

    def take(self, item: Item) -> None:
        """Learn one item.

        Raises
        ------
        InvalidInput
            Its day was judged already.
        """
        seen = self._seen[item.book]
        if isinstance(item, Forecast):
            self._seen[item.book] = Seen(item.day, item)
            return
        if isinstance(item, Realised) and seen.open is not None and seen.open.day == item.day:
            for row in judged_rows(seen.open, item):
                self._books[item.book].add(row)
        self._seen[item.book] = Seen(max(seen.day, item.day), None)

    def seen(self, book: str) -> Seen:
        """How far a portfolio has come."""
        return self._seen[book]

    def book(self, book: str) -> BacktestRecord:
        """The rolling rows of one portfolio."""
        return self._books[book]

    def standings(self) -> dict[str, Standing]:
        """For each method the worse of its two portfolios; of equals the account's."""
        found: dict[str, Standing] = {}
        for book in BOOKS:
            for method in self._books[book].methods:
                told = self._books[book].standing(method)
                before = found.get(method)
                if told is not None and (before is None or _SEVERITY.index(told.colour) >= _SEVERITY.index(before.colour)):
                    found[method] = told
        return found

    def colours(self) -> dict[str, Colour]:
        """The worse light of each method that has been judged: what `risk.var.choice` takes."""
        found: dict[str, Colour] = {}
        for record in self._books.values():
            for method, colour in record.colours().items():
                found[method] = max(found.get(method, Colour.UNKNOWN), colour, key=_SEVERITY.index)
        return found


def judged_rows(forecast: Forecast, came: Realised) -> tuple[Judged, ...]:
    """One row of each method."""
    return tuple(
        Judged(
            day=came.day,
            method=one.method,
            var_e8=one.var_e8,
            es_e8=one.es_e8,
            es_var_e8=one.es_var_e8,
            realised_e8=came.realised_e8,
        )
        for one in forecast.methods
    )


def realised_e8(weights_e8: Iterable[int], closes_e8: Iterable[tuple[int, int]]) -> int:
    """Sum of weight times return, exactly, rounded down once: a loss is never made smaller.

    Parameters
    ----------
    closes_e8 : iterable of (before, of the day)
        One pair for each weight.
    """
    numerator, denominator = 0, 1
    for weight, (before, after) in zip(weights_e8, closes_e8, strict=True):
        numerator = numerator * before + weight * (after - before) * denominator
        denominator *= before
    return numerator // denominator


def frac_e8(value_e8: int, of_e8: int) -> int:
    """A signed part as a fraction in 1e-8, to the nearest; `of_e8` is positive."""
    return (2 * value_e8 * E8 + of_e8) // (2 * of_e8)
