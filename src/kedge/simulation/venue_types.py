"""What the simulated venue takes and gives: requests, rows, changes. The contract of `simulation.venue`.

Rules: every number is an integer whose name ends in its unit. Enumerations hold the venue's own words, so that whoever encodes a
frame copies them. Rows are values: what is handed out is a copy that never changes afterwards. Unknown is None, never 0; a price of
0 ticks means "none" where the attribute says so. Signs: a fee is positive when paid, `funding_e8` positive when received.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import NS_PER_S
from kedge.simulation.orderbook import SelfTrade

MINUTE_NS: Final = 60 * NS_PER_S
KLINE_INTERVALS: Final = {
    "1": MINUTE_NS,
    "3": 3 * MINUTE_NS,
    "5": 5 * MINUTE_NS,
    "15": 15 * MINUTE_NS,
    "30": 30 * MINUTE_NS,
    "60": 60 * MINUTE_NS,
    "120": 120 * MINUTE_NS,
    "240": 240 * MINUTE_NS,
    "360": 360 * MINUTE_NS,
    "720": 720 * MINUTE_NS,
    "D": 1440 * MINUTE_NS,
}
"""Kline intervals by the venue's name; all start at multiples of their length since the epoch (UTC midnight for D)."""


class Status(StrEnum):
    """Where an order stands. NEW, PARTIALLY_FILLED and UNTRIGGERED are open; TRIGGERED is passed through at once."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    DEACTIVATED = "Deactivated"


class TriggerBy(StrEnum):
    """The price that a trigger watches."""

    LAST = "LastPrice"
    MARK = "MarkPrice"
    INDEX = "IndexPrice"


class StopType(StrEnum):
    """What kind of conditional order it is or was; NONE for an ordinary one."""

    NONE = ""
    STOP = "Stop"
    TAKE_PROFIT = "TakeProfit"
    STOP_LOSS = "StopLoss"


class CreateType(StrEnum):
    """Who made the order."""

    USER = "CreateByUser"
    STOP_ORDER = "CreateByStopOrder"
    TAKE_PROFIT = "CreateByTakeProfit"
    STOP_LOSS = "CreateByStopLoss"
    LIQUIDATION = "CreateByTakeOver_PassThrough"


class CancelType(StrEnum):
    """Who cancelled the order; UNKNOWN where nobody did."""

    UNKNOWN = "UNKNOWN"
    USER = "CancelByUser"
    REDUCE_ONLY = "CancelByReduceOnly"
    LIQUIDATION = "CancelAllBeforeLiq"
    SMP = "CancelBySmp"
    POSITION_CLOSED = "CancelByTpSlTsClear"
    STOPPED_OUT = "CancelByOCOTpCanceledBySlTriggered"
    PROFIT_TAKEN = "CancelByOCOSlCanceledByTpTriggered"
    DISCONNECTED = "CancelByDCP"


class RejectReason(StrEnum):
    """Why lots were not traded."""

    NONE = "EC_NoError"
    BY_REQUEST = "EC_PerCancelRequest"
    WOULD_TAKE = "EC_PostOnlyWillTakeLiquidity"
    NO_IMMEDIATE = "EC_NoImmediateQtyToFill"
    NOT_WHOLE = "EC_CancelForNoFullFill"
    SELF_MATCH = "EC_BySelfMatch"
    OTHERS = "EC_Others"


class ExecType(StrEnum):
    """What an execution row records; FUNDING does not change the position."""

    TRADE = "Trade"
    FUNDING = "Funding"
    BUST = "BustTrade"


class LogType(StrEnum):
    """Main type of a transaction-log row."""

    TRADE = "TRADE"
    SETTLEMENT = "SETTLEMENT"
    LIQUIDATION = "LIQUIDATION"
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_OUT = "TRANSFER_OUT"


class Reject(NamedTuple):
    """A refusal: the venue's code and its text. Nothing has changed."""

    code: int
    message: str


NonNegative = Annotated[int, msgspec.Meta(ge=0)]


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to trade.

    Attributes
    ----------
    qty_lots : int
        0 with `reduce_only` and `close_on_trigger` closes the whole position.
    limit_ticks : int
        0 for a market order.
    link_id : str
        The client's own id, at most 36 of `[0-9A-Za-z_-]`; empty for none.
    trigger_ticks, trigger_direction : int
        0 and 0 for an ordinary order; direction 1 waits for a rise to the trigger, 2 for a fall.
    take_profit_ticks, stop_loss_ticks : int
        Set on the whole position at the first fill; 0 for none.
    """

    instrument: InstrumentId
    side: Side
    kind: OrderKind
    qty_lots: NonNegative
    limit_ticks: NonNegative = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    link_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    self_trade: SelfTrade = SelfTrade.ALLOW
    trigger_ticks: NonNegative = 0
    trigger_direction: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST
    take_profit_ticks: NonNegative = 0
    stop_loss_ticks: NonNegative = 0
    tp_trigger_by: TriggerBy = TriggerBy.LAST
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    position_idx: int = 0


class OrderRow(msgspec.Struct, gc=False):
    """One order as of now. Average price is `cum_value_e8` over `cum_lots`; `price_ticks` of a market order is its bound.

    `number` counts accepted orders of the venue, `seq` is the instrument's match number when the order last changed.
    On a cancelled order `leaves_lots` is 0; what was not traded is `qty_lots - cum_lots`.
    """

    account: str
    instrument: InstrumentId
    number: int
    order_id: str
    link_id: str
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    price_ticks: int
    qty_lots: int
    leaves_lots: int
    created_ns: int
    updated_ns: int
    last_ticks_on_create: int
    seq: int
    status: Status = Status.NEW
    cum_lots: int = 0
    cum_value_e8: int = 0
    cum_fee_e8: int = 0
    closed_pnl_e8: int = 0
    reduce_only: bool = False
    close_on_trigger: bool = False
    self_trade: SelfTrade = SelfTrade.ALLOW
    smp_order_id: str = ""
    create_type: CreateType = CreateType.USER
    cancel_type: CancelType = CancelType.UNKNOWN
    reject_reason: RejectReason = RejectReason.NONE
    stop_type: StopType = StopType.NONE
    trigger_ticks: int = 0
    trigger_direction: int = 0
    trigger_by: TriggerBy = TriggerBy.LAST
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    tp_trigger_by: TriggerBy = TriggerBy.LAST
    sl_trigger_by: TriggerBy = TriggerBy.LAST

    @property
    def is_open(self) -> bool:
        return self.status in _OPEN


_OPEN: Final = frozenset({Status.NEW, Status.PARTIALLY_FILLED, Status.UNTRIGGERED, Status.TRIGGERED})


class ExecutionRow(msgspec.Struct, frozen=True, gc=False):
    """One fill, bust or funding. `price_e8` and `value_e8` in 1e-8 of the quote currency; `pnl_e8` is realised, before fees.

    For FUNDING: `fee_e8` is what was paid (> 0), the price is the mark, `qty_lots` the position, `order_id` a made-up one.
    `closed_lots` is how much of the fill reduced the position. `number` counts the venue's execution rows.
    """

    account: str
    instrument: InstrumentId
    number: int
    exec_id: str
    order_id: str
    link_id: str
    exec_type: ExecType
    side: Side
    kind: OrderKind
    stop_type: StopType
    create_type: CreateType
    order_price_ticks: int
    order_qty_lots: int
    leaves_lots: int
    price_e8: int
    qty_lots: int
    value_e8: int
    fee_e8: int
    fee_rate_e8: int
    is_maker: bool
    pnl_e8: int
    closed_lots: int
    mark_e8: int
    index_e8: int
    ts_ns: int
    seq: int


class PositionRow(msgspec.Struct, gc=False):
    """One account's position in one instrument; `lots` signed, average entry is `cost_e8` over `lots`.

    `value_e8` is |lots| at the mark; `initial_e8` and `maintenance_e8` include the fee to close. `liq_price_e8` is an estimate
    with the other positions at their marks, None when there is none inside the price range. `current_realised_e8` belongs to this
    position's life, `cum_realised_e8` to all time, both with fees and funding. Ticks of 0 mean no take profit or stop loss.
    `risk_tier` counts from 1. `opened_ns` is 0 when flat, `seq` -1 until something traded.
    """

    account: str
    instrument: InstrumentId
    leverage_e2: int
    risk_tier: int
    risk_limit_e8: int
    created_ns: int
    updated_ns: int
    lots: int = 0
    cost_e8: int = 0
    mark_e8: int | None = None
    value_e8: int = 0
    initial_e8: int = 0
    maintenance_e8: int = 0
    unrealised_e8: int = 0
    current_realised_e8: int = 0
    cum_realised_e8: int = 0
    liq_price_e8: int | None = None
    break_even_e8: int | None = None
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    tp_trigger_by: TriggerBy = TriggerBy.LAST
    sl_trigger_by: TriggerBy = TriggerBy.LAST
    opened_ns: int = 0
    seq: int = -1

    @property
    def side(self) -> Side | None:
        """None when flat."""
        if not self.lots:
            return None
        return Side.BUY if self.lots > 0 else Side.SELL


class WalletRow(msgspec.Struct, frozen=True, gc=False):
    """One account's money: `equity = wallet + unrealised`, `available = equity - position_initial - order_initial`."""

    account: str
    wallet_e8: int
    equity_e8: int
    unrealised_e8: int
    position_initial_e8: int
    order_initial_e8: int
    maintenance_e8: int
    available_e8: int
    cum_realised_e8: int
    ts_ns: int


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """One change of a wallet: `change_e8 = cash_flow_e8 + funding_e8 - fee_e8`, `balance_e8` the wallet after it.

    `funding_e8` > 0 was received. `size_lots` is the signed position after. Empty `instrument`, None `side` for transfers.
    """

    account: str
    number: int
    ts_ns: int
    type: LogType
    sub_type: str
    instrument: InstrumentId
    side: Side | None
    qty_lots: int
    size_lots: int
    price_e8: int
    funding_e8: int
    fee_e8: int
    cash_flow_e8: int
    change_e8: int
    balance_e8: int
    fee_rate_e8: int
    exec_id: str
    order_id: str
    link_id: str


class ClosedPnlRow(msgspec.Struct, frozen=True, gc=False):
    """What a closing order earned: `closed_pnl_e8 = (exit - entry) * sign - open_fee - close_fee`; funding is not in it."""

    account: str
    number: int
    instrument: InstrumentId
    order_id: str
    side: Side
    kind: OrderKind
    exec_type: ExecType
    qty_lots: int
    order_price_ticks: int
    closed_lots: int
    entry_value_e8: int
    exit_value_e8: int
    closed_pnl_e8: int
    fills: int
    leverage_e2: int
    open_fee_e8: int
    close_fee_e8: int
    created_ns: int
    updated_ns: int


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """A public trade; `side` is the taker's, `tick_direction` one of the venue's four words."""

    instrument: InstrumentId
    trade_id: str
    ts_ns: int
    price_ticks: int
    qty_lots: int
    side: Side
    tick_direction: str
    seq: int


class LiquidationRow(msgspec.Struct, frozen=True, gc=False):
    """A public liquidation; `side` is that of the position that died, the price its bankruptcy price."""

    instrument: InstrumentId
    ts_ns: int
    side: Side
    qty_lots: int
    price_ticks: int
    seq: int


PriceLevel: TypeAlias = tuple[int, int]
"""`(price_ticks, qty_lots)`; 0 lots in a delta delete the level."""


class BookDelta(msgspec.Struct, frozen=True, gc=False):
    """Levels that changed since the last delta, over the whole depth. `update` grows by exactly one per delta, from 1.

    For a stream of limited depth feed snapshots to `venue_depth.DepthStream`, which knows what leaves and enters its window.
    """

    instrument: InstrumentId
    ts_ns: int
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]
    update: int
    seq: int


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The best levels of both sides, best first, as of delta `update`."""

    instrument: InstrumentId
    ts_ns: int
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]
    update: int
    seq: int


class TickerRow(msgspec.Struct, frozen=True, gc=False):
    """The instrument at a glance. None where nothing is known: an empty side of the book, less than a day of history.

    `previous_24h_ticks` and the 24 h figures are exact to the hour. `open_interest_lots` counts both sides.
    """

    instrument: InstrumentId
    ts_ns: int
    seq: int
    last_ticks: int
    mark_e8: int
    index_e8: int
    bid_ticks: int | None
    bid_lots: int
    ask_ticks: int | None
    ask_lots: int
    previous_24h_ticks: int
    previous_1h_ticks: int
    high_24h_ticks: int
    low_24h_ticks: int
    volume_24h_lots: int
    turnover_24h_e8: int
    funding_rate_e8: int | None
    next_funding_ns: int
    open_interest_lots: int
    tick_direction: str


class KlineRow(msgspec.Struct, frozen=True, gc=False):
    """A kline over `[start_ns, start_ns + length)`; final once `confirm`. `trade_ns` is its last trade, its start without one."""

    instrument: InstrumentId
    interval: str
    start_ns: int
    end_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    turnover_e8: int
    confirm: bool
    trade_ns: int


class FundingRow(msgspec.Struct, frozen=True, gc=False):
    """A settlement that happened."""

    instrument: InstrumentId
    ts_ns: int
    rate_e8: int
    mark_e8: int


PrivateChange: TypeAlias = OrderRow | ExecutionRow | PositionRow | WalletRow
PublicChange: TypeAlias = TradeRow | LiquidationRow | BookDelta | TickerRow | KlineRow
Change: TypeAlias = PrivateChange | PublicChange
"""What `Venue.drain` gives. Of one operation: executions and trades where they happened, then orders, positions, wallets as it left
them. Klines come once when final. At the end of a drain, per instrument that changed: a `TickerRow` (at most one per 100 ms of venue
time), one `BookDelta`, and the open klines of the intervals named to `watch_klines`."""


class PriceLimits(NamedTuple):
    """Highest price a buy and lowest price a sale may have now, in ticks."""

    buy_max_ticks: int
    sell_min_ticks: int


class PriceStep(NamedTuple):
    """One point of a played bar: when, at which price, and how many lots the crowd trades there."""

    ts_ns: int
    last_ticks: int
    flow_lots: int


Row = TypeVar("Row")


class Page(NamedTuple, Generic[Row]):
    """Rows newest first; pass `next_before` as `before` for the page that follows, None when this is the last."""

    rows: list[Row]
    next_before: int | None


class VenueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Counts the venue bounds. `history_max` is how many closed orders, executions and log rows it keeps per account."""

    orders_max: Annotated[int, msgspec.Meta(ge=1)] = 500
    conditionals_max: Annotated[int, msgspec.Meta(ge=1)] = 10
    history_max: Annotated[int, msgspec.Meta(ge=500)] = 20_000
    trades_max: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    klines_max: Annotated[int, msgspec.Meta(ge=1)] = 1_500


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """The background: everybody else, with an unlimited wallet.

    Attributes
    ----------
    levels : int
        Prices quoted per side, one tick apart.
    spread_ticks : int
        Best ask minus best bid of the background.
    notional_e8 : int
        Mean notional of a level, 1e-8 of the quote currency; sizes are drawn between half and one and a half of it.
    flow_notional_e8 : int
        Mean notional that the crowd trades when a price is fed without a flow of its own.
    gap_bps : int
        How far from the price, on both sides, the best quote stands beyond the spread; 0 for at the price.
    """

    levels: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 25
    spread_ticks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    notional_e8: Annotated[int, msgspec.Meta(ge=0)] = 5_000_000_000_000
    flow_notional_e8: Annotated[int, msgspec.Meta(ge=0)] = 500_000_000_000
    gap_bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class VenueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the venue treats everybody.

    Attributes
    ----------
    seed : int
        Of sizes and ids; the same seed and calls give the same venue to the byte.
    id_salt : int
        Changes the ids and nothing else; a venue that begins anew must not repeat the ids of an earlier one.
    leverage_e2 : int
        Leverage of a new position in hundredths, lowered to the instrument's own maximum.
    outer_limit_factor : int
        The far price limit (ratio y) as a multiple of the near one (`price_collar_bps`, ratio x).
    clamps_prices : bool
        A limit price beyond the price limit is moved to it, as futures accounts do by default; False refuses it with 110003.
    funding_cap_e8, interest_e8 : int
        Bound of the funding rate, and the interest rate per 8 hours, as fractions in 1e-8.
    """

    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 63)] = 1
    id_salt: Annotated[int, msgspec.Meta(ge=0, lt=1 << 63)] = 0
    leverage_e2: Annotated[int, msgspec.Meta(ge=100, le=10_000)] = 1_000
    outer_limit_factor: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    clamps_prices: bool = True
    funding_cap_e8: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = 500_000
    interest_e8: int = 10_000
    limits: VenueLimits = VenueLimits()
    crowd: Crowd = Crowd()
