"""The engine's rows and features against batch, to the bit: settlements, leader, holes, new grids, snapshots in mid-stream."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, Event, FeedGap, FundingKnown, InstrumentChanged
from kedge.domain.instrument import Instrument
from kedge.engine.engine import Engine
from kedge.engine.state import LEADER_CLOSES_KEPT, SETTLEMENTS_KEPT
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE, Settlements, closes_of, resets_of, rows_of
from kedge.learning.features import FeatureSet, Float64Array
from kedge.learning.operators import Operator
from kedge.market.grid_bars import GridBars
from kedge.strategy.base import NO_TARGETS, Target, View

from ...builders import AAA, BBB, CCC, HOUR, MINUTE, T0, Wish, bar, engine, instrument, walk
from ..learning.feature_examples import every_operator

IDS = (AAA, BBB, CCC)
SPECS = {name: instrument(name, tick_e8=tick) for name, tick in zip(IDS, (10_000_000, 1_000_000, 5_000_000), strict=True)}


class Watcher:
    """A strategy that only looks: it keeps what its view showed at every bar."""

    name = "watcher"

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = features
        self.seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in IDS}
        self.ready: dict[str, list[bool]] = {name: [] for name in IDS}

    def on_event(self, view: View) -> Sequence[Target]:
        self.seen[view.instrument].append(tuple(view.features))
        self.ready[view.instrument].append(view.ready)
        return NO_TARGETS


def holed(bars: list[BarClosed], lost: dict[str, set[int]]) -> list[Event]:
    """The bars without the lost numbers, each hole a gap before the bar that ends it."""
    events: list[Event] = []
    last: dict[str, int] = {}
    for one in bars:
        if (one.ts_ns - T0) // MINUTE in lost.get(one.instrument, set()):
            continue
        if one.instrument in last and last[one.instrument] < one.open_ts_ns:
            events.append(FeedGap(one.open_ts_ns, one.instrument, last[one.instrument]))
        last[one.instrument] = one.ts_ns
        events.append(one)
    return events


def with_fundings(events: list[Event], every: int) -> tuple[list[Event], dict[str, Settlements]]:
    """Every so many minutes a settlement of each instrument, told before the bars that close then or next."""
    told = [FundingKnown(T0 + n * every, name, random.Random(n).randint(-50_000, 50_000)) for n in range(1, 40) for name in IDS]
    merged = sorted([*events, *told], key=lambda e: (e.ts_ns, not isinstance(e, FundingKnown)))
    columns = {}
    for name in IDS:
        own = [e for e in told if e.instrument == name]
        columns[name] = Settlements(np.array([e.ts_ns for e in own]), np.array([e.rate_e8 for e in own]))
    return merged, columns


def columns_of(events: Sequence[Event], name: str) -> GridBars:
    own = [e for e in events if isinstance(e, BarClosed) and e.instrument == name]
    fields = ("open_ts_ns", "ts_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    return GridBars(*(np.array([getattr(e, field) for e in own], np.int64) for field in fields))


def batch_of(features: FeatureSet, events: Sequence[Event], name: str, funding: Settlements | None) -> Float64Array:
    bars, leader = columns_of(events, name), columns_of(events, AAA)
    rows = rows_of(SPECS[name], bars, interval_ns=MINUTE, funding=funding, leader=closes_of(SPECS[AAA], leader))
    return features.batch(rows, resets_of(bars, interval_ns=MINUTE))


def the_market() -> tuple[list[Event], dict[str, Settlements]]:
    lost = {AAA: {30, 31, 90}, BBB: {50, 51, 52, 53, 54, 120}, CCC: {31, *range(100, 110)}}
    return with_fundings(holed(walk(3, 220, IDS), lost), 7 * MINUTE)


def test_what_a_strategy_sees_is_what_batch_computes_to_the_bit() -> None:
    watcher = Watcher(every_operator())
    one = engine(watcher, list(SPECS.values()))
    events, fundings = the_market()
    for event in events:
        one.step(event)
    features = FeatureSet(watcher.features)
    for name in IDS:
        seen = np.array(watcher.seen[name])
        assert seen.tobytes() == batch_of(features, events, name, fundings[name]).tobytes()
        assert np.isfinite(seen[-1]).all()


def test_ready_waits_for_what_every_bar_has_and_not_for_the_rest() -> None:
    watcher = Watcher(every_operator())
    one = engine(watcher, list(SPECS.values()))
    for event in walk(3, 30, (CCC,)):
        one.step(event)
    warm = FeatureSet(watcher.features).warmup_bars
    assert watcher.ready[CCC] == [False] * (warm - 1) + [True] * (31 - warm)
    needed = [n for n, feature in enumerate(watcher.features) if not feature.optional]
    last = np.array(watcher.seen[CCC][-1])
    assert np.isfinite(last[needed]).all()
    assert np.isnan(np.delete(last, needed)).all()


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_in_which_instruments_arrive_does_not_matter(order: int) -> None:
    watcher = Watcher(every_operator())
    one = engine(watcher, list(SPECS.values()))
    bars = walk(5, 60, IDS)
    for n in range(0, len(bars), 3):
        for event in bars[n : n + 3][::order]:
            one.step(event)
    for name in IDS:
        assert np.array(watcher.seen[name]).tobytes() == batch_of(FeatureSet(watcher.features), bars, name, None).tobytes()


def test_a_follower_that_comes_late_still_finds_its_leader_bar() -> None:
    one = engine(Watcher((Feature("k", Operator.LEADER_RETURN, 1, of=AAA),)), list(SPECS.values()))
    for n in range(1, LEADER_CLOSES_KEPT + 1):
        one.step(bar(n, 1_000 + n))
    one.step(bar(2, 500, BBB))
    assert one.state.slots[BBB].row[LEADER_CLOSE] == 1_001 * (10_000_000 / 10**8)
    one.step(bar(LEADER_CLOSES_KEPT + 1, 1_000))
    one.step(bar(2, 500, CCC))
    assert math.isnan(one.state.slots[CCC].row[LEADER_CLOSE])
    assert len(one.state.leader_closes) == LEADER_CLOSES_KEPT


def funded() -> Engine:
    return engine(Watcher((Feature("f", Operator.FUNDING_RATE),)), [instrument(), instrument(BBB)], interval_ns=HOUR)


def rate_and_time(one: Engine) -> list[float]:
    return one.state.slots[AAA].row[[FUNDING_RATE, FUNDING_TS_S]].tolist()


def test_a_settlement_at_the_close_is_known_to_that_bar_and_a_later_one_waits() -> None:
    one = funded()
    one.step(bar(1, span=HOUR))
    assert np.isnan(rate_and_time(one)).all()
    one.step(FundingKnown(T0 + 2 * HOUR, AAA, 10_000))
    one.step(FundingKnown(T0 + 3 * HOUR, AAA, -10_000))
    one.step(bar(2, span=HOUR))
    assert rate_and_time(one) == [pytest.approx(1e-4), T0 / 1e9 + 7_200]
    one.step(bar(3, span=HOUR))
    assert rate_and_time(one) == [pytest.approx(-1e-4), T0 / 1e9 + 10_800]


def test_old_repeated_and_foreign_settlements_change_nothing() -> None:
    one = funded()
    one.step(FundingKnown(T0 + HOUR, AAA, 10_000))
    before = one.snapshot()
    one.step(FundingKnown(T0 + HOUR, AAA, 77))
    one.step(FundingKnown(T0, AAA, 77))
    one.step(FundingKnown(T0 + HOUR, CCC, 77))
    assert one.snapshot() == before
    assert one.state.slots[AAA].settled_ts_ns == T0 + HOUR
    assert one.state.slots[BBB].settled_ts_ns == 0


def test_settlements_told_ahead_are_bounded() -> None:
    one = funded()
    for n in range(2 * SETTLEMENTS_KEPT):
        one.step(FundingKnown(T0 + n * HOUR, AAA, n))
    assert [ts for ts, _ in one.state.slots[AAA].settlements] == [T0 + n * HOUR for n in range(SETTLEMENTS_KEPT, 2 * SETTLEMENTS_KEPT)]


def test_where_no_feature_reads_funding_it_is_not_kept() -> None:
    one = engine(Wish())
    one.step(FundingKnown(T0, AAA, 10_000))
    assert one.state.slots[AAA].settlements == []


def test_a_new_grid_changes_no_price() -> None:
    spec = SPECS[AAA]
    finer = instrument(AAA, tick_e8=1_000_000, valid_from_ns=T0 + 20 * MINUTE)
    bars = walk(9, 40)
    later = [
        BarClosed(b.ts_ns, AAA, b.open_ts_ns, 10 * b.open_ticks, 10 * b.high_ticks, 10 * b.low_ticks, 10 * b.close_ticks, b.volume_lots)
        for b in bars[20:]
    ]
    watcher = Watcher(every_operator())
    one = engine(watcher, list(SPECS.values()))
    events: list[Event] = [*bars[:20], InstrumentChanged(T0 + 20 * MINUTE, finer), *later]
    for event in events:
        one.step(event)
    columns = columns_of(events, AAA)
    records: tuple[Instrument, ...] = (spec, finer)
    rows = rows_of(records, columns, interval_ns=MINUTE, leader=closes_of(records, columns))
    assert np.array(watcher.seen[AAA]).tobytes() == FeatureSet(watcher.features).batch(rows).tobytes()


def test_a_snapshot_in_mid_stream_goes_on_to_the_bit() -> None:
    events, _ = the_market()
    for cut in (1, 40, 333, len(events) - 5):
        first, second = Watcher(every_operator()), Watcher(every_operator())
        one, two = engine(first, list(SPECS.values())), engine(second, list(SPECS.values()))
        for event in events[:cut]:
            one.step(event)
        two.restore(one.snapshot())
        assert two.snapshot() == one.snapshot()
        before = {name: len(first.seen[name]) for name in IDS}
        for event in events[cut:]:
            one.step(event)
            two.step(event)
        for name in IDS:
            assert np.array(second.seen[name]).tobytes() == np.array(first.seen[name][before[name] :]).tobytes()
        assert two.snapshot() == one.snapshot()


def test_a_leader_that_is_not_traded_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=AAA) as caught:
        engine(Watcher(every_operator()), [SPECS[BBB]])
    assert "trade the leader too" in caught.value.fix
