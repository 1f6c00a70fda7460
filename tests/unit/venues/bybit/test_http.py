"""One exchange on the wire: what was certainly not sent, what may have been carried out, and what is not followed or believed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from tests import steady
from tests.unit.venues.bybit.fake_venue import FakeVenue, RawVenue, Say, ok

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit import http
from kedge.venues.bybit.http import NoReply, NotSent, TimeClass, Wire, WireReply

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def asked(answer: Say, *, body_max: int = http.BODY_MAX) -> WireReply:
    async def main() -> WireReply:
        async with FakeVenue() as venue:
            venue.on("/v5/x", answer)
            wire = Wire(venue.url, body_max=body_max)
            try:
                return await wire.get("/v5/x", "a=1", {}, TimeClass.READ)
            finally:
                await wire.close()

    return asyncio.run(main())


def posted_to(talk: Talk) -> Exception:
    async def main() -> Exception:
        async with RawVenue(talk) as venue:
            wire = Wire(venue.url)
            with pytest.raises((NoReply, NotSent)) as caught:
                await wire.post("/v5/order/create", b"{}", {}, TimeClass.ORDER)
            await wire.close()
            assert len(venue.heads) == 1, "a POST is never repeated by the library"
            return caught.value

    return asyncio.run(main())


def test_the_limit_headers_are_read_as_numbers_or_as_unknown() -> None:
    headers = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": "1767000000012"}
    assert asked(ok({}, headers=headers))[2:] == (10, 0, 1767000000012)
    assert asked(ok({}))[2:] == (None, None, None)
    assert asked(ok({}, headers={"X-Bapi-Limit": "-1", "X-Bapi-Limit-Status": "many"}))[2:] == (None, None, None)


def test_query_and_body_travel_exactly_as_given() -> None:
    query = "cursor=page_args%3Dfd4300ae%26symbol%3D6%26&text=a%20b%7Cc"
    body = b'{"category": "linear",  "qty":"0.010"}'

    async def main() -> FakeVenue:
        async with FakeVenue() as venue:
            venue.on("/v5/x", ok({}))
            wire = Wire(venue.url)
            await wire.get("/v5/x", query, {"X-BAPI-SIGN": "s"}, TimeClass.READ)
            await wire.post("/v5/x", body, {}, TimeClass.ORDER)
            await wire.close()
            return venue

    get, post = asyncio.run(main()).seen
    assert (get.method, get.query, get.headers["X-BAPI-SIGN"], get.body) == ("GET", query, "s", b"")
    assert (post.method, post.body, post.headers["Content-Type"]) == ("POST", body, "application/json")


def test_connections_are_kept_and_used_again() -> None:
    async def main() -> set[int]:
        async with FakeVenue() as venue:
            venue.on("/v5/x", ok({}))
            wire = Wire(venue.url)
            for _ in range(5):
                await wire.get("/v5/x", "", {}, TimeClass.READ)
            await wire.close()
            return {seen.port for seen in venue.seen}

    assert len(asyncio.run(main())) == 1


def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def main() -> None:
        wire = Wire(f"http://127.0.0.1:{port}")
        with pytest.raises(NotSent, match="no connection to"):
            await wire.post("/v5/order/create", b"{}", {}, TimeClass.ORDER)
        await wire.close()

    asyncio.run(main())


def test_a_pool_without_a_free_connection_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECT_S", 0.05)

    async def main() -> None:
        async with FakeVenue() as venue:
            venue.on("/v5/slow", Say(b"{}", delay_s=0.4))
            wire = Wire(venue.url, connections=1)
            first = asyncio.create_task(wire.get("/v5/slow", "", {}, TimeClass.READ))
            while not venue.seen:
                await asyncio.sleep(0)
            with pytest.raises(NotSent):
                await wire.get("/v5/slow", "", {}, TimeClass.READ)
            await first
            await wire.close()
            assert len(venue.seen) == 1

    asyncio.run(main())


async def _hang_up(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _cut_the_body(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b'{"retCode":0,')
    await writer.drain()


async def _no_http(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 this is not http\r\n\r\n")
    await writer.drain()


async def _reset(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("talk", [_hang_up, _cut_the_body, _no_http, _reset])
def test_a_connection_that_breaks_after_sending_leaves_the_outcome_open(talk: Talk) -> None:
    assert isinstance(posted_to(talk), NoReply)


def test_silence_is_no_reply_and_not_a_refusal() -> None:
    async def main() -> None:
        async with FakeVenue() as venue:
            venue.on("/v5/x", Say(b"{}", delay_s=0.3))
            wire = Wire(venue.url, times_s={TimeClass.ORDER: 0.05})
            with pytest.raises(NoReply, match="no whole answer within 0.05 s"):
                await wire.post("/v5/x", b"{}", {}, TimeClass.ORDER)
            await wire.close()
            assert len(venue.seen) == 1

    asyncio.run(main())


def test_an_answer_without_end_is_cut_off() -> None:
    with pytest.raises(NoReply, match="longer than 1000 bytes"):
        asked(Say(b"x" * 200_000), body_max=1_000)


def test_a_redirect_is_not_followed() -> None:
    assert asked(Say(b"", status=302, headers={"Location": "/v5/y"})).status == 302


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.bybit.com", "unencrypted"),
        ("ws://127.0.0.1:1", "a scheme and a host"),
        ("https://api.bybit.com/v5", "a scheme and a host"),
        ("https://user:word@api.bybit.com", "a scheme and a host"),
        ("api.bybit.com", "a scheme and a host"),
    ],
)
def test_an_address_that_would_leak_or_mislead_is_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Wire(url)


def test_an_https_address_is_taken_and_closing_an_unused_pool_is_harmless() -> None:
    wire = Wire("https://api.bybit.com/")
    assert wire.base_url == "https://api.bybit.com"
    asyncio.run(wire.close())


def test_a_limit_header_that_is_no_sensible_number_says_nothing() -> None:
    venue = FakeVenue()
    venue.on("/x", Say(b"{}", headers={"X-Bapi-Limit": "9" * 5_000, "X-Bapi-Limit-Status": "7"}))

    async def test() -> None:
        async with venue:
            wire = Wire(venue.url)
            try:
                reply = await wire.post("/x", b"{}", {}, TimeClass.ORDER)
                assert (reply.limit, reply.remaining) == (None, 7)
            finally:
                await wire.close()

    asyncio.run(test())


def test_a_pool_that_was_closed_sends_nothing_more() -> None:
    venue = FakeVenue()
    venue.on("/x", Say(b"{}"))

    async def test() -> None:
        async with venue:
            wire = Wire(venue.url)
            await wire.post("/x", b"{}", {}, TimeClass.ORDER)
            await wire.close()
            with pytest.raises(NotSent, match="closed"):
                await wire.post("/x", b"{}", {}, TimeClass.ORDER)
            assert len(venue.seen) == 1

    asyncio.run(test())


def test_reads_that_hang_take_no_connection_from_orders() -> None:
    venue = FakeVenue()
    venue.on("/read", Say(b"{}", delay_s=1.5))
    venue.on("/order", Say(b"{}"))

    async def test() -> None:
        async with venue:
            wire = Wire(venue.url, connections=2)
            reads = [asyncio.create_task(wire.get("/read", "", {}, TimeClass.READ)) for _ in range(4)]
            while len(venue.asked("/read")) < 2:
                await asyncio.sleep(0.001)
            async with asyncio.timeout(1):  # of the loop's time, so that a read cannot have ended before
                assert (await wire.post("/order", b"{}", {}, TimeClass.ORDER)).status == 200
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
            await wire.close()

    steady.run(test())
