"""The `book` matcher: a bar is played as prints along its path, each against an order book.

Rules of this file, at each print (`steps` of them from the bar's open to its close, both included, evenly in time; the path is
`market.path`: open, low, high, close, high first when the bar rose):

1. The share of the bar's volume that moved the price there trades with our resting orders: first those it passed, best price
   first, then those at the print itself, behind the background queued there. It buys on the way up, sells on the way down, and
   does half of each where the price stood still or a new bar began.
2. The background is quoted afresh around the print, and our resting orders queue behind it at their prices.
3. Orders that have arrived by then enter: they take what their price allows, then rest, wait or are done. A conditional order enters
   at the first print that reaches its trigger.

The background depends on (seed, instrument, bar, print) alone, never on our orders or on earlier bars, so the same bars give the
same market whoever trades in it, and a restart between bars needs no memory. Background is quoted only within the bar's range
widened by the spread. All our fills of a bar together stay within `participation_bps` of its volume.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import Liquidity, OrderKind, Side, TimeInForce
from kedge.market.path import path_ticks
from kedge.simulation.matching import (
    FOK_UNFILLED,
    IOC_REMAINDER,
    POST_ONLY_WOULD_TAKE,
    SELF_TRADE_PREVENTED,
    Done,
    Match,
    Triggered,
    WorkingOrder,
    is_reached,
)
from kedge.simulation.orderbook import BACKGROUND, OrderBook, SelfTrade, Trade

OWN: Final = "own"
STEPS_MIN: Final = 4
STEPS_MAX: Final = 10_000
LEVELS_MAX: Final = 1_000
WORKING_MAX: Final = 10_000
"""Most live orders of ours per instrument; twenty times what the venue allows, and far below what a book holds."""

_BPS: Final = 10_000
_MASK64: Final = (1 << 64) - 1


class Quotes(NamedTuple):
    """The background around one print: `(price_ticks, qty_lots)` per level, best first, and the touch it is quoted from.

    The touch stands even where volume is too thin for a single lot: no order of ours may rest across it.
    """

    touch_bid_ticks: int
    touch_ask_ticks: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class Print(NamedTuple):
    """One point of the path: when, at which price, and how many lots buy and sell on the way there.

    The way crosses `at_price_divisor` prices, and its volume is spread over them evenly.
    """

    ts_ns: int
    price_ticks: int
    buy_lots: int
    sell_lots: int
    at_price_divisor: int


class BookMatcher:
    """Plays bars against an order book with seeded background liquidity.

    Parameters
    ----------
    seed : int
        Of the background's sizes and the path between the corners; 0 to 2^64 - 1.
    steps : int
        Prints per bar; 4 are the bar's corners alone. An order's latency is felt in whole steps, so that with few steps an order
        sent at the open would always trade at the first extreme.
    spread_ticks : int
        Best ask minus best bid of the background, at least 1.
    levels : int
        Background prices per side, one tick apart.
    depth_bps : int
        Background lots per side, as basis points of the bar's volume; each level holds its even share give or take half.
    participation_bps : int
        Most of the bar's volume that all our fills of the bar together may be, in basis points.
    self_trade : SelfTrade
        What happens when two of our own orders would meet; by default the resting one is cancelled, since the later order
        is the later decision. They never trade with each other, so ALLOW is refused.

    Raises
    ------
    InvalidInput
        A parameter outside its range.
    """

    name: Final = "book"

    def __init__(
        self,
        *,
        seed: int,
        steps: int = 25,
        spread_ticks: int = 1,
        levels: int = 10,
        depth_bps: int = 1_000,
        participation_bps: int = 1_000,
        self_trade: SelfTrade = SelfTrade.CANCEL_MAKER,
    ) -> None:
        self.seed = _within(seed, "seed", 0, _MASK64)
        self.steps = _within(steps, "steps", STEPS_MIN, STEPS_MAX)
        self.spread_ticks = _within(spread_ticks, "spread_ticks", 1, 1 << 32)
        self.levels = _within(levels, "levels", 1, LEVELS_MAX)
        self.depth_bps = _within(depth_bps, "depth_bps", 0, _BPS)
        self.participation_bps = _within(participation_bps, "participation_bps", 0, _BPS)
        self.self_trade = _prevention(self_trade)
        self._books: dict[InstrumentId, OrderBook] = {}
        self._begun: dict[InstrumentId, _BarInPlay] = {}

    def book(self, instrument: InstrumentId) -> OrderBook:
        """The book as the last bar left it; empty before the first."""
        return self._books.setdefault(instrument, OrderBook())

    def arrive(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """Play the bar up to the print at which the last of the waiting orders enters. See `Matcher.arrive`.

        An order that arrives when its own print has been played enters at the next.
        """
        waiting = [w.arrival_ts_ns for w in working if not w.is_resting and not w.is_waiting and bar.ts_ns > w.arrival_ts_ns]
        if not waiting:
            return []
        begun = self._begin(bar)
        return self._play(begun, working, min(self.steps, max(begun.played, begun.entry(max(waiting))) + 1))

    def match(self, bar: BarClosed, working: Sequence[WorkingOrder]) -> list[Match | Done | Triggered]:
        """Play the bar to its end. See `Matcher.match`; results carry the time of their print.

        Raises
        ------
        InvalidInput
            The bar does not span time or its prices do not fit together; an order of another instrument, without lots, or twice.
        """
        results = self._play(self._begin(bar), working, self.steps)
        del self._begun[bar.instrument]
        return results

    def taker_ticks(self, bar: BarClosed, side: Side, lots: int, at_ticks: int) -> int:
        """The far touch of the background quoted around that price."""
        touch_bid = at_ticks - self.spread_ticks // 2
        return max(1, touch_bid + self.spread_ticks if side is Side.BUY else touch_bid)

    def forget(self, client_order_id: str) -> None:
        """Take a cancelled order out of the displayed book; the next bar is played from the orders it is given."""
        for book in self._books.values():
            if client_order_id in book:
                book.cancel(client_order_id)

    def quotes(self, bar: BarClosed, k: int, price_ticks: int) -> Quotes:
        """The background around print `k`: a function of its arguments and the seed alone."""
        touch_bid = price_ticks - self.spread_ticks // 2
        touch_ask = touch_bid + self.spread_ticks
        lowest, highest = max(1, bar.low_ticks - self.spread_ticks), bar.high_ticks + self.spread_ticks
        sizes = _Sizes(_key(self.seed, _fold(bar.instrument), bar.ts_ns, k))
        lots = bar.volume_lots * self.depth_bps // _BPS
        shares = [(lots + self.levels - 1 - n) // self.levels for n in range(self.levels)]  # odd lots stand at the best prices
        bids = [(touch_bid - n, sizes.draw(share)) for n, share in enumerate(shares)]
        asks = [(touch_ask + n, sizes.draw(share)) for n, share in enumerate(shares)]
        return Quotes(
            touch_bid,
            touch_ask,
            tuple(level for level in bids if level[1] and level[0] >= lowest),
            tuple(level for level in asks if level[1] and level[0] <= highest),
        )

    def prints(self, bar: BarClosed) -> list[Print]:
        """The bar's path, its times from open to close, and its volume in even shares."""
        corners = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)
        path = path_ticks(corners, self.steps, _key(self.seed, _fold(bar.instrument), bar.ts_ns))
        span_ns, last, before = bar.ts_ns - bar.open_ts_ns, self.steps - 1, path[0]
        found = []
        for k, price in enumerate(path):
            lots = bar.volume_lots * (k + 1) // self.steps - bar.volume_lots * k // self.steps
            buys = lots if price > before else 0 if price < before else lots // 2
            found.append(Print(bar.open_ts_ns + span_ns * k // last, price, buys, lots - buys, abs(price - before) + 1))
            before = price
        return found

    def _begin(self, bar: BarClosed) -> _BarInPlay:
        begun = self._begun.get(bar.instrument)
        if begun is None or begun.bar != bar:
            _check_bar(bar)
            begun = _BarInPlay(bar, self.prints(bar), bar.volume_lots * self.participation_bps // _BPS)
            self._begun[bar.instrument] = begun
        return begun

    def _play(self, begun: _BarInPlay, working: Sequence[WorkingOrder], until: int) -> list[Match | Done | Triggered]:
        _check_working(begun.bar, working)
        playing = _Playing(self, begun, working)
        while begun.played < until:
            playing.print()
            begun.played += 1
        return playing.results


class _BarInPlay:
    """How far a bar has been played, and the capacity left in it."""

    __slots__ = ("bar", "prints", "played", "capacity_lots")

    def __init__(self, bar: BarClosed, prints: list[Print], capacity_lots: int) -> None:
        self.bar, self.prints, self.played, self.capacity_lots = bar, prints, 0, capacity_lots

    def entry(self, arrival_ts_ns: int) -> int:
        """Number of the first print at or after an arrival."""
        return bisect_left(self.prints, arrival_ts_ns, key=lambda at: at.ts_ns)


class _Playing:
    """A stretch of prints being played: our orders still in it, what is left of each, and the results so far."""

    def __init__(self, rules: BookMatcher, begun: _BarInPlay, working: Sequence[WorkingOrder]) -> None:
        eligible = [w for w in working if begun.bar.ts_ns > w.arrival_ts_ns]
        self.rules, self.begun, self.book = rules, begun, rules.book(begun.bar.instrument)
        self.live = {w.order.client_order_id: w for w in eligible}
        self.leaves = {w.order.client_order_id: w.leaves_lots for w in eligible}
        self.results: list[Match | Done | Triggered] = []

    def print(self) -> None:
        """The next print. Its background is quoted only where somebody meets it, or at the bar's end for whoever looks."""
        k, at = self.begun.played, self.begun.prints[self.begun.played]
        bids, asks = self.reached(Side.BUY, at), self.reached(Side.SELL, at)
        for w in self.live.values():
            if w.is_waiting and w.arrival_ts_ns <= at.ts_ns and is_reached(w.order, at.price_ticks):
                w.is_waiting = False
                self.results.append(Triggered(w, at.ts_ns))
        arrived = [w for w in self.live.values() if not w.is_resting and not w.is_waiting and w.arrival_ts_ns <= at.ts_ns]
        if not (bids or asks or arrived or k == self.rules.steps - 1):
            return
        quotes = self.rules.quotes(self.begun.bar, k, at.price_ticks)
        self.trade_with_resting(Side.BUY, bids, at.sell_lots, at, quotes)
        self.trade_with_resting(Side.SELL, asks, at.buy_lots, at, quotes)
        self.quote(quotes)
        for w in arrived:
            self.enter(w, at, quotes)

    def reached(self, side: Side, at: Print) -> list[WorkingOrder]:
        """Our resting orders of a side that the print touches or passes."""
        sign = 1 if side is Side.BUY else -1
        worst = sign * at.price_ticks
        return [w for w in self.live.values() if w.is_resting and w.order.side is side and sign * w.order.limit_ticks >= worst]

    def trade_with_resting(self, side: Side, reached: list[WorkingOrder], flow_lots: int, at: Print, quotes: Quotes) -> None:
        """Rule 1: the flow that moved the price meets our resting orders of `side`."""
        if not reached or not flow_lots:
            return
        sign = 1 if side is Side.BUY else -1
        self.book.clear()
        touch = quotes.bids if side is Side.BUY else quotes.asks
        if touch:
            self.book.rest_background(side, at.price_ticks, touch[0][1])
        for w in reached:
            self.book.add(w.order.client_order_id, OWN, side, self.leaves[w.order.client_order_id], w.order.limit_ticks)
        passed = self.flow(side, flow_lots, at.price_ticks + sign, at)
        self.flow(side, min(flow_lots - passed, flow_lots // at.at_price_divisor), at.price_ticks, at)

    def flow(self, side: Side, lots: int, worst_ticks: int, at: Print) -> int:
        """Background takers against the queue of `side`; returns the lots they traded."""
        if lots < 1 or worst_ticks < 1:
            return 0
        taker = Side.SELL if side is Side.BUY else Side.BUY
        outcome = self.book.add("", BACKGROUND, taker, lots, worst_ticks, time_in_force=TimeInForce.IOC)
        self.book_trades(outcome.trades, at, Liquidity.MAKER)
        return outcome.traded_lots

    def book_trades(self, trades: Sequence[Trade], at: Print, role: Liquidity) -> None:
        """Note our side of the trades, as far as capacity goes."""
        for trade in trades:
            if role is Liquidity.MAKER and trade.maker_owner != OWN:
                continue
            w = self.live[trade.maker_id if role is Liquidity.MAKER else trade.taker_id]
            lots = min(trade.qty_lots, self.begun.capacity_lots)
            if lots:
                self.begun.capacity_lots -= lots
                self.results.append(Match(w, lots, trade.price_ticks, role, at.ts_ns))
                self.take_off(w, lots)

    def take_off(self, w: WorkingOrder, lots: int) -> None:
        name = w.order.client_order_id
        self.leaves[name] -= lots
        if not self.leaves[name]:
            del self.live[name]

    def quote(self, quotes: Quotes) -> None:
        """Rule 2: fresh background, ours behind it. An order that the touch has passed for want of capacity stands aside."""
        self.book.clear()
        for price, lots in quotes.bids:
            self.book.rest_background(Side.BUY, price, lots)
        for price, lots in quotes.asks:
            self.book.rest_background(Side.SELL, price, lots)
        for w in self.live.values():
            if w.is_resting and not _would_take(w, quotes) and not self.crosses_book(w):
                self.rest(w)

    def rest(self, w: WorkingOrder) -> None:
        o = w.order
        self.book.add(o.client_order_id, OWN, o.side, self.leaves[o.client_order_id], o.limit_ticks, self_trade=self.rules.self_trade)
        w.is_resting = True

    def enter(self, w: WorkingOrder, at: Print, quotes: Quotes) -> None:
        """Rule 3: one order meets the book for the first time, or again when it had to wait for capacity."""
        force, lots = w.order.time_in_force, self.leaves[w.order.client_order_id]
        market = w.order.kind is OrderKind.MARKET
        takes = market or _would_take(w, quotes) or self.crosses_book(w)
        if force is TimeInForce.POST_ONLY and takes:
            self.done(w, POST_ONLY_WOULD_TAKE, at)
        elif force is TimeInForce.FOK and lots > self.begun.capacity_lots:
            self.done(w, FOK_UNFILLED, at)
        elif takes or force in (TimeInForce.IOC, TimeInForce.FOK):
            self.take(w, at)
        if w.order.client_order_id not in self.live:
            return
        if market or force in (TimeInForce.IOC, TimeInForce.FOK):
            self.done(w, IOC_REMAINDER, at)
        elif not _would_take(w, quotes) and not self.crosses_book(w):
            self.rest(w)

    def crosses_book(self, w: WorkingOrder) -> bool:
        """Whether a resting order is within this limit: beyond what `_would_take` knows, one of ours inside the spread."""
        best = self.book.best_ask_ticks() if w.order.side is Side.BUY else self.book.best_bid_ticks()
        return best is not None and (w.order.limit_ticks >= best if w.order.side is Side.BUY else w.order.limit_ticks <= best)

    def take(self, w: WorkingOrder, at: Print) -> None:
        """Take from the book, at most the capacity left; own makers in the way are handled as the rules say."""
        o = w.order
        lots = min(self.leaves[o.client_order_id], self.begun.capacity_lots)
        if not lots:
            return
        force = TimeInForce.FOK if o.time_in_force is TimeInForce.FOK else TimeInForce.IOC
        outcome = self.book.add(
            o.client_order_id, OWN, o.side, lots, o.limit_ticks, kind=o.kind, time_in_force=force, self_trade=self.rules.self_trade
        )
        for gone in outcome.removed:
            self.done(self.live[gone.order_id], SELF_TRADE_PREVENTED, at)
        self.book_trades(outcome.trades, at, Liquidity.TAKER)
        if outcome.reason in (FOK_UNFILLED, SELF_TRADE_PREVENTED):
            self.done(w, outcome.reason, at)

    def done(self, w: WorkingOrder, reason: str, at: Print) -> None:
        del self.live[w.order.client_order_id]
        self.results.append(Done(w, reason, at.ts_ns))


class _Sizes:
    """Background sizes from splitmix64 (Steele, Lea and Flood, 2014)."""

    def __init__(self, key: int) -> None:
        self.state = key

    def draw(self, share_lots: int) -> int:
        """The share times 1/2 to 3/2, to the nearest lot."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK64
        return (share_lots * (_BPS // 2 + _mix(self.state) % (_BPS + 1)) + _BPS // 2) // _BPS


def _key(*parts: int) -> int:
    """One 64-bit seed from several numbers."""
    state = 0
    for part in parts:
        state = _mix((state ^ (part & _MASK64)) + 1 & _MASK64)
    return state


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


@lru_cache(maxsize=1_024)
def _fold(text: str) -> int:
    """Text as 64 bits, the same in every process (the built-in hash is not)."""
    state = 0
    for byte in text.encode():
        state = _mix((state ^ byte) + 1 & _MASK64)
    return state


def _would_take(w: WorkingOrder, quotes: Quotes) -> bool:
    if w.order.side is Side.BUY:
        return w.order.limit_ticks >= quotes.touch_ask_ticks
    return w.order.limit_ticks <= quotes.touch_bid_ticks


def _within(value: int, field: str, lowest: int, highest: int) -> int:
    if type(value) is not int or not lowest <= value <= highest:
        raise InvalidInput(f"{field} is {value!r}", why=f"must be a whole number from {lowest} to {highest}", fix=f"correct {field}")
    return value


def _prevention(self_trade: SelfTrade) -> SelfTrade:
    if self_trade not in (SelfTrade.CANCEL_MAKER, SelfTrade.CANCEL_TAKER, SelfTrade.CANCEL_BOTH):
        raise InvalidInput(
            f"self_trade is {self_trade!r}", why="our orders may not trade with each other", fix="name which one is cancelled"
        )
    return SelfTrade(self_trade)


def _check_bar(bar: BarClosed) -> None:
    def refuse(what: str, why: str) -> InvalidInput:
        return InvalidInput(f"bar of {bar.instrument} at {bar.ts_ns}: {what}", why=why, fix="validate the data before it is played")

    for field in ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "open_ts_ns", "ts_ns"):
        if type(getattr(bar, field)) is not int:
            raise refuse(f"{field} is {getattr(bar, field)!r}", "must be a whole number")
    if not bar.open_ts_ns < bar.ts_ns:
        raise refuse(f"open_ts_ns is {bar.open_ts_ns}", "a bar must open before it closes")
    if bar.volume_lots < 0:
        raise refuse(f"volume_lots is {bar.volume_lots}", "a volume is not negative")


def _check_working(bar: BarClosed, working: Sequence[WorkingOrder]) -> None:
    if len(working) > WORKING_MAX:
        raise InvalidInput(f"{len(working)} working orders of {bar.instrument}", why=f"at most {WORKING_MAX}", fix="cancel some first")
    seen: dict[str, WorkingOrder] = {}
    for w in working:
        name = w.order.client_order_id
        if w.order.instrument != bar.instrument or w.leaves_lots < 1 or name in seen:
            raise InvalidInput(
                f"working order {name!r} of {w.order.instrument} with {w.leaves_lots} lots left",
                why=f"the bar needs live orders of {bar.instrument}, each once",
                fix="pass the instrument's live orders only",
            )
        seen[name] = w
