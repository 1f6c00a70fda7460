"""Limits by the names people know: units, bounds, and which way is looser."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.ops.settings import Limits as Configured
from kedge.risk.gate_rules import RULES
from kedge.risk.limits import Limits, version_of
from kedge.risk.limits_fields import BY_NAME, FIELDS, Looser, Unit, bounds_of, changed, differences, field_of, text_of, texts_of

PRODUCT = Limits.from_plain(Configured().engine_values())


def test_every_limit_has_one_row_under_its_configured_name() -> None:
    assert {row.field for row in FIELDS} == set(Limits.__struct_fields__)
    assert set(BY_NAME) == set(Configured.model_fields)
    controls = {control for rule in RULES for control in rule.control.split(", ")}
    assert {row.control for row in FIELDS} <= controls | {"C-RISK-11"}


def test_the_texts_are_those_of_the_configuration() -> None:
    plain = Configured()
    for row in FIELDS:
        text = "" if row.unit is Unit.NAMES else f"{Decimal(getattr(plain, row.name)).normalize():f}"
        assert text_of(row, PRODUCT) == text
    assert changed(Limits(), texts_of(PRODUCT)) == PRODUCT


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.name)
def test_a_row_says_which_way_is_looser(row: Any) -> None:
    before = msgspec.structs.replace(PRODUCT, restricted=("DOGE", "XRP"))
    present = getattr(before, row.field)
    if row.looser is Looser.FEWER:
        tighter, looser = ("DOGE", "SOL", "XRP"), ("DOGE",)
    else:
        step = max(1, present // 50)
        tighter, looser = (present - step, present + step) if row.looser is Looser.HIGHER else (present + step, present - step)
    for value, loosens in ((tighter, False), (looser, True)):
        (change,) = differences(before, _with(before, row.field, value))
        assert (change.name, change.loosens) == (row.name, loosens)
    assert differences(before, before) == ()


def _with(limits: Limits, field: str, value: Any) -> Limits:
    """Another value whatever the rows say: what is asked is its direction alone."""
    fresh = msgspec.structs.replace(limits)
    msgspec.structs.force_setattr(fresh, field, value)
    return fresh


@pytest.mark.parametrize("name", ["var99_max_frac", "liquidation_distance_min_frac", "decisions_max", "position_age_max_s"])
def test_a_row_that_goes_absent_is_loosened_and_one_that_comes_is_tightened(name: str) -> None:
    row = BY_NAME[name]
    absent = _with(PRODUCT, row.field, 0)
    assert [change.loosens for change in differences(PRODUCT, absent)] == [True]
    assert [change.loosens for change in differences(absent, PRODUCT)] == [False]


def test_values_are_exact_and_their_units_are_kept() -> None:
    one = changed(PRODUCT, {"var99_max_frac": "0.034", "decisions_window_s": "600", "duplicate_window_ms": "2500", "stale_bars": "1.25"})
    assert (one.var99_max_e8, one.decisions_window_ns, one.duplicate_window_ns, one.stale_bars_e2) == (
        3_400_000, 600_000_000_000, 2_500_000_000, 125,
    )  # fmt: skip
    assert changed(PRODUCT, {"restricted": " XRP,DOGE ,DOGE,"}).restricted == ("DOGE", "XRP")
    for name, text, why in (
        ("var99_max_frac", "0.123456789", "finer than a limit"),
        ("decisions_max", "2.5", "finer than a limit"),
        ("decisions_max", "many", "decisions_max"),
        ("var99_max", "0.03", "did you mean: var99_soft_frac, var99_max_frac"),
        ("nothing", "1", "see docs/limits.md"),
    ):
        with pytest.raises(InvalidInput, match=why):
            changed(PRODUCT, {name: text})
    with pytest.raises(InvalidConfig, match="limits"):
        changed(PRODUCT, {"var99_max_frac": "1.5"})
    assert field_of("restricted").unit is Unit.NAMES


def test_an_alert_level_that_nobody_names_keeps_to_its_limit() -> None:
    one = changed(PRODUCT, {"var99_max_frac": "0.02", "liquidation_distance_min_frac": "0.4", "order_notional_frac_max": "0.08"})
    assert (one.var99_soft_e8, one.liquidation_distance_soft_e8, one.order_notional_frac_soft_e8) == (2_000_000, 40_000_000, 8_000_000)
    with pytest.raises(InvalidConfig, match="a row must rise"):
        changed(PRODUCT, {"var99_max_frac": "0.02", "var99_soft_frac": "0.025"})
    with pytest.raises(InvalidConfig, match="a row must rise"):
        changed(PRODUCT, {"position_notional_frac_max": "0.1"})


def test_bounds_are_told_as_people_write_them() -> None:
    assert bounds_of(BY_NAME["var99_max_frac"]) == ("0", "1")
    assert bounds_of(BY_NAME["order_notional_frac_max"]) == ("0.00000001", "1")
    assert bounds_of(BY_NAME["gross_leverage_max"]) == ("0.00000001", "100")
    assert bounds_of(BY_NAME["decisions_window_s"])[1] == ""
    assert bounds_of(BY_NAME["restricted"]) == ("", "")


def test_a_version_covers_what_is_set_and_nothing_that_is_absent() -> None:
    assert Limits().version == "19d870018bffca2c", "documents from before a row existed keep their version"
    assert version_of(Limits().plain()) == Limits().version
    assert version_of({"order_notional_frac_max_e8": "much"}) == ""
    assert len({_with(Limits(), row.field, ("XRP",) if row.unit is Unit.NAMES else 7).version for row in FIELDS}) == len(FIELDS)


@given(st.sampled_from([row for row in FIELDS if row.unit is not Unit.NAMES]), st.integers(min_value=1, max_value=10**8))
def test_a_value_comes_back_as_it_was_written(row: Any, value: int) -> None:
    there = _with(Limits(), row.field, value)
    assert differences(Limits(), there) == () or differences(Limits(), there)[0].after == text_of(row, there)


@pytest.mark.parametrize("names", [("XRP", "DOGE"), ("DOGE", "DOGE"), ("",)])
def test_a_list_is_sorted_each_once(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidConfig, match="equal documents must have equal hashes"):
        Limits(restricted=names)
