"""The private rows as the venue writes them: orders, executions, positions, wallets, changes of the wallet.

Rules: one struct serves REST and WebSocket; numbers stay text until an instrument gives them a grid; what is required has no
default, so a payload without it is refused by name; what only one of the two sends is None or "". Unknown keys are ignored.
"""

from __future__ import annotations

import msgspec

from kedge.venues.bybit.codec_numbers import is_blank


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """Base of the rows: camelCase on the wire, unknown keys tolerated."""


class OrderData(Row, frozen=True, kw_only=True, gc=False):
    """An order; `order_link_id` is "" where the venue made it. `leaves_qty` is 0 on cancelled orders, so compute what is left."""

    order_id: str
    symbol: str
    side: str
    order_type: str
    order_status: str
    qty: str
    cum_exec_qty: str
    created_ms: int = msgspec.field(name="createdTime")
    updated_ms: int = msgspec.field(name="updatedTime")
    time_in_force: str
    category: str = ""
    order_link_id: str = ""
    parent_order_link_id: str = ""
    price: str = ""
    avg_price: str | None = None
    leaves_qty: str | None = None
    cum_exec_value: str | None = None
    cum_exec_fee: str | None = None
    cum_fee_detail: dict[str, str] | None = None
    cancel_type: str = ""
    reject_reason: str = ""
    create_type: str = ""
    stop_order_type: str = ""
    trigger_price: str | None = None
    trigger_direction: int = 0
    trigger_by: str = ""
    take_profit: str | None = None
    stop_loss: str | None = None
    tpsl_mode: str = ""
    position_idx: int = 0
    reduce_only: bool = False
    close_on_trigger: bool = False
    smp_type: str = ""
    closed_pnl: str | None = None


class ExecutionData(Row, frozen=True, kw_only=True, gc=False):
    """An execution: a trade, a liquidation, an auto-deleveraging or a funding settlement, as `exec_type` says.

    `exec_fee` > 0 was paid by us, of funding too. `exec_pnl` comes by WebSocket only.
    """

    symbol: str
    order_id: str
    side: str
    exec_id: str
    exec_type: str
    exec_price: str
    exec_qty: str
    exec_fee: str
    exec_ms: int = msgspec.field(name="execTime")
    category: str = ""
    order_link_id: str = ""
    order_type: str = ""
    order_qty: str | None = None
    order_price: str | None = None
    leaves_qty: str | None = None
    exec_value: str | None = None
    fee_currency: str = ""
    fee_rate: str | None = None
    is_maker: bool | None = None
    mark_price: str | None = None
    closed_size: str | None = None
    exec_pnl: str | None = None
    create_type: str = ""
    stop_order_type: str = ""
    seq: int | None = None


class FastExecutionData(Row, frozen=True, kw_only=True, gc=False):
    """A row of `execution.fast`: trades only, without fees; the same `exec_id` comes again in `execution`."""

    symbol: str
    order_id: str
    side: str
    exec_id: str
    exec_price: str
    exec_qty: str
    exec_ms: int = msgspec.field(name="execTime")
    is_maker: bool
    category: str = ""
    order_link_id: str = ""
    seq: int | None = None


class PositionData(Row, frozen=True, kw_only=True, gc=False):
    """A position; `side` is "" when flat. REST names the entry `avgPrice`, the stream `entryPrice`: read `entry_text`."""

    position_idx: int
    symbol: str
    side: str
    size: str
    category: str = ""
    avg_price: str | None = None
    entry_price: str | None = None
    position_value: str | None = None
    mark_price: str | None = None
    leverage: str | None = None
    liq_price: str | None = None
    unrealised_pnl: str | None = None
    cur_realised_pnl: str | None = None
    cum_realised_pnl: str | None = None
    take_profit: str | None = None
    stop_loss: str | None = None
    trailing_stop: str | None = None
    position_status: str = ""
    risk_id: int | None = None
    risk_limit_value: str | None = None
    position_im: str | None = msgspec.field(name="positionIM", default=None)
    position_mm: str | None = msgspec.field(name="positionMM", default=None)
    adl_rank_indicator: int | None = None
    is_reduce_only: bool | None = None
    created_text: str | int | None = msgspec.field(name="createdTime", default=None)
    updated_text: str | int | None = msgspec.field(name="updatedTime", default=None)
    seq: int | None = None

    @property
    def entry_text(self) -> str | None:
        """The average entry price under whichever name it came; None where neither did."""
        return self.entry_price if is_blank(self.avg_price) else self.avg_price

    @property
    def updated_ms(self) -> int:
        """When it changed last, in milliseconds; 0 where the venue did not say."""
        return int(self.updated_text or 0)


class CoinData(Row, frozen=True, kw_only=True, gc=False):
    """One coin of a wallet; `equity = walletBalance - spotBorrow + unrealisedPnl`."""

    coin: str
    wallet_balance: str
    equity: str | None = None
    usd_value: str | None = None
    unrealised_pnl: str | None = None
    cum_realised_pnl: str | None = None
    locked: str | None = None
    borrow_amount: str | None = None
    accrued_interest: str | None = None
    total_order_im: str | None = msgspec.field(name="totalOrderIM", default=None)
    total_position_im: str | None = msgspec.field(name="totalPositionIM", default=None)
    total_position_mm: str | None = msgspec.field(name="totalPositionMM", default=None)
    bonus: str | None = None


class WalletData(Row, frozen=True, kw_only=True, gc=False):
    """An account's money; the totals are in US dollars and blank where the margin mode has none."""

    coin: tuple[CoinData, ...]
    account_type: str = ""
    total_equity: str | None = None
    total_wallet_balance: str | None = None
    total_margin_balance: str | None = None
    total_available_balance: str | None = None
    total_initial_margin: str | None = None
    total_maintenance_margin: str | None = None
    account_im_rate: str | None = msgspec.field(name="accountIMRate", default=None)
    account_mm_rate: str | None = msgspec.field(name="accountMMRate", default=None)

    def coin_named(self, coin: str) -> CoinData | None:
        """The row of one coin; None where the wallet does not list it."""
        return next((row for row in self.coin if row.coin == coin), None)


class LogData(Row, frozen=True, kw_only=True, gc=False):
    """A change of the wallet: `change = cashFlow + funding - fee`; `funding` > 0 was received, unlike in executions."""

    id: str
    transaction_ms: int = msgspec.field(name="transactionTime")
    type: str
    currency: str
    change: str
    symbol: str = ""
    category: str = ""
    side: str = ""
    trans_sub_type: str = ""
    cash_flow: str | None = None
    funding: str | None = None
    fee: str | None = None
    cash_balance: str | None = None
    fee_rate: str | None = None
    trade_price: str | None = None
    qty: str | None = None
    size: str | None = None
    bonus_change: str | None = None
    trade_id: str = ""
    order_id: str = ""
    order_link_id: str = ""


class ClosedPnlData(Row, frozen=True, kw_only=True, gc=False):
    """The result of one closing order; funding is not inside."""

    symbol: str
    order_id: str
    side: str
    closed_size: str
    closed_pnl: str
    updated_ms: int = msgspec.field(name="updatedTime")
    avg_entry_price: str | None = None
    avg_exit_price: str | None = None
    cum_entry_value: str | None = None
    cum_exit_value: str | None = None
    open_fee: str | None = None
    close_fee: str | None = None
    exec_type: str = ""
    leverage: str | None = None


class OrderIds(Row, frozen=True, kw_only=True, gc=False):
    """What a create, amend or cancel answers: accepted, not done. Empty ids in a batch belong to refused items."""

    order_id: str = ""
    order_link_id: str = ""
