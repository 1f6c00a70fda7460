"""Public calls of pybit's HTTP session, each compared with the exchange's own market."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from tests.conformance import truth
from tests.conformance.calls import Calls, Watched
from tests.conformance.loopback import BTC, ETH, RATE_E8, Desk

MARKET = Calls("pybit HTTP, market")
PAIR = {"category": "linear", "symbol": "BTCUSDT"}
CLOCKS_APART_S = 5.0


def rows(answer: dict[str, Any]) -> list[Any]:
    assert (answer["retCode"], answer["retExtInfo"]) == (0, {})
    listed = answer["result"]["list"]
    assert isinstance(listed, list)
    return listed


def numbers(row: list[str]) -> list[Decimal]:
    assert all(isinstance(text, str) for text in row)
    return [Decimal(text) for text in row]


@MARKET.check("get_server_time")
def the_time_is_the_walls(desk: Desk, client: Watched) -> None:
    answer = client.get_server_time()
    nanos = int(answer["result"]["timeNano"])
    assert abs(nanos / 1e9 - time.time()) < CLOCKS_APART_S
    assert answer["result"]["timeSecond"] == str(nanos // 10**9)
    assert abs(answer["time"] - nanos // 10**6) < CLOCKS_APART_S * 1_000


@MARKET.check("get_instruments_info")
def instruments_stand_on_the_grid_they_trade_on(desk: Desk, client: Watched) -> None:
    listed = rows(client.get_instruments_info(category="linear"))
    assert [row["symbol"] for row in listed] == ["BTCUSDT", "ETHUSDT"]
    for row in listed:
        spec = desk.exchange.specs[row["symbol"]]
        truth.assert_same(
            row, {"baseCoin": spec.base, "quoteCoin": "USDT", "settleCoin": "USDT", "status": "Trading", "fundingInterval": 480}
        )
        truth.assert_same(row["priceFilter"], {"tickSize": spec.tick_size, "maxPrice": truth.price(spec, spec.price_max_ticks)})
        lots = {
            "qtyStep": 1, "minOrderQty": spec.order_qty_min_lots, "maxOrderQty": spec.order_qty_max_lots,
            "maxMktOrderQty": spec.market_qty_max_lots,
        }  # fmt: skip
        truth.assert_same(row["lotSizeFilter"], {name: truth.qty(spec, count) for name, count in lots.items()})
        truth.assert_same(row["lotSizeFilter"], {"minNotionalValue": truth.money(spec.notional_min_e8)})
        truth.assert_same(row["leverageFilter"], {"maxLeverage": Decimal(spec.leverage_max_e2) / 100, "minLeverage": Decimal(1)})


@MARKET.check("get_kline")
def klines_are_the_venues_newest_first(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    for interval, limit in (("1", 7), ("5", 3), ("D", 1)):
        told = rows(client.get_kline(**PAIR, interval=interval, limit=limit))
        held = desk.exchange.ask(lambda venue, i=interval, n=limit: venue.klines(BTC, i, n))
        assert [numbers(row) for row in told] == [truth.kline(row, spec) for row in held]
        assert len(told) == limit
    start, end = (truth.ms(held_row.start_ns) for held_row in desk.exchange.ask(lambda venue: venue.klines(BTC, "1", 6))[:-3:-1])
    assert [int(row[0]) for row in rows(client.get_kline(**PAIR, interval="1", start=start, end=end))] == [end, start]


def _five_columns(desk: Desk, answer: dict[str, Any], price: str) -> None:
    """Minute by minute, without volume, ending at the price that the ticker tells."""
    told = [numbers(row) for row in rows(answer)]
    held = desk.exchange.ask(lambda venue: (venue.klines(BTC, "1", 5), venue.ticker(BTC)))
    assert [row[0] for row in told] == [truth.ms(row.start_ns) for row in held[0]]
    assert {len(row) for row in told} == {5}
    assert told[0][4] == truth.ticker(held[1], desk.exchange.specs["BTCUSDT"])[price]


@MARKET.check("get_mark_price_kline")
def mark_klines_follow_the_mark(desk: Desk, client: Watched) -> None:
    _five_columns(desk, client.get_mark_price_kline(**PAIR, interval="1", limit=5), "markPrice")


@MARKET.check("get_index_price_kline")
def index_klines_follow_the_index(desk: Desk, client: Watched) -> None:
    _five_columns(desk, client.get_index_price_kline(**PAIR, interval="1", limit=5), "indexPrice")


@MARKET.check("get_premium_index_price_kline")
def premium_klines_are_fractions(desk: Desk, client: Watched) -> None:
    told = [numbers(row) for row in rows(client.get_premium_index_price_kline(**PAIR, interval="1", limit=5))]
    assert len(told) == 5
    assert all(abs(share) < Decimal("0.01") for row in told for share in row[1:])


@MARKET.check("get_orderbook")
def the_book_is_the_venues_level_by_level(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["ETHUSDT"]
    book = client.get_orderbook(category="linear", symbol="ETHUSDT", limit=40)["result"]
    held = desk.exchange.ask(lambda venue: venue.depth(ETH, 40))
    for told, levels in ((book["b"], held.bids), (book["a"], held.asks)):
        assert [numbers(level) for level in told] == [[truth.price(spec, ticks), truth.qty(spec, lots)] for ticks, lots in levels]
        assert len(told) == 40
    assert (book["s"], book["u"], book["seq"], book["ts"]) == ("ETHUSDT", held.update, held.seq, truth.ms(held.ts_ns))


@MARKET.check("get_tickers")
def tickers_are_the_venues(desk: Desk, client: Watched) -> None:
    held = desk.exchange.ask(lambda venue: {"BTCUSDT": venue.ticker(BTC), "ETHUSDT": venue.ticker(ETH)})
    listed = rows(client.get_tickers(category="linear"))
    assert {row["symbol"] for row in listed} == set(held)
    for row in listed:
        truth.assert_same(row, truth.ticker(held[row["symbol"]], desk.exchange.specs[row["symbol"]]))


@MARKET.check("get_funding_rate_history")
def fundings_are_those_that_were_settled(desk: Desk, client: Watched) -> None:
    told = rows(client.get_funding_rate_history(**PAIR))
    held = desk.exchange.ask(lambda venue: venue.funding_history(BTC, 200))
    assert [(row["fundingRateTimestamp"], Decimal(row["fundingRate"])) for row in told] == [
        (str(truth.ms(row.ts_ns)), truth.money(row.rate_e8)) for row in held
    ]
    assert told[-1]["fundingRate"] == str(truth.money(RATE_E8).normalize())


@MARKET.check("get_public_trade_history")
def trades_are_the_venues_newest_first(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    told = rows(client.get_public_trade_history(**PAIR, limit=12))
    held = desk.exchange.ask(lambda venue: venue.recent_trades(BTC, 12))
    assert len(told) == 12
    for row, trade in zip(told, held, strict=True):
        truth.assert_same(row, {**truth.trade(trade, spec), "isBlockTrade": False, "isRPITrade": False})


@MARKET.check("get_open_interest")
def open_interest_counts_both_sides(desk: Desk, client: Watched) -> None:
    told = rows(client.get_open_interest(**PAIR, intervalTime="5min", limit=3))
    stamps = [int(row["timestamp"]) for row in told]
    assert [newer - older for newer, older in zip(stamps, stamps[1:], strict=False)] == [300_000] * (len(stamps) - 1)
    for row in told:
        assert Decimal(row["singleOpenInterest"]) == (Decimal(row["openInterest"]) / 2).quantize(Decimal("0.001"))


@MARKET.check("get_risk_limit")
def margin_tiers_ascend_as_fractions(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    told = rows(client.get_risk_limit(**PAIR))
    assert [row["id"] for row in told] == list(range(1, len(spec.tiers) + 1))
    for row, tier in zip(told, spec.tiers, strict=True):
        expected = {
            "riskLimitValue": truth.money(tier.notional_max_e8), "maintenanceMargin": truth.money(tier.maintenance_rate_e8),
            "mmDeduction": truth.money(tier.deduction_e8), "maxLeverage": Decimal(tier.leverage_max_e2) / 100,
        }  # fmt: skip
        truth.assert_same(row, {**expected, "symbol": "BTCUSDT", "isLowestRisk": int(row["id"] == 1)})


@MARKET.check("get_price_limit")
def price_limits_are_the_venues(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    bounds = desk.exchange.ask(lambda venue: venue.price_limits(BTC))
    assert bounds is not None
    told = client.get_price_limit(**PAIR)["result"]
    highest, lowest = truth.price(spec, bounds.buy_max_ticks), truth.price(spec, bounds.sell_min_ticks)
    truth.assert_same(told, {"symbol": "BTCUSDT", "buyLmt": highest, "sellLmt": lowest})


@MARKET.check("get_system_status")
def nothing_is_being_maintained(desk: Desk, client: Watched) -> None:
    assert rows(client.get_system_status()) == []


@MARKET.check("get_announcement")
def nothing_is_announced(desk: Desk, client: Watched) -> None:
    assert rows(client.get_announcement(locale="en-US")) == []
