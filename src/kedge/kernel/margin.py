"""Margin of positions, by the venue's brackets, at the mark.

Rules: a table of tiers is an int64 array of shape (n_tiers, 3): `notional_max_e8`, `rate_e8`, `deduction_e8`, limits
rising and rates not falling; the deduction makes the brackets marginal. A value above the last limit uses the last tier.
Every term rounds up: we ask more of ourselves than the venue does. Source: Bybit, rules of 2 September 2025.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.account import Int64s
from kedge.kernel.arithmetic import mul_div_ceil, mul_div_floor, mul_div_toward_zero
from kedge.kernel.compiling import law
from kedge.kernel.fees import fee_e8
from kedge.kernel.positions import value_at_e8

Tiers = npt.NDArray[np.int64]

LIMIT: Final = 0
RATE: Final = 1
DEDUCTION: Final = 2
ONE_TIMES_E2: Final = 100
"""Leverage of one, in hundredths."""

_TERMS: Final = "int64[::1], int64[::1], int64[::1], int64[:, :, ::1], int64[::1]"
"""Signature of what each slot trades under: tick values, leverages, taker fees, tiers, how many tiers."""


@law("int64(int64, int64[:, ::1], int64)")
def tier_of(value_e8: int, tiers: Tiers, n_tiers: int) -> int:
    """Row of the first of the `n_tiers` tiers whose limit covers the value, else the last. No tiers raises `InvalidInput`."""
    if n_tiers < 1 or n_tiers > tiers.shape[0]:
        raise InvalidInput("tier_of: no tiers, or more than the table holds")
    for row in range(n_tiers - 1):
        if value_e8 <= tiers[row, LIMIT]:
            return row
    return n_tiers - 1


@law("int64(int64, int64, int64, int64)")
def closing_fee_e8(value_e8: int, leverage_e2: int, is_long: int, taker_fee_e8: int) -> int:
    """Taker fee on closing at the bankruptcy price: value * (1 - 1/leverage) for longs, (1 + 1/leverage) for shorts, each step up.

    A negative value or a leverage below one raises `InvalidInput`.
    """
    if value_e8 < 0 or leverage_e2 < ONE_TIMES_E2:
        raise InvalidInput("margin: value is negative, or leverage is below one")
    share_e2 = leverage_e2 - ONE_TIMES_E2 if is_long else leverage_e2 + ONE_TIMES_E2
    return fee_e8(mul_div_ceil(value_e8, share_e2, leverage_e2), taker_fee_e8)


@law("int64(int64, int64, int64, int64)")
def initial_margin_e8(value_e8: int, leverage_e2: int, is_long: int, taker_fee_e8: int) -> int:
    """What opening a position of this value binds, in 1e-8: value / leverage + closing fee, rounded up.

    `value_e8 >= 0`, `leverage_e2 >= 100`; other input raises `InvalidInput`.
    """
    closing_e8 = closing_fee_e8(value_e8, leverage_e2, is_long, taker_fee_e8)
    return mul_div_ceil(value_e8, ONE_TIMES_E2, leverage_e2) + closing_e8


@law("int64(int64, int64, int64, int64, int64[:, ::1], int64)")
def _maintenance_e8(value_e8: int, leverage_e2: int, is_long: int, taker_fee_e8: int, tiers: Tiers, n_tiers: int) -> int:
    closing_e8 = closing_fee_e8(value_e8, leverage_e2, is_long, taker_fee_e8)
    tier = tier_of(value_e8, tiers, n_tiers)
    deduction_e8: int = tiers[tier, DEDUCTION]
    return mul_div_ceil(value_e8, tiers[tier, RATE], E8) - deduction_e8 + closing_e8


@law("int64(int64, int64, int64, int64, int64[:, ::1])")
def maintenance_margin_e8(value_e8: int, leverage_e2: int, is_long: int, taker_fee_e8: int, tiers: Tiers) -> int:
    """What keeping a position of this value needs, in 1e-8: value * rate - deduction + closing fee, rounded up.

    `value_e8 >= 0`, `leverage_e2 >= 100`, at least one tier; other input raises `InvalidInput`.
    """
    return _maintenance_e8(value_e8, leverage_e2, is_long, taker_fee_e8, tiers, tiers.shape[0])


@law(f"int64(int64, int64, int64[::1], {_TERMS})")
def slot_maintenance_e8(
    slot: int,
    mark_ticks: int,
    lots: Int64s,
    tick_values: Int64s,
    leverages_e2: Int64s,
    taker_fees_e8: Int64s,
    tiers3d: Tiers,
    tier_counts: Int64s,
) -> int:
    """Maintenance margin of one slot at this mark, in 1e-8; 0 when flat. A position without a mark raises `InvalidInput`."""
    if lots[slot] == 0:
        return 0
    if mark_ticks < 1:
        raise InvalidInput("margin: a position whose mark is unknown")
    value_e8 = abs(lots[slot]) * mark_ticks * tick_values[slot]
    is_long = 1 if lots[slot] > 0 else 0
    return _maintenance_e8(value_e8, leverages_e2[slot], is_long, taker_fees_e8[slot], tiers3d[slot], tier_counts[slot])


@law(f"int64(int64[::1], int64[::1], {_TERMS})")
def book_maintenance_e8(
    lots: Int64s, marks: Int64s, tick_values: Int64s, leverages_e2: Int64s, taker_fees_e8: Int64s, tiers3d: Tiers, tier_counts: Int64s
) -> int:
    """Maintenance margin of all slots at their marks, in 1e-8.

    `tiers3d` has shape (n_slots, n_tiers_max, 3), of which slot `i` uses the first `tier_counts[i]` rows; the others are
    of shape (n_slots,). A position without a mark raises `InvalidInput`.
    """
    total_e8 = 0
    for slot in range(lots.size):
        total_e8 += slot_maintenance_e8(slot, marks[slot], lots, tick_values, leverages_e2, taker_fees_e8, tiers3d, tier_counts)
    return total_e8


@law("boolean(int64, int64[::1], int64[::1], int64[::1], int64[:, :, ::1], int64[::1])")
def _one_sign_change(slot: int, lots: Int64s, tick_values: Int64s, taker_fees_e8: Int64s, tiers3d: Tiers, tier_counts: Int64s) -> bool:
    if lots[slot] == 0:
        return True
    left_e8 = max(0, E8 - tiers3d[slot, tier_counts[slot] - 1, RATE] - 2 * abs(taker_fees_e8[slot]))
    roundings: int = 4 + tier_counts[slot]
    return mul_div_floor(abs(lots[slot]) * tick_values[slot], left_e8, E8) >= roundings


@law(f"int64(int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], {_TERMS})")
def liquidation_ticks(
    slot: int,
    from_ticks: int,
    to_ticks: int,
    wallet_e8: int,
    lots: Int64s,
    costs: Int64s,
    marks: Int64s,
    tick_values: Int64s,
    leverages_e2: Int64s,
    taker_fees_e8: Int64s,
    tiers3d: Tiers,
    tier_counts: Int64s,
) -> int:
    """First mark of `slot`, walking from `from_ticks` to `to_ticks` (either way, both included), at which equity is at or
    below maintenance margin while the other marks stand still; 0 when there is none.

    A walk outside 1 .. 2^63 - 1 or a slot that does not exist raises `InvalidInput`.

    Notes
    -----
    Equity minus maintenance moves by at least `step * (1 - rate - 2 fee)` per tick, in one direction, where `step` is one
    tick on the whole position and `rate` the last tier's. All roundings together (three upward steps and one unit per
    tier of floored deductions) stay below `4 + n_tiers`. Where one tick outweighs them the sign changes at most once,
    and halving finds it; a smaller position (dust, or a rate near 100 %) is walked tick by tick, which is exact as well.
    """
    if slot < 0 or slot >= lots.size or from_ticks < 1 or to_ticks < 1:
        raise InvalidInput("liquidation_ticks: no such slot, or a mark below 1")
    spare_e8 = wallet_e8  # what the account holds against this slot: all but its value and its margin
    for other in range(lots.size):
        if other != slot and lots[other] != 0:
            spare_e8 += lots[other] * marks[other] * tick_values[other] - costs[other]
            spare_e8 -= slot_maintenance_e8(other, marks[other], lots, tick_values, leverages_e2, taker_fees_e8, tiers3d, tier_counts)
    spare_e8 -= costs[slot]
    value_of_tick_e8 = lots[slot] * tick_values[slot]
    towards = 1 if to_ticks >= from_ticks else -1
    distance = abs(to_ticks - from_ticks)

    unsafe, safe = distance + 1, -1  # steps from `from_ticks`: the nearest known unsafe one, the furthest known safe one
    halving = _one_sign_change(slot, lots, tick_values, taker_fees_e8, tiers3d, tier_counts)
    probe = 0
    while safe + 1 < unsafe:
        mark_ticks = from_ticks + towards * probe
        margin_e8 = slot_maintenance_e8(slot, mark_ticks, lots, tick_values, leverages_e2, taker_fees_e8, tiers3d, tier_counts)
        if spare_e8 + value_of_tick_e8 * mark_ticks <= margin_e8:
            unsafe = probe
        else:
            safe = probe
        probe = safe + 1 + (unsafe - safe - 1) // 2 if halving else safe + 1
    return from_ticks + towards * unsafe if unsafe <= distance else 0


@law("int64(int64, int64, int64, int64, int64, int64, int64[:, ::1])")
def isolated_liquidation_e8(
    entry_e8: int, lots: int, leverage_e2: int, extra_e8: int, tick_e8: int, tick_value_e8: int, tiers: Tiers
) -> int:
    """Mark at which an isolated position is liquidated, in 1e-8, rounded towards the entry; 0 when a long never is.

    Parameters
    ----------
    entry_e8 : price the position was opened at, 1e-8
    lots : signed, not 0
    leverage_e2 : hundredths, at least 100
    extra_e8 : margin added by hand, at least 0

    Notes
    -----
    With IM + extra + s(L - E)q = L q rate - deduction (the closing fee is in both margins and cancels), the value at
    liquidation is (E q - s(IM + extra + deduction)) / (1 - s rate). Marginal brackets make the margin the largest of
    its lines, so a long is liquidated at the highest of the tiers' answers and a short at the lowest: no tier to guess.
    """
    if lots == 0 or leverage_e2 < ONE_TIMES_E2 or extra_e8 < 0 or tiers.shape[0] < 1:
        raise InvalidInput("isolated_liquidation: no lots or tiers, leverage below one, or negative extra margin")
    size = abs(lots)
    side = 1 if lots > 0 else -1
    entry_value_e8 = value_at_e8(entry_e8, size, tick_e8, tick_value_e8)
    cushion_e8 = mul_div_toward_zero(entry_value_e8, ONE_TIMES_E2, leverage_e2) + extra_e8
    nearest_e8 = 0
    for row in range(tiers.shape[0]):
        if tiers[row, RATE] < 0 or tiers[row, RATE] >= E8:
            raise InvalidInput("isolated_liquidation: a maintenance rate outside 0 .. 100 %")
        numerator_e8 = entry_value_e8 - side * (cushion_e8 + tiers[row, DEDUCTION])
        value_e8 = mul_div_ceil(side * numerator_e8, E8, E8 - side * tiers[row, RATE])
        price_e8 = side * mul_div_ceil(value_e8, tick_e8, size * tick_value_e8)
        if row == 0 or side * price_e8 > side * nearest_e8:
            nearest_e8 = price_e8
    return max(0, nearest_e8)
