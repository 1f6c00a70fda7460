"""From configuration to parameter objects: every field arrives, in its unit, once."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from kedge.apps import wiring
from kedge.domain.errors import InvalidConfig, InvalidInput, KedgeError, NotFound
from kedge.domain.orders import OrderKind
from kedge.engine.settings import EngineSettings
from kedge.ops.config import Config, load_config
from kedge.risk.limits import Limits
from kedge.risk.sizing_policy import SizingPolicy
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.strategy.execution import ChaseThen, ExecutionPolicy, SliceEntry, Style, WithoutQuote

from ...builders import instrument
from .market_files import RECORD

EVERY_LIMIT = """\
limits:
  order_notional_frac_soft: "0.11"
  order_notional_frac_max: "0.16"
  position_notional_frac_soft: "0.21"
  position_notional_frac_max: "0.26"
  gross_leverage_soft: "1.3"
  gross_leverage_max: "1.75"
  net_leverage_max: "1.25"
  daily_loss_soft_frac: "0.011"
  daily_loss_reduce_frac: "0.016"
  daily_loss_halt_frac: "0.021"
  drawdown_soft_frac: "0.051"
  drawdown_reduce_frac: "0.066"
  drawdown_halt_frac: "0.081"
  var99_soft_frac: "0.031"
  var99_max_frac: "0.036"
  es975_soft_frac: "0.033"
  es975_max_frac: "0.041"
  margin_ratio_soft: "0.21"
  margin_ratio_max: "0.31"
  liquidation_distance_soft_frac: "0.31"
  liquidation_distance_min_frac: "0.21"
  liquidation_sigmas_soft: "6.25"
  liquidation_sigmas_min: "5.25"
  trade_risk_frac_soft: "0.011"
  trade_risk_frac_max: "0.021"
  manual_order_frac_soft: "0.06"
  decisions_max: 31
  decisions_window_s: 301
  fill_deviation_bps_max: 51
  fill_deviation_fills_min: 21
  fill_deviation_window_s: 3601
  position_age_max_s: 121
  quote_gap_max_s: 61
  restricted: [XRPUSDT, DOGE]
  open_orders_instrument_max: 21
  open_orders_total_max: 101
  orders_per_second_max: 8
  orders_per_10s_max: 51
  messages_per_3s_max: 61
  messages_per_fill_max: 102
  messages_window_min: 201
  duplicate_window_ms: 2001
  fat_finger_multiple: 22
  fat_finger_orders_min: 11
  fat_finger_volume_frac: "0.27"
  stale_bars: "1.75"
"""
LIMITS = Limits(
    order_notional_frac_soft_e8=11_000_000,
    order_notional_frac_max_e8=16_000_000,
    position_notional_frac_soft_e8=21_000_000,
    position_notional_frac_max_e8=26_000_000,
    gross_leverage_soft_e8=130_000_000,
    gross_leverage_max_e8=175_000_000,
    net_leverage_max_e8=125_000_000,
    daily_loss_soft_e8=1_100_000,
    daily_loss_reduce_e8=1_600_000,
    daily_loss_halt_e8=2_100_000,
    drawdown_soft_e8=5_100_000,
    drawdown_reduce_e8=6_600_000,
    drawdown_halt_e8=8_100_000,
    var99_soft_e8=3_100_000,
    var99_max_e8=3_600_000,
    es975_soft_e8=3_300_000,
    es975_max_e8=4_100_000,
    margin_ratio_soft_e8=21_000_000,
    margin_ratio_max_e8=31_000_000,
    liquidation_distance_soft_e8=31_000_000,
    liquidation_distance_min_e8=21_000_000,
    liquidation_sigmas_soft_e2=625,
    liquidation_sigmas_min_e2=525,
    trade_risk_frac_soft_e8=1_100_000,
    trade_risk_frac_max_e8=2_100_000,
    manual_order_frac_soft_e8=6_000_000,
    decisions_max=31,
    decisions_window_ns=301_000_000_000,
    fill_deviation_bps_max=51,
    fill_deviation_fills_min=21,
    fill_deviation_window_ns=3_601_000_000_000,
    position_age_max_ns=121_000_000_000,
    quote_gap_max_ns=61_000_000_000,
    restricted=("DOGE", "XRPUSDT"),
    open_orders_instrument_max=21,
    open_orders_total_max=101,
    orders_per_second_max=8,
    orders_per_10s_max=51,
    messages_per_3s_max=61,
    messages_per_fill_max=102,
    messages_window_min=201,
    duplicate_window_ns=2_001_000_000,
    fat_finger_multiple=22,
    fat_finger_orders_min=11,
    fat_finger_volume_frac_e8=27_000_000,
    stale_bars_e2=175,
)
COSTS = 'costs: {half_spread_ticks: 3, impact_bps: 45, participation_frac: "0.05", latency_ms: 125}\n'


def configured(folder: Path, text: str = "") -> Config:
    (folder / "kedge.yaml").write_text(text)
    return load_config(folder / "kedge.yaml", environ={})


def engine(config: Config, **changes: object) -> EngineSettings:
    given = {"strategy": "trend", "params": {"fast": 3}, "entry": OrderKind.LIMIT, "interval_ns": 60, "start_ts_ns": 5, "wallet_e8": 77}
    return wiring.engine_settings(config, **{**given, **changes})  # type: ignore[arg-type]


def test_every_limit_arrives_in_its_unit(tmp_path: Path) -> None:
    assert all(getattr(LIMITS, name) != getattr(Limits(), name) for name in Limits.__struct_fields__)
    assert engine(configured(tmp_path, EVERY_LIMIT)).limits == LIMITS
    assert engine(configured(tmp_path)).limits == wiring.configured_limits(configured(tmp_path))
    assert engine(configured(tmp_path), limits=LIMITS).limits == LIMITS


def test_the_rest_of_the_engine_is_what_the_run_is(tmp_path: Path) -> None:
    made = engine(configured(tmp_path, "account: mine\n"))
    assert made == EngineSettings(
        run_id="",
        account="mine",
        strategy="trend",
        params={"fast": 3},
        wallet_e8=77,
        start_ts_ns=5,
        interval_ns=60,
        limits=wiring.configured_limits(configured(tmp_path)),
        execution=ExecutionPolicy(
            entry=OrderKind.LIMIT, limit_life_ns=120, slice_notional_frac_e8=10_000_000, chase_life_ns=60, twap_ns=600
        ),
        sizing=SizingPolicy(),
    )


SIZING = """\
stops: {distance_frac: "0.08"}
sizing:
  trade_risk_frac: "0.015"
  book_es_975_frac: "0.03"
  leverage_max: "1.2"
  gap_frac: "0.04"
  cost_frac: "0.002"
"""


def test_caps_on_sizes_arrive_in_their_units_with_the_distance_of_the_stop(tmp_path: Path) -> None:
    assert engine(configured(tmp_path, SIZING)).sizing == SizingPolicy(
        trade_risk_frac_e8=1_500_000, book_es_975_frac_e8=3_000_000, leverage_max_e8=120_000_000, stop_frac_e8=8_000_000,
        gap_frac_e8=4_000_000, cost_frac_e8=200_000,
    )  # fmt: skip
    assert engine(configured(tmp_path, "sizing: {active: false}\n")).sizing is None


@pytest.mark.parametrize(
    "text",
    ['sizing: {book_es_975_frac: "0.11"}', 'sizing: {trade_risk_frac: "0.021"}', 'sizing: {leverage_max: "0"}', "sizing: {kelly: 1}"],
)
def test_a_cap_outside_its_bounds_is_refused_when_the_configuration_is_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig, match="sizing"):
        configured(tmp_path, text + "\n")


def test_without_a_stop_no_size_follows_and_the_configuration_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, 'stops: {distance_frac: "0"}\n')
    with pytest.raises(InvalidConfig, match=r"stops\.distance_frac is 0"):
        wiring.check_use(config)
    assert engine(configured(tmp_path, 'stops: {distance_frac: "0"}\nsizing: {active: false}\n')).sizing is None


EXECUTION = """\
execution:
  style: chase
  chase_ticks: 3
  chase_every_s: "0.5"
  chase_life_s: 90
  chase_then: stop
  chase_tries_max: 4
  chase_exits: true
  quote_age_max_s: 2
  without_quote: wait
  twap_s: 1200
  twap_slices: 12
  slice_entry: limit
  slice_life_s: "7.5"
  participation_frac: "0.02"
  trigger_bps: 35
"""


def test_execution_arrives_in_its_units_and_the_command_lines_style_goes_first(tmp_path: Path) -> None:
    config = configured(tmp_path, EXECUTION)
    second = 1_000_000_000
    made = wiring.execution_policy(config, OrderKind.MARKET, 60, 10, None)
    assert made == ExecutionPolicy(
        entry=OrderKind.MARKET, limit_life_ns=120, slice_notional_frac_e8=10, style=Style.CHASE, chase_ticks=3,
        chase_every_ns=second // 2, chase_life_ns=90 * second, chase_then=ChaseThen.STOP, chase_tries_max=4, chase_exits=True,
        quote_age_max_ns=2 * second, without_quote=WithoutQuote.WAIT, twap_ns=1_200 * second, twap_slices=12,
        slice_entry=SliceEntry.LIMIT, slice_life_ns=15 * second // 2, participation_e8=2_000_000, trigger_bps=35,
    )  # fmt: skip
    assert wiring.execution_policy(config, OrderKind.MARKET, 60, 10, Style.TWAP).style is Style.TWAP
    assert set(config.settings.execution.engine_values()) == set(ExecutionPolicy.__struct_fields__) - {
        "entry",
        "limit_life_ns",
        "slice_notional_frac_e8",
    }


def test_the_least_confidence_arrives_in_its_unit(tmp_path: Path) -> None:
    config = configured(tmp_path, 'strategy: {confidence_min: "0.55"}\n')
    assert engine(config).confidence_min_e8 == 55_000_000


def test_a_slice_and_its_dust_stay_below_the_largest_order(tmp_path: Path) -> None:
    text = 'limits: {order_notional_frac_soft: "0.15", order_notional_frac_max: "0.15"}\n'
    assert engine(configured(tmp_path, text)).execution.slice_notional_frac_e8 == 15_000_000 * 10 // 11
    text = 'limits: {order_notional_frac_soft: "0.02"}\n'
    assert engine(configured(tmp_path, text)).execution.slice_notional_frac_e8 == 2_000_000


def test_costs_and_venue_arrive_in_their_units(tmp_path: Path) -> None:
    config = configured(tmp_path, COSTS)
    assert wiring.bar_costs(config) == BarCosts(half_spread_ticks=3, impact_bps=45, participation_e8=5_000_000)
    assert wiring.venue_settings(config, 900) == VenueSettings(wallet_e8=900, latency_ns=125_000_000)
    default = configured(tmp_path)
    assert wiring.bar_costs(default) == BarCosts()
    assert wiring.venue_settings(default, 1) == VenueSettings(wallet_e8=1)


def test_fees_are_the_instruments_own_unless_configured(tmp_path: Path) -> None:
    own = instrument()
    assert wiring.with_fees(configured(tmp_path), own) is own
    maker = wiring.with_fees(configured(tmp_path, 'costs: {maker_rate_frac: "-0.00005"}\n'), own)
    assert maker == msgspec.structs.replace(own, maker_fee_e8=-5_000)
    both = wiring.with_fees(configured(tmp_path, 'costs: {maker_rate_frac: "0", taker_rate_frac: "0.0004"}\n'), own)
    assert both == msgspec.structs.replace(own, maker_fee_e8=0, taker_fee_e8=40_000)


def test_the_wallet_of_the_command_line_wins(tmp_path: Path) -> None:
    config = configured(tmp_path, 'wallet: "2500.5"\n')
    assert wiring.wallet_e8(config, None) == 250_050_000_000
    assert wiring.wallet_e8(config, "0.00000001") == 1
    for text in ("0", "-1", "1e-9", "inf", "ten", "10000000000"):
        with pytest.raises(InvalidInput) as told:
            wiring.wallet_e8(config, text)
        assert "wallet" in told.value.what
        assert told.value.fix


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_record_can_hold_is_refused(seed: int) -> None:
    assert wiring.checked_seed(2**63 - 1) == 2**63 - 1
    with pytest.raises(InvalidInput, match=str(seed)):
        wiring.checked_seed(seed)


def test_parameters_of_the_same_strategy_are_overlaid(tmp_path: Path) -> None:
    config = configured(tmp_path, "strategy: {name: trend, params: {fast: 5, allow_short: false, exposure_frac: 0.125}}\n")
    assert wiring.strategy_params(config, "trend", None) == {"fast": 5, "allow_short": False, "exposure_frac": "0.125"}
    assert wiring.strategy_params(config, "trend", ["fast=7", " slow = 20 "]) == {
        "fast": "7",
        "slow": "20",
        "allow_short": False,
        "exposure_frac": "0.125",
    }
    assert wiring.strategy_params(config, "mean_reversion", ["window=9"]) == {"window": "9"}
    assert wiring.strategy_params(config, "trend", ["fast=a=b"])["fast"] == "a=b"


@pytest.mark.parametrize("text", ["fast", "=5", "", "="])
def test_a_parameter_without_name_or_value_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="NAME=VALUE"):
        wiring.strategy_params(configured(tmp_path), "trend", [text])


def test_an_instrument_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "btc.json"
    path.write_text(json.dumps(RECORD))
    made = wiring.instrument_file(path)
    assert made is not None
    assert (made.instrument_id, made.tick_e8, made.taker_fee_e8) == ("bybit-linear:BTCUSDT", 10_000_000, 100_000)
    assert wiring.instrument_file(None) is None


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        (b"{", InvalidInput, "not JSON"),
        (b"\xff\xfe", InvalidInput, "not JSON"),
        (b"[]", InvalidInput, "one JSON object"),
        (b"{}", InvalidInput, "instrument_id"),
        (json.dumps({**RECORD, "tick_sise": "1"}).encode(), InvalidInput, "tick_size"),
        (json.dumps({**RECORD, "tick_size": 0.1}).encode(), InvalidInput, "tick_size"),
        (json.dumps({**RECORD, "tick_size": "0"}).encode(), InvalidInput, "tick_size"),
        (None, NotFound, "no"),
    ],
)
def test_a_bad_instrument_record_is_refused(tmp_path: Path, content: bytes | None, kind: type[KedgeError], word: str) -> None:
    path = tmp_path / "btc.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as told:
        wiring.instrument_file(path)
    assert word in str(told.value)
    assert told.value.fix


def test_configured_secrets_are_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("hunter2hunter2\n")
    monkeypatch.setenv("VENUE_KEY", "correct-horse-battery")
    config = configured(tmp_path, f"secrets: {{a: env:VENUE_KEY, b: 'file:{tmp_path / 'key'}'}}\n")
    cleaned = wiring.redactor(config).text("x correct-horse-battery y hunter2hunter2 z")
    assert "correct-horse" not in cleaned
    assert "hunter2" not in cleaned
    assert (cleaned[:2], cleaned[-2:]) == ("x ", " z")
