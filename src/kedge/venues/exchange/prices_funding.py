"""Funding rates of a played market: each is set before its settlement, and what the record lacks is said.

Rules: an instrument that has recorded rates pays only those; a settlement that its record lacks is unknown, not zero: it is skipped,
neither charged nor told, and counted. One without any gets the rate that the venue works out from its premium.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from kedge.domain.instrument import Instrument, InstrumentId
from kedge.simulation.exchange import FundingRate
from kedge.simulation.venue import Venue

NEVER_NS: Final = 1 << 62

_log: Final = logging.getLogger("kedge.exchange")


class FundingFeed:
    """Feeds recorded rates to a venue that begins at `start_ns`.

    Parameters
    ----------
    rates : sequence of FundingRate
        Ordered by time; it may grow while the market is played.
    """

    def __init__(self, rates: Sequence[FundingRate], instruments: Sequence[Instrument], start_ns: int) -> None:
        self._rates = rates
        self._seen = 0
        self._known: dict[InstrumentId, deque[FundingRate]] = {}
        self._every = {spec.instrument_id: spec.funding_interval_ns for spec in instruments if spec.funding_interval_ns}
        self._next = {name: start_ns - start_ns % every + every for name, every in self._every.items()}
        self.due_ns = min(self._next.values(), default=NEVER_NS)
        self.missing = 0

    def refresh(self) -> None:
        """Take rates that have become known since the last call."""
        for rate in self._rates[self._seen :]:
            self._known.setdefault(rate.instrument, deque()).append(rate)
        self._seen = len(self._rates)

    def foretell(self, venue: Venue) -> None:
        """Set the rate of every instrument's next settlement, as far as it is known."""
        for name in self._known:
            if name in self._next:
                self._set(venue, name)

    def fix(self, venue: Venue) -> None:
        """Set the rates that settle at `due_ns`, for good: whoever hears of them before the settlement hears what will be charged."""
        for name in self._due():
            if name in self._known and not self._set(venue, name):
                self.missing += 1
                venue.skip_funding(name)
                _log.warning(
                    "no funding rate of %s is recorded: nothing is charged and nothing told",
                    name,
                    extra={"kedge_fields": {"event": "funding_missing", "ts_ns": self.due_ns}},
                )

    def settle(self, venue: Venue) -> None:
        """Settle everything due at `due_ns`, whose rates have been fixed, and go on to the next settlement."""
        due_ns, due = self.due_ns, self._due()
        venue.advance(due_ns)
        for name in due:
            self._next[name] += self._every[name]
        self.due_ns = min(self._next.values())
        self.foretell(venue)

    def _due(self) -> list[InstrumentId]:
        return [name for name, at in self._next.items() if at == self.due_ns]

    def _set(self, venue: Venue, name: InstrumentId) -> bool:
        """Set the next settlement's rate; False where the record does not hold it."""
        known, next_ns = self._known[name], self._next[name]
        while known and known[0].ts_ns < next_ns:
            known.popleft()
        if not known or known[0].ts_ns != next_ns:
            return False
        venue.set_funding_rate(name, known[0].rate_e8)
        return True
