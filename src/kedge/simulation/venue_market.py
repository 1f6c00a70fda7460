"""One instrument at the venue: its book, prices, trades, klines, and what of it changed since somebody last asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import E8
from kedge.kernel.funding import funding_rate_e8
from kedge.simulation.orderbook import OrderBook
from kedge.simulation.venue_klines import Klines
from kedge.simulation.venue_triggers import Triggers
from kedge.simulation.venue_types import (
    MINUTE_NS,
    BookDelta,
    BookSnapshot,
    FundingRow,
    PriceLevel,
    PriceLimits,
    TickerRow,
    TradeRow,
    VenueSettings,
)

if TYPE_CHECKING:
    from kedge.simulation.venue_account import Slot

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_BPS: Final = 10_000
_EIGHT_HOURS_NS: Final = 480 * MINUTE_NS
_FUNDINGS_KEPT: Final = 1_000


class Market:
    """State of one instrument. Prices of 0 mean that none has been fed yet."""

    def __init__(self, spec: Instrument, settings: VenueSettings, trade_prefix: str, start_ts_ns: int) -> None:
        self.spec, self.name, self.settings = spec, spec.instrument_id, settings
        self.book = OrderBook()
        self.klines = Klines(self.name, settings.limits.klines_max)
        self.triggers = Triggers(spec.tick_e8)
        self.trades: deque[TradeRow] = deque(maxlen=settings.limits.trades_max)
        self.tier_rows = [(t.notional_max_e8, t.maintenance_rate_e8, t.deduction_e8) for t in spec.tiers]
        self.tiers = np.array(self.tier_rows, np.int64)
        self.tier_limits = [t.notional_max_e8 for t in spec.tiers]
        self.taker_cost_e8 = max(0, spec.taker_fee_e8)
        self.holders: dict[str, Slot] = {}
        self.resting_reduce_only = 0
        self.last_ticks = self.mark_e8 = self.index_e8 = 0
        self.price_limits = PriceLimits(1, 1)
        self.seq = self.update = 0
        self.open_interest_lots = 0
        self.tick_direction = "ZeroPlusTick"
        self.fundings: deque[FundingRow] = deque(maxlen=_FUNDINGS_KEPT)
        self.next_funding_ns = _next_multiple(start_ts_ns, spec.funding_interval_ns)
        self.fed_rate_e8: int | None = None
        self.is_rate_unknown = False
        self._premium_sum = self._premium_weight = 0
        self._premium_minute = -1
        self._trade_prefix, self._trades_made = trade_prefix, 0
        self._bids: set[int] = set()
        self._asks: set[int] = set()
        self.is_moved = False
        self.is_news = False
        self.next_ticker_ns = start_ts_ns

    @property
    def is_live(self) -> bool:
        """Whether prices have been fed."""
        return self.mark_e8 > 0

    def take_prices(self, mark_e8: int, index_e8: int) -> None:
        """New mark and index, and the price limits around them."""
        self.mark_e8, self.index_e8 = mark_e8, index_e8
        self.price_limits = self._limits()
        self.is_moved = True

    # --- what changed ----------------------------------------------------------------------------------------------------

    def touch(self, side: Side, price_ticks: int) -> None:
        """Remember that a level changed."""
        (self._bids if side is _BUY else self._asks).add(price_ticks)
        self.is_moved = True

    def print_trade(self, side: Side, price_ticks: int, qty_lots: int, ts_ns: int) -> TradeRow:
        """A public trade: it moves the last price and the klines."""
        last = self.last_ticks
        if price_ticks != last:
            self.tick_direction = "PlusTick" if price_ticks > last else "MinusTick"
            self.last_ticks = price_ticks
        elif self.tick_direction == "PlusTick":
            self.tick_direction = "ZeroPlusTick"
        elif self.tick_direction == "MinusTick":
            self.tick_direction = "ZeroMinusTick"
        self._trades_made += 1
        trade_id = f"{self._trade_prefix}{self._trades_made:012x}"
        row = TradeRow(self.name, trade_id, ts_ns, price_ticks, qty_lots, side, self.tick_direction, self.seq)
        self.trades.append(row)
        self.klines.trade(price_ticks, qty_lots, price_ticks * qty_lots * self.spec.tick_value_e8, ts_ns)
        self.is_moved = True
        return row

    def hush(self) -> None:
        """Forget what changed: nobody asks for it."""
        self.is_moved = self.is_news = self.klines.is_moved = False
        self._bids.clear()
        self._asks.clear()

    def delta(self, ts_ns: int) -> BookDelta | None:
        """Levels touched since the last call; None when there are none."""
        if not (self._bids or self._asks):
            return None
        lots_at = self.book.lots_at
        prices: Iterable[int]
        bids: tuple[PriceLevel, ...] = ()
        asks: tuple[PriceLevel, ...] = ()
        if self._bids:
            prices = self._bids if len(self._bids) == 1 else sorted(self._bids, reverse=True)
            bids = tuple([(price, lots_at(_BUY, price)) for price in prices])
            self._bids.clear()
        if self._asks:
            prices = self._asks if len(self._asks) == 1 else sorted(self._asks)
            asks = tuple([(price, lots_at(_SELL, price)) for price in prices])
            self._asks.clear()
        self.update += 1
        return BookDelta(self.name, ts_ns, bids, asks, self.update, self.seq)

    # --- questions -------------------------------------------------------------------------------------------------------

    def snapshot(self, levels: int, ts_ns: int) -> BookSnapshot:
        bids, asks = self.book.best_lots(Side.BUY, levels), self.book.best_lots(Side.SELL, levels)
        return BookSnapshot(self.name, ts_ns, bids, asks, self.update, self.seq)

    def ticker(self, ts_ns: int) -> TickerRow:
        book = self.book
        bid, ask = book.best_bid_ticks(), book.best_ask_ticks()
        day_ago, high, low, volume, turnover = self.klines.day()
        return TickerRow(
            self.name, ts_ns, self.seq, self.last_ticks, self.mark_e8, self.index_e8,
            bid, book.lots_at(Side.BUY, bid) if bid else 0, ask, book.lots_at(Side.SELL, ask) if ask else 0,
            day_ago, self.klines.hour_ago_ticks(), high, low, volume, turnover,
            None if self.is_rate_unknown else self.rate_e8(), self.next_funding_ns, self.open_interest_lots, self.tick_direction,
        )  # fmt: skip

    def _limits(self) -> PriceLimits:
        """Price limits around mark and index (the rule without the 30-second average of the basis)."""
        near, far = self.spec.price_collar_bps, self.spec.price_collar_bps * self.settings.outer_limit_factor
        mark, index, tick = self.mark_e8, self.index_e8, self.spec.tick_e8
        highest = min(mark * (_BPS + far) // _BPS, max(index, mark * (_BPS + near) // _BPS))
        lowest = max(-(-mark * (_BPS - far) // _BPS), min(index, -(-mark * (_BPS - near) // _BPS)))
        top = min(self.spec.price_max_ticks, highest // tick)
        return PriceLimits(max(1, top), max(1, min(self.spec.price_max_ticks, -(-lowest // tick))))

    # --- funding ---------------------------------------------------------------------------------------------------------

    def rate_e8(self) -> int:
        """The rate that settles next if nothing changes: as fed, else worked out from the premium of this interval's minutes."""
        if self.fed_rate_e8 is not None:
            return self.fed_rate_e8
        interest = self.settings.interest_e8 * self.spec.funding_interval_ns // _EIGHT_HOURS_NS
        premium = self._premium_sum // self._premium_weight if self._premium_weight else 0
        return funding_rate_e8(interest, premium, self.settings.funding_cap_e8)

    def sample_premium(self, ts_ns: int) -> None:
        """Once a minute: how far the book stands from the index, later minutes weighing more."""
        minute = ts_ns // MINUTE_NS
        if minute == self._premium_minute:
            return
        self._premium_minute = minute
        bid, ask, tick = self.book.best_bid_ticks(), self.book.best_ask_ticks(), self.spec.tick_e8
        above = max(0, bid * tick - self.index_e8) if bid else 0
        below = max(0, self.index_e8 - ask * tick) if ask else 0
        began = self.next_funding_ns - self.spec.funding_interval_ns
        weight = max(1, (ts_ns - began) // MINUTE_NS + 1)
        self._premium_sum += (above - below) * E8 // self.index_e8 * weight
        self._premium_weight += weight

    def feed_rate(self, rate_e8: int | None) -> None:
        """Fix the rate that settles next, or None to work it out again; a ticker tells a change at once."""
        if rate_e8 != self.fed_rate_e8 or self.is_rate_unknown:
            self.next_ticker_ns = 0
        self.fed_rate_e8, self.is_rate_unknown, self.is_moved = rate_e8, False, True

    def skip_funding(self) -> None:
        """The rate that settles next is unknown until another is fed; a ticker tells that at once."""
        self.next_ticker_ns = 0
        self.is_rate_unknown = self.is_moved = True

    def funded(self, row: FundingRow | None) -> None:
        """A settlement happened, None for one at an unknown rate; the next interval begins, and a ticker tells it at once."""
        self.next_ticker_ns = 0
        if row is not None:
            self.fundings.append(row)
        self.next_funding_ns += self.spec.funding_interval_ns
        self._premium_sum = self._premium_weight = 0
        self.is_moved = True


def _next_multiple(ts_ns: int, interval_ns: int) -> int:
    """First multiple of the interval after `ts_ns`; never for an interval of 0."""
    return ts_ns - ts_ns % interval_ns + interval_ns if interval_ns else 1 << 62
