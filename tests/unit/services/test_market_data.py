"""Files of a run: whose they are, on which dated grid their bars lie, and what is said where something had to be assumed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FeedGap, InstrumentChanged
from kedge.services.market_data import MarketData, load_market

HOUR_MS = 3_600_000
MS = 1_000_000
CHANGE_MS = int(datetime(2024, 4, 6, tzinfo=UTC).timestamp()) * 1000
"""From here the tick of SOLUSDT is 0.01; before it was 0.001."""


def write(folder: Path, start_ms: int, closes: list[str], name: str = "bybit-linear-SOLUSDT-1h.csv") -> Path:
    """Hourly bars without a range."""
    lines = [f"{start_ms + n * HOUR_MS},{close},{close},{close},{close},100.5\n" for n, close in enumerate(closes) if close]
    path = folder / name
    path.write_text("ts,open,high,low,close,volume\n" + "".join(lines))
    return path


def bars_of(market: MarketData) -> list[BarClosed]:
    return [event for event in market.events() if isinstance(event, BarClosed)]


def test_each_bar_lies_on_the_grid_of_its_date_and_the_change_comes_between(tmp_path: Path) -> None:
    market = load_market([write(tmp_path, CHANGE_MS - 2 * HOUR_MS, ["180.125", "180.25", "180.26", "180.27"])])
    events = list(market.events())
    kinds = [type(event) for event in events]
    assert kinds == [BarClosed, BarClosed, InstrumentChanged, BarClosed, BarClosed]
    assert [bar.close_ticks for bar in bars_of(market)] == [180_125, 180_250, 18_026, 18_027]
    change = events[2]
    assert isinstance(change, InstrumentChanged)
    assert (change.ts_ns, change.instrument.tick_e8) == (CHANGE_MS * MS, 1_000_000)
    assert [i.tick_e8 for i in market.instruments] == [100_000]
    assert market.assumptions["bybit-linear:SOLUSDT instrument"] == "shipped record: tick 0.001 lot 0.1, then tick 0.01 lot 0.1"


def test_a_gap_across_the_change_does_not_lose_it(tmp_path: Path) -> None:
    closes = ["180.125", "180.25", "", "", "180.27", "180.28"]
    events = list(load_market([write(tmp_path, CHANGE_MS - 3 * HOUR_MS, closes)]).events())
    assert sum(isinstance(event, InstrumentChanged) for event in events) == 1
    assert sum(isinstance(event, FeedGap) for event in events) == 1
    change = next(n for n, event in enumerate(events) if isinstance(event, InstrumentChanged))
    assert [event.close_ticks for event in events[:change] if isinstance(event, BarClosed)] == [180_125, 180_250]
    assert [event.close_ticks for event in events[change:] if isinstance(event, BarClosed)] == [18_027, 18_028]


def test_bars_of_one_date_need_no_change(tmp_path: Path) -> None:
    for start_ms, ticks in ((CHANGE_MS - 2 * HOUR_MS, 180_250), (CHANGE_MS, 18_025)):
        market = load_market([write(tmp_path, start_ms, ["180.25", "180.25"])])
        assert [type(event) for event in market.events()] == [BarClosed, BarClosed]
        assert {bar.close_ticks for bar in bars_of(market)} == {ticks}


def test_before_the_first_shipped_record_a_grid_is_derived_and_it_says_so(tmp_path: Path) -> None:
    start_ms = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp()) * 1000
    market = load_market([write(tmp_path, start_ms, ["1.51", "1.525", "1.54"])])
    (instrument,) = market.instruments
    assert (instrument.instrument_id, instrument.grid, instrument.tick_e8) == ("bybit-linear:SOLUSDT", "derived", 100_000)
    assert [bar.close_ticks for bar in bars_of(market)] == [1_510, 1_525, 1_540]
    told = [text for name, text in market.assumptions.items() if name.startswith("bybit-linear:SOLUSDT ")]
    assert any("0.001" in text for text in told)
    assert not any("shipped" in text for text in told)


@pytest.mark.parametrize(
    ("name", "instrument_id"),
    [
        ("bybit-linear-SOLUSDT-1h.csv", "bybit-linear:SOLUSDT"),
        ("binance-spot_SOLUSDT.csv", "binance-spot:SOLUSDT"),
        ("SOLUSDT-1h.csv", "file:SOLUSDT"),
        ("My Venue-SOLUSDT.csv", "file:SOLUSDT"),
    ],
)
def test_venue_and_symbol_come_from_the_name(tmp_path: Path, name: str, instrument_id: str) -> None:
    market = load_market([write(tmp_path, CHANGE_MS, ["180.25", "180.26"], name)])
    assert [i.instrument_id for i in market.instruments] == [instrument_id]
    assert [source.instrument for source in market.data] == [instrument_id]


def test_a_name_that_contradicts_its_bars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="its name says 5m"):
        load_market([write(tmp_path, CHANGE_MS, ["180.25", "180.26"], "bybit-linear-SOLUSDT-5m.csv")])


def test_no_file_is_no_market() -> None:
    with pytest.raises(InvalidInput, match="no data file"):
        load_market([])


def test_rows_span_and_start_are_those_of_the_files(tmp_path: Path) -> None:
    market = load_market([write(tmp_path, CHANGE_MS, ["180.25", "180.26", "180.27"])])
    (source,) = market.data
    assert (source.label, source.rows) == ("bybit-linear-SOLUSDT-1h.csv", 3)
    assert (source.first_ts_ns, source.last_ts_ns) == (CHANGE_MS * MS, (CHANGE_MS + 3 * HOUR_MS) * MS)
    assert (market.interval_ns, market.start_ts_ns, market.bar_count, market.quarantined) == (HOUR_MS * MS, CHANGE_MS * MS, 3, {})
