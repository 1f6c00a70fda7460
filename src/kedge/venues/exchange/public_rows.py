"""Public rows of the venue as the JSON of the public topics: trades, liquidations, klines, tickers, price limits.

Rules: prices and quantities carry the digits of their step; a thing that is not known is an empty text, never 0.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import E8, NS_PER_MS
from kedge.simulation.venue_types import KlineRow, LiquidationRow, PriceLimits, TickerRow, TradeRow
from kedge.venues.exchange.texts import Grid, e8_text

_HOUR_NS: Final = 3_600_000_000_000


def trade_json(row: TradeRow, grid: Grid) -> str:
    """One trade of `publicTrade`; `S` is the taker's side."""
    return (
        f'{{"T":{row.ts_ns // NS_PER_MS},"s":"{grid.symbol}","S":"{"Buy" if row.side is Side.BUY else "Sell"}",'
        f'"v":"{grid.qty(row.qty_lots)}","p":"{grid.price(row.price_ticks)}","L":"{row.tick_direction}","i":"{row.trade_id}",'
        f'"BT":false,"RPI":false,"seq":{row.seq}}}'
    )


def liquidation_json(row: LiquidationRow, grid: Grid) -> str:
    """One liquidation of `allLiquidation`; `S` is the side of the position that died."""
    return (
        f'{{"T":{row.ts_ns // NS_PER_MS},"s":"{grid.symbol}","S":"{"Buy" if row.side is Side.BUY else "Sell"}",'
        f'"v":"{grid.qty(row.qty_lots)}","p":"{grid.price(row.price_ticks)}"}}'
    )


def kline_json(row: KlineRow, grid: Grid) -> str:
    """One kline; it ends a millisecond before the next begins."""
    return (
        f'{{"start":{row.start_ns // NS_PER_MS},"end":{row.end_ns // NS_PER_MS - 1},"interval":"{row.interval}",'
        f'"open":"{grid.price(row.open_ticks)}","close":"{grid.price(row.close_ticks)}","high":"{grid.price(row.high_ticks)}",'
        f'"low":"{grid.price(row.low_ticks)}","volume":"{grid.qty(row.volume_lots)}","turnover":"{e8_text(row.turnover_e8)}",'
        f'"confirm":{"true" if row.confirm else "false"},"timestamp":{row.trade_ns // NS_PER_MS}}}'
    )


def price_limit_json(limits: PriceLimits, grid: Grid) -> str:
    """What `priceLimit` says: the highest price of a buy and the lowest of a sale."""
    return f'{{"symbol":"{grid.symbol}","buyLmt":"{grid.price(limits.buy_max_ticks)}","sellLmt":"{grid.price(limits.sell_min_ticks)}"}}'


def ticker_fields(row: TickerRow, grid: Grid, instrument: Instrument, funding_cap_e8: int) -> dict[str, str]:
    """The members of a ticker in the venue's order, all texts.

    Parameters
    ----------
    funding_cap_e8 : int
        Bound of the funding rate as a fraction in 1e-8.
    """
    last, day_ago = row.last_ticks, row.previous_24h_ticks
    single = row.open_interest_lots // 2
    value = instrument.tick_value_e8 * last
    known = row.mark_e8 > 0
    return {
        "symbol": grid.symbol,
        "tickDirection": row.tick_direction if known else "",
        "price24hPcnt": e8_text(_change_e6(last, day_ago)) if day_ago else "",
        "lastPrice": grid.price_or_none(last),
        "prevPrice24h": grid.price_or_none(day_ago),
        "highPrice24h": grid.price_or_none(row.high_24h_ticks),
        "lowPrice24h": grid.price_or_none(row.low_24h_ticks),
        "prevPrice1h": grid.price_or_none(row.previous_1h_ticks),
        "markPrice": grid.price_e8(row.mark_e8) if known else "",
        "indexPrice": grid.price_e8(row.index_e8) if known else "",
        "openInterest": grid.qty(row.open_interest_lots),
        "openInterestValue": e8_text(value * row.open_interest_lots),
        "singleOpenInterest": grid.qty(single),
        "singleOpenInterestValue": e8_text(value * single),
        "turnover24h": e8_text(row.turnover_24h_e8),
        "volume24h": grid.qty(row.volume_24h_lots),
        "fundingIntervalHour": str(instrument.funding_interval_ns // _HOUR_NS),
        "fundingCap": e8_text(funding_cap_e8),
        "nextFundingTime": str(row.next_funding_ns // NS_PER_MS) if instrument.funding_interval_ns else "",
        "fundingRate": "" if row.funding_rate_e8 is None else e8_text(row.funding_rate_e8),
        "bid1Price": "" if row.bid_ticks is None else grid.price(row.bid_ticks),
        "bid1Size": grid.qty(row.bid_lots),
        "ask1Price": "" if row.ask_ticks is None else grid.price(row.ask_ticks),
        "ask1Size": grid.qty(row.ask_lots),
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def _change_e6(last_ticks: int, before_ticks: int) -> int:
    """`last / before - 1` in 1e-8, to six decimals, half away from zero."""
    moved = last_ticks - before_ticks
    size = (2 * abs(moved) * 1_000_000 + before_ticks) // (2 * before_ticks) * (E8 // 1_000_000)
    return size if moved >= 0 else -size
