"""Positions over REST: what they are, their stops, their leverage, their margin, and the position mode.

Rules: a setting that is so already is success; a stop has the priority of an exit; what cannot work is refused by `requests_position`.
"""

from __future__ import annotations

from typing import Any

from kedge.domain.venue import Answer
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.codec import ClosedPnlData, PositionData, encode
from kedge.venues.bybit.codec_account import SymbolInfoData
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.requests import PositionIdx
from kedge.venues.bybit.requests_position import PositionMode, TradingStop, leverage_text, margin_text
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_market import CATEGORY
from kedge.venues.bybit.rest_pages import all_pages, query_text, windowed
from kedge.venues.bybit.rest_trade import SETTLE_COIN


class RestPosition:
    """Position endpoints of linear contracts; spans in milliseconds, both ends included, lists oldest first."""

    caller: Caller

    async def positions(self, symbol: str | None = None, *, settle_coin: str = SETTLE_COIN) -> list[PositionData]:
        """Positions: of a symbol even where flat (two rows in hedge mode), else all that are open."""
        scope = {"symbol": symbol} if symbol else {"settleCoin": settle_coin}
        return await all_pages(self.caller, ends.POSITIONS, query_text(category=CATEGORY, **scope, limit=200), PositionData)

    async def symbol_info(self, symbol: str) -> list[SymbolInfoData]:
        """The leverage of a contract, by position index."""
        return await all_pages(self.caller, ends.SYMBOL_INFO, query_text(category=CATEGORY, symbol=symbol), SymbolInfoData)

    async def closed_pnl(self, start_ms: int, end_ms: int, symbol: str | None = None) -> list[ClosedPnlData]:
        """Results of closing orders of a span."""
        query = query_text(category=CATEGORY, symbol=symbol, limit=100)
        return await windowed(
            self.caller,
            ends.CLOSED_PNL,
            query,
            ClosedPnlData,
            (start_ms, end_ms),
            lambda row: f"{row.order_id} {row.updated_ms}",
            priority=Priority.IDLE,
        )

    async def set_leverage(self, symbol: str, leverage_e2: int, sell_leverage_e2: int | None = None) -> Answer:
        """Set the leverage, of both sides alike unless isolated hedge mode wants another one for shorts."""
        buy = leverage_text(leverage_e2)
        sell = buy if sell_leverage_e2 is None else leverage_text(sell_leverage_e2)
        return await self._set(ends.SET_LEVERAGE, {"symbol": symbol, "buyLeverage": buy, "sellLeverage": sell})

    async def set_position_mode(self, mode: PositionMode, symbol: str | None = None, *, coin: str = SETTLE_COIN) -> Answer:
        """Switch a symbol, or all of a coin, between one-way and hedge mode; refused while positions or orders exist."""
        scope = {"symbol": symbol} if symbol else {"coin": coin}
        return await self._set(ends.SWITCH_MODE, {**scope, "mode": int(mode)})

    async def set_one_way(self, symbol: str | None = None, *, coin: str = SETTLE_COIN) -> Answer:
        """Switch a symbol, or all of a coin, to one-way mode, the only one the trader trades in."""
        return await self.set_position_mode(PositionMode.ONE_WAY, symbol, coin=coin)

    async def set_trading_stop(self, symbol: str, stop_loss: str) -> Answer:
        """Put a stop for the whole position, triggered by the mark price; `stop_loss` as price text, "0" removes it."""
        return await self.trading_stop(TradingStop(symbol=symbol, stop_loss=stop_loss))

    async def trading_stop(self, wanted: TradingStop) -> Answer:
        """Set, move or remove stops of a position: full or partial, fixed or trailing."""
        return await self._set(ends.TRADING_STOP, wanted.fields(), Priority.EXIT)

    async def add_margin(self, symbol: str, amount: str, position: PositionIdx = PositionIdx.ONE_WAY) -> Answer:
        """Add margin to an isolated position, or with "-" take it out. Sent once: twice would be another amount."""
        return await self._set(ends.ADD_MARGIN, {"symbol": symbol, "margin": margin_text(amount), "positionIdx": int(position)})

    async def set_auto_add_margin(self, symbol: str, *, on: bool, position: PositionIdx = PositionIdx.ONE_WAY) -> Answer:
        """Whether an isolated position draws margin from the wallet before it is liquidated."""
        return await self._set(ends.AUTO_ADD_MARGIN, {"symbol": symbol, "autoAddMargin": int(on), "positionIdx": int(position)})

    async def confirm_pending_mmr(self, symbol: str) -> Answer:
        """Take over a new maintenance margin rate that waits for a confirmation."""
        return await self._set(ends.CONFIRM_MMR, {"symbol": symbol})

    async def _set(self, endpoint: Endpoint, fields: dict[str, Any], priority: Priority = Priority.TRADE) -> Answer:
        return (await self.caller.write(endpoint, encode({"category": CATEGORY, **fields}), priority=priority)).answer()
