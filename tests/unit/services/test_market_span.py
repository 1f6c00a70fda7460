"""A part of a market: what is played, what is remembered, which settlements are past, and what becomes of a changed grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FeedGap
from kedge.domain.units import NS_PER_MS
from kedge.market.catalogue import CATALOGUE
from kedge.services.market_data import MarketData, load_market
from kedge.services.market_span import Part, Span, recorded_part, synthetic_part

HOUR_MS = 3_600_000
T0_MS = 1_704_067_200_000
T0 = T0_MS * NS_PER_MS
HOUR = HOUR_MS * NS_PER_MS
CHANGE_MS = 1_712_361_600_000
"""6 April 2024, when the tick of SOLUSDT went from 0.001 to 0.01."""


def file(folder: Path, symbol: str, hours: list[int], *, start_ms: int = T0_MS, price: float = 100.0) -> Path:
    rows = [f"{start_ms + hour * HOUR_MS},{price + hour},{price + hour + 1},{price + hour - 1},{price + hour},{5 + hour}" for hour in hours]
    path = folder / f"bybit-linear-{symbol}-1h.csv"
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    return path


def paid(folder: Path, symbol: str, hours: list[int]) -> Path:
    path = folder / f"funding-bybit-linear-{symbol}.csv"
    path.write_text("\n".join(["ts,funding_rate,symbol", *(f"{T0_MS + hour * HOUR_MS},0.000{hour + 1},{symbol}" for hour in hours)]) + "\n")
    return path


def market(folder: Path, hours: list[int] | None = None) -> MarketData:
    told = list(range(24)) if hours is None else hours
    files = [file(folder, "BTCUSDT", told, price=40_000.0), file(folder, "ETHUSDT", list(range(24)), price=2_000.0)]
    return load_market(files, [paid(folder, "BTCUSDT", [0, 8, 16])])


def opens(part: Part) -> list[int]:
    return [(event.open_ts_ns - T0) // HOUR for event in part.events if isinstance(event, BarClosed) and "BTC" in event.instrument]


def test_what_lies_before_the_beginning_is_remembered_and_not_played(tmp_path: Path) -> None:
    part = recorded_part(market(tmp_path), Span(from_ts_ns=T0 + 8 * HOUR, history_bars=3))
    assert part.start_ts_ns == T0 + 8 * HOUR
    assert opens(part) == list(range(8, 24))
    assert [(one.instrument[-7:], (one.open_ts_ns - T0) // HOUR) for one in part.past] == [
        (symbol, hour) for hour in (5, 6, 7) for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert [(rate.ts_ns - T0) // HOUR for rate in part.past_rates] == [8]
    assert [(rate.ts_ns - T0) // HOUR for rate in part.fundings] == [16]
    assert part.assumptions == ()


def test_a_bar_across_a_bound_belongs_to_neither_side(tmp_path: Path) -> None:
    part = recorded_part(market(tmp_path), Span(from_ts_ns=T0 + 8 * HOUR + 1, to_ts_ns=T0 + 12 * HOUR + 1, history_bars=1))
    assert opens(part) == [9, 10, 11]
    assert {(one.open_ts_ns - T0) // HOUR for one in part.past} == {7}


def test_without_a_beginning_the_first_bars_are_the_past(tmp_path: Path) -> None:
    part = recorded_part(market(tmp_path), Span(history_bars=4))
    assert opens(part) == list(range(4, 24))
    assert len(part.past) == 8
    whole = recorded_part(market(tmp_path), Span())
    assert (opens(whole), whole.past) == (list(range(24)), ())


def test_a_hole_is_played_as_a_hole_and_is_never_past(tmp_path: Path) -> None:
    told = market(tmp_path, [0, 1, 2, 6, 7, 10, 11])
    part = recorded_part(told, Span(from_ts_ns=T0 + 6 * HOUR, history_bars=9))
    events = [event for event in part.events if "BTC" in event.instrument]
    assert [type(event) for event in events] == [BarClosed, BarClosed, FeedGap, BarClosed, BarClosed]
    assert sum("BTC" in one.instrument for one in part.past) == 3


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (Span(from_ts_ns=T0 + 24 * HOUR), "no bar from 2024-01-02 00:00 to the end"),
        (Span(to_ts_ns=T0), "to 2024-01-01 00:00"),
        (Span(history_bars=24), "24 bars of the past"),
    ],
)
def test_an_empty_part_is_refused_with_what_there_is(tmp_path: Path, span: Span, words: str) -> None:
    with pytest.raises(InvalidInput) as told:
        recorded_part(market(tmp_path), span)
    assert words in told.value.what


def solana(folder: Path) -> MarketData:
    return load_market([file(folder, "SOLUSDT", list(range(-4, 6)), start_ms=CHANGE_MS)])


def test_a_changed_grid_is_refused_unless_one_grid_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="change: tick 0.001 lot 0.1, from 2024-04-06 00:00 tick 0.01") as told:
        recorded_part(solana(tmp_path), Span())
    assert "--one-grid" in told.value.fix


def test_on_one_grid_every_price_is_the_same_and_the_choice_is_said(tmp_path: Path) -> None:
    loaded = solana(tmp_path)
    part = recorded_part(loaded, Span(one_grid=True, history_bars=2))
    (spec,) = part.instruments
    assert str(spec.tick_size.normalize()) == "0.001"
    bars = [*part.past, *(event for event in part.events if isinstance(event, BarClosed))]
    assert [bar.close_ticks for bar in bars] == [100_000 + 1_000 * hour for hour in range(-4, 6)]
    assert [bar.volume_lots for bar in bars] == [(5 + hour) * 10 for hour in range(-4, 6)]
    assert part.assumptions == (
        "bybit-linear:SOLUSDT: tick 0.001 lot 0.1, from 2024-04-06 00:00 tick 0.01 lot 0.1; played on tick 0.001 lot 0.1",
    )


def test_what_is_remembered_begins_after_an_earlier_change(tmp_path: Path) -> None:
    part = recorded_part(solana(tmp_path), Span(from_ts_ns=(CHANGE_MS + 2 * HOUR_MS) * NS_PER_MS, history_bars=8))
    assert [str(one.tick_size.normalize()) for one in part.instruments] == ["0.01"]
    assert len(part.past) == 2


def test_a_synthetic_past_is_the_same_market_a_little_earlier() -> None:
    specs = (CATALOGUE["bybit-linear:BTCUSDT"][-1], CATALOGUE["bybit-linear:ETHUSDT"][-1])
    start = 1_704_067_200 * 10**9
    minute = 60 * 10**9
    whole = synthetic_part(specs, 7, minute, start, 600, 0)
    part = synthetic_part(specs, 7, minute, start, 100, 500)
    events = list(whole.events)
    assert list(part.past) == events[:1_000]
    assert list(part.events) == events[1_000:]
    assert part.start_ts_ns == start + 500 * minute
    assert {rate.ts_ns for rate in part.past_rates} == {start + 480 * minute}
