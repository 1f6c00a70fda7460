"""The background: levels quoted around the fed price, and the flow that trades there.

Rules: a level keeps its size, and its place in the queue, while it stays inside the quoted window; what was taken is not refilled
before the level leaves. Sizes are a function of the seed and of how many were drawn before, so the same calls give the same crowd.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.orders import Side
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_types import Crowd

_MASK64: Final = (1 << 64) - 1
_BPS: Final = 10_000
_STRIDE: Final = 0x9E3779B97F4A7C15


def mix(word: int) -> int:
    """SplitMix64's finaliser: a well mixed 64-bit word (Steele, Lea and Flood 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK64
    return word ^ (word >> 31)


class Background:
    """The crowd's quotes in one instrument: which of its orders rests at which price."""

    def __init__(self, market: Market, crowd: Crowd, seed: int) -> None:
        self.market, self.crowd = market, crowd
        self._state = seed & _MASK64
        self._made = 0
        self.bids: dict[int, str] = {}
        self.asks: dict[int, str] = {}

    def draw(self, notional_e8: int) -> int:
        """Lots worth half to one and a half times a notional at the last price; at least 1 when the notional is not 0."""
        if not notional_e8:
            return 0
        self._state = (self._state + _STRIDE) & _MASK64
        mean = notional_e8 // (self.market.last_ticks * self.market.spec.tick_value_e8)
        return max(1, min(self.market.spec.order_qty_max_lots, mean // 2 + mix(self._state) % (mean + 1)))

    def coin(self) -> bool:
        """Heads or tails."""
        self._state = (self._state + _STRIDE) & _MASK64
        return bool(mix(self._state) & 1)

    def touch(self, last_ticks: int, rises: bool) -> tuple[int, int]:
        """Best bid and ask of the crowd around a price: the touch that moved is at it, or `gap_bps` away; a side below one tick is none."""
        spread, gap = self.crowd.spread_ticks, last_ticks * self.crowd.gap_bps // _BPS
        bid, ask = (last_ticks - spread, last_ticks) if rises else (last_ticks, last_ticks + spread)
        return bid - gap, ask + gap

    def retire(self, bid_ticks: int, ask_ticks: int) -> None:
        """Take out quotes better than this touch, and those that have left the window behind it."""
        levels = self.crowd.levels
        self._retire(Side.BUY, self.bids, [p for p in self.bids if p > bid_ticks or p <= bid_ticks - levels])
        self._retire(Side.SELL, self.asks, [p for p in self.asks if p < ask_ticks or p >= ask_ticks + levels])

    def missing(self, bid_ticks: int, ask_ticks: int) -> list[tuple[str, Side, int, int]]:
        """Quotes to add behind this touch, best first: id, side, price and lots. The caller places them and reports by `quoted`."""
        wanted: list[tuple[str, Side, int, int]] = []
        book, top = self.market.book, self.market.spec.price_max_ticks
        for n in range(self.crowd.levels):
            for side, price, held in ((Side.BUY, bid_ticks - n, self.bids), (Side.SELL, ask_ticks + n, self.asks)):
                known = held.get(price)
                if 1 <= price <= top and (known is None or known not in book) and (lots := self.draw(self.crowd.notional_e8)):
                    self._made += 1
                    wanted.append((f"~{self._made}", side, price, lots))
        return wanted

    def quoted(self, order_id: str, side: Side, price_ticks: int) -> None:
        """The crowd now rests there."""
        (self.bids if side is Side.BUY else self.asks)[price_ticks] = order_id
        self.market.touch(side, price_ticks)

    def _retire(self, side: Side, held: dict[int, str], prices: list[int]) -> None:
        book = self.market.book
        for price in prices:
            order_id = held.pop(price)
            if order_id in book:
                book.cancel(order_id)
                self.market.touch(side, price)
