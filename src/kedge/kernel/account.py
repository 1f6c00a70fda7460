"""The account as one int64 row, and the laws that move it: fills, funding, flows, marks.

Rules: `EQUITY = WALLET + UNREALISED` after every law. Peak, drawdown and daily loss are judged only when a mark
arrives, so that a fill away from a stale mark is neither a new peak nor a loss. A mark recomputes every slot: two
products each, cheaper than the branch that would save them, and nothing can drift. A flow (deposit, withdrawal)
scales the peak and the day's start with equity, so a withdrawal is no drawdown and a deposit hides no loss.

`lots`, `costs`, `marks`, `tick_values` are int64 arrays of shape (n_slots,), one slot per instrument; a mark of 0 is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, INT64_MAX, NS_PER_DAY
from kedge.kernel.arithmetic import mul_div_wide_ceil, ratio_e8_ceil
from kedge.kernel.compiling import law
from kedge.kernel.positions import apply_fill

Int64s = npt.NDArray[np.int64]

WALLET: Final = 0
UNREALISED: Final = 1
EQUITY: Final = 2
PEAK: Final = 3
DRAWDOWN_E8: Final = 4
DRAWDOWN_MAX_E8: Final = 5
DAY: Final = 6
DAY_START: Final = 7
DAY_LOSS_E8: Final = 8
GROSS: Final = 9
NET: Final = 10
REALISED: Final = 11
FEES: Final = 12
FUNDING: Final = 13
FLOWS: Final = 14
ACCOUNT_SIZE: Final = 16


def new_account() -> Int64s:
    """A row for `open_account` to fill."""
    return np.zeros(ACCOUNT_SIZE, dtype=np.int64)


def plain_view(cells: Int64s) -> Sequence[int]:
    """The same cells as plain Python integers: reading one costs a tenth of reading it from the array."""
    return cast("Sequence[int]", memoryview(cast("Any", cells)))  # NumPy tells type checkers of its buffers from Python 3.12 on


@law("void(int64[::1], int64, int64)")
def open_account(account: Int64s, wallet_e8: int, ts_ns: int) -> None:
    """Start the row: this wallet, no positions, the peak and the day's start at the wallet. A negative wallet raises."""
    if account.size != ACCOUNT_SIZE or wallet_e8 < 0:
        raise InvalidInput("open_account: the row is not of ACCOUNT_SIZE, or the wallet is negative")
    account[:] = 0
    account[WALLET] = wallet_e8
    account[EQUITY] = wallet_e8
    account[PEAK] = wallet_e8
    account[DAY_START] = wallet_e8
    account[DAY] = ts_ns // NS_PER_DAY


@law("int64(int64, int64)")
def loss_frac_e8(base_e8: int, now_e8: int) -> int:
    """How far `now` lies below `base`, as a fraction of it in 1e-8, rounded up; above 100 % when more than all is lost.

    0 where nothing was there to lose and nothing was lost; else 100 % of a base that is not positive. At most 2^63 - 1.
    """
    if base_e8 <= 0:
        return 0 if now_e8 >= base_e8 and base_e8 == 0 else E8
    if now_e8 < base_e8 - INT64_MAX:
        return INT64_MAX
    if now_e8 >= base_e8:
        return 0
    return ratio_e8_ceil(base_e8 - now_e8, base_e8)


@law("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def revalue(account: Int64s, lots: Int64s, costs: Int64s, marks: Int64s, tick_values: Int64s) -> None:
    """Recompute unrealised profit, gross and net notional and equity from all slots at their last marks.

    A position whose mark is unknown stands at its cost.
    """
    unrealised = gross = net = 0
    for slot in range(lots.size):
        if lots[slot] != 0:
            value_e8 = lots[slot] * marks[slot] * tick_values[slot] if marks[slot] > 0 else costs[slot]
            unrealised += value_e8 - costs[slot]
            net += value_e8
            gross += abs(value_e8)
    account[UNREALISED] = unrealised
    account[GROSS] = gross
    account[NET] = net
    account[EQUITY] = account[WALLET] + unrealised


@law("int64(int64[::1], int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1])")
def mark_account(
    account: Int64s, slot: int, mark_ticks: int, ts_ns: int, lots: Int64s, costs: Int64s, marks: Int64s, tick_values: Int64s
) -> int:
    """Take one new mark: revalue, roll the UTC day, raise the peak, measure drawdown and daily loss. Returns the equity.

    At the first mark of a later day the day starts from the last known equity. `InvalidInput` for a mark below 1 or a
    slot that does not exist.
    """
    if mark_ticks < 1 or slot < 0 or slot >= lots.size:
        raise InvalidInput("mark_account: a mark below 1, or no such slot")
    day = ts_ns // NS_PER_DAY
    if day > account[DAY]:
        account[DAY] = day
        account[DAY_START] = account[EQUITY]
    marks[slot] = mark_ticks
    revalue(account, lots, costs, marks, tick_values)
    equity_e8: int = account[EQUITY]
    account[PEAK] = max(account[PEAK], equity_e8)
    account[DRAWDOWN_E8] = loss_frac_e8(account[PEAK], equity_e8)
    account[DRAWDOWN_MAX_E8] = max(account[DRAWDOWN_MAX_E8], account[DRAWDOWN_E8])
    account[DAY_LOSS_E8] = loss_frac_e8(account[DAY_START], equity_e8)
    return equity_e8


@law("int64(int64[::1], int64, int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1])")
def mark_if_safe(
    account: Int64s,
    slot: int,
    low_ticks: int,
    high_ticks: int,
    close_ticks: int,
    ts_ns: int,
    lots: Int64s,
    costs: Int64s,
    marks: Int64s,
    tick_values: Int64s,
) -> int:
    """Take a bar's close as the new mark, unless a liquidation is possible inside the bar: then change nothing and return 0.

    Safe is what a sufficient test says: at the extreme that hurts, and at the close, equity exceeds the whole gross notional,
    which maintenance margin never does. A slot without a position only takes the mark.
    """
    held = lots[slot]
    if held == 0:
        marks[slot] = close_ticks
        return 1
    moved = held * ((low_ticks if held > 0 else high_ticks) - marks[slot]) * tick_values[slot]
    if account[EQUITY] + moved - abs(moved) <= account[GROSS]:
        return 0
    mark_account(account, slot, close_ticks, ts_ns, lots, costs, marks, tick_values)
    return 1


@law("int64(int64[::1], int64, int64, int64, int64, int64[::1], int64[::1], int64[::1])")
def book_fill(
    account: Int64s, slot: int, fill_lots: int, price_ticks: int, fee_e8: int, lots: Int64s, costs: Int64s, tick_values: Int64s
) -> int:
    """Book one fill into its slot and the wallet; returns the realised profit before the fee, in 1e-8.

    Until the next mark the filled lots stand at the fill's price, so equity moves by the fee alone; gross and net notional
    stay those of the last mark. `InvalidInput` as in `apply_fill`, and for a slot that does not exist.
    """
    if slot < 0 or slot >= lots.size:
        raise InvalidInput("book_fill: no such slot")
    lots[slot], costs[slot], realised_e8 = apply_fill(lots[slot], costs[slot], fill_lots, price_ticks, tick_values[slot])
    account[WALLET] += realised_e8 - fee_e8
    account[UNREALISED] -= realised_e8
    account[EQUITY] -= fee_e8
    account[REALISED] += realised_e8
    account[FEES] += fee_e8
    return realised_e8


@law("void(int64[::1], int64, int64, int64[::1])")
def restate_cost(account: Int64s, slot: int, cost_e8: int, costs: Int64s) -> None:
    """Take this cost of a slot's position in place of ours: wallet and realised profit move by the difference, equity stays.

    `InvalidInput` for a slot that does not exist.
    """
    if slot < 0 or slot >= costs.size:
        raise InvalidInput("restate_cost: no such slot")
    moved_e8 = cost_e8 - costs[slot]
    costs[slot] = cost_e8
    account[WALLET] += moved_e8
    account[REALISED] += moved_e8
    account[UNREALISED] -= moved_e8


@law("void(int64[::1], int64)")
def book_funding(account: Int64s, paid_e8: int) -> None:
    """Book a settlement as the venue's ledger gives it: `paid_e8` > 0 leaves the wallet."""
    account[WALLET] -= paid_e8
    account[EQUITY] -= paid_e8
    account[FUNDING] += paid_e8


@law("void(int64[::1], int64)")
def book_flow(account: Int64s, amount_e8: int) -> None:
    """Book a deposit (> 0) or withdrawal (< 0): wallet and equity move by it, peak and day's start in proportion to equity.

    So the lost fractions stay what they were: a withdrawal is no drawdown, a deposit hides no loss. Where equity was not
    positive there is no proportion, and the old peak stands: what was lost stays lost.
    """
    before, after = account[EQUITY], account[EQUITY] + amount_e8
    account[WALLET] += amount_e8
    account[EQUITY] = after
    account[FLOWS] += amount_e8
    if before > 0:
        account[PEAK] = mul_div_wide_ceil(max(0, account[PEAK]), max(0, after), before)
        account[DAY_START] = mul_div_wide_ceil(max(0, account[DAY_START]), max(0, after), before)
