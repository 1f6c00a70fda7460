"""Every return code, through the real client: what it answers, how often it asks, and what it does besides.

Each code is answered by a server on loopback, over REST and over the trade socket, to a create, an amend, a cancel, a setting and a read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from tests import steady
from tests.unit.venues.bybit.code_table import CODES
from tests.unit.venues.bybit.fake_venue import FakeVenue, Say, no, ok
from tests.unit.venues.bybit.rest_desk import CREDENTIALS, QUICK
from tests.unit.venues.bybit.test_gateway import BTC, ROOMY, desk

from kedge.domain.errors import AccessRefused, InvalidInput, VenueUnavailable
from kedge.domain.venue import Refused, Taken, Unanswered
from kedge.venues.bybit.clock_offset import ClockOffset
from kedge.venues.bybit.codes import FIXES, IP_BAN_CODES
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.troubles import Troubles

UNKNOWN_CODE = 987_654
TABLE = CODES | {UNKNOWN_CODE: ("A", "a code that nobody listed")}
TIME = "/v5/market/time"
BODY = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "c-1"}


class Operation(NamedTuple):
    """One request: its path, how it is made, and how often it goes out where no answer is clear."""

    path: str
    call: Callable[[BybitRest], Awaitable[Any]]
    tries: int


OPERATIONS = {
    "create": Operation("/v5/order/create", lambda rest: rest.create_order(BODY), 1),
    "amend": Operation("/v5/order/amend", lambda rest: rest.amend_order(BODY), 1),
    "cancel": Operation("/v5/order/cancel", lambda rest: rest.cancel_order("BTCUSDT", order_link_id="c-1"), 3),
    "set": Operation("/v5/position/set-leverage", lambda rest: rest.set_leverage("BTCUSDT", 500), 3),
    "read": Operation("/v5/position/list", lambda rest: rest.positions("BTCUSDT"), 4),
}
WRITES = ("create", "amend", "cancel", "set")
CONCLUSIVE = {"F": Refused, "B": Refused, "G": Refused, "R": Refused, "C": Refused, "A": Unanswered, "L": Unanswered}
RAISED = {"F": AccessRefused, "B": InvalidInput, "G": InvalidInput, "D": InvalidInput}


def expected(letter: str, operation: str) -> type:
    """The answer of a write, the error of a read."""
    if operation == "read":
        return RAISED.get(letter, VenueUnavailable)
    if letter == "D":
        return Taken if operation == "create" else Refused
    if letter == "N":
        return Taken if operation == "set" else Unanswered
    return CONCLUSIVE[letter]


def requests(code: int, letter: str, operation: str) -> int:
    """How often it is asked: again only where that does no harm, and never against a ban."""
    if code in IP_BAN_CODES:
        return 1
    if letter == "C":
        return 4 if operation == "read" else 2
    settled = letter in "FBGD" or (letter == "N" and operation == "set")
    return 1 if settled else OPERATIONS[operation].tries


def answering(code: int, text: str) -> Callable[[Any], Say]:
    """The refusal, with a limit that is free again at once, so that a test does not wait for it."""
    return lambda _: no(code, text, {"X-Bapi-Limit-Reset-Timestamp": str(time.time_ns() // 10**6)})


async def over_rest(venue: FakeVenue, clock: ClockOffset, operation: Operation) -> tuple[Any, BybitRest, list[Any]]:
    """What came of it, as an answer or an error; the client, closed; and what was told to a person."""
    told: list[Any] = []
    venue.seen.clear()
    async with BybitRest(venue.url, CREDENTIALS, pace=QUICK, clock=clock, mono_ns=steady.monotonic_ns) as rest:
        rest.caller.troubles = Troubles(told.append)
        try:
            return await operation.call(rest), rest, told
        except (AccessRefused, InvalidInput, VenueUnavailable) as error:
            return error, rest, told


async def measured(venue: FakeVenue) -> ClockOffset:
    async with BybitRest(venue.url, mono_ns=steady.monotonic_ns) as rest:
        await rest.caller.measure_clock()
        return rest.clock


@pytest.mark.parametrize("code", sorted(TABLE))
def test_over_rest_every_code_has_its_reaction(code: int) -> None:
    letter, text = TABLE[code]

    async def test() -> None:
        async with FakeVenue() as venue:
            clock = await measured(venue)
            for name, operation in OPERATIONS.items():
                venue.on(operation.path, answering(code, text))
                outcome, rest, told = await over_rest(venue, clock, operation)
                assert type(outcome) is expected(letter, name), f"{name}: {outcome}"
                assert len(venue.asked(operation.path)) == requests(code, letter, name), name
                assert bool(venue.asked(TIME)) is (letter == "C"), name
                assert bool(rest.limits.banned_for_ns(rest.caller.mono_ns())) is (code in IP_BAN_CODES)
                assert [one.code for one in told] == ([str(code)] if letter == "F" else [])
                if letter == "F":
                    assert FIXES[code] in (outcome.fix if name == "read" else outcome.reason)

    steady.run(test(), within_s=60)


@pytest.mark.parametrize("code", sorted(TABLE))
def test_over_the_trade_socket_every_code_has_the_same_answer_and_nothing_is_sent_twice(code: int) -> None:
    letter, text = TABLE[code]

    async def test() -> None:
        async with desk(ROOMY, answer_within_s=10.0) as d:  # every request is answered, on a busy machine a little later
            reset = {"X-Bapi-Limit-Reset-Timestamp": str(time.time_ns() // 10**6)}
            d.venue.on_request = lambda peer, frame: {"retCode": code, "retMsg": text, "data": {}, "header": reset}
            for name, call in {
                "create": d.place,
                "amend": lambda: d.gateway.amend(BTC.instrument_id, "c-1", qty_lots=5),
                "cancel": lambda: d.gateway.cancel(BTC.instrument_id, "c-1"),
            }.items():
                if d.client.limits.banned_for_ns(d.client.caller.mono_ns()):
                    assert code in IP_BAN_CODES
                    assert (await call()).code == "NO_ROOM"
                    assert d.venue.heard(f"order.{name}") == []
                    continue
                assert type(await call()) is expected(letter, name), name
                assert len(d.venue.heard(f"order.{name}")) == (2 if letter == "C" else 1), name
            assert d.gateway.over_rest == 0
            assert [seen for seen in d.fake.seen if seen.method == "POST"] == []

    steady.run(test(), within_s=60)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 502, 503, 504])
def test_every_http_status_has_its_reaction(status: int) -> None:
    letter = "F" if status in (400, 401, 404, 405) else "R" if status == 403 else "A"

    async def test() -> None:
        async with FakeVenue() as venue:
            clock = await measured(venue)
            for name, operation in OPERATIONS.items():
                venue.on(operation.path, Say(b"access too frequent", status=status))
                outcome, rest, told = await over_rest(venue, clock, operation)
                assert type(outcome) is expected(letter, name), f"{name}: {outcome}"
                assert len(venue.asked(operation.path)) == (1 if letter != "A" else operation.tries), name
                assert bool(rest.limits.banned_for_ns(rest.caller.mono_ns())) is (status == 403)
                assert [one.code for one in told] == ([f"HTTP_{status}"] if letter == "F" else [])

    steady.run(test(), within_s=60)


@pytest.mark.parametrize("answer", [Say(b"", status=403), no(10018, "IP rate limit")])
def test_a_ban_silences_every_operation_exits_too(answer: Say) -> None:
    async def test() -> None:
        async with FakeVenue() as venue:
            clock = await measured(venue)
            venue.on("/v5/position/list", answer)
            async with BybitRest(venue.url, CREDENTIALS, pace=QUICK, clock=clock, mono_ns=steady.monotonic_ns) as rest:
                with pytest.raises(VenueUnavailable):
                    await rest.positions("BTCUSDT")
                venue.seen.clear()
                for name in WRITES:
                    outcome = await OPERATIONS[name].call(rest)
                    assert isinstance(outcome, Refused)
                    assert outcome.code == "NO_ROOM"
                    assert "banned for" in outcome.reason
                with pytest.raises(VenueUnavailable, match="banned for"):
                    await rest.wallet()
            assert venue.seen == []

    steady.run(test(), within_s=60)


def test_a_limit_that_was_hit_rests_its_group_and_no_other() -> None:
    async def test() -> None:
        async with FakeVenue() as venue:
            clock = await measured(venue)
            venue.on("/v5/order/create", no(10006, "Too many visits!"))
            async with BybitRest(venue.url, CREDENTIALS, pace=QUICK, clock=clock, mono_ns=steady.monotonic_ns) as rest:
                assert isinstance(await rest.create_order(BODY), Unanswered)
                venue.on("/v5/order/cancel", ok({"orderId": "v-1"}))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await rest.create_order(BODY)
                assert await rest.cancel_order("BTCUSDT", order_link_id="c-1") == Taken("v-1")
            assert len(venue.asked("/v5/order/create")) == 1

    steady.run(test(), within_s=60)
