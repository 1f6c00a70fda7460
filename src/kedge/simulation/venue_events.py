"""What happens to accounts without their asking: funding, and liquidation when equity no longer covers maintenance margin.

Liquidation is the short form of the venue's: every order is cancelled, then positions are taken over, the largest first, each at the
price that leaves the account nothing after the taker fee, until what is left is covered. The insurance fund is the other side, and
brings a wallet below zero back to zero.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.orders import OrderKind, Side
from kedge.kernel.funding import funding_paid_e8
from kedge.simulation.venue_account import Account, Slot
from kedge.simulation.venue_dealing import Dealing
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_types import (
    CancelType,
    CreateType,
    ExecType,
    ExecutionRow,
    FundingRow,
    LiquidationRow,
    LogType,
    RejectReason,
    Status,
    StopType,
)

INSURANCE: Final = "INSURANCE"
"""Sub type of the log row by which the insurance fund covers a wallet."""


def settle_funding(market: Market, dealing: Dealing) -> None:
    """Every position of the instrument pays or receives now, at the mark; nobody where the rate is unknown."""
    tape, spec, ts_ns = dealing.tape, market.spec, market.next_funding_ns
    rate, mark = market.rate_e8(), market.mark_e8
    if mark and market.is_rate_unknown:
        market.seq += 1
        market.funded(None)
    elif mark:
        market.seq += 1
        for slot in list(market.holders.values()):
            paid = funding_paid_e8(slot.lots, mark, rate, spec.tick_e8, spec.tick_value_e8)
            account = slot.account
            account.wallet_e8 -= paid
            account.funding_e8 += paid
            account.version += 1
            slot.current_realised_e8 -= paid
            slot.cum_realised_e8 -= paid
            row = _funding_row(slot, dealing, rate, paid, ts_ns)
            account.executions.append(row)
            tape.changes.append(row)
            dealing.log(account, LogType.SETTLEMENT, slot, row, 0, -paid, 0)
            tape.touch(slot)
        market.funded(FundingRow(market.name, ts_ns, rate, mark))
    else:
        market.next_funding_ns += spec.funding_interval_ns


def liquidate(account: Account, dealing: Dealing) -> None:
    """Take over the positions of an account whose equity does not cover them."""
    for order in list(account.open.values()):
        if order.is_open:
            dealing.cancel(order, account.slots[order.instrument], CancelType.LIQUIDATION, RejectReason.NONE)
    while account.is_due:
        held = [slot for slot in account.slots.values() if slot.lots]
        _take_over(max(held, key=lambda slot: (slot.value_e8, slot.market.name)), dealing)


def cover(account: Account, dealing: Dealing) -> None:
    """An account without positions owes nobody: the insurance fund makes a negative wallet zero."""
    if account.wallet_e8 < 0 and not any(slot.lots for slot in account.slots.values()):
        dealing.flow(account, -account.wallet_e8, LogType.LIQUIDATION, INSURANCE)


def _take_over(slot: Slot, dealing: Dealing) -> None:
    market, tape = slot.market, dealing.tape
    price, lots = slot.bankruptcy_ticks(), abs(slot.lots)
    died = Side.BUY if slot.lots > 0 else Side.SELL
    order = dealing.make(slot, Side.SELL if died is Side.BUY else Side.BUY, lots, CreateType.LIQUIDATION)
    order.price_ticks = price
    market.seq += 1
    dealing.fill(order, slot, lots, price, False, ExecType.BUST)
    dealing.end(order, slot, Status.FILLED, CancelType.UNKNOWN, RejectReason.NONE)
    dealing.on_fill(order, slot)
    tape.changes.append(LiquidationRow(market.name, tape.now_ns, died, lots, price, market.seq))


def _funding_row(slot: Slot, dealing: Dealing, rate_e8: int, paid_e8: int, ts_ns: int) -> ExecutionRow:
    tape, market = dealing.tape, slot.market
    side, lots = (Side.BUY if slot.lots > 0 else Side.SELL), abs(slot.lots)
    exec_id = tape.execution_id()
    return ExecutionRow(
        slot.account.name, market.name, tape.executions_made, exec_id, f"funding-{ts_ns // 1_000_000_000}-{tape.executions_made}", "",
        ExecType.FUNDING, side, OrderKind.MARKET, StopType.NONE, CreateType.USER, 0, 0, 0, market.mark_e8, lots, slot.value_e8, paid_e8,
        rate_e8, False, 0, 0, market.mark_e8, market.index_e8, tape.now_ns, market.seq,
    )  # fmt: skip
