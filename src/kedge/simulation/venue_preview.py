"""What an order would do to an account's margin, worked out without taking it."""

from __future__ import annotations

import msgspec

from kedge.domain.orders import Side
from kedge.kernel.margin import maintenance_margin_e8
from kedge.kernel.positions import value_at_e8
from kedge.simulation.venue_account import Slot
from kedge.simulation.venue_types import WalletRow


def preview(slot: Slot, side: Side, lots: int, price_ticks: int, reduce_only: bool, ts_ns: int) -> WalletRow:
    """The wallet with the order resting at a price, but maintenance margin as if it had been filled whole at the mark."""
    row, market = slot.account.row(ts_ns), slot.market
    held = slot.lots + (lots if side is Side.BUY else -lots)
    value = abs(value_at_e8(market.mark_e8, held, market.spec.tick_e8, market.spec.tick_value_e8))
    is_long = 1 if held > 0 else 0
    kept = int(maintenance_margin_e8(value, slot.leverage_e2, is_long, market.taker_cost_e8, market.tiers)) if held else 0
    initial = row.order_initial_e8
    if not reduce_only:
        is_buy = side is Side.BUY
        notional = (slot.buy_notional_e8 if is_buy else slot.sell_notional_e8) + lots * price_ticks * market.spec.tick_value_e8
        bound = slot.side_e8(side, (slot.buy_lots if is_buy else slot.sell_lots) + lots, notional)
        other = slot.sell_bound_e8 if is_buy else slot.buy_bound_e8
        initial += max(bound, other) - slot.order_initial_e8
    return msgspec.structs.replace(
        row,
        order_initial_e8=initial,
        available_e8=row.equity_e8 - row.position_initial_e8 - initial,
        maintenance_e8=row.maintenance_e8 - slot.maintenance_e8 + kept,
    )
