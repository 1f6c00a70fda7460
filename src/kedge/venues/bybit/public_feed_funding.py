"""What a ticker says of funding, as a fact: a settlement is known when its time has come and the time of the next one moves on.

Rules: the rate that was told last before that moment is the one that settled; a ticker that was not whole before says nothing, so after
an interruption history is asked; a time that moves before it has come, or back, is a change of the schedule and no settlement; what
cannot be read is refused by name.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.events import FundingKnown
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.venues.bybit.codec import FundingData, TickerData, money_e8
from kedge.venues.bybit.codec_numbers import unreadable

EARLY_MS: Final = 1_000
"""A ticker may tell that a settlement is over so much before it by its own time; earlier than that, the schedule was changed."""


def settled(before: TickerData | None, after: TickerData | None, instrument: Instrument, ts_ms: int | None) -> FundingKnown | None:
    """The settlement between two states of one instrument's ticker; None where none is known to have been.

    Parameters
    ----------
    ts_ms : int or None
        The venue's time of `after`, without which it is not known whether the settlement's time has come.

    Raises
    ------
    UnreadablePayload
        `nextFundingTime` is no time in milliseconds, or `fundingRate` is no number.
    """
    if before is None or after is None:
        return None
    was_ms, is_ms = _next_ms(before, instrument), _next_ms(after, instrument)
    if was_ms is None or is_ms is None or is_ms <= was_ms:
        return None
    if ts_ms is None or ts_ms < was_ms - EARLY_MS or not before.funding_rate:
        return None
    rate_e8 = money_e8(before.funding_rate, f"ticker {instrument.venue_symbol}: fundingRate")
    return FundingKnown(was_ms * NS_PER_MS, instrument.instrument_id, rate_e8)


def rate_of_history(row: FundingData, instrument: Instrument) -> FundingKnown:
    """A row of the funding history.

    Raises
    ------
    UnreadablePayload
        The rate is no number, or its time is not positive.
    """
    name = f"funding history {instrument.venue_symbol}"
    if row.funding_ms <= 0:
        raise unreadable(f"{name}: fundingRateTimestamp", row.funding_ms, "a time in milliseconds is positive")
    return FundingKnown(row.funding_ms * NS_PER_MS, instrument.instrument_id, money_e8(row.funding_rate, f"{name}: fundingRate"))


def _next_ms(ticker: TickerData, instrument: Instrument) -> int | None:
    """When funding settles next; None where the venue says that it never does."""
    text = str(ticker.next_funding_text or "")
    if not text or text == "0":
        return None
    if not (text.isascii() and text.isdigit()):
        raise unreadable(f"ticker {instrument.venue_symbol}: nextFundingTime", text, "must be a time in milliseconds")
    return int(text)
