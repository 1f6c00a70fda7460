"""Laws of derived grids: every price is held to the bit, no bound is passed, whatever the data."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import prove_bounds
from kedge.domain.units import INT64_MAX
from kedge.market.grid import decimals_of, derive_instrument


def written(steps: int, decimals: int) -> float:
    return float(Decimal(steps).scaleb(-decimals))


decimals = st.integers(0, 8)
steps = st.lists(st.integers(1, 10**12), min_size=1, max_size=20)


@given(steps, decimals)
def test_decimals_found_hold_every_value_and_one_fewer_does_not(counts: list[int], k: int) -> None:
    found = decimals_of(np.array([written(n, k) for n in counts]))
    fewest = max(-int(Decimal(n).scaleb(-k).normalize().as_tuple().exponent) for n in counts)  # type: ignore[operator]
    assert found == max(0, fewest)


@settings(max_examples=200)
@given(steps, decimals, st.lists(st.integers(0, 10**12), min_size=1, max_size=20), decimals)
def test_derived_grid_holds_every_price_exactly(prices: list[int], kp: int, volumes: list[int], kv: int) -> None:
    price, volume = [written(n, kp) for n in prices], [written(n, kv) for n in volumes]
    try:
        instrument, words = derive_instrument("x:ABCUSDT", np.array(price), np.array(volume))
    except InvalidInput as refusal:
        assert "one lot at ten times the highest price" in refusal.why  # noqa: PT017
        return
    assert all(Decimal(n).scaleb(-kp) % instrument.tick_size == 0 for n in prices)
    assert max(prove_bounds(instrument).values()) <= INT64_MAX
    on_lot = all(Decimal(n).scaleb(-kv) % instrument.lot_size == 0 for n in volumes)
    assert on_lot or "rounded down" in words["lot_size"]


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_any_two_floats_give_a_proved_record_or_a_refusal(price: float, volume: float) -> None:
    try:
        instrument, _ = derive_instrument("x:ABCUSDT", np.array([price]), np.array([volume]))
    except InvalidInput as refusal:
        assert refusal.why  # noqa: PT017
        return
    assert np.isfinite(price)
    assert np.isfinite(volume)
    assert instrument.price_max_ticks * instrument.tick_size >= Decimal(price)
