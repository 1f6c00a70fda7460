"""What the second client makes of a wire that lies: other addresses, pages instead of answers, clocks that run away, logs that talk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.conformance.loopback import BTC, Loopback, running
from tests.conformance.venue_worlds import told

from kedge.domain.errors import InvalidInput, VenueUnavailable
from kedge.domain.events import OrderFilled
from kedge.domain.orders import Liquidity, Side
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import StreamDown, StreamUp, Unanswered
from kedge.services.lookup import LookupPace
from kedge.venues.ccxt.client import RECV_WINDOW_MS, CcxtClient
from kedge.venues.ccxt.failures import is_proof
from kedge.venues.ccxt.numbers import UnreadableAnswer, readable
from kedge.venues.ccxt.polling import AccountWatch
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.ccxt.venue import CcxtVenue

ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001", "orderLinkId": "a"}
Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(answers: Answers) -> AsyncIterator[str]:
    """Somebody on this machine who answers everything so; its address."""
    runner = web.AppRunner(_app(answers))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _app(answers: Answers) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers)
    return app


@asynccontextmanager
async def client_at(url: str) -> AsyncIterator[CcxtClient]:
    wanted = CcxtSettings(exchange="bybit", instruments=(BTC,), mode=Mode.PAPER, url=url, paced=False)
    client = CcxtClient(wanted, Keys(api_key="KEY-OF-OURS", api_secret="SECRET"))
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_signed_request_is_not_sent_on_to_another_address(status: int) -> None:
    elsewhere: list[str] = []

    async def strange(request: web.Request) -> web.Response:
        elsewhere.append(request.headers.get("X-BAPI-SIGN", ""))
        return web.json_response({"retCode": 0, "result": {"orderId": "1"}})

    async def test() -> None:
        async with served(strange) as other:

            async def sends_on(request: web.Request) -> web.Response:
                return web.Response(status=status, headers={"Location": other + request.path})

            async with served(sends_on) as url, client_at(url) as client:
                row, answer = await client.write("private_post_v5_order_create", ORDER)
                assert (row, type(answer)) == (None, Unanswered)
                with pytest.raises(VenueUnavailable, match="another address"):
                    await client.read("private_get_v5_position_list", {"category": "linear"})

    asyncio.run(test())
    assert elsewhere == []


@pytest.mark.parametrize("page", ["<html>all is well</html>", "", "{}", "[]", "null", '{"result":{}}'])
def test_a_page_that_names_no_order_is_no_answer(page: str) -> None:
    async def test() -> None:
        async def answers(_: web.Request) -> web.Response:
            return web.Response(text=page, content_type="application/json")

        async with served(answers) as url, client_at(url) as client:
            row, answer = await client.write("private_post_v5_order_create", ORDER)
            assert (row, type(answer)) == (None, Unanswered)

    asyncio.run(test())


def test_an_answer_is_proof_only_by_an_id_or_a_code() -> None:
    assert is_proof({"id": "7"})
    assert is_proof({"retCode": 0, "result": {}})
    assert is_proof({"retCode": "0"})
    for row in ({"id": None}, {"id": ""}, {}, None, "ok", {"retCode": 10_001}, {"result": {"orderId": "7"}}):
        assert not is_proof(row)


def test_a_request_lives_no_longer_than_the_proof_of_absence_waits_and_no_log_shows_its_key(caplog: pytest.LogCaptureFixture) -> None:
    heads: list[str] = []

    async def answers(request: web.Request) -> web.Response:
        heads.append(request.headers["X-BAPI-RECV-WINDOW"])
        return web.json_response({"retCode": 0, "result": {"orderId": "1"}})

    async def test() -> None:
        async with served(answers) as url, client_at(url) as client:
            row, _ = await client.write("private_post_v5_order_create", ORDER)
            assert row["result"] == {"orderId": "1"}

    with caplog.at_level(logging.DEBUG):
        asyncio.run(test())
    assert heads == [str(RECV_WINDOW_MS)]
    assert LookupPace().recv_window_ns >= RECV_WINDOW_MS * 1_000_000
    assert "KEY-OF-OURS" not in caplog.text


def test_an_answer_of_another_shape_is_refused_by_name_and_what_is_known_stays_what_it_is() -> None:
    @readable
    async def asks(error: Exception) -> None:
        raise error

    for error in (KeyError("orderLinkId"), IndexError("list"), ValueError("x"), TypeError("y"), AttributeError("z")):
        with pytest.raises(UnreadableAnswer, match="asks: "):
            asyncio.run(asks(error))
    with pytest.raises(InvalidInput):
        asyncio.run(asks(InvalidInput("no such thing", why="so", fix="else")))


def test_a_fill_that_is_listed_late_at_the_start_is_told_once() -> None:
    watch, now_ns = AccountWatch(), 1_000 * NS_PER_S
    fill = OrderFilled(now_ns - NS_PER_S, "e1", "a", BTC, Side.BUY, 1, 600_000, 5, Liquidity.TAKER, 0)
    watch.begin([], [], now_ns)
    assert watch.since_ns < fill.ts_ns
    assert watch.executions([fill]) == [fill]
    assert watch.executions([fill]) == []


@pytest.fixture(scope="module")
def exchange() -> Iterator[Loopback]:
    with running() as found:
        yield found


def test_a_clock_that_was_put_elsewhere_is_measured_again(exchange: Loopback) -> None:
    desk = exchange.desk()

    async def test() -> None:
        keys = Keys(api_key=desk.key.key, api_secret=desk.key.secret)
        wanted = CcxtSettings(exchange="bybit", instruments=(BTC,), mode=Mode.PAPER, url=exchange.url, poll_s=0.02, paced=False)
        venue = CcxtVenue(wanted, keys)
        try:
            await venue.start()
            await told(venue, StreamUp, until=lambda seen: len(seen) == 2)
            exchange.clock.skew_ns = -20 * NS_PER_S
            news = await told(venue, StreamDown, StreamUp, until=lambda seen: len(seen) == 4)
            assert [type(one) for one in news] == [StreamDown, StreamDown, StreamUp, StreamUp]
            assert await venue.open_orders() == []
        finally:
            exchange.clock.skew_ns = 0
            await venue.close()

    asyncio.run(test())
    desk.leave()
