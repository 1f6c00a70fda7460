"""Faults to order: each does what its name says, as often as ordered, and nothing when none is armed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from tests import steady
from tests.builders import AAA, T0, instrument
from tests.unit.venues.exchange.played_market import ACCOUNT, run

from kedge.domain.orders import OrderKind, Side
from kedge.domain.units import E8
from kedge.simulation.faults import Fault
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import (
    BookDelta,
    Change,
    Crowd,
    ExecutionRow,
    OrderRequest,
    OrderRow,
    PositionRow,
    Reject,
    TickerRow,
    TradeRow,
    VenueSettings,
    WalletRow,
)
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.clocks import HandClock
from kedge.venues.exchange.faults import Faults, FaultyHall
from kedge.venues.exchange.faults_http import FAULTS_PATH, FaultDesk, FaultyHttpServer
from kedge.venues.exchange.public_book import BookStream
from kedge.venues.exchange.rate_limits import RateLimits
from kedge.venues.exchange.routes import Call, Result, Route
from kedge.venues.exchange.subscriptions import Audience

CREATE, TIME = "/v5/order/create", "/v5/market/time"


class Bench:
    """A faulty hall behind a faulty server, with an order endpoint that needs no key."""

    def __init__(self) -> None:
        spec = instrument(AAA)
        self.venue = Venue([spec], VenueSettings(crowd=Crowd(levels=2)), T0)
        self.venue.open_account(ACCOUNT, 10_000 * E8, T0)
        self.clock = HandClock(T0)
        self.faults = Faults(steady.wall_ns)
        self.hall = FaultyHall(self.venue, self.clock, [spec], faults=self.faults)
        self.batches: list[list[Change]] = []
        self.hall.listen(lambda changes: self.batches.append(list(changes)))
        self.cuts: list[tuple[str, str]] = []
        self.placed = 0
        self.set_price(1_000)

    def set_price(self, ticks: int) -> None:
        self.venue.set_prices(AAA, ticks, ticks * 10**7, ticks * 10**7, self.clock.venue_ns(), flow_lots=1_000)
        self.hall.publish()

    def buy(self, lots: int = 100) -> OrderRow | Reject:
        answer = self.venue.place(
            ACCOUNT, OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=lots), self.clock.venue_ns()
        )
        self.hall.publish()
        return answer

    def kinds(self, since: int = 0) -> list[list[type]]:
        return [[type(row) for row in batch] for batch in self.batches[since:]]

    async def _cut(self, stream: str, account: str) -> int:
        self.cuts.append((stream, account))
        return 0

    def _skew(self, skew_ns: int) -> None:
        self.clock.skew_ns = skew_ns

    def _crowd(self) -> None:
        self.venue.set_crowd(AAA, self.faults.crowd(self.venue.settings.crowd, "AAAUSDT"))
        self.hall.publish()

    @asynccontextmanager
    async def serving(self) -> Any:
        def create(call: Call) -> Result:
            self.placed += 1
            return {"placed": self.placed}

        def now(call: Call) -> Result:
            return {"wall": call.hall.clock.wall_ns()}

        routes = {
            ("POST", CREATE): Route("POST", CREATE, create, public=True),
            ("GET", TIME): Route("GET", TIME, now, public=True),
        }
        paths = {FAULTS_PATH: FaultDesk(self.faults, self._cut, self._skew, self._crowd).handle}
        server = FaultyHttpServer(self.hall, ApiKeys(), RateLimits(), routes, paths=paths, faults=self.faults)
        port = await server.start("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
        await server.close()


async def order(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.post(CREATE, json={}) as answer:
        body: dict[str, Any] = await answer.json()
        return body


async def arm(session: aiohttp.ClientSession, **fault: Any) -> dict[str, Any]:
    async with session.post(FAULTS_PATH, json=fault) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, Any] = await answer.json()
        return told


def test_a_rejected_order_never_reaches_the_venue_and_the_next_one_does() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="reject", code=110007, text="ab not enough for new order", count=2)
            for _ in range(2):
                answer = await order(session)
                assert (answer["retCode"], answer["retMsg"]) == (110007, "ab not enough for new order")
            assert bench.placed == 0
            assert (await order(session))["result"] == {"placed": 1}

    run(main())


def test_a_dropped_reply_belongs_to_an_order_that_was_carried_out() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="drop_reply")
            with pytest.raises(aiohttp.ClientError):
                await order(session)
            assert bench.placed == 1
            assert (await order(session))["retCode"] == 0

    run(main())


def test_a_time_out_after_acceptance_is_ambiguous_and_the_order_stands() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="timeout_after")
            answer = await order(session)
            assert (answer["retCode"], answer["retMsg"]) == (10000, "Server Timeout")
            assert bench.placed == 1

    run(main())


def test_a_delayed_reply_comes_after_others_that_were_asked_later() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="delay_reply", ms=150)
            slow = asyncio.create_task(order(session))
            while not bench.placed:
                await asyncio.sleep(0.001)
            assert (await order(session))["result"] == {"placed": 2}
            assert not slow.done()
            assert (await slow)["result"] == {"placed": 1}

    run(main())


def test_an_answer_that_hangs_belongs_to_an_order_that_stands_and_comes_never() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="hang_reply")
            hung = asyncio.create_task(order(session))
            while not bench.placed:
                await asyncio.sleep(0.001)
            assert (await order(session))["result"] == {"placed": 2}
            done, _ = await asyncio.wait([hung], timeout=0.1)
            assert not done
            hung.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hung

    run(main())


def test_a_lost_request_does_nothing_and_a_late_one_is_carried_out_later() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="lose_request")
            with pytest.raises(aiohttp.ClientError):
                await order(session)
            assert bench.placed == 0
            await arm(session, fault="delay_request", ms=150)
            late = asyncio.create_task(order(session))
            while not bench.faults.shown()["done"].get("delay_request"):
                await asyncio.sleep(0.001)
            assert (await order(session))["result"] == {"placed": 1}
            assert (await late)["result"] == {"placed": 2}

    run(main())


def test_a_scheduled_fault_begins_by_itself_and_a_skew_ends_by_itself() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            told = await arm(session, fault="cut", stream="public", after_ms=40)
            assert [one["fault"] for one in told["scheduled"]] == ["cut"]
            await arm(session, fault="clock_skew", ms=9_000, after_ms=20, for_ms=60)
            assert (bench.cuts, bench.clock.skew_ns) == ([], 0)
            while not bench.cuts:
                await asyncio.sleep(0.002)
            assert bench.cuts == [("public", "")]
            while bench.clock.skew_ns:
                await asyncio.sleep(0.002)
            assert bench.faults.shown()["done"] == {"cut": 1, "clock_skew": 1}

    run(main())


def test_what_is_scheduled_and_cleared_never_begins() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="cut", after_ms=30)
            async with session.delete(FAULTS_PATH):
                pass
            await asyncio.sleep(0.06)
            assert bench.cuts == []

    run(main())


def test_a_crossed_book_is_shown_to_streams_and_not_to_those_who_ask() -> None:
    bench = Bench()
    symbol = next(iter(bench.hall.instruments))
    straight = bench.hall.shown_book(symbol, 5)
    bench.faults.arm(Fault(fault="crossed_book", ms=60_000, symbol=symbol))
    crossed = bench.hall.shown_book(symbol, 5)
    assert crossed.bids[0][0] > crossed.asks[0][0] == straight.asks[0][0]
    assert bench.venue.depth(AAA, 5) == straight
    bench.faults.clear()
    assert bench.hall.shown_book(symbol, 5) == straight


class Ears(Audience):
    """Followers of every topic, who keep what they hear."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, Any]] = []

    def write(self, topic: str, frame: bytes) -> None:
        self.heard.append(json.loads(frame[frame.index(b"{") :]))


def test_changes_of_a_book_stream_are_dropped_doubled_and_turned_round_and_snapshots_come() -> None:
    bench = Bench()
    symbol, ears = next(iter(bench.hall.instruments)), Ears()
    stream = BookStream(bench.hall, ears, symbol, 50, bench.hall.grids[AAA], itertools.count().__next__)
    assert b'"u":1' in stream.snapshot()
    kinds = ("drop_book", "duplicate_book", "reorder_book")
    for n, kind in enumerate((None, *kinds, None)):
        if kind is not None:
            bench.faults.arm(Fault(fault=kind, symbol=symbol))  # type: ignore[arg-type]
        bench.set_price(1_001 + n)
        stream.tell()
    assert [frame["data"]["u"] for frame in ears.heard] == [1, 2, 4, 4, 6, 5]
    assert bench.faults.shown()["done"] == dict.fromkeys(kinds, 1)


def test_a_fault_hits_only_the_path_and_account_it_names() -> None:
    faults = Faults(lambda: 0)
    faults.arm(Fault(fault="reject", path="/v5/position/trading-stop", account="7"))
    assert faults.fate(CREATE, "7") is None
    assert faults.fate("/v5/position/trading-stop", "8") is None
    assert faults.fate("/v5/position/trading-stop", "7") is not None
    assert faults.fate("/v5/position/trading-stop", "7") is None


def test_without_a_path_orders_are_meant_and_questions_about_them_are_not() -> None:
    faults = Faults(lambda: 0)
    faults.arm(Fault(fault="reject", count=10))
    assert faults.fate(CREATE, "7") is not None
    for path in ("/v5/order/realtime", "/v5/order/history", "/v5/position/list"):
        assert faults.fate(path, "7") is None


def test_a_ban_turns_every_request_away_and_cuts_the_sockets() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="ban", ms=60_000)
            async with session.get(TIME) as answer:
                assert (answer.status, await answer.text()) == (403, "access too frequent")
            assert bench.cuts == [("", "")]
            async with session.delete(FAULTS_PATH) as answer:
                assert (await answer.json())["lasting_ms"] == {}
            async with session.get(TIME) as answer:
                assert answer.status == 200

    run(main())


def test_maintenance_answers_503_until_it_is_over() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="maintenance", ms=80)
            async with session.get(TIME) as answer:
                assert answer.status == 503
            while True:
                async with session.get(TIME) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.01)

    run(main())


def test_a_skewed_clock_shows_in_the_time_endpoint_and_is_mended_by_clearing() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="clock_skew", ms=-5_000)
            async with session.get(TIME) as answer:
                body = await answer.json()
            assert body["time"] == T0 // 1_000_000 - 5_000
            async with session.delete(FAULTS_PATH):
                pass
            assert bench.clock.wall_ns() == T0

    run(main())


def test_cutting_names_the_stream_and_the_account() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            told = await arm(session, fault="cut", stream="private", account="7")
            assert bench.cuts == [("private", "7")]
            assert told["done"] == {"cut": 1}

    run(main())


@pytest.mark.parametrize("body", ["{", "[]", '{"fault":"earthquake"}', '{"fault":"reject","count":0}', '{"fault":"cut","colour":"red"}'])
def test_an_order_for_a_fault_that_makes_no_sense_is_refused(body: str) -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session, session.post(FAULTS_PATH, data=body) as answer:
            assert answer.status == 400
            assert "no such fault" in (await answer.json())["error"]
            assert bench.faults.shown() == {"armed": [], "scheduled": [], "lasting_ms": {}, "skew_ms": 0, "done": {}}

    run(main())


def test_faults_are_shown_and_web_pages_and_other_methods_are_refused() -> None:
    async def main() -> None:
        bench = Bench()
        async with bench.serving() as session:
            await arm(session, fault="lose_private", count=3)
            await arm(session, fault="stale_book", ms=60_000)
            async with session.get(FAULTS_PATH) as answer:
                told = await answer.json()
            assert [(one["fault"], one["count"]) for one in told["armed"]] == [("lose_private", 3)]
            assert 0 < told["lasting_ms"]["stale_book"] <= 60_000
            async with session.put(FAULTS_PATH) as answer:
                assert answer.status == 405
            async with session.post(FAULTS_PATH, json={"fault": "cut"}, headers={"Origin": "http://evil.example"}) as answer:
                assert answer.status == 403
            assert not bench.cuts

    run(main())


def test_executions_come_twice_when_duplication_is_ordered() -> None:
    bench = Bench()
    bench.faults.arm(Fault(fault="duplicate_execution"))
    bench.buy()
    first, second = bench.batches[-2:]
    executions = [row for row in first if isinstance(row, ExecutionRow)]
    assert executions
    assert second == executions
    bench.buy()
    assert len(bench.kinds()[-1]) > 1


def test_lost_private_rows_leave_the_public_ones() -> None:
    bench = Bench()
    bench.faults.arm(Fault(fault="lose_private", account=ACCOUNT))
    seen = len(bench.batches)
    bench.buy()
    kinds = {kind for batch in bench.kinds(seen) for kind in batch}
    assert TradeRow in kinds
    assert not kinds & {OrderRow, ExecutionRow, PositionRow, WalletRow}


def test_reordered_rows_come_backwards_one_by_one() -> None:
    plain, faulty = Bench(), Bench()
    plain.buy()
    faulty.faults.arm(Fault(fault="reorder_private"))
    faulty.buy()
    rows = plain.batches[-1]
    assert faulty.batches[-len(rows) :] == [[row] for row in reversed(rows)]


def test_a_fault_for_another_account_waits_for_it() -> None:
    bench = Bench()
    bench.faults.arm(Fault(fault="duplicate_execution", account="somebody else"))
    seen = len(bench.batches)
    bench.buy()
    assert len(bench.batches) == seen + 1
    assert bench.faults.shown()["armed"]


def flat(batches: Sequence[Sequence[Change]]) -> list[Change]:
    return [row for batch in batches for row in batch]


def test_a_stale_book_stands_still_and_then_catches_up_in_order() -> None:
    async def main() -> None:
        bench = Bench()
        bench.faults.arm(Fault(fault="stale_book", ms=60))
        seen = len(bench.batches)
        for ticks in (1_001, 1_002):
            bench.set_price(ticks)
        early = flat(bench.batches[seen:])
        assert any(isinstance(row, TradeRow) for row in early)
        assert not any(isinstance(row, BookDelta | TickerRow) for row in early)
        late = len(bench.batches)
        while len(bench.batches) == late:
            await asyncio.sleep(0.005)
        updates = [row.update for row in flat(bench.batches[seen:]) if isinstance(row, BookDelta)]
        assert updates == sorted(updates)
        assert len(updates) == 2

    run(main())


def test_private_rows_that_were_held_back_come_before_later_ones() -> None:
    async def main() -> None:
        bench = Bench()
        bench.faults.arm(Fault(fault="delay_private", ms=10))
        seen = len(bench.batches)
        bench.buy(100)
        assert not any(isinstance(row, ExecutionRow) for row in flat(bench.batches[seen:]))
        while bench.faults.lasts("delay_private"):
            pass
        bench.buy(200)
        lots = [row.qty_lots for row in flat(bench.batches[seen:]) if isinstance(row, ExecutionRow)]
        assert lots == [100, 200]
        held = len(bench.batches)
        await asyncio.sleep(0.02)
        assert len(bench.batches) == held

    run(main())


def test_a_hall_where_nothing_changed_says_nothing() -> None:
    bench = Bench()
    seen = len(bench.batches)
    bench.hall.publish()
    assert len(bench.batches) == seen


def test_every_kind_of_fault_can_be_written_as_json() -> None:
    for kind in ("reject", "maintenance", "cut"):
        fault = Fault(fault=kind)  # type: ignore[arg-type]
        assert msgspec.json.decode(msgspec.json.encode(fault), type=Fault) == fault


def test_a_thin_book_is_thin_for_all_who_look_until_its_time_is_over() -> None:
    async def main() -> None:
        bench = Bench()

        def lots() -> int:
            return sum(level[1] for level in bench.venue.depth(AAA, 50).bids)

        before = lots()
        async with bench.serving() as session:
            told = await arm(session, fault="thin_book", bps=0, ms=80)
            assert lots() == 0
            assert told["lasting_ms"]["thin_book"]
            assert any(isinstance(row, BookDelta) for row in flat(bench.batches))
            while not lots():
                await asyncio.sleep(0.005)
        assert before // 3 < lots() < before * 3

    run(main())
