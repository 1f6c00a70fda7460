"""Tables from bars: exact moves, gaps, betas, and that the tables in the product are what history gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scripts.stress_tables import TABLES, WINDOWS, History, pages
from tests.unit.risk.stress.makers import scenario

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_DAY
from kedge.risk.stress import SCENARIOS
from kedge.risk.stress.refresh import PriceBar, beta_of, path_text, settlements_of, tables_from_bars
from kedge.risk.stress.scenario import parse_path, parse_settlements
from kedge.risk.stress.types import Source

HOUR = 3_600_000_000_000


def test_moves_are_of_the_first_open_lows_down_and_highs_up() -> None:
    bars = [PriceBar(0, 30_000, 30_001, 29_999, 30_000), PriceBar(2 * HOUR, 30_003, 33_001, 20_001, 27_000)]
    assert path_text(reversed(bars), 0, 4 * HOUR, 60) == "0,1,-1,0 - 1,1001,-3333,-1000 -"
    assert [move.minutes for move in parse_path("0,1,-1,0 - 1,1001,-3333,-1000 -", 60)] == [0, 120]


def test_a_given_base_lets_the_first_bar_gap_or_be_missing() -> None:
    assert path_text([PriceBar(HOUR, 90, 90, 80, 90)], 0, 2 * HOUR, 60, base=100) == "- -1000,-1000,-2000,-1000"


@pytest.mark.parametrize(
    ("bars", "words"),
    [
        ([], "no bar from"),
        ([PriceBar(5 * HOUR, 1, 1, 1, 1)], "no bar from"),
        ([PriceBar(HOUR, 1, 1, 1, 1)], "opens 1 bars after"),
        ([PriceBar(1, 1, 1, 1, 1)], "not on the grid"),
    ],
)
def test_bars_that_do_not_make_a_path_are_refused(bars: list[PriceBar], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        path_text(bars, 0, 3 * HOUR, 60)


def test_a_settlement_at_the_very_start_was_paid_before_it() -> None:
    assert settlements_of([(8 * HOUR, 10), (0, 5), (24 * HOUR, 7)], 0, 24 * HOUR) == ((480, 10),)
    assert parse_settlements({"BTC": "480:-10 960:5"}) == {"BTC": ((480, -10), (960, 5))}


def test_a_beta_is_the_slope_of_daily_log_returns_over_adjacent_days() -> None:
    factor = {day: round(1e8 * math.exp(0.02 * math.sin(day))) for day in range(18_000, 18_400)}
    asset = {day: round(1e8 * math.exp(0.03 * math.sin(day))) for day in factor if day != 18_100}
    found = beta_of("ETH", "BTC", asset, factor)
    assert found == ("ETH", "BTC", 15_000, 397, "2019-04-15", "2020-05-17")
    with pytest.raises(InvalidInput, match="at least 250"):
        beta_of("ETH", "BTC", dict.fromkeys(range(250), 1), factor)


def test_own_bars_replace_the_paths_of_their_assets_and_name_their_source() -> None:
    old = scenario({"BTC": "0,0,0,0", "ETH": "0,0,-5,-5"})
    bars = [PriceBar(old.start_ns + n * HOUR, 100, 100, 100 - n, 100 - n) for n in range(24)]
    new = tables_from_bars(old, {"BTC": bars}, Source("own bars", "0" * 64))
    assert new.worst_bps("BTC") == -2_300
    assert new.rows["ETH"] == old.rows["ETH"]
    assert new.sources["BTC"].words == "own bars"
    assert old.rows["BTC"] == "0,0,0,0"


def test_march_2020_is_what_the_hourly_bars_of_bitcoin_give(data_folder: Path) -> None:
    kept = SCENARIOS["mar-2020"]
    history = History(data_folder)
    bars = history.bars("ohlcv/binance-spot-BTCUSDT-1h", kept.start_ns, kept.end_ns)
    assert tables_from_bars(kept, {"BTC": bars}, history.source("ohlcv/binance-spot-BTCUSDT-1h")) == kept


def test_every_window_has_its_scenario() -> None:
    assert {window.scenario_id for window in WINDOWS} == set(SCENARIOS)
    assert all((one.end_ns - one.start_ns) % NS_PER_DAY == 0 for one in SCENARIOS.values())


@pytest.mark.slow
def test_every_table_is_what_history_gives(data_folder: Path) -> None:
    made = pages(History(data_folder))
    assert set(made) == {file.name for file in TABLES.glob("table_*.py")}
    for name, page in made.items():
        assert (TABLES / name).read_text(encoding="utf-8") == page, name
