"""The row of each bar, cell by cell as events come; `learning.feature_rows.rows_of` builds the very same from columns."""

from __future__ import annotations

import math

from kedge.domain.events import BarClosed, FundingKnown
from kedge.domain.units import NS_PER_S, to_float
from kedge.engine.settings import EngineSettings
from kedge.engine.state import LEADER_CLOSES_KEPT, EngineState, Slot
from kedge.learning.feature_rows import FUNDING_RATE, FUNDING_TS_S, HIGH, LEADER_CLOSE, LOW, OPEN, RATE_UNIT, TS_S, VOLUME
from kedge.learning.features import FeatureSet


class RowFiller:
    """Fills what the features of one engine read beside the close."""

    def __init__(self, state: EngineState, settings: EngineSettings, features: FeatureSet) -> None:
        self._slots = state.slots
        self._leader_closes = state.leader_closes
        self._uses_funding, self._leader = features.uses_funding, features.leader
        self._interval_ns = settings.interval_ns

    def fill(self, slot: Slot, bar: BarClosed) -> None:
        """Cells of a bar whose close stands in the slot already."""
        cells, tick, ts_ns = slot.cells, slot.tick, bar.ts_ns
        cells[OPEN] = to_float(bar.open_ticks, tick)
        cells[HIGH] = to_float(bar.high_ticks, tick)
        cells[LOW] = to_float(bar.low_ticks, tick)
        cells[VOLUME] = to_float(bar.volume_lots, slot.lot)
        cells[TS_S] = ts_ns // NS_PER_S
        if self._uses_funding:
            settled = slot.settled_at(ts_ns)
            cells[FUNDING_RATE] = math.nan if settled is None else to_float(settled[1], RATE_UNIT)
            cells[FUNDING_TS_S] = math.nan if settled is None else settled[0] // NS_PER_S
        if self._leader:
            closes = self._leader_closes
            cells[LEADER_CLOSE] = closes.get(ts_ns - self._interval_ns, math.nan)
            if bar.instrument == self._leader:
                closes[ts_ns] = slot.close
                if len(closes) > LEADER_CLOSES_KEPT:
                    del closes[next(iter(closes))]

    def learn_funding(self, event: FundingKnown) -> None:
        """A settled rate; of an instrument that we do not trade, or where no feature reads it, it is no news."""
        if self._uses_funding and event.instrument in self._slots:
            self._slots[event.instrument].note_settlement(event.ts_ns, event.rate_e8)
