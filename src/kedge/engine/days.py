"""What each UTC day closed at, of one instrument: from its own bars, and from the venue's daily bars before them.

Rules: a day's close is that of its last bar, taken when the day is over, and kept as a price in 1e-8 so that a new grid changes nothing. A
day without any bar has no close: it is left out, and with it the returns into it and out of it.

What the venue tells is not believed unseen. Its closes are walked from the newest back, beginning at the price now: each has to be nearer
to the one known next to it, or to our own close of that day, than to ten times or a tenth of it, else it is left out. No return is read
from closes before a bar of ours has said what the price is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.units import INT64_MAX, NS_PER_DAY, NS_PER_S, money_text

CLOSES_KEPT: Final = 1_001
"""A thousand returns: what a quantile at 99 % needs for ten of them to lie beyond it."""

OLD_NS: Final = 4 * NS_PER_DAY
"""A history whose newest day ended longer ago says nothing of the risk now; the guard's own measure."""
EARLY_NS: Final = 60 * NS_PER_S
"""Clocks may be so far apart when a day ends."""
NEAR: Final = "nearer to the price known next to it than to ten times or a tenth of it"

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


class Refused(NamedTuple):
    """Closes that were told and are not used: what they are, and what they had to be."""

    observed: str
    limit: str


def is_near(one_e8: int, other_e8: int) -> bool:
    """Whether two prices lie less than a factor of sqrt(10) apart, so that no shift by a decimal place fits them better than none."""
    return one_e8 * one_e8 < 10 * other_e8 * other_e8 and other_e8 * other_e8 < 10 * one_e8 * one_e8


def sift(newest_first: Iterable[tuple[int, int]], known_e8: Mapping[int, int], price_e8: int) -> tuple[dict[int, int], list[str]]:
    """Closes by day that can be, and words for each that cannot.

    Parameters
    ----------
    newest_first : iterable of (int, int)
        Day and close in 1e-8.
    known_e8 : mapping
        Closes known already, by day: a told one of such a day is held against it alone.
    price_e8 : int
        The price after the newest day; 0 while nobody knows it: then only what no price can be is left out.
    """
    kept: dict[int, int] = {}
    refused: list[str] = []
    beside = price_e8
    for day, close_e8 in newest_first:
        beside = known_e8.get(day, beside)
        if not 0 < close_e8 <= INT64_MAX:
            refused.append(f"{_date(day)} is no price")
        elif price_e8 and not is_near(close_e8, beside):
            refused.append(f"{_date(day)} at {money_text(close_e8)} beside {money_text(beside)}")
        else:
            kept[day] = beside = close_e8
    return kept, refused


def when_refused(last_day_ts_ns: int, ts_ns: int) -> Refused | None:
    """Why a history that ends at this time, told at `ts_ns`, is none; None where it may be one."""
    days, rest_ns = divmod(last_day_ts_ns, NS_PER_DAY)
    if rest_ns:
        return Refused(f"its last day ends {rest_ns / NS_PER_S:.3f} s after midnight", "a UTC midnight")
    if last_day_ts_ns > ts_ns + EARLY_NS:
        return Refused(f"its last day, {_date(days - 1)}, is not over", "days that are over")
    if last_day_ts_ns < ts_ns - OLD_NS:
        return Refused(f"its last day is {_date(days - 1)}", f"one that ended at most {OLD_NS // NS_PER_DAY} days ago")
    return None


class DayCloses:
    """Closes of one instrument by UTC day, counted from 1970.

    Attributes
    ----------
    closes : list of (int, int)
        Day and close in 1e-8 of the quote currency, oldest first.
    end_ts_ns : int
        The midnight that ends the present day; 0 before the first bar.
    changes : int
        Grows with every change of `closes`: what was worked out from them is then old.
    refused : Refused or None
        What of the venue's word is not used, until people were told.
    """

    __slots__ = ("changes", "closes", "end_ts_ns", "refused")

    def __init__(self) -> None:
        self.closes: list[tuple[int, int]] = []
        self.end_ts_ns = 0
        self.changes = 0
        self.refused: Refused | None = None

    def over(self, ts_ns: int, close_e8: int, before_ts_ns: int, before_e8: int) -> None:
        """A bar that closes at or after the end of the day; `before` is the close of the bar before it, 0 where there was none.

        The first bar says what the price is, so it also judges the closes that were told before it.
        """
        if not self.end_ts_ns and self.closes:
            kept, refused = sift(reversed(self.closes), {}, close_e8)
            self._note(refused, len(self.closes))
            self.closes = sorted(kept.items())
            self.changes += 1
        if self.end_ts_ns and ts_ns > self.end_ts_ns and before_e8:
            self._put((before_ts_ns - 1) // NS_PER_DAY, before_e8)
        if ts_ns % NS_PER_DAY == 0:
            self._put(ts_ns // NS_PER_DAY - 1, close_e8)
        self.end_ts_ns = (ts_ns // NS_PER_DAY + 1) * NS_PER_DAY

    def learn(self, last_day_ts_ns: int, closes_e8: tuple[int, ...], *, ts_ns: int, price_e8: int) -> None:
        """Daily closes of the venue, one for each day, the last of a day that ended at this midnight; they go before our own.

        `ts_ns` is the time at which they were told, `price_e8` the price then, which is not asked before the first bar.
        """
        self.refused = when_refused(last_day_ts_ns, ts_ns) if closes_e8 else None
        if self.refused is not None or not closes_e8:
            return
        last = last_day_ts_ns // NS_PER_DAY - 1
        told = ((last - back, close) for back, close in enumerate(reversed(closes_e8[-CLOSES_KEPT:])))
        known = dict(self.closes)
        kept, refused = sift(told, known, price_e8) if self.end_ts_ns else sift(told, {}, 0)
        self._note(refused, len(closes_e8))
        self.closes = sorted({**known, **kept}.items())[-CLOSES_KEPT:]
        self.changes += 1

    def load(self, closes: list[tuple[int, int]]) -> None:
        """What a snapshot kept."""
        self.closes = [(int(day), int(close)) for day, close in closes]
        self.changes += 1

    def returns(self) -> tuple[Int64Array, Float64Array]:
        """Days that ended a return, and these simple returns, oldest first; only between days that follow each other.

        None before the first bar: nothing of ours has said yet that what was told can be.
        """
        if len(self.closes) < 2 or not self.end_ts_ns:
            return np.zeros(0, np.int64), np.zeros(0)
        table = np.array(self.closes, np.int64)
        days, closes = table[:, 0], table[:, 1].astype(np.float64)
        follows = np.diff(days) == 1
        return days[1:][follows], (closes[1:] / closes[:-1] - 1.0)[follows]

    def _note(self, refused: list[str], told: int) -> None:
        if refused:
            self.refused = Refused(f"{len(refused)} of {told} daily closes, the newest: {refused[0]}", NEAR)

    def _put(self, day: int, close_e8: int) -> None:
        if self.closes and day <= self.closes[-1][0]:
            return
        self.closes.append((day, close_e8))
        del self.closes[:-CLOSES_KEPT]
        self.changes += 1


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
