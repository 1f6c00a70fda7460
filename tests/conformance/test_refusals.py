"""Refusals, as each client's own kinds of error; signatures over awkward texts; lists of more than one page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from tests.conformance.ccxt_client import PAIR, pro, rest
from tests.conformance.loopback import PATIENCE_S, Desk
from tests.conformance.pybit_client import http
from tests.conformance.pybit_market_calls import PAIR as BTCUSDT
from tests.conformance.pybit_market_calls import rows

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.venues.exchange.auth import signature
from kedge.venues.exchange.routes import Permission

LIMIT = {**BTCUSDT, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59900"}
NO_RETRY = {"max_retries": 1}


def pybit_code(desk: Desk, ask: Callable[[Any], Any], key: str = "", secret: str = "") -> int:
    """The code of pybit's own error."""
    with http(desk.exchange.url, key or desk.key.key, secret or desk.key.secret, **NO_RETRY) as session:
        session.retry_codes = {0}
        with pytest.raises(InvalidRequestError) as refused:
            ask(session)
    return int(refused.value.status_code)


PYBIT_REFUSALS: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "more than the wallet can carry": (110007, lambda s: s.place_order(**{**LIMIT, "qty": "90"})),
    "an order that is not there": (110001, lambda s: s.cancel_order(**BTCUSDT, orderId="no-such-order")),
    "an amendment of an order that is not there": (110001, lambda s: s.amend_order(**BTCUSDT, orderLinkId="nobody", qty="1")),
    "a price off the grid": (110003, lambda s: s.place_order(**{**LIMIT, "price": "59900.05"})),
    "a quantity of nothing": (10001, lambda s: s.place_order(**{**LIMIT, "qty": "0"})),
    "an unknown symbol": (10001, lambda s: s.get_tickers(category="linear", symbol="NOUSDT")),
    "the other position mode": (10001, lambda s: s.place_order(**LIMIT, positionIdx=1)),
    "reducing what is not held": (110017, lambda s: s.place_order(**{**LIMIT, "reduceOnly": True})),
    "the leverage that is set": (110043, lambda s: s.set_leverage(**BTCUSDT, buyLeverage="10", sellLeverage="10")),
    "the position mode that is set": (110025, lambda s: s.switch_position_mode(**BTCUSDT, mode=0)),
    "isolated margin": (100028, lambda s: s.switch_margin_mode(**BTCUSDT, tradeMode=1, buyLeverage="5", sellLeverage="5")),
    "no symbol and no coin": (10001, lambda s: s.get_open_orders(category="linear")),
}


@pytest.mark.parametrize("what", PYBIT_REFUSALS)
def test_pybit_raises_the_venues_code(what: str, desk: Desk) -> None:
    code, ask = PYBIT_REFUSALS[what]
    assert pybit_code(desk, ask) == code


def test_pybit_names_a_repeated_client_id_by_its_code(desk: Desk) -> None:
    desk.place(Side.BUY, 10, 599_000, link_id="mine")
    assert pybit_code(desk, lambda session: session.place_order(**LIMIT, orderLinkId="mine")) == 110072


def test_pybit_tells_wrong_keys_and_signatures_apart(desk: Desk) -> None:
    assert pybit_code(desk, lambda session: session.get_positions(**BTCUSDT), secret="NOT-THE-SECRET") == 10004
    assert pybit_code(desk, lambda session: session.get_positions(**BTCUSDT), key="NOBODY") == 10003


def test_pybit_tells_permissions_addresses_and_expiry_apart(desk: Desk) -> None:
    reading, elsewhere = desk.exchange.desk(read_only=True), desk.exchange.desk(ips=("203.0.113.7",))
    ended = desk.exchange.desk(expires_ns=1)
    positions_only = desk.exchange.desk(permissions=frozenset({Permission.POSITION}))
    assert pybit_code(reading, lambda session: session.place_order(**LIMIT)) == 10005
    assert pybit_code(positions_only, lambda session: session.place_order(**LIMIT)) == 10005
    assert pybit_code(elsewhere, lambda session: session.get_positions(**BTCUSDT)) == 10010
    assert pybit_code(ended, lambda session: session.get_positions(**BTCUSDT)) == 33004


def test_a_path_that_nobody_serves_is_an_http_error_of_pybit(desk: Desk) -> None:
    with (
        http(desk.exchange.url, desk.key.key, desk.key.secret, **NO_RETRY) as session,
        pytest.raises(FailedRequestError, match="ErrCode: 404"),
    ):
        session.get_insurance(coin="USDT")


def test_pybit_waits_out_a_rate_limit_by_what_the_reply_says(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It reads from the headers when the budget is free again, sleeps, and repeats the same order."""
    with http(desk.exchange.url, desk.key.key, desk.key.secret, return_response_headers=True) as session:
        desk.exhaust("order.create", 10, ms=1_300)
        _, _, headers = session.place_order(**LIMIT)
    assert "Too many visits" in caplog.text
    assert len(desk.rows("open_orders")) == 1
    assert (headers["X-Bapi-Limit"], headers["X-Bapi-Limit-Status"]) == ("10", "9")


def ccxt_refusals() -> dict[str, tuple[str, Callable[[Any], Any]]]:
    return {
        "more than the wallet can carry": ("InsufficientFunds", lambda c: c.create_order(PAIR, "limit", "buy", 90, 59_900)),
        "an order that is not there": ("OrderNotFound", lambda c: c.cancel_order("no-such-order", PAIR)),
        "a fetched order that is not there": ("OrderNotFound", lambda c: c.fetch_order("nobody", PAIR, {"acknowledged": True})),
        "reducing what is not held": ("InvalidOrder", lambda c: c.create_order(PAIR, "market", "sell", 1, None, {"reduceOnly": True})),
        "the position mode that is set": ("NoChange", lambda c: c.set_position_mode(False, PAIR)),
        "the leverage that is set": ("BadRequest", lambda c: c.set_leverage(10, PAIR)),
        "an unknown symbol": ("BadSymbol", lambda c: c.public_get_v5_market_tickers({"category": "linear", "symbol": "NOUSDT"})),
        "a path that nobody serves": ("BadRequest", lambda c: c.fetch_long_short_ratio_history(PAIR, "5m")),
    }


@pytest.mark.parametrize("what", ccxt_refusals())
def test_ccxt_raises_its_own_kind_of_error(what: str, desk: Desk) -> None:
    import ccxt

    kind, ask = ccxt_refusals()[what]
    with rest(desk.exchange.url, desk.key.key, desk.key.secret) as client, pytest.raises(getattr(ccxt, kind)):
        ask(client)


def ccxt_error(desk: Desk, key: str = "", secret: str = "", *, first: Callable[[], None] = lambda: None, **config: Any) -> str:
    """The kind of error that creating an order ends with; `first` is called right before."""
    import ccxt

    with rest(desk.exchange.url, key or desk.key.key, secret or desk.key.secret, **config) as client:
        client.options["enableUnifiedAccount"], client.options["enableUnifiedMargin"] = True, False
        client.load_markets()
        first()
        with pytest.raises(ccxt.BaseError) as refused:
            client.create_order(PAIR, "limit", "buy", 0.01, 59_900)
    return type(refused.value).__name__


def test_ccxt_tells_keys_permissions_and_limits_apart(desk: Desk) -> None:
    reading, elsewhere = desk.exchange.desk(read_only=True), desk.exchange.desk(ips=("203.0.113.7",))
    linear = {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}
    assert ccxt_error(desk, secret="NOT-THE-SECRET", has={"fetchCurrencies": False}, options=linear) == "AuthenticationError"
    assert ccxt_error(desk, key="NOBODY", has={"fetchCurrencies": False}, options=linear) == "AuthenticationError"
    assert ccxt_error(reading) == "PermissionDenied"
    assert ccxt_error(elsewhere, has={"fetchCurrencies": False}, options=linear) == "PermissionDenied"
    assert ccxt_error(desk, first=lambda: desk.exhaust("order.create", 10, ms=1_900)) == "RateLimitExceeded"


def test_a_request_of_another_time_is_refused_by_name(desk: Desk) -> None:
    """ccxt can be told its clock's difference; 20 seconds behind is outside of every window that it asks for."""
    assert ccxt_error(desk, has={"fetchCurrencies": False}, options={"fetchMarkets": {"types": ["linear"]}, "timeDifference": 20_000}) == (
        "InvalidNonce"
    )


def test_ccxt_pro_raises_its_own_kind_of_error_over_the_trade_socket(desk: Desk) -> None:
    import ccxt.pro

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), pro(desk.exchange.url, desk.key.key, desk.key.secret) as client:
            with pytest.raises(ccxt.InsufficientFunds):
                await client.create_order_ws(PAIR, "limit", "buy", 90, 59_900)
            with pytest.raises(ccxt.OrderNotFound):
                await client.cancel_order_ws("no-such-order", PAIR)
            with pytest.raises(ccxt.InvalidOrder):
                await client.create_order_ws(PAIR, "market", "sell", 1, None, {"reduceOnly": True})

    asyncio.run(body())


def test_ccxt_pro_learns_that_its_key_is_wrong(desk: Desk) -> None:
    import ccxt.pro

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), pro(desk.exchange.url, desk.key.key, desk.key.secret) as client:
            client.secret = "NOT-THE-SECRET"
            with pytest.raises(ccxt.AuthenticationError):
                await client.create_order_ws(PAIR, "limit", "buy", 1, 59_900)

    asyncio.run(body())


AWKWARD = ("a b", "pipe|pipe", 'quote"quote', "per%20cent", "amp%26amp", "plus+plus", "ünïcode", "semi;colon", "{brace}")


@pytest.mark.parametrize("text", AWKWARD)
def test_a_signature_covers_the_query_as_it_travels(text: str, desk: Desk) -> None:
    """Whoever signs what is sent, after any escaping, is understood; the text names no order, so nothing is found."""
    url = requests.Request("GET", f"{desk.exchange.url}/v5/order/realtime?symbol=BTCUSDT&orderLinkId={text}&category=linear").prepare().url
    assert url is not None
    stamp = str(desk.exchange.clock.wall_ns() // 1_000_000)
    signed = signature(desk.key.secret_bytes, f"{stamp}{desk.key.key}5000{url.partition('?')[2]}".encode())
    headers = {"X-BAPI-API-KEY": desk.key.key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000", "x-bapi-sign": signed}
    with requests.get(url, headers=headers, timeout=PATIENCE_S) as answer:
        assert (answer.status_code, answer.json()["retCode"], answer.json()["result"]["list"]) == (200, 0, [])


@pytest.mark.parametrize("text", ["per%20cent", "plus+plus", "semi;colon", "page_token%3D0%26"])
def test_pybit_signs_what_it_sends_for_texts_that_need_no_escaping(text: str, desk: Desk) -> None:
    with http(desk.exchange.url, desk.key.key, desk.key.secret) as session:
        assert rows(session.get_open_orders(**BTCUSDT, orderLinkId=text)) == []


def test_pybit_pages_through_every_list_to_its_end(desk: Desk) -> None:
    placed = [desk.place(Side.BUY, 10, 599_000 - n).order_id for n in range(7)]
    for _ in range(5):
        desk.place(Side.BUY, 10)
        desk.place(Side.SELL, 10)
    with http(desk.exchange.url, desk.key.key, desk.key.secret) as session:

        def pages(ask: Callable[..., dict[str, Any]], name: str, **wish: Any) -> list[str]:
            found, cursor, seen = [], "", set()
            while True:
                answer = ask(**wish, limit=3, **({"cursor": cursor} if cursor else {}))
                found += [row[name] for row in rows(answer)]
                cursor = answer["result"]["nextPageCursor"]
                assert cursor not in seen
                seen.add(cursor)
                if not cursor:
                    return found

        assert pages(session.get_open_orders, "orderId", **BTCUSDT) == placed[::-1]
        assert pages(session.get_executions, "execId", category="linear") == [row.exec_id for row in desk.rows("executions")]
        assert pages(session.get_order_history, "orderId", category="linear") == [row.order_id for row in desk.rows("order_history")]
        assert pages(session.get_closed_pnl, "orderId", category="linear") == [row.order_id for row in desk.rows("closed_pnl")]
        balances = [row["cashBalance"] for row in rows(session.get_transaction_log(category="linear", limit=50))]
        assert pages(session.get_transaction_log, "cashBalance", category="linear") == balances


def test_ccxt_pages_by_itself_to_the_end(desk: Desk) -> None:
    placed = {desk.place(Side.BUY, 10, 599_000 - n).order_id for n in range(53)}
    with rest(desk.exchange.url, desk.key.key, desk.key.secret) as client:
        found = client.fetch_open_orders(PAIR, params={"paginate": True, "maxEntriesPerRequest": 10})
        assert {order["id"] for order in found} == placed
        assert len(found) == 53


def test_a_growing_watch_list_is_refused_whole_as_the_venue_does(desk: Desk) -> None:
    """ccxt.pro repeats topics that it has; the venue turns down the whole request, so the new symbol stays silent."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_S), pro(desk.exchange.url) as client:
            await client.watch_ticker(PAIR)
            growing = asyncio.ensure_future(client.watch_tickers([PAIR, "ETH/USDT:USDT"]))
            await asyncio.to_thread(desk.exchange.until_told, "tickers.BTCUSDT")
            desk.exchange.price("BTCUSDT", 600_020, after_ns=NS_PER_S)
            assert set(await growing) == {PAIR}
            assert "ETH/USDT:USDT" not in client.tickers

    asyncio.run(body())
