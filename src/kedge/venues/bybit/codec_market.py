"""The public rows as the venue writes them: bars, tickers, trades, books, instruments, funding, open interest, risk limits.

Rules as in `codec_orders`. REST bars are arrays, newest first, of which the first may still be open; the stream's are objects
with a `confirm` flag: both become `KlineData`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kedge.venues.bybit.codec_numbers import unreadable
from kedge.venues.bybit.codec_orders import Row


class KlineData(Row, frozen=True, kw_only=True, gc=False):
    """A bar; `confirm` is True once it is closed. Mark, index and premium bars have no volume: None."""

    start_ms: int = msgspec.field(name="start")
    open: str
    high: str
    low: str
    close: str
    confirm: bool
    end_ms: int | None = msgspec.field(name="end", default=None)
    interval: str = ""
    volume: str | None = None
    turnover: str | None = None


KLINE_COLUMNS = 7
PRICE_KLINE_COLUMNS = 5


def klines_from_rows(rows: Sequence[Sequence[str]], interval_ms: int, server_ms: int, columns: int, endpoint: str) -> list[KlineData]:
    """REST bars, oldest first; `confirm` is worked out: closed iff `start + interval_ms <= server_ms`.

    Raises
    ------
    UnreadablePayload
        A row has too few columns or a start that is no number, or the rows do not fall from newest to oldest.
    """
    bars: list[KlineData] = []
    for number, row in enumerate(rows):
        if len(row) < columns:
            raise unreadable(f"{endpoint}: list[{number}]", list(row), f"a bar has {columns} columns")
        try:
            start_ms = int(row[0])
        except ValueError:
            raise unreadable(f"{endpoint}: list[{number}][0]", row[0], "a bar starts at a time in milliseconds") from None
        if bars and start_ms >= bars[-1].start_ms:
            raise unreadable(f"{endpoint}: list[{number}][0]", row[0], "bars come newest first, without repeats")
        volume, turnover = (row[5], row[6]) if columns == KLINE_COLUMNS else (None, None)
        bars.append(
            KlineData(
                start_ms=start_ms,
                end_ms=start_ms + interval_ms - 1,
                open=row[1],
                high=row[2],
                low=row[3],
                close=row[4],
                volume=volume,
                turnover=turnover,
                confirm=start_ms + interval_ms <= server_ms,
            )
        )
    bars.reverse()
    return bars


class TimeData(Row, frozen=True, kw_only=True, gc=False):
    """The venue's wall clock."""

    time_nano: int


class TickerData(Row, frozen=True, kw_only=True, gc=False):
    """A ticker, whole or a delta: None is "unchanged" in a delta and "not said" in a snapshot."""

    symbol: str
    last_price: str | None = None
    mark_price: str | None = None
    index_price: str | None = None
    bid1_price: str | None = None
    bid1_size: str | None = None
    ask1_price: str | None = None
    ask1_size: str | None = None
    funding_rate: str | None = None
    next_funding_text: str | int | None = msgspec.field(name="nextFundingTime", default=None)
    funding_interval_hour: str | None = None
    funding_cap: str | None = None
    open_interest: str | None = None
    open_interest_value: str | None = None
    turnover24h: str | None = msgspec.field(name="turnover24h", default=None)
    volume24h: str | None = msgspec.field(name="volume24h", default=None)
    high_price24h: str | None = msgspec.field(name="highPrice24h", default=None)
    low_price24h: str | None = msgspec.field(name="lowPrice24h", default=None)
    price24h_pcnt: str | None = msgspec.field(name="price24hPcnt", default=None)

    @property
    def next_funding_ms(self) -> int | None:
        """When funding settles next, in milliseconds; None where the ticker did not say."""
        return int(self.next_funding_text) if self.next_funding_text not in (None, "", "0", 0) else None

    def merged(self, delta: TickerData) -> TickerData:
        """This ticker with what the delta names replaced."""
        news = {name: value for name in self.__struct_fields__ if (value := getattr(delta, name)) is not None}
        return msgspec.structs.replace(self, **news)


class TradeData(Row, frozen=True, kw_only=True, gc=False):
    """A public trade of the stream; `side` is the taker's."""

    trade_ms: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    side: str = msgspec.field(name="S")
    qty: str = msgspec.field(name="v")
    price: str = msgspec.field(name="p")
    trade_id: str = msgspec.field(name="i")
    is_block: bool = msgspec.field(name="BT", default=False)
    seq: int | None = None


class RecentTradeData(Row, frozen=True, kw_only=True, gc=False):
    """A public trade of the REST list, which has other names than the stream."""

    exec_id: str
    symbol: str
    price: str
    size: str
    side: str
    trade_ms: int = msgspec.field(name="time")
    is_block_trade: bool = False
    seq: int | None = None

    def as_trade(self) -> TradeData:
        return TradeData(
            trade_ms=self.trade_ms,
            symbol=self.symbol,
            side=self.side,
            qty=self.size,
            price=self.price,
            trade_id=self.exec_id,
            is_block=self.is_block_trade,
            seq=self.seq,
        )


class BookData(Row, frozen=True, kw_only=True, gc=False):
    """An order book or a change of one: `(price, size)` pairs, size "0" deletes the level."""

    symbol: str = msgspec.field(name="s")
    bids: tuple[tuple[str, str], ...] = msgspec.field(name="b")
    asks: tuple[tuple[str, str], ...] = msgspec.field(name="a")
    u: int
    seq: int | None = None
    ts_ms: int | None = msgspec.field(name="ts", default=None)
    cts_ms: int | None = msgspec.field(name="cts", default=None)


class LeverageFilter(Row, frozen=True, kw_only=True, gc=False):
    """Leverage as text, 100.00 is a hundred times."""

    max_leverage: str
    min_leverage: str | None = None
    leverage_step: str | None = None


class PriceFilter(Row, frozen=True, kw_only=True, gc=False):
    """Prices in the quote coin."""

    tick_size: str
    max_price: str
    min_price: str | None = None


class LotSizeFilter(Row, frozen=True, kw_only=True, gc=False):
    """Quantities in the base coin; `max_mkt_order_qty` bounds market orders."""

    qty_step: str
    min_order_qty: str
    max_order_qty: str
    max_mkt_order_qty: str | None = None
    min_notional_value: str | None = None


class RiskParameters(Row, frozen=True, kw_only=True, gc=False):
    """How far from the mark a limit price may lie, as fractions."""

    price_limit_ratio_x: str | None = None
    price_limit_ratio_y: str | None = None


class InstrumentData(Row, frozen=True, kw_only=True, gc=False):
    """A derivative's rules; `funding_interval` in minutes."""

    symbol: str
    contract_type: str
    status: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    leverage_filter: LeverageFilter
    price_filter: PriceFilter
    lot_size_filter: LotSizeFilter
    funding_interval: int
    launch_ms: int | None = msgspec.field(name="launchTime", default=None)
    upper_funding_rate: str | None = None
    lower_funding_rate: str | None = None
    risk_parameters: RiskParameters | None = None
    is_pre_listing: bool = False


class RiskLimitData(Row, frozen=True, kw_only=True, gc=False):
    """A margin tier; rates are fractions, and rows need not come in order."""

    id: int
    symbol: str
    risk_limit_value: str
    maintenance_margin: str
    max_leverage: str
    initial_margin: str | None = None
    mm_deduction: str | None = None


class FeeRateData(Row, frozen=True, kw_only=True, gc=False):
    """The account's fees of one symbol, as fractions."""

    symbol: str
    taker_fee_rate: str
    maker_fee_rate: str


class FundingData(Row, frozen=True, kw_only=True, gc=False):
    """A settled funding rate, as a fraction."""

    symbol: str
    funding_rate: str
    funding_ms: int = msgspec.field(name="fundingRateTimestamp")


class OpenInterestData(Row, frozen=True, kw_only=True, gc=False):
    """Open interest of both sides, in the base coin."""

    open_interest: str
    timestamp_ms: int = msgspec.field(name="timestamp")


class PriceLimitData(Row, frozen=True, kw_only=True, gc=False):
    """The highest buy and lowest sell price the venue takes now."""

    symbol: str
    buy_lmt: str
    sell_lmt: str
