"""Calls: signatures on the wire, repeats only where safe, bans, clocks, limits, and errors that say what to do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import time

import pytest
from tests.unit.venues.bybit.fake_venue import KEY, SECRET, FakeVenue, RawVenue, Say, Seen, no, ok, rows
from tests.unit.venues.bybit.rest_desk import CREDENTIALS, QUICK, converse
from tests.unit.venues.bybit.wire_examples import ACCOUNT, WALLET

from kedge.domain.errors import AccessRefused, InvalidInput, VenueUnavailable
from kedge.domain.venue import Refused, Taken, Unanswered
from kedge.venues.bybit import rest_calls
from kedge.venues.bybit.codes import fix_for
from kedge.venues.bybit.limits import IP_BAN_NS, GroupLimit, Priority, Request, RequestLimits
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_outcome import NO_ROOM, NOT_SENT

INFO, CREATE, CANCEL, LEVERAGE = "/v5/account/info", "/v5/order/create", "/v5/order/cancel", "/v5/position/set-leverage"
BODY = b'{"category":"linear","symbol":"BTCUSDT","qty":"0.010"}'
TAKEN = ok({"orderId": "o-1", "orderLinkId": "l-1"})


def expected_signature(seen: Seen) -> str:
    payload = seen.query.encode() if seen.method == "GET" else seen.body
    text = (seen.headers["X-BAPI-TIMESTAMP"] + KEY + seen.headers["X-BAPI-RECV-WINDOW"]).encode() + payload
    return hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


def test_requests_are_signed_over_what_stands_on_the_wire_with_the_venues_time() -> None:
    venue = FakeVenue(clock_ahead_ns=-7_200_000_000_000)
    venue.on(CREATE, TAKEN)
    venue.on("/v5/account/wallet-balance", rows(WALLET))

    async def talk(rest: BybitRest) -> None:
        await rest.wallet()
        await rest.create_order(BODY)

    converse(venue, talk)
    get, post = venue.asked("/v5/account/wallet-balance")[0], venue.asked(CREATE)[0]
    for seen, window in ((get, "5000"), (post, "1000")):
        assert seen.headers["X-BAPI-SIGN"] == expected_signature(seen)
        assert seen.headers["X-BAPI-RECV-WINDOW"] == window
        behind_ms = time.time() * 1_000 - 7_200_000 - int(seen.headers["X-BAPI-TIMESTAMP"])
        assert 0 <= behind_ms < 5_000
    assert post.body == BODY


def test_public_requests_carry_no_key() -> None:
    venue = FakeVenue()
    venue.on("/v5/market/tickers", rows())
    assert converse(venue, lambda rest: rest.tickers(), credentials=None) == []
    assert not any(name.upper().startswith("X-BAPI") for name in venue.seen[0].headers)


def test_a_private_call_without_a_key_says_so() -> None:
    with pytest.raises(InvalidInput, match="needs a key"):
        converse(FakeVenue(), lambda rest: rest.account_info(), credentials=None)


@pytest.mark.parametrize("first", [Say(b"busy", status=503), Say(b"", status=429), no(10016), no(31337), Say(b"{truncated")])
def test_a_read_is_asked_again_and_then_answers(first: Say) -> None:
    venue = FakeVenue()
    venue.on(INFO, first, ok(ACCOUNT))
    assert converse(venue, lambda rest: rest.account_info()).unified_margin_status == 6
    assert len(venue.asked(INFO)) == 2


def test_a_read_gives_up_in_the_end_and_says_that_nothing_is_known() -> None:
    venue = FakeVenue()
    venue.on(INFO, no(10000, "Server Timeout"))
    with pytest.raises(VenueUnavailable, match="10000 Server Timeout.*nothing is known"):
        converse(venue, lambda rest: rest.account_info())
    assert len(venue.asked(INFO)) == 4


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (no(10003, "API key is invalid."), AccessRefused, "mainnet, testnet and demo keys differ"),
        (no(10010, "Unmatched IP"), AccessRefused, "public address"),
        (Say(b"", status=401), AccessRefused, "HTTP_401"),
        (no(10001, "params error: symbol invalid"), InvalidInput, "symbol invalid"),
    ],
)
def test_a_read_that_cannot_succeed_is_not_repeated(answer: Say, error: type[Exception], words: str) -> None:
    venue = FakeVenue()
    venue.on(INFO, answer)
    with pytest.raises(error, match=words):
        converse(venue, lambda rest: rest.account_info())
    assert len(venue.asked(INFO)) == 1


def test_the_key_does_not_stand_in_errors() -> None:
    venue = FakeVenue()
    venue.on(INFO, no(10004, f"error sign! origin_string[1700000000000{KEY}5000]"))
    with pytest.raises(AccessRefused) as caught:
        converse(venue, lambda rest: rest.account_info())
    assert KEY not in str(caught.value)
    assert "origin_string[1700000000000(key)5000]" in str(caught.value)


def test_a_wrong_time_is_measured_again_and_the_call_repeated_once() -> None:
    venue = FakeVenue()
    venue.on(CREATE, no(10002, "invalid request, please check your server timestamp"), TAKEN)
    assert converse(venue, lambda rest: rest.create_order(BODY)) == Taken("o-1")
    assert len(venue.asked("/v5/market/time")) == 10
    always = FakeVenue()
    always.on(CREATE, no(10002, "time"))
    assert converse(always, lambda rest: rest.create_order(BODY)) == Refused("10002", "time")
    assert len(always.asked(CREATE)) == 2


def test_a_read_with_a_wrong_time_measures_the_clock_again() -> None:
    venue = FakeVenue()
    venue.on(INFO, no(10002, "time"), ok(ACCOUNT))
    converse(venue, lambda rest: rest.account_info())
    assert len(venue.asked("/v5/market/time")) == 10


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TAKEN, Taken("o-1")),
        (no(110072, "OrderLinkedID is duplicate"), Taken("")),
        (no(110007, "ab not enough for new order"), Refused("110007", "ab not enough for new order")),
        (no(10005, "Permission denied"), Refused("10005", f"Permission denied; {fix_for(10005)}")),
        (no(10016, "Request timeout"), Unanswered("10016: Request timeout")),
        (no(10006, "Too many visits!"), Unanswered("10006: Too many visits!")),
        (no(424242, "news"), Unanswered("424242: news")),
        (Say(b"oops", status=500), Unanswered("HTTP_500: oops")),
    ],
)
def test_a_create_is_sent_once_and_judged_by_its_code(answer: Say, expected: object) -> None:
    venue = FakeVenue()
    venue.on(CREATE, answer)
    assert converse(venue, lambda rest: rest.create_order(BODY)) == expected
    assert len(venue.asked(CREATE)) == 1


@pytest.mark.parametrize("answer", [Say(b'{"retCode":0,"resu'), ok({"orderId": 5})])
def test_an_answer_to_a_create_that_cannot_be_read_leaves_it_open(answer: Say) -> None:
    venue = FakeVenue()
    venue.on(CREATE, answer)
    found = converse(venue, lambda rest: rest.create_order(BODY))
    assert isinstance(found, Unanswered)
    assert CREATE in found.why


def test_a_create_whose_connection_breaks_is_unanswered_and_not_repeated() -> None:
    async def main() -> tuple[object, int]:
        async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
            if b"/v5/market/time" not in head:
                return
            body = b'{"retCode":0,"result":{"timeNano":"%d"}}' % time.time_ns()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

        async with RawVenue(talk) as venue, BybitRest(venue.url, CREDENTIALS, pace=QUICK) as rest:
            answer = await rest.create_order(BODY)
            return answer, sum(head.startswith(b"POST") for head in venue.heads)

    answer, posts = asyncio.run(main())
    assert isinstance(answer, Unanswered)
    assert posts == 1


def test_what_never_left_the_machine_is_refused_as_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def main() -> object:
        async with BybitRest(url, CREDENTIALS, pace=QUICK) as rest:
            return await rest.create_order(BODY)

    answer = asyncio.run(main())
    assert isinstance(answer, Refused)
    assert answer.code == NOT_SENT


def test_a_create_on_a_kept_connection_that_turns_out_dead_is_unanswered() -> None:
    async def main() -> object:
        async with FakeVenue() as venue:
            rest = BybitRest(venue.url, CREDENTIALS, pace=QUICK)
            await rest.caller.measure_clock()
        async with rest:
            return await rest.create_order(BODY)

    assert isinstance(asyncio.run(main()), Unanswered)


def test_a_cancel_is_sent_again_because_twice_is_as_good_as_once() -> None:
    venue = FakeVenue()
    venue.on(CANCEL, no(10016, "busy"), no(110079, "processing"), TAKEN)
    assert converse(venue, lambda rest: rest.cancel_order("BTCUSDT", order_link_id="l-1")) == Taken("o-1")
    assert len(venue.asked(CANCEL)) == 3


def test_a_cancel_that_finds_nothing_says_so_even_after_an_open_first_try() -> None:
    venue = FakeVenue()
    venue.on(CANCEL, no(10016, "busy"), no(110001, "order not exists or too late to cancel"))
    found = converse(venue, lambda rest: rest.cancel_order("BTCUSDT", order_id="o-1"))
    assert found == Refused("110001", "order not exists or too late to cancel")


def test_a_setting_that_may_have_been_applied_is_not_called_refused_later() -> None:
    venue = FakeVenue()
    venue.on(LEVERAGE, no(10016, "busy"), no(110013, "cannot set leverage due to risk limit"))
    assert isinstance(converse(venue, lambda rest: rest.set_leverage("BTCUSDT", 1_000)), Unanswered)


def test_a_403_bans_every_request_at_once_and_says_for_how_long() -> None:
    venue = FakeVenue()
    venue.on(INFO, Say(b"access too frequent", status=403))
    venue.on(CREATE, TAKEN)

    async def talk(rest: BybitRest) -> tuple[object, int]:
        with pytest.raises(VenueUnavailable, match="HTTP_403 access too frequent"):
            await rest.account_info()
        with pytest.raises(VenueUnavailable, match="banned for (599|600) s more: HTTP 403 access too frequent"):
            await rest.account_info()
        return await rest.create_order(BODY), rest.limits.banned_for_ns(time.monotonic_ns())

    answer, left_ns = converse(venue, talk)
    assert isinstance(answer, Refused)
    assert answer.code == NO_ROOM
    assert 0.9 * IP_BAN_NS < left_ns <= IP_BAN_NS
    assert len(venue.asked(INFO)) == 1
    assert venue.asked(CREATE) == []


def test_the_older_code_for_a_ban_bans_too() -> None:
    venue = FakeVenue()
    venue.on(INFO, no(10018, "Exceeded the IP Rate Limit"))

    async def talk(rest: BybitRest) -> int:
        with pytest.raises(VenueUnavailable):
            await rest.account_info()
        return rest.limits.banned_for_ns(time.monotonic_ns())

    assert converse(venue, talk) > 0


def test_too_many_visits_rest_the_group_until_the_reset_and_then_it_is_asked_again() -> None:
    venue = FakeVenue()
    reset = {"X-Bapi-Limit": "50", "X-Bapi-Limit-Status": "0"}

    def busy(_: Seen) -> Say:
        return no(10006, "Too many visits!", reset | {"X-Bapi-Limit-Reset-Timestamp": str(int(time.time() * 1_000) + 150)})

    venue.on(INFO, busy, ok(ACCOUNT))
    began = time.monotonic()
    converse(venue, lambda rest: rest.account_info())
    assert time.monotonic() - began >= 0.15
    assert len(venue.asked(INFO)) == 2


def test_headers_correct_the_limits() -> None:
    venue = FakeVenue()
    venue.on(CREATE, ok({"orderId": "o"}, headers={"X-Bapi-Limit": "20", "X-Bapi-Limit-Status": "3"}))

    async def talk(rest: BybitRest) -> tuple[int, int]:
        await rest.create_order(BODY)
        found = next(u for u in rest.limits.utilisation(time.monotonic_ns()) if u.group == "order.create")
        return found.own, found.remaining

    assert converse(venue, talk) == (14, 3)


def test_a_full_group_makes_an_order_wait_and_a_hopeless_one_is_given_up_unsent() -> None:
    venue = FakeVenue()
    venue.on(CREATE, TAKEN)
    limits = RequestLimits({"order.create": GroupLimit(1, 1, window_ns=50_000_000)})
    hopeless = RequestLimits({"order.create": GroupLimit(1, 1, window_ns=60_000_000_000)})

    async def twice(rest: BybitRest) -> list[object]:
        return [await rest.create_order(BODY), await rest.create_order(BODY)]

    assert converse(venue, twice, limits=limits) == [Taken("o-1"), Taken("o-1")]
    first, second = converse(venue, twice, limits=hopeless)
    assert first == Taken("o-1")
    assert isinstance(second, Refused)
    assert second.code == NO_ROOM
    assert "order.create" in second.reason


def test_a_read_without_room_is_unavailable_and_not_repeated() -> None:
    venue = FakeVenue()
    venue.on(INFO, ok(ACCOUNT))
    limits = RequestLimits({"account.info": GroupLimit(1, 1, window_ns=60_000_000_000)})

    async def twice(rest: BybitRest) -> None:
        await rest.account_info()
        with pytest.raises(VenueUnavailable, match="no room under the limit of account.info"):
            await rest.account_info()

    converse(venue, twice, limits=limits)
    assert len(venue.asked(INFO)) == 1


def test_a_clock_that_cannot_be_measured_stops_reads_and_leaves_writes_unsent() -> None:
    venue = FakeVenue()
    venue.on("/v5/market/time", no(10016, "busy"))

    async def talk(rest: BybitRest) -> object:
        with pytest.raises(VenueUnavailable, match="clock is not known"):
            await rest.account_info()
        return await rest.create_order(BODY)

    answer = converse(venue, talk)
    assert isinstance(answer, Refused)
    assert answer.code == NOT_SENT
    assert venue.asked(CREATE) == []


def test_a_failing_new_measurement_keeps_the_old_one_in_force() -> None:
    venue = FakeVenue()
    venue.on(CREATE, no(10002, "time"))

    async def talk(rest: BybitRest) -> object:
        await rest.caller.measure_clock()
        venue.on("/v5/market/time", no(10016, "busy"))
        return await rest.create_order(BODY)

    assert converse(venue, talk) == Refused("10002", "time")
    assert len(venue.asked(CREATE)) == 1


def test_measurements_wanted_at_the_same_time_are_made_once() -> None:
    venue = FakeVenue()

    async def talk(rest: BybitRest) -> int:
        await asyncio.gather(*(rest.caller.measure_clock() for _ in range(4)))
        return len(venue.seen)

    assert converse(venue, talk) == 5


def test_the_venues_wall_clock_is_asked_and_not_guessed() -> None:
    venue = FakeVenue(clock_ahead_ns=3_600_000_000_000)
    told = converse(venue, lambda rest: rest.server_wall_ns(), credentials=None)
    assert 3_590 < (told - time.time_ns()) / 1e9 <= 3_600


def test_exits_are_served_where_orders_have_no_room_left() -> None:
    venue = FakeVenue()
    venue.on(CREATE, TAKEN)
    limits = RequestLimits({"order.create": GroupLimit(2, 2, exit_room=1, window_ns=60_000_000_000)})

    async def talk(rest: BybitRest) -> list[object]:
        return [await rest.create_order(BODY), await rest.create_order(BODY), await rest.create_order(BODY, reduces_risk=True)]

    first, second, third = converse(venue, talk, limits=limits)
    assert (first, third) == (Taken("o-1"), Taken("o-1"))
    assert isinstance(second, Refused)


@pytest.mark.parametrize("priority", list(Priority))
def test_every_priority_has_a_patience(priority: Priority) -> None:
    from kedge.venues.bybit.limits_queue import PATIENCE_NS

    assert PATIENCE_NS[priority] > 0


def test_a_time_endpoint_that_complains_of_the_time_does_not_block_the_client() -> None:
    venue = FakeVenue()
    venue.on("/v5/market/time", no(10002, "time"))

    async def talk(rest: BybitRest) -> None:
        async with asyncio.timeout(30):
            with pytest.raises(VenueUnavailable, match="time endpoint answered 10002"):
                await rest.caller.measure_clock()

    converse(venue, talk)


def test_a_clock_that_takes_too_long_to_measure_costs_the_order_and_does_not_send_it_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_calls, "CLOCK_WITHIN_S", 0.1)
    venue = FakeVenue()
    venue.on(CREATE, no(10002, "time"), TAKEN)

    async def talk(rest: BybitRest) -> object:
        await rest.caller.measure_clock()
        slow = venue.time_now()
        venue.on("/v5/market/time", Say(slow.body, delay_s=0.4))
        return await rest.create_order(BODY)

    assert converse(venue, talk) == Refused("10002", "time")
    assert len(venue.asked(CREATE)) == 1


def test_too_many_requests_as_a_status_rest_the_group() -> None:
    venue = FakeVenue()
    venue.on(CREATE, Say(b"", status=429))

    async def talk(rest: BybitRest) -> int:
        assert isinstance(await rest.create_order(BODY), Unanswered)
        return rest.limits.wait_ns(Request("order.create", Priority.TRADE), rest.caller.mono_ns())

    assert converse(venue, talk) > 500_000_000
