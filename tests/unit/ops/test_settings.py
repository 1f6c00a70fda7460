from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from kedge.ops.config import known_keys
from kedge.ops.settings import Costs, Limits, Settings, json_schema
from kedge.risk import limits as risk_limits
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings


def test_default_limits_are_those_of_the_risk_room_with_every_row_switched_on() -> None:
    configured, bare = risk_limits.Limits.from_plain(Limits().engine_values()), risk_limits.Limits()
    absent = {name for name in bare.__struct_fields__ if not getattr(bare, name)}
    assert {name for name in bare.__struct_fields__ if getattr(configured, name) == getattr(bare, name)} >= set(
        bare.__struct_fields__
    ) - absent - {"fill_deviation_window_ns"}
    assert {name for name in absent if not getattr(configured, name)} == {"restricted"}
    assert risk_limits.Limits.from_plain(Limits(restricted=["XRPUSDT", "DOGE"]).engine_values()).restricted == ("DOGE", "XRPUSDT")


def test_an_alert_level_that_nobody_configured_keeps_to_its_limit() -> None:
    lower = Limits(position_notional_frac_max=Decimal("0.16"), liquidation_sigmas_min=Decimal("9"))
    assert (lower.position_notional_frac_soft, lower.liquidation_sigmas_soft) == (Decimal("0.16"), Decimal("9"))
    with pytest.raises(ValidationError, match="a row must rise"):
        Limits(position_notional_frac_max=Decimal("0.16"), position_notional_frac_soft=Decimal("0.17"))


def test_every_limit_of_the_risk_room_can_be_configured() -> None:
    assert set(Limits().engine_values()) == set(risk_limits.Limits.__struct_fields__)


def test_default_costs_are_those_of_the_simulation() -> None:
    values = Costs().engine_values()
    assert VenueSettings(wallet_e8=1).latency_ns == values.pop("latency_ns")
    assert BarCosts(**values) == BarCosts()


def test_fees_are_given_only_where_overridden() -> None:
    assert "maker_fee_e8" not in Costs().engine_values()
    values = Costs(maker_rate_frac=Decimal("-0.0001"), taker_rate_frac=Decimal("0.00055")).engine_values()
    assert (values["maker_fee_e8"], values["taker_fee_e8"]) == (-10_000, 55_000)


def test_fractions_keep_every_digit() -> None:
    assert Limits(order_notional_frac_max=Decimal("0.12345678")).engine_values()["order_notional_frac_max_e8"] == 12_345_678


def test_every_key_is_described_and_in_the_schema() -> None:
    for path in known_keys():
        model = Settings
        for part in path[:-1]:
            model = model.model_fields[part].annotation
        assert model.model_fields[path[-1]].description, path
    assert set(json_schema()["properties"]) == {path[0] for path in known_keys()}
