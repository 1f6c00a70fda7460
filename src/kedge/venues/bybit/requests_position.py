"""Requests about positions and the account's modes. Rules as in `requests`: what cannot work is refused before anything is sent.

The trader itself trades in one-way mode only and refuses to start otherwise; these are for whoever sets an account up or mends it.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from kedge.venues.bybit.requests import PositionIdx, StopMode, TriggerBy, impossible, positive_text, price_or_none_text


class PositionMode(IntEnum):
    """One position per contract, or a long and a short one."""

    ONE_WAY = 0
    HEDGE = 3


class MarginMode(StrEnum):
    """How the account's margin counts; `CROSS` is the venue's regular mode."""

    ISOLATED = "ISOLATED_MARGIN"
    CROSS = "REGULAR_MARGIN"
    PORTFOLIO = "PORTFOLIO_MARGIN"


class TradingStop(msgspec.Struct, frozen=True, kw_only=True):
    """Stops of a position; empty members stay as they are, "0" takes one away.

    Attributes
    ----------
    mode : StopMode
        `FULL` replaces the stops of the whole position, `PARTIAL` adds one for `size`.
    size : str
        Quantity that a partial stop closes; take profit and stop loss have the same.
    trailing_stop : str
        Distance in price; `active_price` is where it begins to follow.
    """

    symbol: str
    mode: StopMode = StopMode.FULL
    position: PositionIdx = PositionIdx.ONE_WAY
    take_profit: str = ""
    stop_loss: str = ""
    trailing_stop: str = ""
    active_price: str = ""
    size: str = ""
    take_profit_limit: str = ""
    stop_loss_limit: str = ""
    by: TriggerBy = TriggerBy.MARK

    def fields(self) -> dict[str, Any]:
        """The members without the category. Raises `InvalidInput` for what does not go together."""
        self._check()
        found: dict[str, Any] = {"symbol": self.symbol, "tpslMode": self.mode.value, "positionIdx": int(self.position)}
        prices = {"takeProfit": self.take_profit, "stopLoss": self.stop_loss, "trailingStop": self.trailing_stop}
        found |= {name: price_or_none_text(name, text) for name, text in prices.items() if text}
        if self.take_profit:
            found["tpTriggerBy"] = self.by.value
        if self.stop_loss:
            found["slTriggerBy"] = self.by.value
        if self.active_price:
            found["activePrice"] = positive_text("activePrice", self.active_price)
        if self.mode is StopMode.PARTIAL:
            found |= self._partial()
        return found

    def _check(self) -> None:
        if not (self.take_profit or self.stop_loss or self.trailing_stop):
            raise impossible("the trading stop changes nothing", "no price is given", 'give one, "0" to take it away')
        if self.active_price and not self.trailing_stop:
            raise impossible(
                "activePrice without trailingStop", "it says where a trailing stop begins", "give trailing_stop, or leave it out"
            )
        limits = self.take_profit_limit or self.stop_loss_limit
        if self.mode is StopMode.FULL and (self.size or limits):
            raise impossible("tpslMode is Full with a size or a limit", "whole positions are closed at market", "use mode PARTIAL")
        if self.mode is StopMode.PARTIAL and not self.size:
            raise impossible("tpslMode is Partial without a size", "it closes a part", "give size, or use mode FULL")
        if (self.take_profit_limit and not self.take_profit) or (self.stop_loss_limit and not self.stop_loss):
            raise impossible("a limit price without its trigger", "a stop needs the price that triggers it", "give both")

    def _partial(self) -> dict[str, Any]:
        size = positive_text("size", self.size)
        found: dict[str, Any] = {}
        if self.take_profit:
            found |= {"tpSize": size} | _limit("tp", self.take_profit_limit)
        if self.stop_loss:
            found |= {"slSize": size} | _limit("sl", self.stop_loss_limit)
        return found


def _limit(word: str, price: str) -> dict[str, str]:
    if not price:
        return {f"{word}OrderType": "Market"}
    return {f"{word}LimitPrice": positive_text(f"{word}LimitPrice", price), f"{word}OrderType": "Limit"}


def margin_text(amount: str) -> str:
    """An amount of margin to add, or with "-" to take out."""
    positive_text("margin", amount.removeprefix("-"))
    return amount


def leverage_text(leverage_e2: int) -> str:
    """A leverage in hundredths as the venue writes it; 1 to 1,000."""
    if not 100 <= leverage_e2 <= 100_000:
        raise impossible(f"leverage_e2 is {leverage_e2}", "leverage is 1 to 1,000 in hundredths", "pass 500 for 5 times")
    whole, rest = divmod(leverage_e2, 100)
    return f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)
