from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from tests import steady
from tests.unit.venues.bybit.fake_venue import KEY, SECRET, FakeVenue, no, ok
from tests.unit.venues.bybit.scripted_socket import Peer, ScriptedVenue
from tests.unit.venues.bybit.test_mapping import BTC, intent

from kedge.domain.errors import AccessRefused, VenueUnavailable
from kedge.domain.orders import ApprovedOrder
from kedge.domain.venue import NO_PERMIT, Refused, Stream, Taken, Unanswered
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.gateway import OrderGateway
from kedge.venues.bybit.limits import GroupLimit, RequestLimits
from kedge.venues.bybit.reconnect import SocketPace, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_calls import Pace
from kedge.venues.bybit.trade_socket import TradeDialect, TradeSocket

ROOMY = {
    name: GroupLimit(1000, 1000) for name in ("order.create", "order.cancel", "order.amend", "order.create-batch", "order.cancel-batch")
}


class Desk:
    """A gateway between a scripted trade socket and a fake REST host."""

    def __init__(
        self, venue: ScriptedVenue, rest: FakeVenue, limits: dict[str, GroupLimit], socket: bool, answer_within_s: float = 0.2
    ) -> None:
        self.venue, self.fake = venue, rest
        self.client = BybitRest(
            rest.url,
            Credentials(Rung.PAPER, KEY, SECRET),
            limits=RequestLimits(limits),
            pace=Pace(first_s=0.01, most_s=0.02),
            mono_ns=steady.monotonic_ns,
        )
        signer = self.client.signer
        assert signer is not None
        self.steady = SteadySocket(
            Stream.TRADE, venue.base + "/v5/trade", TradeDialect(signer, self.wall_ms), lambda _: None,
            backoff=Backoff(Random(1), first_s=0.01, most_s=0.05), budget=ConnectBudget(), pace=SocketPace(greet_s=0.5),
        )  # fmt: skip
        trade = TradeSocket(self.steady, "k") if socket else None
        self.gateway = OrderGateway(self.client.caller, trade, {"BTCUSDT": BTC}, answer_within_s=answer_within_s)

    def wall_ms(self) -> int:
        return self.client.clock.timestamp_ms(self.client.caller.mono_ns())

    async def place(self, **changed: Any) -> Any:
        return await self.gateway.place(ApprovedOrder(order=intent(**changed), limits_version="v"))


@asynccontextmanager
async def desk(limits: dict[str, GroupLimit] = ROOMY, *, socket: bool = True, answer_within_s: float = 0.2) -> Any:
    async with ScriptedVenue() as venue, FakeVenue() as fake:
        made = Desk(venue, fake, limits, socket, answer_within_s)
        await made.client.caller.measure_clock()
        if socket:
            await made.steady.start(2)
        try:
            yield made
        finally:
            await made.steady.close()
            await made.client.close()


def run(test: Callable[[], Any]) -> None:
    steady.run(test(), within_s=60)


def test_an_order_goes_over_the_socket_with_the_rest_body_and_a_fresh_time() -> None:
    async def test() -> None:
        async with desk() as d:
            assert await d.place() == Taken("venue-1")
            (frame,) = d.venue.heard("order.create")
            assert frame["args"][0]["orderLinkId"] == "c-1"
            assert frame["reqId"] == f"k-{int(frame['header']['X-BAPI-TIMESTAMP']):x}-1"
            assert len(frame["reqId"]) <= 36
            assert frame["header"]["X-BAPI-RECV-WINDOW"] == "1000"
            assert abs(int(frame["header"]["X-BAPI-TIMESTAMP"]) * 10**6 - await d.client.server_wall_ns()) < 2 * 10**9
            assert await d.gateway.cancel(BTC.instrument_id, "c-1") == Taken("venue-1")
            assert d.venue.heard("order.cancel")[0]["header"]["X-BAPI-RECV-WINDOW"] == "5000"
            assert await d.gateway.amend(BTC.instrument_id, "c-1", qty_lots=5, limit_ticks=600_002) == Taken("venue-1")
            assert d.venue.heard("order.amend")[0]["args"] == [
                {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "c-1", "qty": "0.005", "price": "60000.2"}
            ]
            assert await d.gateway.amend(BTC.instrument_id, "c-1", trigger_ticks=590_000) == Taken("venue-1")
            assert d.venue.heard("order.amend")[1]["args"][0]["triggerPrice"] == "59000"
            assert (d.gateway.over_socket, d.gateway.over_rest) == (4, 0)

    run(test)


@pytest.mark.parametrize(
    ("code", "operation", "kind"),
    [
        (110007, "place", Refused),
        (10001, "place", Refused),
        (10003, "place", Refused),
        (110072, "place", Taken),
        (10000, "place", Unanswered),
        (10016, "place", Unanswered),
        (10006, "place", Unanswered),
        (10429, "place", Unanswered),
        (987654, "place", Unanswered),
        (110001, "cancel", Refused),
        (110010, "cancel", Refused),
        (10019, "cancel", Unanswered),
    ],
)
def test_codes_become_answers(code: int, operation: str, kind: type) -> None:
    async def test() -> None:
        async with desk() as d:
            d.venue.on_request = lambda peer, frame: {"retCode": code, "retMsg": "words", "data": {}}
            answer = await (d.place() if operation == "place" else d.gateway.cancel(BTC.instrument_id, "c-1"))
            assert isinstance(answer, kind)
            if isinstance(answer, Refused):
                assert answer.code == str(code)
                assert answer.reason.startswith("words; check that the key" if code == 10003 else "words")

    run(test)


def test_a_request_without_an_answer_is_unanswered_and_never_sent_again() -> None:
    async def test() -> None:
        async with desk() as d:
            d.venue.on_request = lambda peer, frame: None
            answer = await d.place()
            assert isinstance(answer, Unanswered)
            assert "no answer within 0.2 s" in answer.why
            assert len(d.venue.heard("order.create")) == 1
            assert d.fake.asked("/v5/order/create") == []

    run(test)


def test_a_connection_that_breaks_with_a_request_in_flight_leaves_it_unanswered() -> None:
    async def test() -> None:
        async with desk() as d:

            def cut(peer: Peer, frame: dict[str, Any]) -> None:
                peer.cut()

            d.venue.on_request = cut
            answer = await d.place()
            assert isinstance(answer, Unanswered)
            assert "broke" in answer.why
            assert d.fake.asked("/v5/order/create") == []

    run(test)


def test_what_was_never_written_goes_over_rest() -> None:
    async def test() -> None:
        async with desk() as d:
            d.fake.on("/v5/order/create", ok({"orderId": "rest-1", "orderLinkId": "c-1"}))
            d.venue.open = False
            d.venue.peers[0].cut()
            await d.venue.until(lambda: d.venue.turned_away)
            assert await d.place() == Taken("rest-1")
            assert (d.gateway.over_socket, d.gateway.over_rest) == (0, 1)

    run(test)


def test_a_socket_that_goes_down_while_waiting_for_room_is_no_loss() -> None:
    async def test() -> None:
        async with desk({"order.create": GroupLimit(1, 1)}) as d:
            d.fake.on("/v5/order/create", ok({"orderId": "rest-1", "orderLinkId": "c-1"}))
            assert await d.place() == Taken("venue-1")
            waiting = asyncio.ensure_future(d.place(reduce_only=True))
            await asyncio.sleep(0)
            d.venue.open = False
            d.venue.peers[0].cut()
            assert await waiting in (Taken("rest-1"), Refused("NO_ROOM", "no room under the limit of order.create for 1.1 s"))
            assert len(d.venue.heard("order.create")) == 1

    run(test)


def test_without_a_trade_socket_everything_goes_over_rest() -> None:
    async def test() -> None:
        async with desk(socket=False) as d:
            d.fake.on("/v5/order/create", no(110007, "ab not enough for new order"))
            assert await d.place() == Refused("110007", "ab not enough for new order")

    run(test)


def test_a_wrong_time_is_measured_again_and_tried_once_more() -> None:
    async def test() -> None:
        async with desk() as d:
            codes = iter([10002, 0])
            d.venue.on_request = lambda peer, frame: {"retCode": next(codes), "retMsg": "time"}
            measured = len(d.fake.asked("/v5/market/time"))
            assert isinstance(await d.place(), Taken)
            assert len(d.fake.asked("/v5/market/time")) > measured
            first, second = d.venue.heard("order.create")
            assert first["reqId"] != second["reqId"]
            d.venue.on_request = lambda peer, frame: {"retCode": 10002, "retMsg": "time"}
            d.fake.on("/v5/market/time", no(10016))
            assert await d.place() == Refused("10002", "time")

    run(test)


def test_limits_hold_back_orders_but_leave_room_for_exits() -> None:
    async def test() -> None:
        async with desk({"order.create": GroupLimit(3, 3, exit_room=1, window_ns=10**10)}) as d:
            answers = [await d.place() for _ in range(3)]
            assert [type(answer) for answer in answers] == [Taken, Taken, Refused]
            assert "was not sent" in answers[2].reason
            assert isinstance(await d.place(reduce_only=True), Taken)
            assert isinstance(await d.place(reduce_only=True), Refused)
            assert len(d.venue.heard("order.create")) == 3

    run(test)


def test_the_venues_own_count_is_believed() -> None:
    async def test() -> None:
        async with desk({"order.create": GroupLimit(10, 10, window_ns=10**10)}) as d:
            header = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": "0"}
            d.venue.on_request = lambda peer, frame: {"header": header}
            assert isinstance(await d.place(), Taken)
            assert await d.place() == Refused("NO_ROOM", "no room under the limit of order.create for 10.0 s; it was not sent")

    run(test)


def test_too_many_requests_rest_the_group_and_a_ban_rests_all() -> None:
    async def test() -> None:
        async with desk({"order.create": GroupLimit(10, 10, window_ns=10**10), "order.cancel": GroupLimit(10, 10)}) as d:
            reset = {"X-Bapi-Limit-Reset-Timestamp": str((await d.client.server_wall_ns()) // 10**6 + 5_000)}
            d.venue.on_request = lambda peer, frame: {"retCode": 10006, "retMsg": "Too many visits!", "header": reset}
            assert isinstance(await d.place(), Unanswered)
            assert isinstance(await d.place(), Refused)
            d.venue.on_request = lambda peer, frame: {"retCode": 10018, "retMsg": "ip"}
            assert isinstance(await d.gateway.cancel(BTC.instrument_id, "c-1"), Unanswered)
            answer = await d.gateway.cancel(BTC.instrument_id, "c-1")
            assert isinstance(answer, Refused)
            assert answer.code == "NO_ROOM"

    run(test)


def test_a_batch_answers_for_each_of_its_items() -> None:
    async def test() -> None:
        async with desk() as d:

            def half(peer: Peer, frame: dict[str, Any]) -> dict[str, Any]:
                items = [{"orderId": "v1", "orderLinkId": "a"}, {"orderId": "", "orderLinkId": "b"}]
                return {"data": {"list": items}, "retExtInfo": {"list": [{"code": 0, "msg": "OK"}, {"code": 110007, "msg": "poor"}]}}

            d.venue.on_request = half
            approved = [ApprovedOrder(order=intent(client_order_id=name), limits_version="v") for name in "ab"]
            assert await d.gateway.place_batch(approved) == [Taken("v1"), Refused("110007", "poor")]
            (sent,) = d.venue.heard("order.create-batch")
            assert [item["orderLinkId"] for item in sent["args"][0]["request"]] == ["a", "b"]
            wanted = [(BTC.instrument_id, "a"), (BTC.instrument_id, "b")]
            assert await d.gateway.cancel_batch(wanted) == [Taken("v1"), Refused("110007", "poor")]

    run(test)


def test_answers_that_cannot_be_read_are_no_answers() -> None:
    async def test() -> None:
        async with desk() as d:
            d.venue.on_request = lambda peer, frame: {"retCode": None}
            assert isinstance(await d.place(), Unanswered)
            d.venue.on_request = lambda peer, frame: {"data": {"orderId": 7}}
            assert isinstance(await d.place(), Unanswered)

    run(test)


def test_an_instrument_without_a_record_is_refused_before_anything_leaves() -> None:
    async def test() -> None:
        async with desk() as d:
            answer = await d.place(instrument="bybit-linear:NEWUSDT")
            assert isinstance(answer, Refused)
            assert answer.code == "UNKNOWN_INSTRUMENT"
            assert d.venue.heard("order.create") == []

    run(test)


def test_a_wrong_key_is_refused_with_what_to_do() -> None:
    async def test() -> None:
        async with ScriptedVenue() as venue, FakeVenue() as fake:
            d = Desk(venue, fake, ROOMY, socket=True)
            await d.client.caller.measure_clock()
            venue.refuse_auth = "API key is invalid."
            venue.auth_code = 10003
            with pytest.raises(AccessRefused, match="trade socket") as caught:
                await d.steady.start(2)
            assert "10003 API key is invalid." in caught.value.why
            assert SECRET not in str(caught.value)
            venue.auth_code = 10016
            with pytest.raises(VenueUnavailable, match="not up"):
                await d.steady.start(0.2)
            await d.client.close()

    run(test)


def test_a_trade_socket_answers_pings_and_lets_strange_frames_go() -> None:
    async def test() -> None:
        async with desk() as d:

            async def strange_first(peer: Peer) -> None:
                await peer.send({"op": "news", "retCode": 0}, {"op": "order.create", "reqId": "k-99", "retCode": 0})

            d.venue.on_ping = strange_first
            await d.steady.ping(1)
            assert isinstance(await d.place(), Taken)

    run(test)


@pytest.mark.parametrize("socket", [True, False])
def test_a_permit_that_runs_out_while_waiting_for_room_leaves_the_order_unsent(socket: bool) -> None:
    async def test() -> None:
        async with desk({"order.create": GroupLimit(1, 1, window_ns=10**8)}, socket=socket) as d:
            d.fake.on("/v5/order/create", ok({"orderId": "rest-1", "orderLinkId": "c-1"}))
            assert isinstance(await d.place(), Taken)
            permits = iter([False])
            answer = await d.gateway.place(ApprovedOrder(order=intent(), limits_version="v"), is_permitted=lambda: next(permits))
            assert answer == Refused("NO_PERMIT", "the permit ran out before it was signed; it was not sent")
            assert len(d.venue.heard("order.create")) + len(d.fake.asked("/v5/order/create")) == 1

    run(test)


def test_a_permit_is_asked_again_before_a_second_signing() -> None:
    async def test() -> None:
        async with desk() as d:
            d.venue.on_request = lambda peer, frame: {"retCode": 10002, "retMsg": "time"}
            permits = iter([True, False])
            answer = await d.gateway.place(ApprovedOrder(order=intent(), limits_version="v"), is_permitted=lambda: next(permits))
            assert isinstance(answer, Refused)
            assert answer.code == "NO_PERMIT"
            assert len(d.venue.heard("order.create")) == 1

    run(test)


def test_requests_without_an_answer_leave_nothing_behind() -> None:
    async def test() -> None:
        async with desk() as d:
            d.venue.on_request = lambda peer, frame: None
            assert isinstance(await d.place(), Unanswered)
            waiting = asyncio.create_task(d.place(client_order_id="c-2"))
            await d.venue.until(lambda: len(d.venue.heard("order.create")) == 2)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert d.steady.connection is not None
            assert d.steady.connection._acks == {}

    run(test)


def test_a_batch_asks_for_its_permit_and_knows_its_instruments_like_a_single_order() -> None:
    async def test() -> None:
        async with desk() as d:
            approved = [ApprovedOrder(order=intent(client_order_id=name), limits_version="v") for name in ("c-1", "c-2")]
            answers = await d.gateway.place_batch(approved, is_permitted=lambda: False)
            assert [answer.code for answer in answers] == [NO_PERMIT, NO_PERMIT]
            strange = ApprovedOrder(order=intent(instrument="bybit-linear:NOPEUSDT"), limits_version="v")
            assert [answer.code for answer in await d.gateway.place_batch([approved[0], strange])] == ["UNKNOWN_INSTRUMENT"] * 2
            assert d.venue.heard("order.create-batch") == []
            refused = await d.gateway.amend(BTC.instrument_id, "c-1", qty_lots=9, is_permitted=lambda: False)
            assert isinstance(refused, Refused)
            assert refused.code == NO_PERMIT
            assert d.venue.heard("order.amend") == []

    run(test)
