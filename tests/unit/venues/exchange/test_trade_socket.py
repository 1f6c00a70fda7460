"""The trade socket: auth, orders in their order, budgets, refusals in the venue's codes, and answers that never come."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import AAA
from tests.unit.venues.exchange.socket_room import KEY, OTHER_KEY, OWNER, TRADE, WALL_MS, WALL_NS, Client, Room, auth, in_room

from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.simulation.faults_armed import Arrival
from kedge.venues.exchange.api_keys import ApiKey
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.http_server import Fate
from kedge.venues.exchange.rate_limits import Budget, RateLimits
from kedge.venues.exchange.routes import ApiError, Permission
from kedge.venues.exchange.socket_settings import SocketSettings

ORDER = {"category": "linear", "symbol": "AAAUSDT", "side": "Buy", "orderType": "Limit", "qty": "1.000", "price": "99.0"}


def request(
    *args: Any, op: str = "order.create", req_id: Any = None, at: Any = str(WALL_MS), window: Any = "8000", **more: Any
) -> dict[str, Any]:
    """A request as clients send it."""
    head = {} if req_id is None else {"reqId": req_id}
    return {**head, "header": {"X-BAPI-TIMESTAMP": at, "X-BAPI-RECV-WINDOW": window, "Referer": "x"}, "op": op, "args": list(args), **more}


async def code_of(client: Client, message: Any) -> int:
    return int((await client.ask(message))["retCode"])


# --- the session -------------------------------------------------------------------------------------------------------------


def test_auth_and_ping_are_answered_in_the_trade_sockets_own_words() -> None:
    async def body(room: Room) -> None:
        client = await room.connect(TRADE)
        ack = await client.ask(auth())
        assert ack == {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": ack["connId"]}
        pong = await client.ask({"op": "ping", "reqId": "p"})
        assert pong == {"reqId": "p", "retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(WALL_MS)], "connId": ack["connId"]}

    in_room(body)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (auth(sign="bad"), Code.SIGNATURE),
        (auth(ApiKey(key="STRANGER", secret="S", account="x")), Code.API_KEY),
        ({"op": "auth", "args": []}, Code.PARAMETER),
        ({"op": "subscribe", "args": ["order"]}, Code.UNKNOWN_OP),
        ({"op": "order.explode"}, Code.UNKNOWN_OP),
        ({"op": 1}, Code.UNKNOWN_OP),
        ("nonsense", Code.UNKNOWN_OP),
        (request(ORDER), Code.API_KEY),
    ],
)
def test_what_a_stranger_gets(message: Any, code: Code) -> None:
    async def body(room: Room) -> None:
        client = await room.connect(TRADE)
        answer = await client.ask(message)
        assert answer["retCode"] == code
        assert answer["retMsg"]
        assert room.venue.open_orders(OWNER).rows == []

    in_room(body)


def test_a_repeated_auth_has_its_own_code() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        assert await code_of(client, auth()) == Code.REPEATED_AUTH
        assert await code_of(client, request(ORDER)) == 0

    in_room(body)


def test_an_account_may_hold_only_so_many_sessions() -> None:
    async def body(room: Room) -> None:
        first = await room.trade()
        second = await room.connect(TRADE)
        assert await code_of(second, auth()) == Code.API_KEY
        await room.trade(OTHER_KEY)
        await first.socket.close()
        while room.sockets.connections["trade"] > 2:
            await second.ask({"op": "ping"})
        assert await code_of(second, auth()) == 0

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, sessions_max=1))


# --- orders --------------------------------------------------------------------------------------------------------------------


def test_an_order_is_placed_and_answered_with_ids_budget_and_request_id() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        answer = await client.ask(request({**ORDER, "orderLinkId": "mine"}, req_id="r1"))
        (row,) = room.venue.open_orders(OWNER).rows
        header = answer.pop("header")
        assert answer == {
            "reqId": "r1", "retCode": 0, "retMsg": "OK", "op": "order.create",
            "data": {"orderId": row.order_id, "orderLinkId": "mine"}, "retExtInfo": {}, "connId": answer["connId"],
        }  # fmt: skip
        assert header.pop("Traceid")
        assert header == {
            "X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "X-Bapi-Limit-Reset-Timestamp": str(WALL_MS), "Timenow": str(WALL_MS),
        }  # fmt: skip

    in_room(body)


def test_an_order_is_amended_and_cancelled() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        made = (await client.ask(request(ORDER)))["data"]["orderId"]
        target = {"category": "linear", "symbol": "AAAUSDT", "orderId": made}
        changed = await client.ask(request({**target, "price": "98.0"}, op="order.amend"))
        assert (changed["retCode"], changed["op"], changed["data"]["orderId"]) == (0, "order.amend", made)
        (row,) = room.venue.open_orders(OWNER).rows
        assert row.price_ticks == 980
        assert await code_of(client, request(target, op="order.cancel")) == 0
        gone = await client.ask(request(target, op="order.cancel"))
        assert (gone["retCode"], gone["data"]) == (Code.ORDER_NOT_FOUND, {})
        assert "order not exists" in gone["retMsg"]

    in_room(body)


@pytest.mark.parametrize("at", [WALL_MS, str(WALL_MS), WALL_MS - 5_000, WALL_MS + 999])
def test_times_may_be_numbers_or_texts_within_the_window(at: Any) -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        assert await code_of(client, request(ORDER, at=at, window=5_000)) == 0

    in_room(body)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request(ORDER, at=WALL_MS - 8_001), Code.TIMESTAMP),
        (request(ORDER, at=WALL_MS + 1_000), Code.TIMESTAMP),
        (request(ORDER, at=None), Code.PARAMETER),
        (request(ORDER, header=None), Code.PARAMETER),
        (request(ORDER, req_id="x" * 37), Code.PARAMETER),
        (request(ORDER, req_id=5), Code.PARAMETER),
        (request(), Code.PARAMETER),
        (request(ORDER, ORDER), Code.PARAMETER),
        (request("order"), Code.PARAMETER),
        (request({**ORDER, "qty": "0"}), Code.PARAMETER),
        (request({**ORDER, "category": "spot"}), Code.PARAMETER),
    ],
)
def test_a_refused_request_names_its_code_and_changes_nothing(message: dict[str, Any], code: Code) -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        answer = await client.ask(message)
        assert (answer["retCode"], answer["data"], answer["op"]) == (code, {}, "order.create")
        assert room.venue.open_orders(OWNER).rows == []

    in_room(body)


def test_a_request_id_counts_once_and_is_forgotten_after_many() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        assert await code_of(client, request(ORDER, req_id="a")) == 0
        twice = await client.ask(request(ORDER, req_id="a"))
        assert (twice["retCode"], twice["reqId"]) == (Code.DUPLICATE_REQUEST_ID, "a")
        assert await code_of(client, request(ORDER, req_id="b")) == 0
        assert await code_of(client, request(ORDER, req_id="c")) == 0
        assert await code_of(client, request(ORDER, req_id="a")) == 0
        other = await room.trade()
        assert await code_of(other, request(ORDER, req_id="a")) == 0

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, request_ids_kept=2))


def test_a_key_that_may_not_order_or_is_no_longer_good_is_refused() -> None:
    async def body(room: Room) -> None:
        reader = ApiKey(key="READER", secret="R", account=OWNER, read_only=True)
        mover = ApiKey(key="MOVER", secret="M", account=OWNER, permissions=frozenset({Permission.POSITION}))
        ending = ApiKey(key="ENDING", secret="E", account=OWNER, expires_ns=WALL_NS + NS_PER_S)
        for key in (reader, mover, ending):
            room.keys.add(key)
        assert await code_of(await room.trade(reader), request(ORDER)) == Code.PERMISSION
        assert await code_of(await room.trade(mover), request(ORDER)) == Code.PERMISSION
        late, removed = await room.trade(ending), await room.trade()
        assert await code_of(late, request(ORDER)) == 0
        room.clock.wall_at_ns += NS_PER_S
        assert await code_of(late, request(ORDER)) == Code.KEY_EXPIRED
        room.keys.remove(KEY.key)
        assert await code_of(removed, request(ORDER)) == Code.API_KEY

    in_room(body)


@pytest.mark.parametrize("answer_delay_s", [0.0, 0.02])
def test_answers_come_in_the_order_of_the_requests_and_after_the_private_frames(answer_delay_s: float) -> None:
    async def body(room: Room) -> None:
        client, private = await room.trade(), await room.private("order")
        for n in range(100):
            await client.send(request({**ORDER, "price": f"9{n % 10}.0", "orderLinkId": f"l-{n}"}, req_id=f"r{n}"))
        answers = [await client.next() for _ in range(100)]
        assert [answer["reqId"] for answer in answers] == [f"r{n}" for n in range(100)]
        assert [answer["data"]["orderLinkId"] for answer in answers] == [f"l-{n}" for n in range(100)]
        frames = await private.until_pong()
        assert [row["orderLinkId"] for frame in frames for row in frame["data"]] == [f"l-{n}" for n in range(100)]

    settings = SocketSettings(ack_delay_s=0.0, answer_delay_s=answer_delay_s)
    in_room(body, limits=RateLimits(budgets={}), settings=settings)


def test_an_answer_that_waits_holds_nothing_up_and_comes_after_what_it_is_about() -> None:
    """The book has changed, the stream has told it and a ping is answered, all while the answer waits."""

    async def body(room: Room) -> None:
        client, private = await room.trade(), await room.private("order")
        await client.send(request(ORDER, req_id="waits"))
        (row,) = (await private.next())["data"]
        assert (row["orderStatus"], row["orderId"]) == ("New", room.venue.open_orders(OWNER).rows[0].order_id)
        assert (await client.ask({"op": "ping"}))["op"] == "pong"
        assert (await client.next())["data"]["orderId"] == row["orderId"]

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, answer_delay_s=0.3))


def test_one_requests_budget_without_a_limit_has_no_figures() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        assert set((await client.ask(request(ORDER)))["header"]) == {"Traceid", "Timenow"}

    in_room(body, limits=RateLimits(budgets={}))


# --- budgets ---------------------------------------------------------------------------------------------------------------------


def test_the_eleventh_order_of_a_second_is_refused_with_its_figures() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        answers = [await client.ask(request(ORDER)) for _ in range(11)]
        assert [answer["retCode"] for answer in answers] == [0] * 10 + [Code.TOO_MANY_VISITS]
        assert answers[-1]["header"]["X-Bapi-Limit-Status"] == "0"
        assert answers[-1]["header"]["X-Bapi-Limit-Reset-Timestamp"] == str(WALL_MS + 1_000)
        assert len(room.venue.open_orders(OWNER).rows) == 10
        room.clock.wall_at_ns += NS_PER_S
        assert await code_of(client, request(ORDER, at=WALL_MS + 1_000)) == 0

    in_room(body)


def test_of_a_batch_beyond_the_budget_the_first_orders_pass() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        batch = {"category": "linear", "request": [{**ORDER, "orderLinkId": f"b-{n}"} for n in range(4)]}
        first = await client.ask(request(batch, op="order.create-batch"))
        assert [note["code"] for note in first["retExtInfo"]["list"]] == [0] * 4
        assert first["header"]["X-Bapi-Limit-Status"] == "2"
        again = {"category": "linear", "request": [{**ORDER, "orderLinkId": f"c-{n}"} for n in range(4)]}
        second = await client.ask(request(again, op="order.create-batch"))
        assert second["retCode"] == 0
        assert [note["code"] for note in second["retExtInfo"]["list"]] == [0, 0, Code.TOO_MANY_VISITS, Code.TOO_MANY_VISITS]
        assert [row["orderLinkId"] for row in second["data"]["list"]] == [f"c-{n}" for n in range(4)]
        assert await code_of(client, request(again, op="order.create-batch")) == Code.TOO_MANY_VISITS
        assert len(room.venue.open_orders(OWNER).rows) == 6

    in_room(body, limits=RateLimits(budgets={"order.create-batch": Budget(6)}))


def test_batches_amend_and_cancel() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        rows = [room.place(Side.BUY, 1_000, 990 - n) for n in range(2)]
        targets = [{"symbol": "AAAUSDT", "orderId": row.order_id} for row in rows]
        amends = {"category": "linear", "request": [{**target, "qty": "0.9"} for target in targets]}
        assert (await client.ask(request(amends, op="order.amend-batch")))["retCode"] == 0
        assert {row.qty_lots for row in room.venue.open_orders(OWNER).rows} == {900}
        await client.ask(request({"category": "linear", "request": targets}, op="order.cancel-batch"))
        assert room.venue.open_orders(OWNER).rows == []
        assert await code_of(client, request({"category": "linear", "request": []}, op="order.cancel-batch")) == Code.PARAMETER

    in_room(body)


def test_sessions_and_addresses_have_paces_of_their_own() -> None:
    async def body(room: Room) -> None:
        first, second = await room.trade(), await room.trade()
        codes = [await code_of(first, request(ORDER)) for _ in range(3)]
        codes += [await code_of(second, request(ORDER)) for _ in range(2)]
        assert codes == [0, 0, Code.TOO_MANY_REQUESTS, 0, Code.IP_LIMIT]
        room.clock.wall_at_ns += NS_PER_S
        assert await code_of(first, request(ORDER, at=WALL_MS + 1_000)) == 0

    in_room(body, settings=SocketSettings(ack_delay_s=0.0, session_requests_max=2, address_requests_max=3))


# --- bad days -----------------------------------------------------------------------------------------------------------------------


class Mood:
    """Faults as a test orders them."""

    def __init__(self, fate: Fate | None = None, instead: ApiError | None = None, arrival: Arrival | None = None) -> None:
        self._fate, self._instead, self._arrival = fate, instead, arrival
        self.asked: list[tuple[str, str]] = []

    def arrival(self, path: str, account: str) -> Arrival | None:
        return self._arrival

    def fate(self, path: str, account: str) -> Fate | None:
        self.asked.append((path, account))
        return self._fate

    def answer_instead(self, path: str, account: str) -> ApiError | None:
        return self._instead


def test_a_refusal_to_order_comes_before_anything_happens() -> None:
    mood = Mood(Fate(error=ApiError(Code.SYSTEM_PROTECTION)))

    async def body(room: Room) -> None:
        client = await room.trade()
        assert await code_of(client, request(ORDER)) == Code.SYSTEM_PROTECTION
        assert room.venue.open_orders(OWNER).rows == []
        assert mood.asked == [("/v5/order/create", OWNER)]

    in_room(body, meddler=mood)


def test_a_dropped_answer_follows_an_order_that_was_taken(caplog: pytest.LogCaptureFixture) -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        await client.send(request(ORDER, req_id="lost"))
        assert await client.ended() == 1006
        assert len(room.venue.open_orders(OWNER).rows) == 1

    in_room(body, meddler=Mood(Fate(drop=True)))
    assert "dropped on purpose" in caplog.text


def test_a_time_out_after_the_fact_is_ambiguous_and_a_refusal_stays_a_refusal() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        assert await code_of(client, request(ORDER)) == Code.SERVER_TIMEOUT
        assert len(room.venue.open_orders(OWNER).rows) == 1
        assert await code_of(client, request({**ORDER, "symbol": "ZZZ"})) == Code.PARAMETER

    in_room(body, meddler=Mood(instead=ApiError(Code.SERVER_TIMEOUT)))


def test_a_delayed_answer_delays_those_behind_it_and_no_other_client() -> None:
    async def body(room: Room) -> None:
        slow, private = await room.trade(), await room.private("order")
        await slow.send(request(ORDER, req_id="1"))
        await slow.send({"op": "ping", "reqId": "2"})
        assert len((await private.next())["data"]) == 1
        assert [(await slow.next())["reqId"] for _ in range(2)] == ["1", "2"]

    in_room(body, meddler=Mood(Fate(delay_s=0.05)))


def test_an_answer_may_never_come_on_a_connection_that_stays() -> None:
    mood = Mood(Fate(hang=True))

    async def body(room: Room) -> None:
        client = await room.trade()
        await client.send(request(ORDER, req_id="hung"))
        assert (await client.ask({"op": "ping"}))["op"] == "pong"
        assert len(room.venue.open_orders(OWNER).rows) == 1

    in_room(body, meddler=mood)


def test_an_answer_may_come_twice() -> None:
    async def body(room: Room) -> None:
        client = await room.trade()
        await client.send(request(ORDER, req_id="1"))
        first, second = await client.next(), await client.next()
        assert first == second
        assert (first["reqId"], first["retCode"]) == ("1", 0)

    in_room(body, meddler=Mood(Fate(doubled=True)))


def test_an_overtaken_answer_comes_after_the_next_one() -> None:
    mood = Mood(Fate(overtaken=True))

    async def body(room: Room) -> None:
        client = await room.trade()
        await client.send(request(ORDER, req_id="1"))
        await client.ask({"op": "ping"})
        mood._fate = None
        await client.send(request(ORDER, req_id="2"))
        assert [(await client.next())["reqId"] for _ in range(2)] == ["2", "1"]
        assert len(room.venue.open_orders(OWNER).rows) == 2

    in_room(body, meddler=mood)


def test_a_request_may_be_lost_or_late_on_its_way() -> None:
    mood = Mood(arrival=Arrival(is_lost=True))

    async def body(room: Room) -> None:
        client = await room.trade()
        await client.send(request(ORDER, req_id="1"))
        assert (await client.ask({"op": "ping"}))["op"] == "pong"
        assert room.venue.open_orders(OWNER).rows == []
        mood._arrival = Arrival(delay_ms=30)
        assert await code_of(client, request(ORDER, req_id="2")) == 0
        assert len(room.venue.open_orders(OWNER).rows) == 1

    in_room(body, meddler=mood)


def test_an_operation_that_breaks_is_told_as_unknown_and_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(room: Room) -> None:
        client = await room.trade()

        def broken(*arguments: Any, **named: Any) -> Any:
            raise RuntimeError("a bug")

        monkeypatch.setattr(room.venue, "place", broken)
        assert await code_of(client, request(ORDER)) == Code.SERVER_ERROR
        assert (await client.ask({"op": "ping"}))["retCode"] == 0

    in_room(body)
    assert "/v5/order/create failed; the client is told that the outcome is unknown" in caplog.text


def test_a_connection_that_breaks_the_exchange_is_cut_alone(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(room: Room) -> None:
        client, other = await room.trade(), await room.public()

        def broken(*arguments: Any) -> Any:
            raise RuntimeError("a bug")

        monkeypatch.setattr("kedge.venues.exchange.trade_socket.check_window", broken)
        await client.send(request(ORDER))
        await client.ended()
        assert (await other.ask({"op": "ping"}))["ret_msg"] == "pong"
        assert room.sockets.connections["trade"] == 0

    in_room(body)
    assert "trade socket" in caplog.text
    assert AAA not in caplog.text


def test_a_request_in_flight_when_the_connection_is_cut_was_carried_out_or_not_but_never_half() -> None:
    async def body(room: Room) -> None:
        client, private = await room.trade(), await room.private("order")
        for n in range(20):
            await client.send(request({**ORDER, "orderLinkId": f"f-{n}"}))
        await room.sockets.drop("trade", OWNER)
        await client.ended()
        heard = [row["orderLinkId"] for frame in await private.until_pong() for row in frame["data"]]
        assert heard == [f"f-{n}" for n in range(len(heard))]
        assert sorted(heard) == sorted(row.link_id for row in room.venue.open_orders(OWNER).rows)

    in_room(body, limits=RateLimits(budgets={}))
