"""What a trader's status says of the request limits: what is used, the fullest first."""

from __future__ import annotations

from kedge.apps.trade_report import limits_in_use
from kedge.venues.bybit.limits import Level, Utilisation


def test_the_fullest_group_comes_first_and_idle_ones_are_left_out() -> None:
    found = limits_in_use(
        [
            Utilisation("order.amend", 10, 10, 0, Level.OK),
            Utilisation("order.cancel", 6, 3, 5_000, Level.OK),
            Utilisation("order.create", 7, 1, 8_572, Level.CRITICAL),
        ]
    )
    assert found == [
        {"group": "order.create", "used_frac": 0.8572, "own": 7, "remaining": 1, "level": "critical"},
        {"group": "order.cancel", "used_frac": 0.5, "own": 6, "remaining": 3, "level": "ok"},
    ]
