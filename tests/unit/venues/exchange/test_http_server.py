"""The HTTP side as a client meets it: envelopes, headers, refusals in their order, faults."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress

import aiohttp
import pytest
from tests.unit.venues.exchange.http_examples import ACCOUNT, KEY, START_NS, WALL_NS, Exchange, headers, make_hall, with_exchange

from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.http_server import BODY_MAX, Fate, HttpServer, query_params
from kedge.venues.exchange.rate_limits import AddressLimits, Budget, RateLimits
from kedge.venues.exchange.routes import ApiError, Call, Permission, Route, Routes

ORDER = b'{"symbol": "BTCUSDT", "qty": "0.010", "unheard": null}'


def test_a_signed_post_reaches_its_handler_and_comes_back_in_a_full_envelope() -> None:
    async def body(exchange: Exchange) -> None:
        response, text = await exchange.call("POST", "/v5/order/create", body=ORDER, sent=headers(ORDER))
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert json.loads(text) == {
            "retCode": 0,
            "retMsg": "OK",
            "result": {"account": ACCOUNT, "symbol": "BTCUSDT", "qty": "0.010", "unheard": None},
            "retExtInfo": {},
            "time": WALL_NS // NS_PER_MS,
        }

    with_exchange(body)


def test_headers_tell_what_remains_of_the_budget_and_when_it_was() -> None:
    async def body(exchange: Exchange) -> None:
        traces = set()
        for remaining in (9, 8):
            response, _ = await exchange.call("POST", "/v5/order/create", body=b"{}", sent=headers(b"{}"))
            assert response.headers["X-Bapi-Limit"] == "10"
            assert response.headers["X-Bapi-Limit-Status"] == str(remaining)
            assert response.headers["X-Bapi-Limit-Reset-Timestamp"] == str(WALL_NS // NS_PER_MS)
            assert response.headers["Timenow"] == str(WALL_NS // NS_PER_MS)
            assert response.headers["Ret_code"] == "0"
            traces.add(response.headers["Traceid"])
        assert len(traces) == 2

    with_exchange(body)


def test_public_answers_carry_no_budget() -> None:
    async def body(exchange: Exchange) -> None:
        response, _ = await exchange.call("GET", "/v5/market/time")
        assert "Traceid" in response.headers
        assert not [name for name in response.headers if name.lower().startswith("x-bapi")]

    with_exchange(body)


def test_header_names_count_in_any_case_and_the_sign_type_is_ignored() -> None:
    async def body(exchange: Exchange) -> None:
        sent = {name.lower(): value for name, value in headers(ORDER).items()} | {"x-bapi-sign-type": "2", "Referer": "CCXT"}
        response, text = await exchange.call("POST", "/v5/order/create", body=ORDER, sent=sent)
        assert json.loads(text)["retCode"] == 0

    with_exchange(body)


def test_a_query_is_checked_as_sent_and_read_decoded_once() -> None:
    async def body(exchange: Exchange) -> None:
        query = "settleCoin=USDT&cursor=page%3D1%26x%3D%2541&settleCoin=BTC&empty="
        result = await exchange.result("/v5/order/realtime", query, signed=True)
        assert result == {"settleCoin": "USDT", "cursor": "page=1&x=%41", "empty": ""}

    with_exchange(body)


def test_a_bare_question_mark_is_an_empty_query_and_a_get_may_name_a_content_type() -> None:
    async def body(exchange: Exchange) -> None:
        sent = headers("") | {"Content-Type": "application/json"}
        response, text = await exchange.call("GET", "/v5/user/query-api?", sent=sent)
        assert json.loads(text)["retCode"] == 0

    with_exchange(body)


def test_an_empty_body_is_an_empty_object() -> None:
    async def body(exchange: Exchange) -> None:
        _, text = await exchange.call("POST", "/v5/order/create", sent=headers(b""))
        assert json.loads(text)["result"] == {"account": ACCOUNT}

    with_exchange(body)


@pytest.mark.parametrize("sent", [b"[1]", b"{", b"7", b'"x"', b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_a_wrong_parameter(sent: bytes) -> None:
    async def body(exchange: Exchange) -> None:
        _, text = await exchange.call("POST", "/v5/order/create", body=sent, sent=headers(sent))
        assert json.loads(text)["retCode"] == Code.PARAMETER

    with_exchange(body)


def test_fractions_in_a_body_keep_the_digits_they_were_written_with() -> None:
    async def body(exchange: Exchange) -> None:
        sent = b'{"qty": 0.010, "price": 60000.10, "positionIdx": 0}'
        _, text = await exchange.call("POST", "/v5/order/create", body=sent, sent=headers(sent))
        assert json.loads(text)["result"] == {"account": ACCOUNT, "qty": "0.010", "price": "60000.10", "positionIdx": 0}

    with_exchange(body)


def test_refusals_come_in_the_order_of_the_checks() -> None:
    async def body(exchange: Exchange) -> None:
        async def code(**sent: object) -> int:
            signed = headers(b"[]", **sent)  # type: ignore[arg-type]
            _, text = await exchange.call("POST", "/v5/order/create", body=b"[]", sent=signed)
            return int(json.loads(text)["retCode"])

        stranger = ApiKey(key="NOBODY", secret="S", account="1")
        late = WALL_NS // NS_PER_MS - 5001
        assert await code(key=stranger, at_ms=late, sign="0" * 64) == Code.API_KEY
        assert await code(at_ms=late, sign="0" * 64) == Code.TIMESTAMP
        assert await code(sign="0" * 64) == Code.SIGNATURE
        assert await code() == Code.PARAMETER
        _, text = await exchange.call("POST", "/v5/order/create", body=b"[]")
        assert json.loads(text)["retMsg"] == "empty value: apiTimestamp[] apiKey[] apiSignature[]"

    with_exchange(body)


def test_a_replayed_request_is_accepted_inside_its_window_only() -> None:
    async def body(exchange: Exchange) -> None:
        sent = headers(b"{}")
        for wall_ns, code in ((WALL_NS, 0), (WALL_NS, 0), (WALL_NS + 6 * NS_PER_S, Code.TIMESTAMP)):
            exchange.clock.wall = wall_ns
            _, text = await exchange.call("POST", "/v5/order/create", body=b"{}", sent=sent)
            assert json.loads(text)["retCode"] == code

    with_exchange(body)


def test_venue_time_in_data_and_wall_time_in_the_envelope() -> None:
    async def body(exchange: Exchange) -> None:
        envelope = await exchange.get("/v5/unlimited", signed=True)
        assert envelope["result"] == {"at": START_NS}
        assert envelope["time"] == WALL_NS // NS_PER_MS

    with_exchange(body)


def test_a_key_without_the_permission_is_refused() -> None:
    reader = ApiKey(key="READER", secret="S", account=ACCOUNT, read_only=True)

    async def body(exchange: Exchange) -> None:
        assert (await exchange.refusal("/v5/account/transfer", signed=True))[0] == Code.PERMISSION
        sent = headers(b"{}", key=reader)
        _, text = await exchange.call("POST", "/v5/order/create", body=b"{}", sent=sent)
        assert json.loads(text)["retCode"] == Code.PERMISSION
        assert (await exchange.get("/v5/order/realtime", signed=True, key=reader))["retCode"] == 0

    with_exchange(body, keys=ApiKeys([KEY, reader]))


def test_a_key_bound_elsewhere_does_not_open_from_loopback() -> None:
    bound = ApiKey(key="BOUND", secret="S", account=ACCOUNT, ips=("203.0.113.7",))

    async def body(exchange: Exchange) -> None:
        envelope = await exchange.get("/v5/order/realtime", signed=True, key=bound)
        assert envelope["retCode"] == Code.UNMATCHED_IP
        assert envelope["retMsg"] == "Unmatched IP, please check your API key's bound IP addresses."

    with_exchange(body, keys=ApiKeys([bound]))


def test_too_many_visits_are_refused_with_the_time_of_the_reset() -> None:
    async def body(exchange: Exchange) -> None:
        batch = b'{"request": [1, 2]}'
        _, text = await exchange.call("POST", "/v5/order/create-batch", body=batch, sent=headers(batch))
        assert json.loads(text)["retCode"] == 0
        response, text = await exchange.call("POST", "/v5/order/create-batch", body=batch, sent=headers(batch))
        envelope = json.loads(text)
        assert (envelope["retCode"], envelope["retMsg"], envelope["result"]) == (Code.TOO_MANY_VISITS, "Too many visits!", {})
        assert response.headers["X-Bapi-Limit-Status"] == "1"
        assert response.headers["X-Bapi-Limit-Reset-Timestamp"] == str(WALL_NS // NS_PER_MS + 1000)
        assert response.headers["Ret_code"] == "10006"

    with_exchange(body, limits=RateLimits(budgets={"order.create-batch": Budget(3)}))


def test_an_address_that_asks_too_often_gets_403_without_an_envelope() -> None:
    async def body(exchange: Exchange) -> None:
        for status in (200, 200, 403, 403):
            response, text = await exchange.call("GET", "/v5/market/time")
            assert response.status == status
        assert text == b"access too frequent"
        exchange.clock.wall += 10 * NS_PER_S
        response, _ = await exchange.call("GET", "/v5/market/time")
        assert response.status == 200

    with_exchange(body, addresses=AddressLimits(budget=Budget(2), ban_ns=10 * NS_PER_S))


def test_an_unknown_path_is_404_and_a_wrong_method_400_both_in_the_envelope() -> None:
    async def body(exchange: Exchange) -> None:
        for method, path, status in (("GET", "/v5/nowhere", 404), ("GET", "/", 404), ("GET", "/v5/order/create", 400)):
            response, text = await exchange.call(method, path)
            assert response.status == status
            assert json.loads(text)["retCode"] == Code.ROUTE_NOT_FOUND

    with_exchange(body)


def test_a_handler_that_breaks_is_logged_and_answered_as_an_unknown_outcome(caplog: pytest.LogCaptureFixture) -> None:
    async def body(exchange: Exchange) -> None:
        assert (await exchange.refusal("/v5/broken"))[0] == Code.SERVER_ERROR

    with caplog.at_level(logging.ERROR, "kedge.exchange.http"):
        with_exchange(body)
    assert "GET /v5/broken failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_body_past_the_bound_is_413() -> None:
    async def body(exchange: Exchange) -> None:
        large = b" " * (BODY_MAX + 1)
        with suppress(aiohttp.ClientError):  # the server may cut while the rest is still being sent
            response, _ = await exchange.call("POST", "/v5/order/create", body=large, sent=headers(large))
            assert response.status == 413

    with_exchange(body)


def test_paths_of_others_are_handed_over_and_count_against_no_budget() -> None:
    async def owner(request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        return aiohttp.web.Response(text="mine")

    async def body(exchange: Exchange) -> None:
        for _ in range(3):
            response, text = await exchange.call("GET", "/kedge/status?x=1")
            assert (response.status, text) == (200, b"mine")

    with_exchange(body, paths={"/kedge/status": owner}, addresses=AddressLimits(budget=Budget(1)))


def test_a_connection_serves_many_requests_and_closes_when_asked_to() -> None:
    async def body(exchange: Exchange) -> None:
        host, port = exchange.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(3):
            writer.write(b"GET /v5/market/time HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Connection: close" not in head
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        writer.write(b"GET /v5/market/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"Connection: close\r\n" in await reader.read()
        writer.close()
        await writer.wait_closed()

    with_exchange(body)


def fate_of(*fates: Fate | None) -> tuple[list[str], object]:
    """A meddler that deals out fates in turn, and the paths it was asked about."""
    left, asked = list(fates), []

    def meddle(route: Route, call: Call) -> Fate | None:
        asked.append(f"{route.path} {call.account}")
        return left.pop(0)

    return asked, meddle


def test_a_meddler_may_refuse_before_the_handler_runs() -> None:
    asked, meddler = fate_of(Fate(error=ApiError(Code.SERVER_TIMEOUT)), None)

    async def body(exchange: Exchange) -> None:
        assert await exchange.refusal("/v5/broken") == (Code.SERVER_TIMEOUT, "Server Timeout")
        assert (await exchange.get("/v5/order/realtime", signed=True))["retCode"] == 0

    with_exchange(body, meddler=meddler)
    assert asked == ["/v5/broken ", f"/v5/order/realtime {ACCOUNT}"]


def test_a_dropped_answer_cuts_the_connection_after_the_request_was_carried_out() -> None:
    _, meddler = fate_of(Fate(drop=True))
    done: list[str] = []
    routes = Routes()
    routes.post("/v5/order/create", group="order.create")(lambda call: done.append(call.account) or {})

    async def run() -> None:
        hall, _ = make_hall()
        server = HttpServer(hall, ApiKeys([KEY]), RateLimits(), routes.table(), meddler=meddler)  # type: ignore[arg-type]
        port = await server.start("127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"http://127.0.0.1:{port}/v5/order/create", data=b"{}", headers=headers(b"{}"))
        await server.close()

    asyncio.run(run())
    assert done == [ACCOUNT]


def test_a_delayed_answer_comes_after_what_was_asked_later() -> None:
    _, meddler = fate_of(Fate(delay_s=0.2), None)

    async def body(exchange: Exchange) -> None:
        came: list[str] = []

        async def ask(name: str) -> None:
            await exchange.result("/v5/order/realtime", f"name={name}", signed=True)
            came.append(name)

        late = asyncio.create_task(ask("late"))
        await asyncio.sleep(0)
        while exchange.server.requests_seen < 1:
            await asyncio.sleep(0.001)
        await ask("soon")
        await late
        assert came == ["soon", "late"]

    with_exchange(body, meddler=meddler)


def test_a_server_that_never_started_closes_and_a_closed_one_refuses() -> None:
    async def run() -> None:
        hall, _ = make_hall()
        server = HttpServer(hall, ApiKeys(), RateLimits(), {})
        await server.close()
        port = await server.start("127.0.0.1", 0)
        await server.close()
        with pytest.raises(OSError, match="refused|Connect"):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(run())


def test_a_query_is_split_into_its_first_values() -> None:
    assert query_params("") == {}
    assert query_params("a=1&b&&a=2&c=") == {"a": "1", "b": "", "c": ""}
    assert query_params("a=x+y&b=%26") == {"a": "x y", "b": "&"}


def test_a_path_registered_twice_is_refused() -> None:
    routes = Routes()
    routes.get("/v5/a", permissions=frozenset({Permission.ORDER}))(lambda call: {})
    with pytest.raises(ValueError, match="/v5/a is registered twice"):
        routes.get("/v5/a")(lambda call: {})
