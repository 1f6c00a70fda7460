"""What is proved and checked before compiled code is reached."""

from __future__ import annotations

from typing import Any

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.bounds import check_lots, check_price_ticks, lots_max, prove_account


def btc(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "instrument_id": "venue:BTCUSDT", "base": "BTC", "quote": "USDT",
        "tick_e8": 10_000_000, "lot_e8": 100_000, "tick_value_e8": 10_000,
        "price_max_ticks": 20_000_000, "order_qty_min_lots": 1, "order_qty_max_lots": 1_000_000, "market_qty_max_lots": 500_000,
        "position_max_lots": 2_000_000,
        "notional_min_e8": 5 * E8, "maker_fee_e8": 20_000, "taker_fee_e8": 55_000,
        "leverage_max_e2": 10_000,
        "tiers": (RiskTier(notional_max_e8=10**17, maintenance_rate_e8=500_000, deduction_e8=0, leverage_max_e2=10_000),),
        "funding_interval_ns": 0, "price_collar_bps": 500,
    }  # fmt: skip
    return Instrument(**{**fields, **changes})


def test_sums_over_instruments_are_named_and_bounded() -> None:
    proved = prove_account([btc(), btc()], wallet_max_e8=10**15)
    notional = 2 * 20_000_000 * 3_000_000 * 10_000
    assert proved["wallet + gross notional (equity)"] == 10**15 + notional
    assert max(proved.values()) <= INT64_MAX


@pytest.mark.parametrize(
    ("count", "terms", "named"),
    [
        (16, {"wallet_max_e8": 1}, "gross notional"),
        (1, {"wallet_max_e8": INT64_MAX // 10 + 1}, "wallet_max_e8"),
        (1, {"wallet_max_e8": 1, "impact_max_bps": 10**6}, "impact"),
        (0, {"wallet_max_e8": 1}, "0 instruments"),
        (1, {"wallet_max_e8": 0}, "wallet_max_e8 0"),
        (1, {"wallet_max_e8": 1, "impact_max_bps": -1}, "impact_max_bps -1"),
    ],
)
def test_an_account_that_could_overflow_is_refused_by_name(count: int, terms: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidInput, match=named) as refused:
        prove_account([btc()] * count, **terms)
    assert refused.value.fix


@pytest.mark.parametrize("price", [0, -1, 20_000_001, 2**63])
def test_a_price_outside_the_proof_is_refused(price: int) -> None:
    with pytest.raises(InvalidInput, match=f"mark_ticks is {price}"):
        check_price_ticks(btc(), price, field="mark")


def test_what_is_inside_the_proof_passes_unchanged() -> None:
    assert check_price_ticks(btc(), 20_000_000) == 20_000_000
    assert lots_max(btc()) == 3_000_000
    assert check_lots(btc(), -3_000_000) == -3_000_000
    with pytest.raises(InvalidInput, match="position_lots is 3000001"):
        check_lots(btc(), 3_000_001)
