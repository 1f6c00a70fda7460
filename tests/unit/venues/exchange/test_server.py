"""The whole exchange on one address: market, orders, sockets, lock-step, status and faults together."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.builders import MINUTE, T0, instrument, walk
from tests.unit.venues.exchange.played_market import ACCOUNT, KEY, eventually, run, signed

from kedge.domain.errors import InvalidInput
from kedge.domain.events import Event, InstrumentChanged
from kedge.domain.orders import OrderKind, Side
from kedge.domain.units import E8
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd, OrderRequest, VenueSettings
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.clocks import UNPACED_SPEED, PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.player import Player
from kedge.venues.exchange.prices_funding import FundingFeed
from kedge.venues.exchange.server import CONTROL_PATH, ExchangeServer
from kedge.venues.lockstep import LockStep

BTC = "bybit-linear:BTCUSDT"


def make_server(events: Iterable[Event], *, speed: int = UNPACED_SPEED, wait_for: int = 0, faults: bool = False) -> ExchangeServer:
    spec = instrument(BTC, base="BTC")
    venue = Venue([spec], VenueSettings(crowd=Crowd(levels=3)), T0)
    venue.open_account(ACCOUNT, 10_000 * E8, T0)
    clock = PlayClock(T0, speed)
    ordered = Faults(clock.wall_ns) if faults else None
    hall = Hall(venue, clock, [spec], speed=speed) if ordered is None else FaultyHall(venue, clock, [spec], speed=speed, faults=ordered)
    control = Control(speed, clock.venue_ns)
    player = Player(hall, clock, events, FundingFeed([], [spec], T0), control, steps=4, wait_for=wait_for)
    return ExchangeServer(hall, clock, ApiKeys([KEY]), player, control, source="test", faults=ordered)


@asynccontextmanager
async def serving(server: ExchangeServer) -> Any:
    """Yields a session whose base is the server's address."""
    port = await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            session.headers["X-Test"] = str(port)
            yield session
    finally:
        await server.close()


async def get(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        body: dict[str, Any] = await answer.json()
        return body


async def buy(session: aiohttp.ClientSession, link_id: str) -> dict[str, Any]:
    wall_ms = (await get(session, "/v5/market/time"))["time"]
    wish = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.100", "orderLinkId": link_id}
    body = json.dumps(wish)
    async with session.post("/v5/order/create", data=body, headers=signed(body, wall_ms)) as answer:
        found: dict[str, Any] = await answer.json()
        return found


def test_a_market_is_there_from_the_first_request_and_its_end_is_told() -> None:
    async def main() -> None:
        server = make_server(walk(1, 5, (BTC,)))
        async with serving(server) as session:
            tickers = await get(session, "/v5/market/tickers?category=linear&symbol=BTCUSDT")
            assert float(tickers["result"]["list"][0]["lastPrice"]) > 0
            await eventually(lambda: bool(server.status()["ended"]))
            status = await get(session, "/kedge/status")
            assert {
                name: status[name] for name in ("speed", "paced", "source", "instruments", "playing", "bars", "gaps", "ended", "clients")
            } == {
                "speed": UNPACED_SPEED,
                "paced": False,
                "source": "test",
                "instruments": ["BTCUSDT"],
                "playing": False,
                "bars": 5,
                "gaps": 0,
                "ended": True,
                "clients": [],
            }
            assert status["venue_ms"] == (T0 + 5 * MINUTE) // 1_000_000
            klines = await get(session, "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&limit=10")
            assert len(klines["result"]["list"]) >= 5

    run(main())


def test_the_status_answers_head_and_refuses_to_be_written() -> None:
    async def main() -> None:
        async with serving(make_server(walk(1, 2, (BTC,)))) as session:
            async with session.head("/kedge/status") as answer:
                assert answer.status == 200
            async with session.post("/kedge/status") as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
            async with session.get("/kedge/status", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403
            async with session.head("/v5/market/time") as answer:
                assert answer.status == 400
            async with session.get("/v5/market/time") as answer:  # on the same connection: nothing of the one before is in the way
                assert (await answer.json())["retCode"] == 0

    run(main())


def test_an_order_at_a_bar_stands_at_the_bar_s_time_and_the_market_waits_for_the_answer() -> None:
    async def main() -> None:
        server = make_server(walk(1, 3, (BTC,)), wait_for=1)
        async with serving(server) as session:
            step = LockStep(f"http://127.0.0.1:{session.headers['X-Test']}", "trader")
            await step.connect()
            bar = await step.next_bar()
            answer = await buy(session, "one")
            assert answer["retCode"] == 0, answer
            query = "category=linear&symbol=BTCUSDT"
            wall_ms = (await get(session, "/v5/market/time"))["time"]
            async with session.get(f"/v5/execution/list?{query}", headers=signed(query, wall_ms)) as listed:
                executions = (await listed.json())["result"]["list"]
            assert {int(one["execTime"]) for one in executions} == {bar.venue_ms}
            assert server.status()["bars"] == 1
            await step.acknowledge(bar.seq)
            assert (await step.next_bar()).seq == 2
            assert server.status()["clients"] == [{"name": "trader", "connected": True, "acked": 1}]
            await step.close()

    run(main())


def test_all_three_sockets_answer_and_are_counted() -> None:
    async def main() -> None:
        server = make_server(walk(1, 2, (BTC,)), wait_for=1)
        async with serving(server) as session:
            opened = [await session.ws_connect(path) for path in ("/v5/public/linear", "/v5/private", "/v5/trade")]
            await opened[0].send_json({"op": "subscribe", "args": ["tickers.BTCUSDT"]})
            assert (await opened[0].receive_json())["success"]
            for socket in opened[1:]:
                await socket.send_json({"op": "ping"})
                assert (await socket.receive_json())["op"] == "pong"
            assert (await get(session, "/kedge/status"))["connections"] == {"public": 1, "private": 1, "trade": 1}
            for socket in opened:
                await socket.close()

    run(main())


def test_faults_are_out_of_reach_unless_asked_for() -> None:
    async def main() -> None:
        async with serving(make_server(walk(1, 2, (BTC,)))) as session, session.get("/kedge/faults") as answer:
            assert answer.status == 404
            assert (await answer.json())["fix"] == "start it again with --faults"

    run(main())


def test_an_ordered_fault_hits_orders_and_cuts_sockets() -> None:
    async def main() -> None:
        server = make_server(walk(1, 2, (BTC,)), wait_for=1, faults=True)
        async with serving(server) as session:
            for fault in ({"fault": "timeout_after"}, {"fault": "duplicate_execution"}):
                async with session.post("/kedge/faults", json=fault) as answer:
                    assert answer.status == 200
            assert (await buy(session, "one"))["retCode"] == 10000
            assert (await buy(session, "one"))["retCode"] == 110072
            public, private = await session.ws_connect("/v5/public/linear"), await session.ws_connect("/v5/private")
            async with session.post("/kedge/faults", json={"fault": "cut", "stream": "public"}) as answer:
                assert answer.status == 200
            assert server.status()["connections"] == {"public": 0, "private": 1, "trade": 0}
            async with session.post("/kedge/faults", json={"fault": "clock_skew", "ms": 9_000}) as answer:
                assert answer.status == 200
            status = server.status()
            async with session.post("/kedge/faults", json={"fault": "maintenance"}) as answer:
                assert answer.status == 200
            assert server.status()["connections"]["private"] == 0
            assert status["wall_ms"] - 9_000 <= server.status()["wall_ms"]
            await public.close()
            await private.close()

    run(main())


def test_a_market_that_breaks_is_a_failure_and_the_status_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        changed = InstrumentChanged(T0 + 2 * MINUTE, instrument(BTC, tick_e8=20_000_000))
        server = make_server([*walk(1, 1, (BTC,)), changed])
        async with serving(server) as session:
            with pytest.raises(InvalidInput, match="changes its tick or lot"):
                await server.failure()
            status = await get(session, "/kedge/status")
            assert "changes its tick or lot" in status["paused_why"]
            assert not status["playing"]

    with caplog.at_level(logging.ERROR, logger="kedge.exchange"):
        run(main())
    assert "the market broke" in caplog.text


def test_a_market_that_ends_is_no_failure() -> None:
    async def main() -> None:
        server = make_server(walk(1, 1, (BTC,)))
        async with serving(server):
            await eventually(lambda: bool(server.status()["ended"]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(server.failure(), 0.02)

    run(main())


def test_a_port_in_use_is_told_by_the_system_and_nothing_is_left_open() -> None:
    async def main() -> None:
        async with serving(make_server(walk(1, 1, (BTC,)))) as session:
            second = make_server(walk(1, 1, (BTC,)))
            with pytest.raises(OSError, match="in use"):
                await second.start("127.0.0.1", int(session.headers["X-Test"]))
            await second.close()

    run(main())


def test_control_is_on_the_same_port() -> None:
    async def main() -> None:
        async with serving(make_server(walk(1, 2, (BTC,)), wait_for=1)) as session:
            socket = await session.ws_connect(CONTROL_PATH)
            await socket.send_json({"op": "register", "name": "x"})
            assert (await socket.receive_json())["op"] == "registered"
            await socket.close()

    run(main())


async def fills_in_step(speed: int) -> list[tuple[str, ...]]:
    """What a client that buys at every second bar over HTTP has traded when the market ends."""
    server = make_server(walk(9, 8, (BTC,)), speed=speed, wait_for=1)
    async with serving(server) as session:
        step = LockStep(f"http://127.0.0.1:{session.headers['X-Test']}", "trader")
        await step.connect()
        while not (bar := await step.next_bar()).ended:
            if bar.seq % 2:
                assert (await buy(session, f"bar-{bar.seq}"))["retCode"] == 0
            await step.acknowledge(bar.seq)
        query = "category=linear&symbol=BTCUSDT&limit=100"
        wall_ms = (await get(session, "/v5/market/time"))["time"]
        async with session.get(f"/v5/execution/list?{query}", headers=signed(query, wall_ms)) as listed:
            executions = (await listed.json())["result"]["list"]
        await step.close()
    return [tuple(one[name] for name in ("execId", "execTime", "execPrice", "execQty", "orderLinkId", "execFee")) for one in executions]


def test_in_lock_step_the_same_orders_give_the_same_fills_at_every_speed() -> None:
    unpaced = run(fills_in_step(UNPACED_SPEED))
    assert len(unpaced) >= 4
    assert run(fills_in_step(6_000)) == unpaced


def test_a_venue_that_begins_anew_gives_other_ids_and_the_same_prices() -> None:
    def first_fill(salt: int) -> tuple[str, int]:
        spec = instrument(BTC, base="BTC")
        venue = Venue([spec], VenueSettings(seed=5, id_salt=salt), T0)
        venue.open_account(ACCOUNT, 10_000 * E8, T0)
        venue.set_prices(BTC, 1_000, 10**10, 10**10, T0)
        venue.place(ACCOUNT, OrderRequest(instrument=BTC, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100_000), T0)
        row = venue.executions(ACCOUNT).rows[0]
        return row.exec_id, row.price_e8

    (id_0, price_0), (id_1, price_1) = first_fill(0), first_fill(1)
    assert id_0 != id_1
    assert price_0 == price_1
