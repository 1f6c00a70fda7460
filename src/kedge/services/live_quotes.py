"""Quotes on their way into the engine of a live trader: sampled right before something is decided, and only then.

Rules: before a bar, a timer that plans orders, or whatever has positions closed, the venue is asked for the best prices. Prices other than
those the engine knows, or the same ones once they would be too old to be used, are stepped as `QuoteSampled`; so are the same ones where
a position is closed for good and its mark is old, since its way out is judged by the quote's age then. That nobody knows them any more is
stepped once, as `QuoteLost`. A book that is broken, crossed or too old has no quote, so nothing is ever priced off it. In lock-step the
market stands still while this happens, so the same market gives the same samples at any speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kedge.domain.events import (
    BarClosed,
    Command,
    CommandGiven,
    Event,
    OverrideGranted,
    QuoteLost,
    QuoteSampled,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.instrument import InstrumentId
from kedge.domain.venue import TradingVenue
from kedge.engine.fold import PLANNING_TIMERS
from kedge.engine.state import EngineState
from kedge.risk.states import FLATTEN
from kedge.services.live_core import LiveCore

NO_WHOLE_BOOK: Final = "no whole book"


class Quotes:
    """Samples one venue's quotes for one engine."""

    def __init__(self, core: LiveCore, venue: TradingVenue) -> None:
        self._core, self._venue = core, venue
        settings = core.engine.settings
        self._age_max_ns, self._interval_ns = settings.execution.quote_age_max_ns, settings.interval_ns
        core.before_deciding = self.before

    def before(self, event: Event) -> None:
        """Sample what the event's instruments are quoted at, where the event lets the engine decide on orders."""
        for instrument in instruments_of(event, self._core.state):
            self.sample(instrument, closes=isinstance(event, CommandGiven | StopUnconfirmed))

    def sample(self, instrument: InstrumentId, *, closes: bool = False) -> None:
        """Ask the venue, and step what is news. `closes` where the position is about to be closed for good."""
        core, slot = self._core, self._core.state.slots[instrument]
        quote, now_ns = self._venue.quote(instrument), core.now_ns()
        if quote is None or not 0 < quote.bid_ticks < quote.ask_ticks:
            if slot.quote_ts_ns:
                core.step(QuoteLost(now_ns, instrument, NO_WHOLE_BOOK))
            return
        is_known = (slot.bid_ticks, slot.ask_ticks) == (quote.bid_ticks, quote.ask_ticks)
        is_way_out = closes or slot.stop_failed or core.state.halt_code == FLATTEN
        age_max_ns = 0 if is_way_out and now_ns - slot.mark_ts_ns > self._interval_ns else self._age_max_ns
        if not slot.quote_ts_ns or not is_known or now_ns - slot.quote_ts_ns > age_max_ns:
            core.step(QuoteSampled(now_ns, instrument, quote.bid_ticks, quote.ask_ticks, quote.bid_lots, quote.ask_lots))


def instruments_of(event: Event, state: EngineState) -> Sequence[InstrumentId]:
    """Those whose orders an event may lead to: of a bar, of a timer that plans, and of what is to be closed; empty for anything else."""
    name = ""
    if isinstance(event, BarClosed | StopUnconfirmed | OverrideGranted):
        name = event.instrument
    elif isinstance(event, TimerFired):
        name = next((event.timer_id.removeprefix(one) for one in PLANNING_TIMERS if event.timer_id.startswith(one)), "")
    elif isinstance(event, CommandGiven) and event.command is Command.FLATTEN:
        return [slot.instrument for slot in state.by_index if slot.position_lots]
    return [name] if name in state.slots else []
