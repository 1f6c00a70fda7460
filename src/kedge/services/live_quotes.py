"""Quotes on their way into the engine of a live trader: sampled right before something is decided, and only then.

Rules: before a bar, or a timer that plans orders, the venue is asked for the instrument's best prices. Prices other than those the engine
knows, or the same ones once they would be too old to be used, are stepped as `QuoteSampled`; that nobody knows them any more is stepped
once, as `QuoteLost`. A book that is broken, crossed or too old has no quote, so nothing is ever priced off it. In lock-step the market
stands still while this happens, so the same market gives the same samples at any speed.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.events import BarClosed, Event, QuoteLost, QuoteSampled, TimerFired
from kedge.domain.instrument import InstrumentId
from kedge.domain.venue import TradingVenue
from kedge.engine.fold import PLANNING_TIMERS
from kedge.services.live_core import LiveCore

NO_WHOLE_BOOK: Final = "no whole book"


class Quotes:
    """Samples one venue's quotes for one engine."""

    def __init__(self, core: LiveCore, venue: TradingVenue) -> None:
        self._core, self._venue = core, venue
        self._age_max_ns = core.engine.settings.execution.quote_age_max_ns
        core.before_deciding = self.before

    def before(self, event: Event) -> None:
        """Sample what the event's instrument is quoted at, where the event lets the engine decide on orders."""
        instrument = instrument_of(event)
        if instrument in self._core.state.slots:
            self.sample(instrument)

    def sample(self, instrument: InstrumentId) -> None:
        """Ask the venue, and step what is news."""
        core, slot = self._core, self._core.state.slots[instrument]
        quote, now_ns = self._venue.quote(instrument), core.now_ns()
        if quote is None or not 0 < quote.bid_ticks < quote.ask_ticks:
            if slot.quote_ts_ns:
                core.step(QuoteLost(now_ns, instrument, NO_WHOLE_BOOK))
            return
        is_known = (slot.bid_ticks, slot.ask_ticks) == (quote.bid_ticks, quote.ask_ticks)
        if not slot.quote_ts_ns or not is_known or now_ns - slot.quote_ts_ns > self._age_max_ns:
            core.step(QuoteSampled(now_ns, instrument, quote.bid_ticks, quote.ask_ticks, quote.bid_lots, quote.ask_lots))


def instrument_of(event: Event) -> InstrumentId:
    """The instrument of a bar or of a timer that plans orders; '' for anything else."""
    if isinstance(event, BarClosed):
        return event.instrument
    if isinstance(event, TimerFired):
        for prefix in PLANNING_TIMERS:
            if event.timer_id.startswith(prefix):
                return event.timer_id.removeprefix(prefix)
    return ""
