"""All that an engine remembers, and nothing else: one object that a snapshot can hold whole.

Integer arrays are shared with compiled laws; a memoryview of each gives Python plain integers cheaply.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.engine.days import DayCloses
from kedge.engine.orders import Orders
from kedge.engine.settings import EngineSettings
from kedge.kernel.account import ACCOUNT_SIZE, open_account, plain_view
from kedge.learning.feature_rows import ROW_SIZE, lot_size, tick_size
from kedge.learning.features import FeatureSet
from kedge.risk.gate_state import GateState
from kedge.risk.states import RiskState

Int64Array = npt.NDArray[np.int64]

SETTLEMENTS_KEPT: Final = 64
"""Settlements told ahead of their bar that one instrument may hold; the oldest goes first."""

LEADER_CLOSES_KEPT: Final = 8
"""Closes of the leader: one is read, one interval back; the rest is room for a follower whose bar comes late."""


class Slot:
    """One instrument inside an engine: what a strategy may see of it, and what is being worked.

    The public attributes named in `strategy.base.View` are what strategies read; the rest is the engine's.
    """

    __slots__ = (
        "arrival2_ticks",
        "arrival_is_mid",
        "ask_ticks",
        "attempt",
        "begun_lots",
        "begun_ticks",
        "begun_ts_ns",
        "bid_ticks",
        "blocked",
        "cells",
        "close",
        "days",
        "decision_id",
        "exposure_e8",
        "exposure_frac",
        "features",
        "index",
        "instrument",
        "leg",
        "lot",
        "lots_view",
        "mark_ts_ns",
        "memory",
        "moved_ts_ns",
        "only_reduces",
        "out",
        "quote_lost_ts_ns",
        "quote_ts_ns",
        "ready",
        "refused",
        "row",
        "seen_lots",
        "settlements",
        "spec",
        "stop_failed",
        "stop_lots",
        "stop_placed_ticks",
        "stop_wanted_ticks",
        "target_lots",
        "tick",
        "tries",
        "ts_ns",
        "volume_avg_lots",
        "warm_bars",
    )

    def __init__(self, index: int, spec: Instrument, features: FeatureSet, lots_view: Sequence[int]) -> None:
        self.index = index
        self.instrument: InstrumentId = spec.instrument_id
        self.lots_view = lots_view
        self.memory = np.zeros(max(1, features.state_size))
        self.out = np.full(max(1, len(features.features)), np.nan)
        self.features = cast("Sequence[float]", memoryview(cast(Any, self.out))[: len(features.features)])
        self.row = np.full(ROW_SIZE, np.nan)
        self.cells = cast("MutableSequence[float]", memoryview(cast(Any, self.row)))
        self.settlements: list[tuple[int, int]] = []
        self.ts_ns = self.mark_ts_ns = 0
        self.close = 0.0
        self.ready = False
        self.warm_bars = 0
        self.volume_avg_lots = 0
        self.exposure_frac = 0.0
        self.exposure_e8 = 0
        self.target_lots = 0
        self.decision_id = ""
        self.leg = 0
        self.attempt = 0
        self.blocked = False
        self.refused = ""
        self.bid_ticks = self.ask_ticks = self.quote_ts_ns = 0
        self.begun_ts_ns = self.begun_lots = self.begun_ticks = self.moved_ts_ns = self.seen_lots = self.tries = 0
        self.arrival2_ticks, self.arrival_is_mid = 0, False
        self.stop_wanted_ticks = self.stop_placed_ticks = self.stop_lots = 0
        self.stop_failed = False
        self.quote_lost_ts_ns = 0
        self.only_reduces = False
        self.days = DayCloses()
        self.describe(spec)

    def describe(self, spec: Instrument) -> None:
        """Take a (new) dated record of this instrument."""
        self.spec = spec
        self.tick, self.lot = tick_size(spec), lot_size(spec)

    @property
    def position_lots(self) -> int:
        return self.lots_view[self.index]

    @property
    def is_bare(self) -> bool:
        """Whether a position is held and the venue does not show the stop that is wanted for it."""
        return self.position_lots != 0 and self.stop_wanted_ticks != self.stop_placed_ticks

    @property
    def mid2_ticks(self) -> int | None:
        """Best bid plus best ask, which is twice the mid; None while nobody knows them."""
        return self.bid_ticks + self.ask_ticks if self.quote_ts_ns else None

    def quote_gap_ns(self, ts_ns: int) -> int:
        """For how long the best prices have been lost; 0 where they are known, or nobody ever knew any."""
        return ts_ns - self.quote_lost_ts_ns if self.quote_lost_ts_ns else 0

    def note_settlement(self, ts_ns: int, rate_e8: int) -> None:
        """Keep a settled rate for the bars that close then or later; one older than the newest known is none of news."""
        if ts_ns > self.settled_ts_ns:
            self.settlements.append((ts_ns, rate_e8))
            del self.settlements[:-SETTLEMENTS_KEPT]

    @property
    def settled_ts_ns(self) -> int:
        """The newest settlement told; 0 for none."""
        return self.settlements[-1][0] if self.settlements else 0

    def settled_at(self, close_ts_ns: int) -> tuple[int, int] | None:
        """The last settlement (time, rate in 1e-8) at or before a bar's close; what is older is dropped."""
        known = self.settlements
        while len(known) > 1 and known[1][0] <= close_ts_ns:
            del known[0]
        return known[0] if known and known[0][0] <= close_ts_ns else None

    def forget_features(self) -> None:
        """Start every warm-up again, after a gap too long to bridge."""
        self.memory[:] = 0.0
        self.out[:] = np.nan
        self.warm_bars = 0
        self.ready = False


class Slots(dict[InstrumentId, Slot]):
    """Slots by instrument; another instrument is refused by name."""

    def __missing__(self, instrument: InstrumentId) -> Slot:
        raise InvalidInput(f"instrument {instrument!r}", why=f"this engine trades {', '.join(self)}", fix="name one of them")


class Funnel:
    """Counts from bars to fills, so that 'no trades' is always explained."""

    __slots__ = ("bars", "decisions", "filled", "gaps", "refused", "sent", "sized", "vetoed")

    def __init__(self) -> None:
        self.bars = self.gaps = self.decisions = self.sized = self.sent = self.filled = 0
        self.vetoed: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def as_plain(self) -> dict[str, int | dict[str, int]]:
        """Counters by name: `vetoed` before sizing and limits by code, `refused` by the venue by code."""
        return {
            "bars": self.bars,
            "gaps": self.gaps,
            "signals": self.decisions,
            "sized": self.sized,
            "vetoed": dict(sorted(self.vetoed.items())),
            "sent": self.sent,
            "refused": dict(sorted(self.refused.items())),
            "filled": self.filled,
        }


class EngineState:
    """Books, orders, features, limits memory and counters of one account."""

    def __init__(self, settings: EngineSettings, instruments: Sequence[Instrument], features: FeatureSet) -> None:
        ids = [i.instrument_id for i in instruments]
        if not ids or ids != sorted(set(ids)):
            raise InvalidInput(f"instruments are {ids}", why="each once, ordered by id", fix="sort them and drop repeats")
        if features.leader and features.leader not in ids:
            raise InvalidInput(
                f"features are led by {features.leader}",
                why=f"this engine sees {', '.join(ids)}, so they would never be known",
                fix="trade the leader too, or choose a feature set without one",
            )
        n = len(instruments)
        self.features = features
        self.leader_closes: dict[int, float] = {}
        self.account: Int64Array = np.zeros(ACCOUNT_SIZE, np.int64)
        self.lots: Int64Array = np.zeros(n, np.int64)
        self.costs: Int64Array = np.zeros(n, np.int64)
        self.marks: Int64Array = np.zeros(n, np.int64)
        self.tick_values: Int64Array = np.array([i.tick_value_e8 for i in instruments], np.int64)
        open_account(self.account, settings.wallet_e8, settings.start_ts_ns)
        self.account_view = plain_view(self.account)
        lots_view = plain_view(self.lots)
        self.slots = Slots({spec.instrument_id: Slot(k, spec, features, lots_view) for k, spec in enumerate(instruments)})
        self.by_index = tuple(self.slots.values())
        self.orders = Orders()
        self.gate = GateState()
        self.funnel = Funnel()
        self.risk_state = RiskState.RUNNING
        self.halt_code = ""
        self.halt_day = 0
        self.drawdown_accepted = False
        self.ts_ns = settings.start_ts_ns
        self.decisions = 0
        self.predictions = 0
        self.round_trips = 0
        self.differences = 0
        self.slippage2_mid_e8 = self.slippage2_mark_e8 = self.unfilled2_e8 = 0
        self.arrival2_mid_e8 = self.arrival2_mark_e8 = 0
        self.last_trouble = ""
        self.limits = settings.limits
        self.limits_number = settings.limits_number
        self.brake_level = BrakeLevel.RUNNING
        self.brake_generation = 0
        self.brake_reason = ""
        self.books_ts_ns = 0
        self.alerts: dict[str, int] = {}
        self.timers: dict[str, int] = {}


def has_given_up(slot: Slot, attempts_max: int) -> bool:
    """Whether the decision in force is worked no more: a limit refused its order, or the venue did so too often."""
    return slot.blocked or slot.attempt >= attempts_max
