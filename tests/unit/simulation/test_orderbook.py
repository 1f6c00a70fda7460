"""The order book, operation by operation: time in force, priority, amend, self-trade prevention, questions, refusals."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.matching import BOOK_FULL, FOK_UNFILLED, IOC_REMAINDER, POST_ONLY_WOULD_TAKE, SELF_TRADE_PREVENTED
from kedge.simulation.orderbook import BACKGROUND, Cancelled, Depth, OrderBook, SelfTrade, Trade, Walk

BUY, SELL = Side.BUY, Side.SELL
MARKET = OrderKind.MARKET


@pytest.fixture
def book() -> OrderBook:
    """Asks: a 5 @ 101, b 5 @ 101, c 10 @ 103; bids: d 4 @ 99, e 6 @ 98."""
    book = OrderBook()
    book.add("a", "ann", SELL, 5, 101)
    book.add("b", "bob", SELL, 5, 101)
    book.add("c", "cid", SELL, 10, 103)
    book.add("d", "dan", BUY, 4, 99)
    book.add("e", "eve", BUY, 6, 98)
    return book


def ids(book: OrderBook, side: Side) -> list[str]:
    return [order.order_id for order in book.orders(side)]


class TestTaking:
    def test_better_price_then_earlier_arrival_at_the_makers_price(self, book: OrderBook) -> None:
        outcome = book.add("t", "tom", BUY, 12, 103)
        assert outcome.trades == [
            Trade("a", "t", "ann", BUY, 101, 5, 0),
            Trade("b", "t", "bob", BUY, 101, 5, 0),
            Trade("c", "t", "cid", BUY, 103, 2, 8),
        ]
        assert (outcome.traded_lots, outcome.resting_lots, outcome.cancelled_lots, outcome.reason) == (12, 0, 0, "")
        assert book.best_ask_ticks() == 103

    def test_gtc_rest_becomes_the_best_bid(self, book: OrderBook) -> None:
        outcome = book.add("t", "tom", BUY, 12, 102)
        assert (outcome.traded_lots, outcome.resting_lots) == (10, 2)
        assert (book.best_bid_ticks(), book.best_ask_ticks()) == (102, 103)

    def test_ioc_rest_is_cancelled(self, book: OrderBook) -> None:
        outcome = book.add("t", "tom", SELL, 9, 99, time_in_force=TimeInForce.IOC)
        assert (outcome.traded_lots, outcome.cancelled_lots, outcome.reason) == (4, 5, IOC_REMAINDER)
        assert "t" not in book

    def test_market_order_takes_any_price_and_its_rest_is_cancelled(self, book: OrderBook) -> None:
        outcome = book.add("t", "tom", SELL, 11, kind=MARKET)
        assert [(t.price_ticks, t.qty_lots) for t in outcome.trades] == [(99, 4), (98, 6)]
        assert (outcome.cancelled_lots, outcome.reason, book.best_bid_ticks()) == (1, IOC_REMAINDER, None)

    def test_market_order_stops_at_its_worst_price(self, book: OrderBook) -> None:
        outcome = book.add("t", "tom", BUY, 20, 101, kind=MARKET)
        assert (outcome.traded_lots, outcome.cancelled_lots) == (10, 10)

    @pytest.mark.parametrize(("qty_lots", "limit_ticks", "filled"), [(20, 103, 20), (21, 103, 0), (11, 101, 0), (10, 101, 10)])
    def test_fok_is_all_or_nothing(self, book: OrderBook, qty_lots: int, limit_ticks: int, filled: int) -> None:
        outcome = book.add("t", "tom", BUY, qty_lots, limit_ticks, time_in_force=TimeInForce.FOK)
        assert outcome.traded_lots == filled
        assert outcome.reason == ("" if filled else FOK_UNFILLED)
        assert len(ids(book, SELL)) == {20: 0, 10: 1, 0: 3}[filled]

    def test_post_only_is_cancelled_at_the_touch_and_rests_below_it(self, book: OrderBook) -> None:
        refused = book.add("t", "tom", BUY, 3, 101, time_in_force=TimeInForce.POST_ONLY)
        assert (refused.trades, refused.cancelled_lots, refused.reason) == ((), 3, POST_ONLY_WOULD_TAKE)
        assert book.add("u", "tom", BUY, 3, 100, time_in_force=TimeInForce.POST_ONLY).resting_lots == 3


class TestCancelAndAmend:
    def test_cancel_takes_the_middle_of_a_queue_out(self, book: OrderBook) -> None:
        book.add("x", "xia", SELL, 7, 101)
        assert book.cancel("b") == 5
        assert ids(book, SELL) == ["a", "x", "c"]
        assert book.depth(SELL, 1) == [Depth(101, 12, 2)]

    def test_cancel_of_the_last_order_removes_the_price(self, book: OrderBook) -> None:
        book.cancel("c")
        assert book.depth(SELL, 5) == [Depth(101, 10, 2)]

    def test_unknown_id(self, book: OrderBook) -> None:
        with pytest.raises(NotFound, match="'zzz'"):
            book.cancel("zzz")

    def test_fewer_lots_keep_the_place(self, book: OrderBook) -> None:
        assert book.amend("a", leaves_lots=2).resting_lots == 2
        assert ids(book, SELL) == ["a", "b", "c"]
        assert book.depth(SELL, 1) == [Depth(101, 7, 2)]

    def test_more_lots_lose_the_place(self, book: OrderBook) -> None:
        assert book.amend("a", leaves_lots=6).resting_lots == 6
        assert ids(book, SELL) == ["b", "a", "c"]

    def test_another_price_loses_the_place_even_when_it_comes_back(self, book: OrderBook) -> None:
        book.amend("a", limit_ticks=102)
        book.amend("a", limit_ticks=101)
        assert ids(book, SELL) == ["b", "a", "c"]

    def test_a_crossing_price_takes(self, book: OrderBook) -> None:
        outcome = book.amend("e", limit_ticks=101)
        assert [t.maker_id for t in outcome.trades] == ["a", "b"]
        assert [t.qty_lots for t in outcome.trades] == [5, 1]

    def test_a_crossing_price_cancels_a_post_only_order(self, book: OrderBook) -> None:
        book.add("p", "pam", BUY, 3, 97, time_in_force=TimeInForce.POST_ONLY)
        assert book.amend("p", limit_ticks=101).reason == POST_ONLY_WOULD_TAKE
        assert "p" not in book

    def test_a_refused_amend_changes_nothing(self, book: OrderBook) -> None:
        with pytest.raises(InvalidInput, match="leaves_lots is 0"):
            book.amend("a", leaves_lots=0)
        with pytest.raises(InvalidInput, match="limit_ticks is -1"):
            book.amend("a", limit_ticks=-1)
        assert ids(book, SELL) == ["a", "b", "c"]


class TestSelfTrade:
    def test_cancel_maker_removes_it_and_goes_on(self, book: OrderBook) -> None:
        outcome = book.add("t", "ann", BUY, 7, 101, self_trade=SelfTrade.CANCEL_MAKER)
        assert outcome.removed == [Cancelled("a", 5)]
        assert [(t.maker_id, t.qty_lots) for t in outcome.trades] == [("b", 5)]
        assert outcome.resting_lots == 2

    def test_cancel_taker_keeps_what_traded_before(self, book: OrderBook) -> None:
        outcome = book.add("t", "bob", BUY, 7, 101, self_trade=SelfTrade.CANCEL_TAKER)
        assert (outcome.traded_lots, outcome.cancelled_lots, outcome.reason, outcome.removed) == (5, 2, SELF_TRADE_PREVENTED, [])
        assert ids(book, SELL) == ["b", "c"]

    def test_cancel_both(self, book: OrderBook) -> None:
        outcome = book.add("t", "bob", BUY, 7, 101, self_trade=SelfTrade.CANCEL_BOTH)
        assert (outcome.traded_lots, outcome.cancelled_lots, outcome.removed) == (5, 2, [Cancelled("b", 5)])
        assert ids(book, SELL) == ["c"]

    def test_allow_is_the_takers_choice(self, book: OrderBook) -> None:
        assert book.add("t", "ann", BUY, 5, 101).traded_lots == 5

    @pytest.mark.parametrize(("mode", "filled"), [(SelfTrade.ALLOW, 10), (SelfTrade.CANCEL_MAKER, 0), (SelfTrade.CANCEL_TAKER, 0)])
    def test_fok_does_not_count_own_orders(self, book: OrderBook, mode: SelfTrade, filled: int) -> None:
        outcome = book.add("t", "bob", BUY, 10, 101, time_in_force=TimeInForce.FOK, self_trade=mode)
        assert (outcome.traded_lots, outcome.removed) == (filled, [] if filled else ())

    def test_the_crowd_trades_with_itself(self) -> None:
        book = OrderBook()
        book.rest_background(SELL, 100, 5)
        outcome = book.add("", BACKGROUND, BUY, 5, 100, time_in_force=TimeInForce.IOC, self_trade=SelfTrade.CANCEL_BOTH)
        assert outcome.traded_lots == 5


class TestQuestions:
    def test_depth_is_best_first(self, book: OrderBook) -> None:
        assert book.depth(SELL, 5) == [Depth(101, 10, 2), Depth(103, 10, 1)]
        assert book.depth(BUY, 1) == [Depth(99, 4, 1)]

    def test_walk_is_what_an_order_then_gets(self, book: OrderBook) -> None:
        assert book.walk(BUY, 12) == Walk(12, 1216, 103)
        assert book.walk(BUY, 12).vwap_ticks == Fraction(304, 3)
        assert book.walk(BUY, 12, 102) == Walk(10, 1010, 101)
        assert book.walk(SELL, 1, 100) == Walk(0, 0, 0)

    def test_no_average_of_nothing(self) -> None:
        with pytest.raises(InvalidInput, match="0 lots"):
            _ = OrderBook().walk(BUY, 1).vwap_ticks

    def test_an_empty_book_has_no_prices(self) -> None:
        book = OrderBook()
        assert (book.best_bid_ticks(), book.best_ask_ticks(), book.depth(BUY, 3), len(book)) == (None, None, [], 0)

    def test_clear(self, book: OrderBook) -> None:
        book.clear()
        assert (len(book), "a" in book, book.best_ask_ticks()) == (0, False, None)


class TestRefusals:
    @pytest.mark.parametrize("qty", [0, -1, 1.0, float("nan"), True, None])
    def test_quantity(self, book: OrderBook, qty: object) -> None:
        with pytest.raises(InvalidInput, match="qty_lots is"):
            book.add("t", "tom", BUY, qty, 100)  # type: ignore[arg-type]

    @pytest.mark.parametrize("price", [0, -1, 100.0, float("nan")])
    def test_price(self, book: OrderBook, price: object) -> None:
        with pytest.raises(InvalidInput, match="limit_ticks is"):
            book.add("t", "tom", BUY, 1, price)  # type: ignore[arg-type]

    def test_an_id_that_rests(self, book: OrderBook) -> None:
        with pytest.raises(InvalidInput, match="'a'"):
            book.add("a", "tom", BUY, 1, 103)
        assert len(book) == 5

    def test_a_post_only_market_order(self, book: OrderBook) -> None:
        with pytest.raises(InvalidInput, match="always takes"):
            book.add("t", "tom", BUY, 1, kind=MARKET, time_in_force=TimeInForce.POST_ONLY)

    def test_no_id_for_an_order_that_may_rest(self, book: OrderBook) -> None:
        with pytest.raises(InvalidInput, match="order_id is ''"):
            book.add("", "tom", BUY, 1, 100)

    def test_background_may_not_cross(self, book: OrderBook) -> None:
        with pytest.raises(InvalidInput, match="cross"):
            book.rest_background(SELL, 99, 1)

    def test_a_full_book_cancels_what_would_rest_but_lets_it_trade(self) -> None:
        book = OrderBook(orders_max=1)
        book.add("a", "ann", SELL, 5, 101)
        assert book.add("b", "bob", BUY, 5, 100).reason == BOOK_FULL
        assert book.add("c", "cid", BUY, 6, 101).resting_lots == 1
        with pytest.raises(InvalidInput, match="orders_max"):
            book.rest_background(BUY, 99, 1)
