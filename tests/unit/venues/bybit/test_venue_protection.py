"""What happens to our orders when we are gone: armed at the venue where it grants that, and over REST by ourselves in any case."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.unit.venues.bybit.fake_venue import Say, no, ok, rows
from tests.unit.venues.bybit.test_dead_man import OURS
from tests.unit.venues.bybit.test_venue import ID, run, scene
from tests.unit.venues.bybit.wire_examples import ORDER

from kedge.domain.errors import InvalidConfig
from kedge.domain.venue import ActionNeeded, Refused, Stream, StreamDown, StreamUp, Taken
from kedge.venues.bybit.private_stream import DCP_TOPIC
from kedge.venues.bybit.venue_settings import VenueSettings, addresses

QUERY, SET = "/v5/account/query-dcp-info", "/v5/order/disconnected-cancel-all"


def dcp(*rows_: dict[str, str]) -> Say:
    return ok({"dcpInfos": list(rows_)})


def on(window: int, product: str = "DERIVATIVES", status: str = "ON") -> dict[str, str]:
    return {"product": product, "dcpStatus": status, "timeWindow": str(window)}


@pytest.mark.parametrize(
    ("asked", "given", "sets", "why"),
    [
        (dcp(on(30)), ok({}), 0, ""),
        (dcp(on(10)), ok({}), 1, ""),
        (dcp(on(30, "SPOT"), on(30, status="OFF")), ok({}), 1, ""),
        (dcp(), no(10005, "Permission denied"), 1, "not granted: 10005"),
        (dcp(), no(10016, "Request timeout"), 3, "not confirmed: 10016"),
        (no(10005, "Permission denied"), ok({}), 0, "10005"),
    ],
)
def test_protection_is_armed_where_it_is_granted_and_its_absence_is_said(asked: Say, given: Say, sets: int, why: str) -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on(QUERY, asked)
            s.fake.on(SET, given)
            await s.venue.start()
            posts = s.fake.asked(SET)
            assert len(posts) == sets
            assert [seen.data for seen in posts] == [{"product": "DERIVATIVES", "timeWindow": 30}] * sets
            assert why in s.venue.unprotected
            assert bool(s.venue.unprotected) is bool(why)
            subscribed = [topic for frame in s.sockets.heard("subscribe") for topic in frame["args"]]
            assert (DCP_TOPIC in subscribed) is not bool(why)
            assert [news for news in s.venue.news_at_hand() if isinstance(news, ActionNeeded)] == []

    run(test)


def test_a_refused_topic_does_not_cost_the_stream() -> None:
    async def test() -> None:
        async with scene(start=False) as s:
            s.fake.on(QUERY, dcp(on(30)))
            s.sockets.refuse = {DCP_TOPIC: "error:handler not found"}
            await s.venue.start()
            assert s.venue.streams()[Stream.PRIVATE] == ""
            assert "error:handler not found" in s.venue.unprotected
            assert [frame["args"] for frame in s.sockets.heard("subscribe")].count([DCP_TOPIC]) == 1

    run(test)


def test_switched_off_nothing_is_asked_and_nothing_watched() -> None:
    async def test() -> None:
        async with scene(dead_man_s=0) as s:
            assert s.fake.asked(QUERY) == []
            assert s.venue.unprotected == "switched off"

    run(test)


@pytest.mark.parametrize("seconds", [-1, 2, 301])
def test_a_window_the_venue_does_not_take_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidConfig, match="dead_man_s"):
        VenueSettings(addresses=addresses("demo"), instruments=(ID,), dead_man_s=seconds)


def test_while_the_private_stream_stays_away_risk_is_cancelled_over_rest() -> None:
    async def test() -> None:
        async with scene() as s:
            by_hand = ORDER | {"orderLinkId": "by-hand", "orderId": "b", "symbol": "UNREADABLEUSDT", "orderStatus": "New?"}
            s.fake.on("/v5/order/realtime", rows(by_hand, ORDER | {"orderLinkId": OURS}))
            s.fake.on("/v5/order/cancel", ok({"orderId": "v", "orderLinkId": OURS}))
            s.venue._dead_man._man._window_ns = 1
            s.sockets.open = False
            s.peer("/private").cut()
            async with asyncio.timeout(30):
                while not s.venue._dead_man.cancelled:
                    await asyncio.sleep(0.005)
            assert [seen.data["orderLinkId"] for seen in s.fake.asked("/v5/order/cancel")] == [OURS]
            s.sockets.open = True
            async with asyncio.timeout(30):
                while not isinstance(news := await s.venue.news(), StreamUp) or not news.again:
                    pass
            assert s.venue._dead_man._man.due_in_ns(0) is None

    run(test)


def test_a_key_that_is_refused_after_a_break_is_news_for_a_person_once() -> None:
    async def test() -> None:
        async with scene() as s:
            s.venue.news_at_hand()
            s.sockets.refuse_auth = "API key is invalid."
            s.peer("/private").cut()
            await s.sockets.until(lambda: len([peer for peer in s.sockets.peers if peer.path.endswith("/private") and peer.heard]) >= 3)
            told = s.venue.news_at_hand()
            assert [type(news) for news in told] == [StreamDown, ActionNeeded]
            assert told[1].code == "KEY_REFUSED"
            assert "key and secret belong together" in told[1].fix

    run(test)


def test_a_weak_key_found_while_trading_is_news_for_a_person() -> None:
    async def test() -> None:
        async with scene() as s:
            s.venue.news_at_hand()
            s.sockets.on_request = lambda peer, frame: {"retCode": 10005, "retMsg": "Permission denied", "data": {}}
            answer = await s.venue.cancel(ID, "c-1")
            assert isinstance(answer, Refused)
            (told,) = s.venue.news_at_hand()
            assert (told.code, told.what) == ("10005", "/v5/order/cancel answered 10005 Permission denied")

    run(test)


def test_the_port_amends_and_refuses_what_cannot_be_amended() -> None:
    async def test() -> None:
        async with scene() as s:
            answers: list[Any] = [
                await s.venue.amend(ID, "c-1", qty_lots=5, limit_ticks=600_002),
                await s.venue.amend(ID, "c-1"),
                await s.venue.amend(ID, "c-1", qty_lots=0),
                await s.venue.amend("bybit-linear:NOPEUSDT", "c-1", qty_lots=1),
            ]
            assert answers[0] == Taken("venue-1")
            assert [answer.code for answer in answers[1:]] == ["IMPOSSIBLE_AMEND", "IMPOSSIBLE_AMEND", "UNKNOWN_INSTRUMENT"]
            assert len(s.sockets.heard("order.amend")) == 1
            amends = [{"symbol": "BTCUSDT", "orderLinkId": name, "qty": "0.001"} for name in ("a", "b")]
            s.sockets.on_request = lambda peer, frame: {
                "data": {"list": [{"orderId": "1"}, {"orderId": ""}]},
                "retExtInfo": {"list": [{"code": 0, "msg": "OK"}, {"code": 110001, "msg": "gone"}]},
            }
            assert await s.venue.gateway.amend_batch(amends) == [Taken("1"), Refused("110001", "gone")]

    run(test)


@pytest.mark.parametrize("code", [10004, 10002])
def test_an_authentication_that_came_too_late_after_this_machine_slept_is_no_fault_of_the_key(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with scene() as s:
            s.venue.news_at_hand()
            s.fake.clock_ahead_ns, s.sockets.auth_code = 60 * 10**9, code
            s.sockets.now_ms = lambda: (time.time_ns() + s.fake.clock_ahead_ns) // 10**6
            for path in ("/private", "/trade"):
                s.peer(path).cut()
            async with asyncio.timeout(30):
                ups = 0
                while ups < 2:
                    news = await s.venue.news()
                    assert not isinstance(news, ActionNeeded)
                    ups += isinstance(news, StreamUp)
            assert "Params Error" in caplog.text
            assert "stream refused" not in caplog.text

    run(test)
