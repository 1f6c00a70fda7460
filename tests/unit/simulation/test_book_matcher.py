"""The `book` matcher, rule by rule, on one bar whose numbers can be worked out by hand.

The bar falls, so its path is 100, 90, 105, 95, one print every 20 s. Of 4,000 lots each print gets 1,000: half sold and half
bought at the open, sold on the way to 90 (11 prices, so 90 lots at 90 itself), bought on the way to 105, sold on the way to 95.
With a spread of 2 the touch stands one tick either side of the print.
"""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed
from kedge.domain.orders import Liquidity, OrderIntent, OrderKind, Side, TimeInForce
from kedge.simulation.book_matcher import WORKING_MAX, BookMatcher, _mix
from kedge.simulation.matching import (
    FOK_UNFILLED,
    IOC_REMAINDER,
    POST_ONLY_WOULD_TAKE,
    SELF_TRADE_PREVENTED,
    Done,
    Match,
    Matcher,
    WorkingOrder,
)
from kedge.simulation.orderbook import OrderBook, SelfTrade

S = 1_000_000_000
BTC = "bybit-linear:BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, POST_ONLY = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.POST_ONLY
MAKER, TAKER = Liquidity.MAKER, Liquidity.TAKER


def bar(o: int = 100, h: int = 105, low: int = 90, c: int = 95, volume: int = 4_000, *, number: int = 1) -> BarClosed:
    return BarClosed(number * 60 * S, BTC, (number - 1) * 60 * S, o, h, low, c, volume)


def order(
    name: str, side: Side, lots: int, limit: int = 0, force: TimeInForce = GTC, *, arrival: int = 0, resting: bool = False
) -> WorkingOrder:
    intent = OrderIntent(
        client_order_id=name,
        decision_id="d",
        strategy="s",
        instrument=BTC,
        side=side,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET,
        time_in_force=force,
        qty_lots=lots,
        limit_ticks=limit,
    )
    return WorkingOrder(intent, f"v-{name}", arrival, lots, resting)


def matcher(*, depth_bps: int = 10_000, levels: int = 1, seed: int = 7, self_trade: SelfTrade = SelfTrade.CANCEL_MAKER) -> BookMatcher:
    return BookMatcher(
        seed=seed, steps=4, spread_ticks=2, levels=levels, depth_bps=depth_bps, participation_bps=1_000, self_trade=self_trade
    )


def told(results: list[Match | Done]) -> list[tuple[object, ...]]:
    return [
        (r.working.order.client_order_id, r.qty_lots, r.price_ticks, r.liquidity, r.ts_ns // S)
        if isinstance(r, Match)
        else (r.working.order.client_order_id, r.reason, r.ts_ns // S)
        for r in results
    ]


def test_it_is_a_matcher() -> None:
    anyone: Matcher = matcher()
    assert anyone.name == "book"


class TestPath:
    def test_a_falling_bar_goes_low_first(self) -> None:
        found = [(p.ts_ns // S, p.price_ticks, p.buy_lots, p.sell_lots, p.at_price_divisor) for p in matcher().prints(bar())]
        assert found == [(0, 100, 500, 500, 1), (20, 90, 0, 1_000, 11), (40, 105, 1_000, 0, 16), (60, 95, 0, 1_000, 11)]

    def test_a_rising_bar_goes_high_first(self) -> None:
        assert [p.price_ticks for p in matcher().prints(bar(c=101))] == [100, 105, 90, 101]

    @pytest.mark.parametrize("volume", [0, 1, 2, 3, 4_001, 4_003])
    @pytest.mark.parametrize("steps", [4, 25])
    def test_every_lot_of_volume_is_played_once(self, volume: int, steps: int) -> None:
        found = BookMatcher(seed=1, steps=steps).prints(bar(volume=volume))
        assert sum(p.buy_lots + p.sell_lots for p in found) == volume

    def test_more_steps_let_a_small_latency_be_small(self) -> None:
        rules = BookMatcher(seed=1, steps=61)
        first = rules.match(bar(1_000, 1_050, 900, 950), [order("m", BUY, 5, arrival=S // 20)])[0]
        assert isinstance(first, Match)
        assert (first.ts_ns, first.price_ticks > 960) == (S, True)


class TestResting:
    def test_traded_through_fills_as_maker_at_its_own_price(self) -> None:
        results = matcher().match(bar(), [order("b", BUY, 50, 95, resting=True), order("s", SELL, 30, 103, resting=True)])
        assert told(results) == [("b", 50, 95, MAKER, 20), ("s", 30, 103, MAKER, 40)]

    def test_at_the_extreme_it_waits_behind_the_background(self) -> None:
        assert matcher().match(bar(), [order("b", BUY, 50, 90, resting=True)]) == []

    def test_at_the_extreme_it_gets_what_the_queue_leaves(self) -> None:
        rules = matcher(depth_bps=100)  # 40 lots a level, give or take half; 90 lots sell at 90 itself
        ahead = rules.quotes(bar(), 1, 90).bids[0][1]
        assert 20 <= ahead <= 60
        assert told(rules.match(bar(), [order("b", BUY, 80, 90, resting=True)])) == [("b", 90 - ahead, 90, MAKER, 20)]

    def test_at_the_extreme_without_background_it_gets_the_prints_own_share(self) -> None:
        assert told(matcher(depth_bps=0).match(bar(), [order("b", BUY, 200, 90, resting=True)])) == [("b", 90, 90, MAKER, 20)]

    def test_not_reached_is_not_filled(self) -> None:
        assert matcher(depth_bps=0).match(bar(), [order("b", BUY, 50, 89, resting=True), order("s", SELL, 5, 106, resting=True)]) == []

    def test_better_price_first_then_earlier_arrival(self) -> None:
        live = [order(name, BUY, 150, limit, resting=True) for name, limit in [("low", 93), ("first", 94), ("second", 94), ("high", 96)]]
        assert told(matcher().match(bar(), live)) == [
            ("high", 150, 96, MAKER, 20),
            ("first", 150, 94, MAKER, 20),
            ("second", 100, 94, MAKER, 20),
        ]

    def test_a_gap_fills_at_the_orders_own_price(self) -> None:
        assert told(matcher().match(bar(), [order("b", BUY, 5, 120, resting=True)])) == [("b", 5, 120, MAKER, 0)]

    def test_flow_bounds_a_fill_within_one_print(self) -> None:
        rules = BookMatcher(seed=1, steps=4, spread_ticks=2, participation_bps=10_000)
        results = rules.match(bar(), [order("b", BUY, 3_000, 99, resting=True)])
        assert told(results) == [("b", 1_000, 99, MAKER, 20), ("b", 1_000, 99, MAKER, 60)]


class TestArriving:
    def test_a_market_order_takes_the_ask_at_the_open(self) -> None:
        assert told(matcher().match(bar(), [order("m", BUY, 50)])) == [("m", 50, 101, TAKER, 0)]

    def test_a_large_one_walks_the_levels_and_its_rest_is_cancelled(self) -> None:
        rules = matcher(depth_bps=500, levels=2)  # about 100 lots at each of two levels
        (first, lots_1), (second, lots_2) = rules.quotes(bar(), 0, 100).bids
        assert (first, second) == (99, 98)
        assert told(rules.match(bar(), [order("m", SELL, 399)])) == [
            ("m", lots_1, 99, TAKER, 0),
            ("m", lots_2, 98, TAKER, 0),
            ("m", IOC_REMAINDER, 0),
        ]

    def test_capacity_is_a_share_of_the_bars_volume(self) -> None:
        results = matcher().match(bar(), [order("m", BUY, 300), order("n", SELL, 300)])
        assert told(results) == [("m", 300, 101, TAKER, 0), ("n", 100, 99, TAKER, 0), ("n", IOC_REMAINDER, 0)]

    @pytest.mark.parametrize(
        ("arrival_ns", "second", "price"), [(1, 20, 91), (20 * S, 20, 91), (20 * S + 1, 40, 106), (60 * S - 1, 60, 96)]
    )
    def test_latency_decides_the_print(self, arrival_ns: int, second: int, price: int) -> None:
        assert told(matcher().match(bar(), [order("m", BUY, 5, arrival=arrival_ns)])) == [("m", 5, price, TAKER, second)]

    def test_an_order_that_arrives_at_the_close_is_not_eligible(self) -> None:
        late = order("m", BUY, 5, arrival=60 * S)
        assert matcher().match(bar(), [late]) == []
        assert not late.is_resting

    def test_a_limit_below_the_market_rests_and_is_filled_later(self) -> None:
        limit = order("b", BUY, 50, 95)
        assert told(matcher().match(bar(), [limit])) == [("b", 50, 95, MAKER, 20)]

    def test_a_limit_takes_first_and_the_rest_makes(self) -> None:
        rules = matcher(depth_bps=10)  # about 4 lots a level
        lots = rules.quotes(bar(), 0, 100).asks[0][1]
        results = rules.match(bar(), [order("b", BUY, 50, 101)])
        assert told(results)[0] == ("b", lots, 101, TAKER, 0)
        assert {r.price_ticks for r in results if isinstance(r, Match) and r.liquidity is MAKER} <= {101}
        assert sum(r.qty_lots for r in results if isinstance(r, Match)) == 50

    def test_a_limit_without_capacity_waits_as_taker(self) -> None:
        rules, big = matcher(), order("b", BUY, 500, 110)
        assert told(rules.match(bar(), [big])) == [("b", 400, 101, TAKER, 0)]
        assert (big.leaves_lots, big.is_resting) == (500, False)
        big.leaves_lots = 100
        assert told(rules.match(bar(number=2), [big])) == [("b", 100, 101, TAKER, 60)]

    def test_post_only_rests_or_is_done(self) -> None:
        taking, resting = order("t", BUY, 5, 101, POST_ONLY), order("r", BUY, 5, 80, POST_ONLY)
        assert told(matcher().match(bar(), [taking, resting])) == [("t", POST_ONLY_WOULD_TAKE, 0)]
        assert (taking.is_resting, resting.is_resting) == (False, True)

    @pytest.mark.parametrize(("lots", "limit", "filled"), [(400, 101, True), (401, 101, False), (5, 100, False)])
    def test_fok_is_all_or_nothing(self, lots: int, limit: int, filled: bool) -> None:
        results = told(matcher().match(bar(), [order("f", BUY, lots, limit, FOK)]))
        assert results == [("f", lots, 101, TAKER, 0)] if filled else [("f", FOK_UNFILLED, 0)]

    def test_ioc_never_rests(self) -> None:
        assert told(matcher().match(bar(), [order("i", BUY, 5, 100, IOC)])) == [("i", IOC_REMAINDER, 0)]

    def test_without_volume_nothing_trades(self) -> None:
        live = [order("m", BUY, 5), order("b", BUY, 5, 95), order("c", BUY, 5, 200), order("s", SELL, 5, 100, resting=True)]
        assert told(matcher().match(bar(volume=0), live)) == [("m", IOC_REMAINDER, 0)]
        assert [w.is_resting for w in live] == [False, True, False, True]


class TestArrive:
    """The core lets arrivals in as they come and plays the rest of the bar at its close."""

    def test_in_pieces_as_in_one_go(self) -> None:
        whole, pieces = matcher(), matcher()
        early, late = order("e", BUY, 50, 103, arrival=1), order("l", SELL, 30, arrival=30 * S)
        expected = told(whole.match(bar(), [early, late]))
        early, late = order("e", BUY, 50, 103, arrival=1), order("l", SELL, 30, arrival=30 * S)
        first = told(pieces.arrive(bar(), [early]))
        assert first == [("e", 50, 91, TAKER, 20)]
        second = told(pieces.arrive(bar(), [late]))
        assert first + second + told(pieces.match(bar(), [])) == expected

    def test_capacity_is_shared_by_the_pieces(self) -> None:
        rules = matcher()
        assert told(rules.arrive(bar(), [order("a", BUY, 300)])) == [("a", 300, 101, TAKER, 0)]
        assert told(rules.match(bar(), [order("b", BUY, 300, 110, arrival=1)])) == [("b", 100, 91, TAKER, 20)]

    def test_too_late_for_its_print_enters_at_the_next(self) -> None:
        rules = matcher()
        rules.arrive(bar(), [order("a", BUY, 5, arrival=30 * S)])
        assert told(rules.arrive(bar(), [order("b", BUY, 5, arrival=31 * S)])) == [("b", 5, 96, TAKER, 60)]

    def test_without_arrivals_nothing_is_played(self) -> None:
        rules, held = matcher(), order("r", BUY, 5, 95, resting=True)
        assert rules.arrive(bar(), [held, order("n", BUY, 5, arrival=60 * S)]) == []
        assert told(rules.match(bar(), [held])) == [("r", 5, 95, MAKER, 20)]

    def test_an_abandoned_bar_does_not_leak_into_the_next(self) -> None:
        rules = matcher()
        rules.arrive(bar(), [order("a", BUY, 400)])
        assert told(rules.match(bar(number=2), [order("b", BUY, 400)])) == [("b", 400, 101, TAKER, 60)]


class TestSelfTrade:
    """Our own sell rests at 100, inside the spread, and our own buy would be next to take it."""

    def live(self) -> list[WorkingOrder]:
        return [order("s", SELL, 5, 100), order("b", BUY, 3, 101)]

    def test_the_resting_one_is_cancelled(self) -> None:
        assert told(matcher().match(bar(), self.live())) == [("s", SELF_TRADE_PREVENTED, 0), ("b", 3, 101, TAKER, 0)]

    def test_the_arriving_one_is_cancelled(self) -> None:
        results = told(matcher(self_trade=SelfTrade.CANCEL_TAKER).match(bar(), self.live()))
        assert results == [("b", SELF_TRADE_PREVENTED, 0), ("s", 5, 100, MAKER, 40)]

    def test_both_are_cancelled(self) -> None:
        results = told(matcher(self_trade=SelfTrade.CANCEL_BOTH).match(bar(), self.live()))
        assert results == [("s", SELF_TRADE_PREVENTED, 0), ("b", SELF_TRADE_PREVENTED, 0)]

    def test_a_limit_inside_the_spread_meets_ours_too(self) -> None:
        live = [order("s", SELL, 5, 100), order("b", BUY, 3, 100)]
        assert told(matcher().match(bar(), live))[0] == ("s", SELF_TRADE_PREVENTED, 0)
        live = [order("s", SELL, 5, 100), order("p", BUY, 3, 100, POST_ONLY)]
        assert told(matcher().match(bar(), live))[0] == ("p", POST_ONLY_WOULD_TAKE, 0)

    def test_two_that_rest_across_each_other_do_not_trade(self) -> None:
        rules = BookMatcher(seed=1, steps=4, spread_ticks=6)
        live = [order("b", BUY, 5, 101, resting=True), order("s", SELL, 5, 99, resting=True)]
        assert rules.match(bar(100, 100, 100, 100, 0), live) == []
        assert ("b" in rules.book(BTC), "s" in rules.book(BTC)) == (True, False)


class TestBackground:
    def test_quotes_stay_within_the_bar_widened_by_the_spread(self) -> None:
        quotes = matcher(levels=50).quotes(bar(), 1, 90)
        assert [price for price, _ in quotes.bids] == [89, 88]
        assert [price for price, _ in quotes.asks] == list(range(91, 108))

    def test_sizes_are_even_give_or_take_half(self) -> None:
        sizes = [lots for k in range(4) for _, lots in matcher(depth_bps=5_000, levels=5).quotes(bar(), k, 97).bids]
        assert all(200 <= lots <= 600 for lots in sizes)
        assert len(set(sizes)) > 10

    def test_a_few_lots_stand_at_the_best_prices(self) -> None:
        quotes = BookMatcher(seed=1, levels=10, depth_bps=1_000).quotes(bar(volume=25), 0, 97)
        assert [price for price, _ in quotes.bids] == [97, 96]
        assert [price for price, _ in quotes.asks] == [98, 99]

    def test_a_bar_can_be_played_again(self) -> None:
        rules = matcher()
        assert told(rules.match(bar(), [order("m", BUY, 400)])) == told(rules.match(bar(), [order("m", BUY, 400)])) != []

    def test_seed_instrument_bar_and_print_each_matter(self) -> None:
        base = matcher(levels=3).quotes(bar(), 0, 100)
        assert base == matcher(levels=3).quotes(bar(), 0, 100)
        other = BarClosed(60 * S, "bybit-linear:ETHUSDT", 0, 100, 105, 90, 95, 4_000)
        for quotes in (
            matcher(levels=3, seed=8).quotes(bar(), 0, 100),
            matcher(levels=3).quotes(bar(), 1, 100),
            matcher(levels=3).quotes(bar(number=2), 0, 100),
            matcher(levels=3).quotes(other, 0, 100),
        ):
            assert quotes != base

    def test_no_quote_below_one_tick(self) -> None:
        assert matcher().quotes(bar(1, 2, 1, 1), 0, 1).bids == ()

    def test_the_mixer_is_splitmix64(self) -> None:
        gamma = 0x9E3779B97F4A7C15  # first two outputs of the published generator for seed 0
        assert [_mix(gamma), _mix(2 * gamma & (1 << 64) - 1)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]

    def test_the_book_stays_to_be_looked_at_and_forgets_on_request(self) -> None:
        rules = matcher()
        rules.match(bar(), [order("b", BUY, 5, 80)])
        assert isinstance(rules.book(BTC), OrderBook)
        assert (rules.book(BTC).best_bid_ticks(), rules.book(BTC).best_ask_ticks()) == (94, 96)
        assert "b" in rules.book(BTC)
        rules.forget("b")
        rules.forget("never-seen")
        assert "b" not in rules.book(BTC)


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("seed", -1),
            ("spread_ticks", 0),
            ("steps", 3),
            ("levels", 0),
            ("levels", 1_001),
            ("depth_bps", 10_001),
            ("participation_bps", 0.1),
        ],
    )
    def test_parameters(self, field: str, value: object) -> None:
        with pytest.raises(InvalidInput, match=field):
            BookMatcher(**{"seed": 1, field: value})  # type: ignore[arg-type]

    def test_trading_with_ourselves(self) -> None:
        with pytest.raises(InvalidInput, match="self_trade"):
            matcher(self_trade=SelfTrade.ALLOW)

    @pytest.mark.parametrize(
        ("broken", "match"),
        [
            (bar(o=106), "open 106"),
            (bar(low=0), "low 0"),
            (bar(volume=-1), "volume_lots is -1"),
            (BarClosed(60, BTC, 60, 1, 1, 1, 1, 1), "open_ts_ns is 60"),
            (BarClosed(60, BTC, 0, 1, float("nan"), 1, 1, 1), "high_ticks is nan"),  # type: ignore[arg-type]
        ],
    )
    def test_bars(self, broken: BarClosed, match: str) -> None:
        with pytest.raises(InvalidInput, match=match):
            matcher().match(broken, [])

    def test_orders_that_do_not_belong(self) -> None:
        foreign = BarClosed(60 * S, "bybit-linear:ETHUSDT", 0, 100, 105, 90, 95, 4_000)
        with pytest.raises(InvalidInput, match="BTCUSDT"):
            matcher().match(foreign, [order("b", BUY, 5, 80)])
        twice = order("b", BUY, 5, 80)
        with pytest.raises(InvalidInput, match="each once"):
            matcher().match(bar(), [twice, twice])
        with pytest.raises(InvalidInput, match="working orders"):
            matcher().match(bar(), [twice] * (WORKING_MAX + 1))
