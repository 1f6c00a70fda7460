"""The ordered table: what section 12 of the control catalogue says, asserted when loaded, with limits and guard together."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import InvalidConfig
from kedge.ops.settings import Limits as Configured
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.risk.limits_table import (
    BY_MEASURE,
    SIGMAS_CHECKED_E8,
    TABLE,
    brakes_of,
    check_limits,
    check_table,
    distance_e8,
    levels_at,
    table_of,
)

PRODUCT = Limits.from_plain(Configured().engine_values())
REDUCE, HALT, FLATTEN = BrakeLevel.REDUCE_ONLY, BrakeLevel.HALTED, BrakeLevel.FLATTENING


def percent(value_e8: int | None) -> float | None:
    return None if value_e8 is None else value_e8 / 1e6


def test_the_table_is_the_catalogue_s() -> None:
    told = {
        row.measure: (percent(row.target), percent(row.soft), percent(row.hard), [(percent(v), b) for v, b in row.brake]) for row in TABLE
    }
    assert told == {
        "var99": (2.5, 3.0, 3.5, [(5.0, FLATTEN)]),
        "es975": (2.5, 3.2, 4.0, []),
        "drawdown": (None, 5.0, 6.5, [(8.0, HALT), (10.0, FLATTEN)]),
        "daily_loss": (None, 1.0, 1.5, [(2.0, HALT), (3.0, FLATTEN)]),
        "gross_leverage": (80.0, 120.0, 150.0, [(200.0, REDUCE)]),
        "position_notional": (15.0, 20.0, 25.0, [(35.0, REDUCE)]),
        "order_notional": (5.0, 10.0, 15.0, []),
        "margin_ratio": (None, 20.0, 30.0, [(50.0, FLATTEN)]),
        "liquidation_distance": (None, 30.0, 20.0, [(15.0, FLATTEN)]),
        "trade_risk": (0.5, 1.0, 2.0, []),
        "book_es_975": (2.5, None, None, []),
    }
    assert {row.owner for row in TABLE} == {"risk"}
    assert BY_MEASURE["book_es_975"].maximum == 10_000_000, "above a tenth it is refused"


def test_the_product_s_limits_and_the_guard_s_triggers_are_the_table() -> None:
    assert table_of(PRODUCT, brakes_of(TriggerLimits()), brake_sigmas_e2=TriggerLimits().liquidation_sigmas_e2) == TABLE
    check_limits(PRODUCT, TriggerLimits())


@pytest.mark.parametrize("sigma_e8", [0, 1_000_000, 3_000_000, 5_000_000, 20_000_000, 50_000_000])
def test_distances_are_kept_in_order_at_every_volatility(sigma_e8: int) -> None:
    check_table(TABLE, sigma_e8)
    soft, hard, ((brake, _),) = levels_at(BY_MEASURE["liquidation_distance"], sigma_e8)
    assert soft is not None
    assert hard is not None
    assert soft >= hard > brake
    assert soft == max(30_000_000, 6 * sigma_e8)


def test_a_distance_is_the_larger_of_its_two_and_rounds_up() -> None:
    assert distance_e8(20_000_000, 500, 3_999_999) == 20_000_000
    assert distance_e8(20_000_000, 500, 4_000_001) == 20_000_005
    assert distance_e8(0, 333, 1) == 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (BY_MEASURE["var99"]._replace(target=3_100_000), "target 3.1 %, soft 3 %"),
        (BY_MEASURE["var99"]._replace(soft=3_600_000), "soft 3.6 %, hard 3.5 %"),
        (BY_MEASURE["var99"]._replace(hard=5_000_000), "hard 5 %, brake 5 %"),
        (BY_MEASURE["drawdown"]._replace(brake=((10_000_000, HALT), (8_000_000, FLATTEN))), "brake 10 % is halted, 8 % is flattening"),
        (BY_MEASURE["drawdown"]._replace(brake=((8_000_000, FLATTEN), (10_000_000, HALT))), "brake 8 % is flattening"),
        (BY_MEASURE["liquidation_distance"]._replace(hard=15_000_000), "hard 15 %, brake 15 %"),
        (BY_MEASURE["liquidation_distance"]._replace(soft=19_000_000), "soft 19 %, hard 20 %"),
        (BY_MEASURE["book_es_975"]._replace(target=10_000_001), "target is 10 %"),
        (BY_MEASURE["gross_leverage"]._replace(hard=0), "hard is 0 %"),
    ],
)
def test_a_row_that_does_not_rise_is_refused_by_name(row: object, words: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        check_table([row])  # type: ignore[list-item]
    assert words in str(caught.value)
    assert row.measure in str(caught.value)  # type: ignore[attr-defined]


def test_a_volatility_at_which_distances_cross_is_found() -> None:
    crossing = BY_MEASURE["liquidation_distance"]._replace(brake_sigmas_e2=600)
    check_table([crossing], 0)
    with pytest.raises(InvalidConfig, match=r"liquidation_distance\): hard 50 %, brake 60 %"):
        check_table([crossing], 10_000_000)
    with pytest.raises(InvalidConfig, match="liquidation_distance"):
        check_limits(PRODUCT, msgspec.structs.replace(TriggerLimits(), liquidation_sigmas_e2=700))
    assert max(SIGMAS_CHECKED_E8) == 20_000_000


@pytest.mark.parametrize(
    ("limits", "triggers", "measure"),
    [
        ({"var99_max_e8": 5_000_000}, {}, "var99"),
        ({}, {"var99_flatten_e8": 3_500_000}, "var99"),
        ({}, {"drawdown_halt_e8": 6_500_000}, "drawdown"),
        ({"gross_leverage_max_e8": 200_000_000}, {}, "gross_leverage"),
        ({"margin_ratio_max_e8": 50_000_000}, {}, "margin_ratio"),
    ],
)
def test_a_hard_limit_at_the_brake_refuses_to_start(limits: dict[str, int], triggers: dict[str, int], measure: str) -> None:
    changed = msgspec.structs.replace(PRODUCT, **limits), msgspec.structs.replace(TriggerLimits(), **triggers)
    with pytest.raises(InvalidConfig, match=rf"\({measure}\)"):
        check_limits(*changed)


def test_a_trigger_that_is_off_leaves_the_trader_s_limit_alone_and_absent_rows_have_no_level() -> None:
    off = msgspec.structs.replace(TriggerLimits(), drawdown_halt_e8=0, drawdown_flatten_e8=0)
    check_limits(msgspec.structs.replace(PRODUCT, drawdown_reduce_e8=50_000_000, drawdown_halt_e8=60_000_000), off)
    bare = {row.measure: row for row in table_of(Limits())}
    assert (bare["var99"].soft, bare["var99"].hard, bare["drawdown"].hard) == (None, None, 6_500_000)
    assert bare["var99"].brake == BY_MEASURE["var99"].brake
    check_limits(Limits())
    lower = {row.measure: row for row in table_of(msgspec.structs.replace(PRODUCT, var99_soft_e8=1_000_000))}
    assert lower["var99"].target == 1_000_000, "nobody aims beyond what is allowed"
