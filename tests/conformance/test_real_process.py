"""`kedge exchange serve` as a process of its own, with a market that moves: clients that nobody here wrote share one account and agree."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.conformance.ccxt_client import PAIR, pro, rest
from tests.conformance.pybit_client import Heard, http, private_socket, trade_socket
from tests.conformance.pybit_market_calls import PAIR as BTCUSDT
from tests.conformance.pybit_market_calls import rows
from tests.integration.commands import environment

from kedge.ops.paper_keys import PaperKey, load_or_create_paper_keys
from kedge.venues.exchange.api_keys import ApiKey

STOP_S, PATIENCE_S = 60.0, 60.0


class Served(NamedTuple):
    """Where a process serves, and the key of its paper account."""

    url: str
    key: ApiKey


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One exchange, sixty times as fast as the clock; it waits for nobody, since nobody registers."""
    state: Path = tmp_path_factory.mktemp("exchange")
    market = ["--market", "synthetic", "--speed", "60", "--seed", "5", "--instrument", "BTCUSDT", "ETHUSDT"]
    options = [*market, "--port", "0", "--answer-delay", "10", "--state-dir", str(state), "--json"]
    command = [sys.executable, "-m", "kedge.apps.cli", "exchange", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, process.stderr.read() if process.stderr is not None else ""
            found: PaperKey = load_or_create_paper_keys(state)[0]
            yield Served(json.loads(said)["url"], ApiKey(key=found.api_key, secret=found.api_secret, account=found.account))
        finally:
            process.send_signal(signal.SIGTERM)
            _, complaint = process.communicate(timeout=STOP_S)
        assert (process.returncode, "Traceback" in complaint) == (0, False)


def price_below(session: Any, share: str) -> str:
    """A price on the grid below the last one, which moves."""
    last = Decimal(rows(session.get_tickers(**BTCUSDT))[0]["lastPrice"])
    return str((last * Decimal(share)).quantize(Decimal("0.1")))


@pytest.mark.slow
def test_an_order_passes_through_three_clients_and_each_tells_the_same(served: Served) -> None:
    """Created by ccxt, amended by pybit over HTTP, cancelled over its trade socket, watched on its private stream."""
    heard = Heard()
    with (
        http(served.url, served.key.key, served.key.secret) as session,
        rest(served.url, served.key.key, served.key.secret) as exchange,
        private_socket(served.url, served.key) as stream,
        trade_socket(served.url, served.key) as orders,
    ):
        stream.order_stream(heard)
        while heard.is_empty():
            # the stream says nothing when it is subscribed: orders are made until one is told
            exchange.create_order(PAIR, "limit", "buy", 0.01, float(price_below(session, "0.992")), {"postOnly": True})
        order_id = heard.next()["data"][0]["orderId"]
        session.amend_order(**BTCUSDT, orderId=order_id, qty="0.02")
        amended = heard.until(lambda message: message["data"][0]["orderId"] == order_id and message["data"][0]["qty"] == "0.020")
        unified = exchange.fetch_order(order_id, PAIR, {"acknowledged": True})
        assert (unified["status"], unified["amount"], unified["price"]) == ("open", 0.02, float(amended["data"][0]["price"]))
        gone = Heard()
        orders.cancel_order(gone, gone, **BTCUSDT, orderId=order_id)
        assert gone.next()["retCode"] == 0
        told = heard.until(lambda message: message["data"][0]["orderStatus"] == "Cancelled" and message["data"][0]["orderId"] == order_id)
        (listed,) = rows(session.get_open_orders(**BTCUSDT, orderId=order_id))
        assert {name: listed[name] for name in set(listed) & set(told["data"][0])} == {
            name: told["data"][0][name] for name in set(listed) & set(told["data"][0])
        }
        assert exchange.fetch_order(order_id, PAIR, {"acknowledged": True})["status"] == "canceled"
        exchange.cancel_all_orders(PAIR)


@pytest.mark.slow
def test_a_trade_is_told_alike_by_both_clients_and_the_books_balance(served: Served) -> None:
    with http(served.url, served.key.key, served.key.secret) as session, rest(served.url, served.key.key, served.key.secret) as exchange:
        opened = exchange.create_order(PAIR, "market", "buy", 0.25)["id"]
        closed = session.place_order(**BTCUSDT, side="Sell", orderType="Market", qty="0.25", reduceOnly=True)["result"]["orderId"]
        raw = {row["execId"]: row for row in rows(session.get_executions(**BTCUSDT)) if row["orderId"] in (opened, closed)}
        unified = {trade["id"]: trade for trade in exchange.fetch_my_trades(PAIR) if trade["order"] in (opened, closed)}
        assert set(raw) == set(unified)
        for name, row in raw.items():
            trade = unified[name]
            assert (trade["price"], trade["amount"], trade["fee"]["cost"]) == tuple(
                float(row[member]) for member in ("execPrice", "execQty", "execFee")
            )
        (earned,) = rows(session.get_closed_pnl(**BTCUSDT))
        assert earned["orderId"] == closed
        changes = sum(
            Decimal(row["change"]) for row in rows(session.get_transaction_log(category="linear")) if row["orderId"] in (opened, closed)
        )
        assert changes == Decimal(earned["closedPnl"])
        assert rows(session.get_positions(category="linear", settleCoin="USDT")) == []


@pytest.mark.slow
def test_a_moving_market_is_read_alike_by_both_clients(served: Served) -> None:
    """Candles that are over do not change any more, whoever asks and whenever."""
    with http(served.url) as session, rest(served.url) as exchange:
        raw = rows(session.get_kline(**BTCUSDT, interval="1", limit=3))
        while len(raw) < 3:
            raw = rows(session.get_kline(**BTCUSDT, interval="1", limit=3))
        over = raw[1]
        unified = {candle[0]: candle for candle in exchange.fetch_ohlcv(PAIR, "1m", limit=200)}
        assert unified[int(over[0])] == [int(over[0]), *(float(number) for number in over[1:6])]
        assert exchange.load_markets()[PAIR]["info"]["lotSizeFilter"] == rows(session.get_instruments_info(**BTCUSDT))[0]["lotSizeFilter"]


@pytest.mark.slow
def test_ccxt_pro_follows_a_moving_market(served: Served) -> None:
    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), pro(served.url, served.key.key, served.key.secret) as client:
            first = (await client.watch_ticker(PAIR))["timestamp"]
            while (await client.watch_ticker(PAIR))["timestamp"] <= first:
                pass
            start = (await client.watch_ohlcv(PAIR, "1m"))[-1][0]
            while (candles := await client.watch_ohlcv(PAIR, "1m"))[-1][0] == start:
                pass
            assert candles[-1][0] == start + 60_000
            book = await client.watch_order_book(PAIR)
            assert book["bids"][0][0] < book["asks"][0][0]

    import ccxt.pro  # noqa: F401 - it takes seconds, which are not the client's

    asyncio.run(body())
