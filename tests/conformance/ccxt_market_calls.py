"""Public calls of ccxt's REST client, each compared with the exchange's own market."""

from __future__ import annotations

import time
from decimal import Decimal

from tests.conformance import truth, truth_ccxt
from tests.conformance.calls import Calls, Watched
from tests.conformance.ccxt_client import ETHER, PAIR, rest
from tests.conformance.loopback import BTC, ETH, RATE_E8, Desk

MARKET = Calls("ccxt REST, market")
CLOCKS_APART_MS = 5_000


@MARKET.check("load_markets")
def all_categories_are_asked_for_and_linear_ones_found(desk: Desk, client: Watched) -> None:
    """With the client's own defaults: spot, linear, inverse and option markets, listed and pre-launched."""
    with rest(desk.exchange.url, desk.key.key, desk.key.secret, options={}) as plain:
        assert sorted(plain.load_markets()) == [PAIR, ETHER]
    market = client.load_markets()[PAIR]
    spec = desk.exchange.specs["BTCUSDT"]
    truth_ccxt.assert_same(market["precision"], {"amount": spec.lot_size, "price": spec.tick_size})
    truth_ccxt.assert_same(market["limits"]["leverage"], {"max": Decimal(spec.leverage_max_e2) / 100})
    amounts = {"min": truth.qty(spec, spec.order_qty_min_lots), "max": truth.qty(spec, spec.order_qty_max_lots)}
    truth_ccxt.assert_same(market["limits"]["amount"], amounts)
    truth_ccxt.assert_same(market, {"linear": True, "swap": True, "active": True, "contractSize": Decimal(1), "settle": "USDT"})


@MARKET.check("fetch_time")
def the_time_is_the_walls(desk: Desk, client: Watched) -> None:
    assert abs(client.fetch_time() - time.time() * 1_000) < CLOCKS_APART_MS


@MARKET.check("fetch_status")
def the_exchange_is_well(desk: Desk, client: Watched) -> None:
    assert client.fetch_status()["status"] == "ok"


@MARKET.check("fetch_currencies")
def there_is_one_currency(desk: Desk, client: Watched) -> None:
    assert list(client.fetch_currencies()) == ["USDT"]


@MARKET.check("fetch_ticker")
def a_ticker_is_the_venues(desk: Desk, client: Watched) -> None:
    held = desk.exchange.ask(lambda venue: venue.ticker(BTC))
    truth_ccxt.assert_same(client.fetch_ticker(PAIR), truth_ccxt.ticker(held, desk.exchange.specs["BTCUSDT"]))


@MARKET.check("fetch_tickers")
def all_tickers_are_the_venues(desk: Desk, client: Watched) -> None:
    found = client.fetch_tickers()
    assert set(found) == {PAIR, ETHER}
    held = desk.exchange.ask(lambda venue: venue.ticker(ETH))
    truth_ccxt.assert_same(found[ETHER], truth_ccxt.ticker(held, desk.exchange.specs["ETHUSDT"]))


@MARKET.check("fetch_bids_asks")
def the_best_prices_are_the_venues(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    held = desk.exchange.ask(lambda venue: venue.depth(BTC, 1))
    best = {"bid": truth.price(spec, held.bids[0][0]), "ask": truth.price(spec, held.asks[0][0])}
    truth_ccxt.assert_same(client.fetch_bids_asks([PAIR])[PAIR], best)


@MARKET.check("fetch_order_book")
def the_book_is_the_venues_level_by_level(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    found = client.fetch_order_book(PAIR, 30)
    held = desk.exchange.ask(lambda venue: venue.depth(BTC, 30))
    assert found["bids"] == truth_ccxt.levels(held.bids, spec)
    assert found["asks"] == truth_ccxt.levels(held.asks, spec)
    assert (len(found["bids"]), found["timestamp"]) == (30, truth.ms(held.ts_ns))


@MARKET.check("fetch_ohlcv")
def candles_are_the_venues_oldest_first(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    held = desk.exchange.ask(lambda venue: venue.klines(BTC, "1", 20))
    candles = [[float(number) for number in truth.kline(row, spec)[:6]] for row in reversed(held)]
    assert client.fetch_ohlcv(PAIR, "1m", limit=20) == candles
    since = truth.ms(held[9].start_ns)
    assert client.fetch_ohlcv(PAIR, "1m", since=since, limit=4) == candles[10:14]


@MARKET.check("fetch_mark_ohlcv")
def mark_candles_are_told(desk: Desk, client: Watched) -> None:
    found = client.fetch_mark_ohlcv(PAIR, "1m", limit=3)
    assert found[-1][4] == float(truth.money(desk.exchange.ask(lambda venue: venue.ticker(BTC)).mark_e8))


@MARKET.check("fetch_index_ohlcv")
def index_candles_are_told(desk: Desk, client: Watched) -> None:
    found = client.fetch_index_ohlcv(PAIR, "1m", limit=3)
    assert found[-1][4] == float(truth.money(desk.exchange.ask(lambda venue: venue.ticker(BTC)).index_e8))


@MARKET.check("fetch_premium_index_ohlcv")
def premium_candles_are_told(desk: Desk, client: Watched) -> None:
    assert all(abs(share) < 0.01 for candle in client.fetch_premium_index_ohlcv(PAIR, "1m", limit=3) for share in candle[1:5])


@MARKET.check("fetch_trades")
def public_trades_are_the_venues_oldest_first(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    held = list(reversed(desk.exchange.ask(lambda venue: venue.recent_trades(BTC, 9))))
    found = client.fetch_trades(PAIR, limit=9)
    assert [trade["id"] for trade in found] == [row.trade_id for row in held]
    for trade, row in zip(found, held, strict=True):
        numbers = {"price": truth.price(spec, row.price_ticks), "amount": truth.qty(spec, row.qty_lots), "timestamp": truth.ms(row.ts_ns)}
        truth_ccxt.assert_same(trade, {**numbers, "side": truth.side(row.side).lower(), "symbol": PAIR})


@MARKET.check("fetch_funding_rate")
def the_funding_rate_is_the_one_to_be_settled(desk: Desk, client: Watched) -> None:
    held = desk.exchange.ask(lambda venue: venue.ticker(BTC))
    rates = {"fundingRate": truth.money(held.funding_rate_e8), "fundingTimestamp": truth.ms(held.next_funding_ns), "interval": "8h"}
    truth_ccxt.assert_same(client.fetch_funding_rate(PAIR), {**rates, "markPrice": truth.money(held.mark_e8)})


@MARKET.check("fetch_funding_rates")
def all_funding_rates_are_told(desk: Desk, client: Watched) -> None:
    assert {name: rate["fundingRate"] for name, rate in client.fetch_funding_rates().items()} == dict.fromkeys(
        (PAIR, ETHER), float(truth.money(RATE_E8))
    )


@MARKET.check("fetch_funding_rate_history")
def settled_fundings_are_the_venues(desk: Desk, client: Watched) -> None:
    held = reversed(desk.exchange.ask(lambda venue: venue.funding_history(BTC, 100)))
    assert [(row["timestamp"], row["fundingRate"]) for row in client.fetch_funding_rate_history(PAIR)] == [
        (truth.ms(row.ts_ns), float(truth.money(row.rate_e8))) for row in held
    ]


@MARKET.check("fetch_open_interest")
def open_interest_is_told(desk: Desk, client: Watched) -> None:
    assert client.fetch_open_interest(PAIR)["openInterestAmount"] >= 0


@MARKET.check("fetch_open_interest_history")
def past_open_interest_is_five_minutes_apart(desk: Desk, client: Watched) -> None:
    stamps = [row["timestamp"] for row in client.fetch_open_interest_history(PAIR, "5m", limit=3)]
    assert [later - earlier for earlier, later in zip(stamps, stamps[1:], strict=False)] == [300_000] * (len(stamps) - 1)


@MARKET.check("fetch_market_leverage_tiers")
def margin_tiers_ascend(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    floor = 0
    for found, tier in zip(client.fetch_market_leverage_tiers(PAIR), spec.tiers, strict=True):
        notional = {"minNotional": truth.money(floor), "maxNotional": truth.money(tier.notional_max_e8)}
        rates = {"maintenanceMarginRate": truth.money(tier.maintenance_rate_e8), "maxLeverage": Decimal(tier.leverage_max_e2) / 100}
        truth_ccxt.assert_same(found, {**notional, **rates})
        floor = tier.notional_max_e8


@MARKET.check("fetch_leverage_tiers")
def margin_tiers_of_all_are_told(desk: Desk, client: Watched) -> None:
    found = client.fetch_leverage_tiers([PAIR, ETHER])
    specs = desk.exchange.specs
    assert {name: len(tiers) for name, tiers in found.items()} == {
        truth_ccxt.symbol(specs[each]): len(specs[each].tiers) for each in ("BTCUSDT", "ETHUSDT")
    }
