"""What a ticker says of funding, as a fact: a settlement is known when the time of the next one moves on.

Rules: the rate that was told last before that moment is the one that settled; a ticker that was not whole before says nothing, so after
an interruption history is asked; what cannot be read is refused by name.
"""

from __future__ import annotations

from kedge.domain.events import FundingKnown
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.venues.bybit.codec import FundingData, TickerData, money_e8
from kedge.venues.bybit.codec_numbers import unreadable


def settled(before: TickerData | None, after: TickerData | None, instrument: Instrument) -> FundingKnown | None:
    """The settlement between two states of one instrument's ticker; None where none is known to have been.

    Raises
    ------
    UnreadablePayload
        `nextFundingTime` is no time in milliseconds or went back, or `fundingRate` is no number.
    """
    if before is None or after is None:
        return None
    was_ms, is_ms = _next_ms(before, instrument), _next_ms(after, instrument)
    if was_ms is None or is_ms is None or is_ms == was_ms:
        return None
    if is_ms < was_ms:
        raise unreadable(f"ticker {instrument.venue_symbol}: nextFundingTime", is_ms, f"went back from {was_ms}")
    if not before.funding_rate:
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
