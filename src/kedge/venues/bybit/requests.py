"""Requests about orders as the venue documents them, with everything it takes: what cannot work is refused before anything is sent.

Rules: numbers are plain decimal text, positive and without exponent; `fields()` gives the members without the category, as a batch
takes them. `gateway_bodies` makes the plain requests of the trading loop; these are for what the loop does not do: attached stops,
hedge mode, slippage bounds, prices taken from the book.
"""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.gateway_bodies import FALLS, RISES, SELF_TRADE

_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")
_LINK_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,36}")
_TIMES: Final = ("", "GTC", "IOC", "FOK", "PostOnly")
_SELF_TRADES: Final = ("None", "CancelMaker", "CancelTaker", "CancelBoth")


class Direction(StrEnum):
    """The venue's words for the sides."""

    BUY = "Buy"
    SELL = "Sell"


class PositionIdx(IntEnum):
    """Which position is meant: the only one, or one of the two of hedge mode."""

    ONE_WAY = 0
    LONG = 1
    SHORT = 2


class TriggerBy(StrEnum):
    """The price that a trigger looks at."""

    LAST = "LastPrice"
    INDEX = "IndexPrice"
    MARK = "MarkPrice"


class StopMode(StrEnum):
    """Stops for the whole position (at market, replaced by the next ones) or for a part (added to what is there)."""

    FULL = "Full"
    PARTIAL = "Partial"


def impossible(what: str, why: str, fix: str) -> InvalidInput:
    """The refusal of a request that was not sent."""
    return InvalidInput(f"{what}; nothing was sent", why=why, fix=fix)


def positive_text(name: str, text: str) -> str:
    """`text` if it is a positive plain number."""
    if not _NUMBER.fullmatch(text) or not text.strip("0."):
        raise impossible(f"{name} is {text!r}", "not a positive plain decimal number", f"write {name} as 0.010, without sign or exponent")
    return text


def price_or_none_text(name: str, text: str) -> str:
    """`text` if it is a positive plain number, or "0", which removes what is there."""
    return text if text == "0" else positive_text(name, text)


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What an order waits for: that the price `by` rises or falls to `price`."""

    price: str
    rises: bool
    by: TriggerBy = TriggerBy.MARK

    def fields(self) -> dict[str, Any]:
        direction = RISES if self.rises else FALLS
        return {"triggerPrice": positive_text("triggerPrice", self.price), "triggerDirection": direction, "triggerBy": self.by.value}


class Stops(msgspec.Struct, frozen=True, kw_only=True):
    """A take profit and a stop loss; empty is none. With a limit price they become limit orders, which only `PARTIAL` has."""

    take_profit: str = ""
    stop_loss: str = ""
    by: TriggerBy = TriggerBy.MARK
    mode: StopMode = StopMode.FULL
    take_profit_limit: str = ""
    stop_loss_limit: str = ""

    def fields(self) -> dict[str, Any]:
        """Raises `InvalidInput` for what the venue cannot do."""
        if not self.take_profit and not self.stop_loss:
            raise impossible("stops are empty", "neither takeProfit nor stopLoss is given", "give one, or leave the stops out")
        limits = bool(self.take_profit_limit or self.stop_loss_limit)
        if limits and self.mode is StopMode.FULL:
            raise impossible("tpslMode is Full with a limit price", "whole positions are closed at market", "use mode PARTIAL")
        found: dict[str, Any] = {"tpslMode": self.mode.value}
        for word, price, limit in (("tp", self.take_profit, self.take_profit_limit), ("sl", self.stop_loss, self.stop_loss_limit)):
            if not price and limit:
                raise impossible(f"{word}LimitPrice without a trigger", "a stop needs the price that triggers it", "give both")
            if price:
                name = "takeProfit" if word == "tp" else "stopLoss"
                found |= {name: positive_text(name, price), f"{word}TriggerBy": self.by.value}
            if limit:
                found |= {f"{word}LimitPrice": positive_text(f"{word}LimitPrice", limit), f"{word}OrderType": "Limit"}
        return found


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """An order; without `price` and `book_level` it is a market order.

    Attributes
    ----------
    qty : str
        In base coin; "0" with `reduce_only` and `close_on_trigger` closes the whole position.
    slippage_ticks, slippage_percent : str
        How far a market order may trade from the best price: 1 to 10,000 ticks, or 0.01 to 10 per cent.
    book_side, book_level : str
        Takes the price from the book, "Queue" or "Counterparty", level "1" to "5".
    """

    symbol: str
    side: Direction
    qty: str
    order_link_id: str
    price: str = ""
    time_in_force: str = ""
    position: PositionIdx = PositionIdx.ONE_WAY
    reduce_only: bool = False
    close_on_trigger: bool = False
    trigger: Trigger | None = None
    stops: Stops | None = None
    slippage_ticks: str = ""
    slippage_percent: str = ""
    book_side: str = ""
    book_level: str = ""
    self_trade: str = SELF_TRADE

    @property
    def is_market(self) -> bool:
        return not self.price and not self.book_level

    def fields(self) -> dict[str, Any]:
        """The members without the category.

        Raises
        ------
        InvalidInput
            The venue cannot do this; says which members do not go together.
        """
        check_link_id(self.order_link_id)
        self._check_kind()
        self._check_position()
        found: dict[str, Any] = {
            "symbol": self.symbol,
            "side": self.side.value,
            "orderType": "Market" if self.is_market else "Limit",
            "qty": self._qty(),
            "orderLinkId": self.order_link_id,
            "positionIdx": int(self.position),
            "reduceOnly": self.reduce_only,
            "smpType": one_of("smpType", self.self_trade, _SELF_TRADES),
        }
        if self.price:
            found["price"] = positive_text("price", self.price)
        if self.time_in_force:
            found["timeInForce"] = self.time_in_force
        if self.close_on_trigger:
            found["closeOnTrigger"] = True
        return found | self._extras()

    def _qty(self) -> str:
        if self.qty == "0" and self.reduce_only and self.close_on_trigger:
            return self.qty
        return positive_text("qty", self.qty)

    def _extras(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.trigger is not None:
            found |= self.trigger.fields()
        if self.stops is not None:
            found |= self.stops.fields()
        if self.slippage_ticks or self.slippage_percent:
            found |= self._slippage()
        if self.book_level:
            level = one_of("bboLevel", self.book_level, ("1", "2", "3", "4", "5"))
            found |= {"bboSideType": one_of("bboSideType", self.book_side, ("Queue", "Counterparty")), "bboLevel": level}
        return found

    def _check_kind(self) -> None:
        one_of("timeInForce", self.time_in_force, _TIMES)
        if self.is_market and self.time_in_force not in ("", "IOC"):
            raise impossible(
                f"a market order {self.time_in_force}", "market orders are immediate", "give a price, or leave timeInForce out"
            )
        if self.price and self.book_level:
            raise impossible("price and bboLevel together", "the price comes from one place", "leave one out")
        if self.reduce_only and self.stops is not None:
            raise impossible("reduceOnly with stops", "an order that closes opens nothing to protect", "leave the stops out")
        if self.close_on_trigger and (self.trigger is None or not self.reduce_only):
            raise impossible("closeOnTrigger alone", "it belongs to a conditional order that reduces", "add a trigger and reduce_only")

    def _check_position(self) -> None:
        if self.position is PositionIdx.ONE_WAY:
            return
        opens = (self.side is Direction.BUY) == (self.position is PositionIdx.LONG)
        if opens == self.reduce_only:
            words = "opens, so it cannot reduce" if opens else "closes, so it must say reduce_only"
            raise impossible(
                f"{self.side} on the {self.position.name.lower()} side with reduceOnly {self.reduce_only}",
                f"in hedge mode this order {words}",
                "choose side, position and reduce_only together",
            )

    def _slippage(self) -> dict[str, Any]:
        if not self.is_market or self.trigger is not None or self.stops is not None:
            raise impossible(
                "slippageTolerance on this order", "plain market orders alone have it", "leave it, the trigger or the stops out"
            )
        if self.slippage_ticks and self.slippage_percent:
            raise impossible("two slippage tolerances", "one of them counts", "leave one out")
        if self.slippage_ticks:
            if not self.slippage_ticks.isdigit() or not 1 <= int(self.slippage_ticks) <= 10_000:
                raise impossible(f"slippageTolerance is {self.slippage_ticks!r} ticks", "it is 1 to 10000", "choose one in between")
            return {"slippageToleranceType": "TickSize", "slippageTolerance": self.slippage_ticks}
        text = positive_text("slippageTolerance", self.slippage_percent)
        if not 0.01 <= float(text) <= 10 or len(text.partition(".")[2]) > 2:
            raise impossible(f"slippageTolerance is {text} %", "it is 0.01 to 10 with two decimals at most", "choose one in between")
        return {"slippageToleranceType": "Percent", "slippageTolerance": text}


class Amend(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an order, named by exactly one id; empty members stay as they are, "0" takes a stop away.

    `qty` is the new whole quantity, what was filled included.
    """

    symbol: str
    order_link_id: str = ""
    order_id: str = ""
    qty: str = ""
    price: str = ""
    trigger_price: str = ""
    take_profit: str = ""
    stop_loss: str = ""

    def fields(self) -> dict[str, Any]:
        """Raises `InvalidInput` for a change of nothing, or a number that is none."""
        found: dict[str, Any] = {"symbol": self.symbol, **one_id(self.order_link_id, self.order_id)}
        plain = {"qty": self.qty, "price": self.price, "triggerPrice": self.trigger_price}
        changes = {name: positive_text(name, text) for name, text in plain.items() if text}
        stops = {"takeProfit": self.take_profit, "stopLoss": self.stop_loss}
        changes |= {name: price_or_none_text(name, text) for name, text in stops.items() if text}
        if not changes:
            raise impossible("the amend changes nothing", "no member is given", "give qty, price, trigger_price or a stop")
        return found | changes


def one_id(order_link_id: str, order_id: str) -> dict[str, str]:
    """The one id that names an order: with two, the venue would take its own and leave ours unread."""
    if bool(order_link_id) == bool(order_id):
        raise InvalidInput(
            f"order ids are {order_link_id!r} and {order_id!r}", why="exactly one names an order", fix="pass order_link_id or order_id"
        )
    return {"orderLinkId": order_link_id} if order_link_id else {"orderId": order_id}


def check_link_id(order_link_id: str) -> None:
    """Every order carries an id of ours: without it, an unanswered one could not be looked up."""
    if not _LINK_ID.fullmatch(order_link_id):
        raise impossible(f"orderLinkId is {order_link_id!r}", "1 to 36 characters of 0-9 A-Z a-z _ -", "make one with client_order_id")


def one_of(name: str, word: str, known: tuple[str, ...]) -> str:
    """`word` if the venue knows it."""
    if word not in known:
        raise impossible(f"{name} is {word!r}", f"the venue knows {', '.join(w for w in known if w)}", "choose one")
    return word
