"""The guard's client: over REST alone, with its own shares, and never held up by a stream or by what is wrong with its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from tests.unit.venues.bybit.fake_venue import KEY, SECRET, FakeVenue, no, ok, rows
from tests.unit.venues.bybit.scripted_socket import ScriptedVenue
from tests.unit.venues.bybit.test_venue import ID, book, obliging
from tests.unit.venues.bybit.wire_examples import FEES, KEY_INFO, POSITION

from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_DAY, NS_PER_MS
from kedge.domain.venue import ActionNeeded, CancelKind, DailyCloses, Stream, StreamUp, Taken
from kedge.venues.bybit import guard_venue
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.guard_venue import CLAIMED, BybitGuardVenue
from kedge.venues.bybit.limits import Priority, Request
from kedge.venues.bybit.rest_endpoints import GUARD_ADDRESS_LIMIT, GUARD_LIMITS, TRADER_ADDRESS_LIMIT, TRADER_LIMITS
from kedge.venues.bybit.venue_settings import Addresses, VenueSettings

DAY_MS = NS_PER_DAY // NS_PER_MS
MIDNIGHT_MS = 20_454 * DAY_MS


@asynccontextmanager
async def guard(**changed: Any) -> AsyncIterator[tuple[FakeVenue, ScriptedVenue, BybitGuardVenue]]:
    async with FakeVenue() as fake, ScriptedVenue() as sockets:
        obliging(fake)
        fake.on("/v5/account/fee-rate", ok({"list": [FEES | {"symbol": "BTCUSDT"}, FEES | {"symbol": "ETHUSDT"}]}))
        private = changed.pop("private", sockets.base + "/v5/private")
        where = Addresses(rest=fake.url, public=sockets.base + "/v5/public/linear", private=private, trade=sockets.base + "/v5/trade")
        given = {"addresses": where, "instruments": (ID,), "start_within_s": 0.3, "dead_man_s": 30} | changed
        venue = BybitGuardVenue(VenueSettings(**given), Credentials(Rung.PAPER, KEY, SECRET))
        try:
            yield fake, sockets, venue
        finally:
            await venue.close()


def run(test: Callable[[], Any]) -> None:
    uvloop.run(test())


def day(number: int, close: str) -> list[str]:
    return [str(MIDNIGHT_MS + number * DAY_MS), close, close, close, close, "10", "100"]


def test_the_shares_of_trader_and_guard_never_exceed_the_venues_limits() -> None:
    for name, rule in TRADER_LIMITS.items():
        ours = GUARD_LIMITS[name].own if name in GUARD_LIMITS else 0
        assert rule.own + ours <= rule.limit, name
    assert [GUARD_LIMITS[name].own for name in ("order.create", "order.cancel", "order.cancel-all")] == [3, 4, 4]
    assert TRADER_ADDRESS_LIMIT + GUARD_ADDRESS_LIMIT == 600
    assert not {"order.amend", "order.amend-batch"} & GUARD_LIMITS.keys()


def test_the_whole_of_create_and_cancel_is_taken_and_given_back() -> None:
    async def test() -> None:
        async with guard() as (_, _, venue):
            limits = venue.rest.caller.limits

            def fit() -> int:
                taken = 0
                while not limits.wait_ns(Request("order.create", Priority.EXIT), taken):
                    limits.take(Request("order.create", Priority.EXIT), taken)
                    taken += 1
                return taken

            assert fit() == 3
            venue.claim_room(whole=True)
            assert fit() == 7
            assert {limits.largest(name, Priority.EXIT) for name in CLAIMED} == {10}
            venue.claim_room(whole=False)
            assert limits.largest("order.cancel", Priority.EXIT) == 4

    run(test)


def test_a_start_needs_the_clock_alone_and_connects_the_private_stream_beside_it() -> None:
    async def test() -> None:
        async with guard() as (_, sockets, venue):
            await venue.start()
            async with asyncio.timeout(30):
                assert await venue.news() == StreamUp(Stream.PRIVATE, again=False)
            assert {peer.path.rpartition("/")[2] for peer in sockets.peers} == {"private"}
            assert venue.streams() == {Stream.PRIVATE: ""}

    run(test)


def test_a_frozen_stream_holds_nothing_up_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_venue, "SOCKET_AGAIN_S", 0.02)

    async def test() -> None:
        async with guard(private="ws://127.0.0.1:9/v5/private") as (fake, _, venue):
            await venue.start()
            fake.on("/v5/position/list", rows(POSITION))
            assert len(await venue.positions()) == 1
            assert venue.streams()[Stream.PRIVATE]

    run(test)


def test_a_key_that_may_not_is_told_and_reading_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_venue, "SOCKET_AGAIN_S", 0.02)

    async def test() -> None:
        async with guard() as (fake, _, venue):
            fake.on("/v5/user/query-api", ok(KEY_INFO | {"permissions": {"Wallet": ["Withdraw"]}}))
            await venue.start()
            async with asyncio.timeout(30):
                news = await venue.news()
            assert isinstance(news, ActionNeeded)
            assert "withdraw" in news.what
            assert len(await venue.positions()) == 1

    run(test)


def test_a_venue_whose_clock_does_not_answer_is_unavailable() -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            fake.on("/v5/market/time", no(10016))
            with pytest.raises(VenueUnavailable):
                await venue.start()

    run(test)


def test_fees_are_asked_once_for_all_records() -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            records = await venue.instruments([ID, "bybit-linear:ETHUSDT"])
            assert [record.taker_fee_e8 for record in records] == [55_000, 55_000]
            await venue.instruments([ID])
            assert len(fake.asked("/v5/account/fee-rate")) == 1

    run(test)


def test_each_kind_of_cancel_says_what_it_takes() -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            fake.on("/v5/order/cancel-all", ok({"list": [], "success": "1"}))
            for kind in CancelKind:
                assert await venue.cancel_all(kind) == Taken("")
            bodies = [seen.data for seen in fake.asked("/v5/order/cancel-all")]
            plain = {"category": "linear", "settleCoin": "USDT"}
            assert bodies == [plain | {"orderFilter": "Order"}, plain | {"orderFilter": "StopOrder", "stopOrderType": "Stop"}, plain]

    run(test)


@pytest.mark.parametrize(
    ("days", "closes", "last"),
    [
        ([0, 1, 2], (900_010, 900_020, 900_030), 3),
        ([0, 2, 3], (900_030, 900_040), 4),
        ([], (), None),
    ],
)
def test_daily_closes_are_of_finished_days_without_a_gap(days: list[int], closes: tuple[int, ...], last: int | None) -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            fake.on("/v5/market/orderbook", book(MIDNIGHT_MS + 5 * DAY_MS + 77))
            kline = [day(number, f"{90_001 + number}.0") for number in reversed(days)]
            fake.on("/v5/market/kline", ok({"category": "linear", "symbol": "BTCUSDT", "list": kline}))
            found = await venue.daily_closes(ID, 400)
            last_ns = 0 if last is None else (MIDNIGHT_MS + last * DAY_MS) * NS_PER_MS
            assert found == DailyCloses(instrument=ID, last_day_ts_ns=last_ns, closes_ticks=closes)
            query = fake.asked("/v5/market/kline")[-1].query
            assert f"end={MIDNIGHT_MS + 4 * DAY_MS}" in query
            assert "interval=D" in query
            assert await venue.data_time_ns() == (MIDNIGHT_MS + 5 * DAY_MS + 77) * NS_PER_MS

    run(test)


def test_past_days_on_an_earlier_grid_are_left_out_and_those_after_them_are_told() -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            fake.on("/v5/market/orderbook", book(MIDNIGHT_MS + 5 * DAY_MS + 77))
            kline = [day(3, "90003.0"), day(2, "90002.0"), day(1, "90001.0005"), day(0, "90000.0")]
            fake.on("/v5/market/kline", ok({"category": "linear", "symbol": "BTCUSDT", "list": kline}))
            found = await venue.daily_closes(ID, 400)
            assert (found.closes_ticks, found.last_day_ts_ns) == ((900_020, 900_030), (MIDNIGHT_MS + 4 * DAY_MS) * NS_PER_MS)
            (told,) = (line for line in venue.warnings if "past days" in line)
            assert "cannot be read" in told

    run(test)


def test_many_past_days_that_cannot_be_read_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            fake.on("/v5/market/orderbook", book(MIDNIGHT_MS + 5 * DAY_MS + 77))
            kline = [day(number, "90000.0005") for number in (3, 2, 1, 0)]
            fake.on("/v5/market/kline", ok({"category": "linear", "symbol": "BTCUSDT", "list": kline}))
            for _ in range(2):
                assert (await venue.daily_closes(ID, 400)).closes_ticks == ()
            assert len([line for line in venue.warnings if "past days" in line]) == 1
            assert caplog.text.count("past days") == 1

    run(test)


def test_a_record_that_does_not_come_keeps_no_other_from_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = BybitGuardVenue._records_of

    async def slow(venue: BybitGuardVenue, ids: Sequence[str]) -> list[Instrument]:
        if list(ids) != [ID]:
            await asyncio.sleep(0.2)
            raise VenueUnavailable("no record", why="a test", fix="wait")
        return await plain(venue, ids)

    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            monkeypatch.setattr(BybitGuardVenue, "_records_of", slow)
            fake.on("/v5/market/orderbook", ok({"s": "BTCUSDT", "b": [], "a": [], "ts": 1_767_000_000_000, "u": 1, "seq": 1}))
            other = asyncio.create_task(venue.find_order("bybit-linear:ETHUSDT", "k"))
            await asyncio.sleep(0.02)
            assert (await venue.depth(ID)).bids == ()
            assert not other.done()
            with pytest.raises(VenueUnavailable, match="no record"):
                await other

    run(test)


def test_a_book_is_read_whole_on_the_instruments_grid() -> None:
    async def test() -> None:
        async with guard() as (fake, _, venue):
            await venue.start()
            sides = {"b": [["60000.1", "0.002"]], "a": [["60000.2", "1.5"]]}
            fake.on("/v5/market/orderbook", ok({"s": "BTCUSDT", **sides, "ts": 1_767_000_000_000, "u": 1, "seq": 1}))
            depth = await venue.depth(ID)
            assert (depth.bids, depth.asks) == (((600_001, 2),), ((600_002, 1_500),))
            assert depth.ts_ns == 1_767_000_000_000 * NS_PER_MS

    run(test)


def test_where_nothing_of_ours_is_traded_the_data_time_is_the_walls() -> None:
    async def test() -> None:
        async with guard(instruments=()) as (_, _, venue):
            await venue.start()
            assert await venue.data_time_ns() > 0

    run(test)
