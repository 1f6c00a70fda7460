"""Accounts of the venue: positions under cross margin, and what their orders bind, kept up to date one change at a time.

Rules: an account's sums move by the difference of the one slot that changed, so that a margin check costs the same however many
orders rest. What orders of a symbol bind is the larger of both sides; on each side the lots that would first close the position
bind nothing, and the rest its share of the side's notional: initial margin at the order prices plus the fees to open and to close.
Reduce-only and conditional orders bind nothing. Money is Python integers: an account cannot overflow, and every product goes
through the kernel's laws with amounts that `Instrument` has proved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final, cast

from kedge.domain.orders import Side
from kedge.domain.units import E8
from kedge.kernel.arithmetic import mul_div_ceil, mul_div_half_even
from kedge.kernel.fees import fee_e8
from kedge.kernel.margin import ONE_TIMES_E2, initial_margin_e8, maintenance_margin_e8
from kedge.kernel.positions import value_at_e8
from kedge.simulation.venue_history import History
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_types import ClosedPnlRow, ExecutionRow, LogRow, OrderRow, PositionRow, TriggerBy, WalletRow

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_LAST: Final = TriggerBy.LAST

copy_position: Final[Callable[[PositionRow], PositionRow]] = cast("Any", PositionRow).__copy__
copy_row: Final[Callable[[OrderRow], OrderRow]] = cast("Any", OrderRow).__copy__
"""What `copy.copy` ends in, without the search for it; msgspec's type hints do not name it."""


class Account:
    """One account: its wallet, its slots (one per instrument it has touched), its orders and their history.

    The wallet is what it was opened with, plus `cum_realised_e8` and `flows_e8`, less `fees_e8` and `funding_e8` (paid).
    `version` counts changes of wallet and positions; orders do not move it.
    """

    def __init__(self, name: str, wallet_e8: int, history_max: int) -> None:
        self.name = name
        self.wallet_e8 = wallet_e8
        self.unrealised_e8 = self.position_initial_e8 = self.order_initial_e8 = self.maintenance_e8 = 0
        self.cum_realised_e8 = self.fees_e8 = self.funding_e8 = self.flows_e8 = 0
        self.version = 0
        self.slots: dict[str, Slot] = {}
        self.open: dict[str, OrderRow] = {}
        self.known: dict[str, OrderRow] = {}
        self.links: dict[str, OrderRow] = {}
        self.closed: History[OrderRow] = History(history_max)
        self.executions: History[ExecutionRow] = History(history_max)
        self.log: History[LogRow] = History(history_max)
        self.closed_pnl: History[ClosedPnlRow] = History(history_max)
        self.closing: dict[str, int] = {}

    @property
    def equity_e8(self) -> int:
        return self.wallet_e8 + self.unrealised_e8

    @property
    def available_e8(self) -> int:
        """Equity that nothing binds; negative when too much is bound."""
        return self.wallet_e8 + self.unrealised_e8 - self.position_initial_e8 - self.order_initial_e8

    @property
    def is_due(self) -> bool:
        """Whether equity no longer covers maintenance margin."""
        return 0 < self.maintenance_e8 >= self.wallet_e8 + self.unrealised_e8

    def row(self, ts_ns: int) -> WalletRow:
        equity = self.wallet_e8 + self.unrealised_e8
        return WalletRow(
            self.name, self.wallet_e8, equity, self.unrealised_e8, self.position_initial_e8, self.order_initial_e8,
            self.maintenance_e8, equity - self.position_initial_e8 - self.order_initial_e8, self.cum_realised_e8, ts_ns,
        )  # fmt: skip


class Slot:
    """One account's position and orders in one instrument."""

    __slots__ = (
        "account", "market", "leverage_e2", "lots", "cost_e8", "open_fee_e8", "current_realised_e8", "cum_realised_e8", "created_ns",
        "updated_ns", "opened_ns", "seq", "value_e8", "unrealised_e8", "initial_e8", "maintenance_e8", "buy_lots", "buy_notional_e8",
        "sell_lots", "sell_notional_e8", "buy_bound_e8", "sell_bound_e8", "order_initial_e8", "reduce_only", "active", "conditional",
        "take_profit", "stop_loss", "_row", "_row_version", "_asked", "_answer",
    )  # fmt: skip

    def __init__(self, account: Account, market: Market, leverage_e2: int, ts_ns: int) -> None:
        self.account, self.market, self.leverage_e2 = account, market, leverage_e2
        self.lots = self.cost_e8 = self.open_fee_e8 = self.current_realised_e8 = self.cum_realised_e8 = 0
        self.created_ns = self.updated_ns = ts_ns
        self.opened_ns, self.seq = 0, -1
        self.value_e8 = self.unrealised_e8 = self.initial_e8 = self.maintenance_e8 = 0
        self.buy_lots = self.buy_notional_e8 = self.sell_lots = self.sell_notional_e8 = 0
        self.buy_bound_e8 = self.sell_bound_e8 = self.order_initial_e8 = 0
        self.reduce_only: dict[str, OrderRow] = {}
        self.active = self.conditional = 0
        self.take_profit: OrderRow | None = None
        self.stop_loss: OrderRow | None = None
        self._row: PositionRow | None = None
        self._row_version = -1
        self._asked: tuple[int, ...] = ()
        self._answer = 0

    # --- positions -------------------------------------------------------------------------------------------------------

    def revalue(self) -> None:
        """Value the position at the mark and move the account's sums by the difference."""
        account, lots = self.account, self.lots
        if lots:
            market = self.market
            spec = market.spec
            signed = value_at_e8(market.mark_e8, lots, spec.tick_e8, spec.tick_value_e8)
            is_long = 1 if lots > 0 else 0
            value = abs(signed)
            unrealised = signed - self.cost_e8
            initial = initial_margin_e8(value, self.leverage_e2, is_long, market.taker_cost_e8)
            maintenance = int(
                maintenance_margin_e8(value, self.leverage_e2, is_long, market.taker_cost_e8, market.tiers)
            )  # its tiers are an array
        else:
            value = unrealised = initial = maintenance = 0
        account.version += 1
        account.unrealised_e8 += unrealised - self.unrealised_e8
        account.position_initial_e8 += initial - self.initial_e8
        account.maintenance_e8 += maintenance - self.maintenance_e8
        self.value_e8, self.unrealised_e8, self.initial_e8, self.maintenance_e8 = value, unrealised, initial, maintenance

    def open_fee_share_e8(self, closed_lots: int) -> int:
        """The part of the fees paid to open that belongs to lots about to close; half-even."""
        return mul_div_half_even(self.open_fee_e8, closed_lots, abs(self.lots))

    # --- orders ----------------------------------------------------------------------------------------------------------

    def bind(self, side: Side, lots: int, price_ticks: int) -> None:
        """Count lots of an order at its price; negative lots release them."""
        notional = lots * price_ticks * self.market.spec.tick_value_e8
        if side is _BUY:
            self.buy_lots += lots
            self.buy_notional_e8 += notional
            self.buy_bound_e8 = self.side_e8(side, self.buy_lots, self.buy_notional_e8)
        else:
            self.sell_lots += lots
            self.sell_notional_e8 += notional
            self.sell_bound_e8 = self.side_e8(side, self.sell_lots, self.sell_notional_e8)
        self._bound()

    def rebind(self) -> None:
        """The position or its leverage changed: what the orders bind is worked out anew."""
        if self.buy_lots or self.sell_lots:
            self.buy_bound_e8 = self.side_e8(_BUY, self.buy_lots, self.buy_notional_e8)
            self.sell_bound_e8 = self.side_e8(_SELL, self.sell_lots, self.sell_notional_e8)
            self._bound()

    def _bound(self) -> None:
        bound = self.buy_bound_e8 if self.buy_bound_e8 > self.sell_bound_e8 else self.sell_bound_e8
        self.account.order_initial_e8 += bound - self.order_initial_e8
        self.order_initial_e8 = bound

    def side_e8(self, side: Side, lots: int, notional_e8: int) -> int:
        """What orders of one side with these sums would bind beside the present position, in 1e-8."""
        is_buy = 1 if side is _BUY else 0
        closing = -self.lots if is_buy else self.lots
        if lots <= closing or not lots:
            return 0
        asked = (is_buy, lots, notional_e8, closing, self.leverage_e2)
        if asked == self._asked:  # an accepted order rests with the sums it was checked with
            return self._answer
        self._asked = asked
        if closing > 0:
            notional_e8 = mul_div_ceil(notional_e8, lots - closing, lots)
        taker = self.market.taker_cost_e8
        self._answer = initial_margin_e8(notional_e8, self.leverage_e2, is_buy, taker) + fee_e8(notional_e8, taker)
        return self._answer

    def room_to_reduce(self, side: Side) -> int:
        """Lots by which an order of `side` may shrink the position beyond the reduce-only orders that rest."""
        held = -self.lots if side is _BUY else self.lots
        return held - sum(order.leaves_lots for order in self.reduce_only.values()) if held > 0 else 0

    # --- rows ------------------------------------------------------------------------------------------------------------

    def row(self) -> PositionRow:
        """The position as of now. Most rows differ from the last in nothing but their time, so that one is copied."""
        old, account = self._row, self.account
        plain = self.take_profit is None and self.stop_loss is None
        if old is not None and plain and self._row_version == account.version and old.mark_e8 == self.market.mark_e8:
            row = copy_position(old)
            row.updated_ns = self.updated_ns
            return row
        row = self._new_row()
        self._row, self._row_version = (copy_position(row), account.version) if plain else (None, -1)
        return row

    def _new_row(self) -> PositionRow:
        market, lots, value = self.market, self.lots, self.value_e8
        limits, tier = market.tier_limits, 0
        if value > limits[0]:
            tier = min(bisect_left(limits, value), len(limits) - 1)
        profit, loss = self.take_profit, self.stop_loss
        return PositionRow(
            self.account.name, market.name, self.leverage_e2, tier + 1, limits[tier], self.created_ns, self.updated_ns,
            lots, self.cost_e8, market.mark_e8 or None, value, self.initial_e8, self.maintenance_e8, self.unrealised_e8,
            self.current_realised_e8, self.cum_realised_e8,
            self.liquidation_e8(tier) if lots else None, self.break_even_e8() if lots else None,
            profit.trigger_ticks if profit is not None else 0, loss.trigger_ticks if loss is not None else 0,
            profit.trigger_by if profit is not None else _LAST, loss.trigger_by if loss is not None else _LAST,
            self.opened_ns if lots else 0, self.seq,
        )  # fmt: skip

    def liquidation_e8(self, tier: int) -> int | None:
        """Mark at which the account's equity meets its maintenance margin while other marks stand; None outside the price range.

        An estimate, as the venue's own: it stays in the present tier.
        """
        market, lots, account = self.market, self.lots, self.account
        _, rate, deduction = market.tier_rows[tier]
        share_e2 = self.leverage_e2 - ONE_TIMES_E2 if lots > 0 else self.leverage_e2 + ONE_TIMES_E2
        closing = market.taker_cost_e8 * share_e2 // self.leverage_e2
        spare = account.wallet_e8 + account.unrealised_e8 - self.unrealised_e8 - account.maintenance_e8 + self.maintenance_e8
        spare += deduction - self.cost_e8
        # spare + lots P = |lots| P (rate + closing): equity without this position's margin, against its margin, at a price P
        weight = abs(lots) * (rate + closing) - lots * E8
        price = spare * E8 * market.spec.tick_e8 // (weight * market.spec.tick_value_e8) if weight else 0
        return price if market.spec.tick_e8 < price < market.spec.price_max_ticks * market.spec.tick_e8 else None

    def break_even_e8(self) -> int:
        """Price at which closing returns what this position's life has cost, taker fee included; at least 0."""
        spec = self.market.spec
        fees = abs(self.lots) * self.market.taker_cost_e8
        return max(0, (self.cost_e8 - self.current_realised_e8) * E8 * spec.tick_e8 // ((self.lots * E8 - fees) * spec.tick_value_e8))

    def bankruptcy_ticks(self) -> int:
        """The price at which closing the position leaves the account nothing, fee included, rounded in its favour.

        Within 1 and the instrument's largest price.
        """
        account, market, lots = self.account, self.market, self.lots
        spec = market.spec
        others = account.wallet_e8 + account.unrealised_e8 - self.unrealised_e8
        need = self.cost_e8 - others
        per_tick = lots * spec.tick_value_e8
        # closing at P leaves others + lots P - cost - |lots| P fee; solved for P
        weight = per_tick * E8 - abs(per_tick) * market.taker_cost_e8
        ticks = -(-need * E8 // weight) if lots > 0 else need * E8 // weight
        return max(1, min(spec.price_max_ticks, ticks))
