"""Caps of a run in integers: the catalogue's defaults, their ceilings, and what is lost at a stop."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidConfig
from kedge.ops.settings import Settings
from kedge.risk.sizing_caps import SizingCaps
from kedge.risk.sizing_policy import SizingPolicy


def test_the_defaults_are_the_catalogues_and_the_configurations() -> None:
    assert SizingPolicy().caps() == SizingCaps(trade_risk_frac=0.02, book_es_975_frac=0.025, leverage_max=1.5)
    configured = Settings()
    assert configured.sizing.active
    values = configured.sizing.engine_values()
    assert SizingPolicy(**values, stop_frac_e8=int(configured.stops.distance_frac * 10**8)) == SizingPolicy()
    assert set(values) | {"stop_frac_e8"} == set(SizingPolicy.__struct_fields__)


@pytest.mark.parametrize(
    ("field", "most"), [("trade_risk_frac_e8", 2_000_000), ("book_es_975_frac_e8", 10_000_000), ("leverage_max_e8", 10_000_000_000)]
)
def test_a_cap_above_its_ceiling_or_of_nothing_is_refused(field: str, most: int) -> None:
    assert getattr(SizingPolicy(**{field: most}), field) == most
    for wrong in (most + 1, 0, -1):
        with pytest.raises(InvalidConfig, match=field.removesuffix("_e8")):
            SizingPolicy(**{field: wrong})


def test_costs_are_at_least_the_takers_fee_on_both_sides() -> None:
    assert SizingPolicy().lost_fracs(55_000) == (0.10, 0.05, 0.0015)
    assert SizingPolicy().lost_fracs(100_000) == (0.10, 0.05, 0.002)
    assert SizingPolicy(cost_frac_e8=0, gap_frac_e8=0).lost_fracs(-20_000) == (0.10, 0.0, 0.0)
