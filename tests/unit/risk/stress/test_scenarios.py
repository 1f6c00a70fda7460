"""The named scenarios: their dates, their depths, and how assets without a history of their own follow."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_S
from kedge.risk.stress import SCENARIOS
from kedge.risk.stress.scenario import DEFAULT_BETA_E4, Scenario, parse_path, scaled

HOURLY = [one for one in SCENARIOS.values() if one.bar_minutes == 60]


def day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).date().isoformat()


@pytest.mark.parametrize(
    ("name", "first_day", "asset", "worst_bps"),
    [
        ("mar-2020", "2020-03-12", "BTC", -5_234),
        ("mar-2020", "2020-03-12", "ETH", -5_581),
        ("may-2021", "2021-05-19", "BTC", -2_999),
        ("may-2021", "2021-05-19", "SOL", -5_266),
        ("may-2022", "2022-05-08", "BTC", -2_474),
        ("jun-2022", "2022-06-12", "BTC", -3_801),
        ("nov-2022", "2022-11-08", "BTC", -2_430),
        ("nov-2022", "2022-11-08", "SOL", -5_824),
        ("aug-2024", "2024-08-04", "ETH", -2_809),
        ("oct-2025", "2025-10-10", "BTC", -1_691),
        ("oct-2025", "2025-10-10", "DOGE", -6_625),
        ("equities-2008", "2007-10-10", "SPY", -5_712),
        ("equities-2022", "2022-01-04", "SPY", -2_554),
    ],
)
def test_a_scenario_falls_as_far_as_history_did(name: str, first_day: str, asset: str, worst_bps: int) -> None:
    scenario = SCENARIOS[name]
    assert day(scenario.start_ns) == first_day
    assert scenario.worst_bps(asset) == pytest.approx(worst_bps, abs=1)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_path_is_whole_and_every_source_is_named(scenario: Scenario) -> None:
    for asset in scenario.assets:
        path = scenario.path(asset)
        assert scenario.origin(asset) == "history"
        assert [move.minutes for move in path] == sorted({move.minutes for move in path})
        assert all(move.low_bps <= min(move.open_bps, move.close_bps) for move in path)
        assert all(move.high_bps >= max(move.open_bps, move.close_bps) for move in path)
        assert path[-1].minutes < scenario.days * 1_440
        assert len(scenario.sources[asset].sha256) == 64
        assert scenario.sources[asset].words
    for asset, settlements in scenario.settlements.items():
        assert settlements
        assert all(0 < one.minutes < scenario.days * 1_440 for one in settlements)
        assert len(scenario.sources[f"{asset} funding"].sha256) == 64


@pytest.mark.parametrize("scenario", HOURLY, ids=[one.scenario_id for one in HOURLY])
def test_hourly_paths_start_at_their_base_and_miss_no_hour(scenario: Scenario) -> None:
    for asset in scenario.assets:
        path = scenario.path(asset)
        assert path[0].open_bps == 0
        assert [move.minutes for move in path] == list(range(0, round(scenario.days * 1_440), 60))


def test_an_asset_that_did_not_trade_then_follows_by_its_beta() -> None:
    scenario = SCENARIOS["mar-2020"]
    beta = scenario.betas["SOL"]
    assert scenario.origin("SOL") == "beta"
    assert (beta.factor, beta.first_day) == ("BTC", "2020-08-12")
    expected = (1 + scenario.worst_bps("BTC") / 10_000) ** (beta.beta_e4 / 10_000) - 1
    assert scenario.worst_bps("SOL") == pytest.approx(expected * 10_000, abs=1)


def test_crypto_follows_equities_by_its_beta_to_them() -> None:
    scenario = SCENARIOS["equities-2008"]
    assert scenario.origin("BTC") == "beta"
    assert scenario.betas["BTC"].factor == "SPY"
    assert scenario.worst_bps("BTC") < scenario.worst_bps("SPY")


def test_an_unknown_asset_gets_the_stated_default() -> None:
    scenario = SCENARIOS["oct-2025"]
    assert scenario.origin("NEWCOIN") == "default-beta"
    long, short = scenario.path("NEWCOIN"), scenario.path("NEWCOIN", short=True)
    assert long == scaled(scenario.path("BTC"), DEFAULT_BETA_E4)
    assert min(move.low_bps for move in long) < scenario.worst_bps("BTC") < min(move.low_bps for move in short)
    assert scenario.path("ETH", short=True) == scenario.path("ETH")


def test_a_beta_compounds_and_a_negative_one_turns_highs_into_lows() -> None:
    path = parse_path("0,2500,-9000,-5000", 60)
    (doubled,) = scaled(path, 20_000)
    assert doubled == (0, 0, 5_625, -9_900, -7_500)
    (opposite,) = scaled(path, -10_000)
    assert opposite == (0, 0, 90_000, -2_000, 10_000)
    (floor,) = scaled(path, 90_000)
    assert floor.low_bps == -9_999
    assert math.isfinite(floor.high_bps)


@pytest.mark.parametrize("text", ["1,2,3", "0,a,0,0", "0,5,1,2", "0,-1,-5,-2", "0,0,-10000,-5"])
def test_a_path_that_cannot_be_is_refused_by_its_bar(text: str) -> None:
    with pytest.raises(InvalidInput, match="path: bar 1"):
        parse_path(f"- {text}", 60)


@pytest.mark.parametrize(("name", "close_bps"), [("equities-2008", -5_647), ("equities-2022", -2_536)])
def test_an_equity_crisis_runs_from_the_peaks_close_to_the_troughs(name: str, close_bps: int) -> None:
    path = SCENARIOS[name].path("SPY")
    assert path[-1].close_bps == min(move.close_bps for move in path) == close_bps
