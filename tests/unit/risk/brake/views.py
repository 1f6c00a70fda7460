"""Views of an account in which all is well, to be made worse one figure at a time."""

from __future__ import annotations

from typing import Any

import msgspec

from kedge.domain.units import E8
from kedge.risk.brake.view import GuardView, PositionView

EQUITY = 10_000 * E8


def position(**changed: Any) -> PositionView:
    well = PositionView(
        instrument="sim:AAAUSDT", lots=1_000, notional_e8=1_000 * E8, maintenance_e8=10 * E8, liquidation_e8=90_000_000, sigma_e8=3_000_000
    )  # fmt: skip
    return msgspec.structs.replace(well, **changed)


def view(**changed: Any) -> GuardView:
    well = GuardView(
        view_age_ns=50_000_000, equity_e8=EQUITY, loss_equity_e8=EQUITY, high_water_e8=EQUITY, day_start_e8=EQUITY, positions=(position(),),
        var99_e8=1_000_000, var_method="fhs-ewma", clock_off_ms=3,
    )  # fmt: skip
    return msgspec.structs.replace(well, **changed)
