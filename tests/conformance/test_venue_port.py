"""The port `TradingVenue`, played on each of its clients over real sockets: what they say must equal what the exchange itself holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.conformance.loopback import BTC, ETH, FIRST_MINUTE, MINUTE, MINUTES, RATE_E8, T0, Desk, Loopback, running
from tests.conformance.venue_worlds import KINDS, NAMES, Kind, order, run, started, told

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import FundingSettled, OrderAccepted, OrderAmended, OrderCanceled, OrderFilled, OrderTriggered, OrderWaits
from kedge.domain.orders import Liquidity, Side, TimeInForce
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import (
    NO_PERMIT,
    LedgerKind,
    Refused,
    Taken,
    Unanswered,
    VenueOrderState,
)
from kedge.simulation.faults import Fault
from kedge.simulation.venue_types import ExecType
from kedge.venues.ccxt.dialect import MARKET_DATA
from kedge.venues.traits import VenueTraits

CREATE = "/v5/order/create"
UNBOUND = ("valid_from_ns", "price_max_ticks", "position_max_lots", "order_qty_max_lots", "market_qty_max_lots")
"""Fields that say how far sums are proved; a client derives them from the price of the moment."""

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def faulty() -> Iterator[Loopback]:
    with running(faults=True) as found:
        yield found


@pytest.fixture
def desk(faulty: Loopback) -> Iterator[Desk]:
    faulty.reopen()
    made = faulty.desk()
    yield made
    faulty.ask(lambda _: _faults(faulty).clear())
    made.leave()


def _faults(exchange: Loopback) -> Any:
    return exchange.hall.faults


def _arm(exchange: Loopback, **fault: Any) -> None:
    exchange.ask(lambda _: _faults(exchange).arm(Fault(**fault)))


@kinds
def test_instruments_are_exact_and_what_is_not_listed_is_left_out(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            found = await venue.instruments([*NAMES, "bybit-linear:NOPEUSDT"])
            assert [record.instrument_id for record in found] == list(NAMES)
            for record in found:
                spec = faulty.specs[record.venue_symbol]
                assert record.order_qty_max_lots <= spec.order_qty_max_lots
                assert record.market_qty_max_lots <= spec.market_qty_max_lots
                assert msgspec.structs.replace(record, **{name: getattr(spec, name) for name in UNBOUND}) == spec

    run(test)


@kinds
def test_bars_are_closed_in_order_and_without_repeats(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            first = T0 + FIRST_MINUTE * MINUTE
            bars = await venue.bars(BTC, first, first + MINUTES * MINUTE)
            assert [bar.ts_ns for bar in bars] == [first + n * MINUTE for n in range(1, MINUTES + 1)]
            rows = faulty.ask(lambda venue_core: venue_core.klines(BTC, "1", limit=200))
            truth = {row.end_ns: row for row in rows}
            for bar in bars:
                row = truth[bar.ts_ns]
                assert (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks, bar.volume_lots) == (
                    row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks, row.volume_lots,
                )  # fmt: skip
            part = await venue.bars(BTC, first + 3 * MINUTE, first + 5 * MINUTE)
            assert part == bars[3:5]
            assert await venue.bars(BTC, first + 5 * MINUTE, first + 5 * MINUTE) == []
            ahead = await venue.bars(BTC, first, first + 10_000 * MINUTE)
            assert all(bar.ts_ns <= faulty.clock.venue_at_ns for bar in ahead)

    run(test)


@kinds
def test_rates_that_settled_are_told_once_each(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            rates = await venue.funding_rates(BTC, T0, T0 + 9 * 60 * MINUTE)
            assert [(rate.ts_ns, rate.rate_e8) for rate in rates] == [(T0 + 480 * MINUTE, RATE_E8)]
            assert await venue.funding_rates(BTC, T0 + 480 * MINUTE, T0 + 500 * MINUTE) == []

    run(test)


@kinds
def test_an_order_is_placed_looked_up_amended_and_cancelled(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            answer = await venue.place(order("one", Side.BUY, 10, limit=500_000))
            assert answer == Taken(desk.order(link_id="one").order_id)
            await told(venue, OrderAccepted)
            found = await venue.find_order(BTC, "one")
            assert found is not None
            assert (found.client_order_id, found.qty_lots, found.limit_ticks, found.side) == ("one", 10, 500_000, Side.BUY)
            assert (found.state, found.time_in_force, found.reduce_only) == (VenueOrderState.OPEN, TimeInForce.GTC, False)
            assert await venue.open_orders() == [found]
            assert isinstance(await venue.amend(BTC, "one", qty_lots=7, limit_ticks=510_000), Taken)
            (amended,) = await told(venue, OrderAmended)
            assert (amended.qty_lots, amended.limit_ticks) == (7, 510_000)
            assert (desk.order(link_id="one").qty_lots, desk.order(link_id="one").price_ticks) == (7, 510_000)
            assert isinstance(await venue.cancel(BTC, "one"), Taken)
            (gone,) = await told(venue, OrderCanceled)
            assert gone.client_order_id == "one"
            ended = await venue.find_order(BTC, "one")
            assert ended is not None
            assert ended.state is VenueOrderState.CANCELED
            assert ended.reason
            assert await venue.open_orders() == []

    run(test)


@kinds
def test_what_the_exchange_does_not_know_is_refused_or_not_found(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            assert isinstance(await venue.cancel(BTC, "never"), Refused)
            assert isinstance(await venue.amend(BTC, "never", qty_lots=5), Refused)
            assert isinstance(await venue.amend(BTC, "never"), Refused)
            assert await venue.find_order(BTC, "never") is None
            assert isinstance(await venue.place(order("big", Side.BUY, 90_000, limit=599_000)), Refused)
            assert await venue.find_order(BTC, "big") is None

    run(test)


@kinds
def test_a_repeat_of_the_same_client_id_is_taken_once(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            answers = [await venue.place(order("twice", Side.BUY, 10)) for _ in range(2)]
            assert all(isinstance(answer, Taken) for answer in answers)
            assert desk.position().lots == 10
            assert len(desk.rows("executions")) == len(await venue.executions(T0)) >= 1

    run(test)


@kinds
@pytest.mark.parametrize("fault", ["drop_reply", "timeout_after"])
def test_an_order_that_was_taken_in_silence_is_unanswered_and_can_be_looked_up(
    kind: Kind, fault: Any, faulty: Loopback, desk: Desk
) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk, within_s=0.5) as venue:
            _arm(faulty, fault=fault, path=CREATE, count=1)
            assert isinstance(await venue.place(order("silent", Side.BUY, 10, limit=500_000)), Unanswered)
            assert desk.order(link_id="silent").is_open
            await venue.barrier()
            found = await venue.find_order(BTC, "silent")
            assert found is not None
            assert found.state is VenueOrderState.OPEN

    run(test)


@kinds
def test_a_code_of_the_orders_own_fault_is_a_refusal_and_an_ambiguous_one_is_not(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            _arm(faulty, fault="reject", path=CREATE, count=1, code=110007)
            answer = await venue.place(order("poor", Side.BUY, 10, limit=500_000))
            assert isinstance(answer, Refused)
            assert answer.code == "110007"
            _arm(faulty, fault="reject", path=CREATE, count=1, code=10016)
            assert isinstance(await venue.place(order("who knows", Side.BUY, 10, limit=500_000)), Unanswered)
            assert desk.rows("open_orders") == []

    run(test)


@kinds
def test_without_a_permit_at_the_signature_nothing_is_sent(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            asked: list[bool] = []
            answer = await venue.place(order("late", Side.BUY, 10), is_permitted=lambda: bool(asked.append(True)))
            assert isinstance(answer, Refused)
            assert answer.code == NO_PERMIT
            assert asked
            assert desk.rows("order_history") == desk.rows("executions") == []
            assert isinstance(await venue.place(order("now", Side.BUY, 10), is_permitted=lambda: True), Taken)

    run(test)


@kinds
def test_executions_are_whole_and_oldest_first_and_every_fill_is_told_once(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            for n in range(130):  # more than a page of either list
                desk.place(Side.BUY if n % 2 else Side.SELL, 3, link_id=f"n{n}")
                if n % 10 == 0:
                    faulty.pass_time(NS_PER_MS)
            truth = list(reversed(desk.rows("executions")))
            found = await venue.executions(T0)
            assert [one.fill_id for one in found] == [row.exec_id for row in truth]
            for one, row in zip(found, truth, strict=True):
                assert (one.ts_ns, one.client_order_id, one.side, one.qty_lots) == (row.ts_ns, row.link_id, row.side, row.qty_lots)
                assert (one.fee_e8, one.leaves_lots, one.liquidity) == (row.fee_e8, row.leaves_lots, Liquidity.TAKER)
                assert one.price_ticks * faulty.specs["BTCUSDT"].tick_e8 == row.price_e8
            await venue.barrier()
            fills = await told(venue, OrderFilled, until=lambda news: len(news) >= len(truth))
            assert sorted(one.fill_id for one in fills) == sorted(row.exec_id for row in truth)
            await venue.barrier()
            assert [one for one in venue.news_at_hand() if isinstance(one, OrderFilled)] == []

    run(test)


@kinds
def test_positions_and_wallet_equal_the_exchanges_to_the_last_unit(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            assert await venue.positions() == []
            await venue.place(order("long", Side.BUY, 37))
            await venue.place(order("short", Side.SELL, 130, instrument=ETH))
            faulty.price("BTCUSDT", 601_234, after_ns=MINUTE)
            await venue.place(order("more", Side.BUY, 11))
            found = {one.instrument: one for one in await venue.positions()}
            assert sorted(found) == sorted(NAMES)
            for name, symbol in ((BTC, "BTCUSDT"), (ETH, "ETHUSDT")):
                truth = desk.position(symbol)
                assert (found[name].lots, found[name].cost_e8, found[name].mark_e8) == (truth.lots, truth.cost_e8, truth.mark_e8)
            money, row = await venue.wallet(), desk.wallet()
            assert (money.wallet_e8, money.equity_e8) == (row.wallet_e8, row.equity_e8)

    run(test)


@kinds
def test_the_ledger_explains_the_wallet_to_the_last_unit(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            before = desk.wallet().wallet_e8
            for n in range(70):  # more than a page
                desk.place(Side.BUY if n % 3 else Side.SELL, 5, link_id=f"l{n}")
            entries = await venue.ledger(T0)
            trades = [entry for entry in entries if entry.kind is LedgerKind.TRADE]
            assert [entry.ts_ns for entry in entries] == sorted(entry.ts_ns for entry in entries)
            assert before + sum(entry.change_e8 for entry in trades) == desk.wallet().wallet_e8
            assert all(entry.change_e8 == entry.cash_flow_e8 + entry.funding_e8 - entry.fee_e8 for entry in trades)
            assert sorted(entry.fill_id for entry in trades) == sorted(row.exec_id for row in desk.rows("executions"))

    run(test)


@kinds
def test_a_settlement_is_among_the_executions_and_in_the_ledger(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            await venue.place(order("held", Side.BUY, 20))
            faulty.pass_time(8 * 60 * MINUTE)
            (paid,) = [one for one in await venue.executions(T0) if isinstance(one, FundingSettled)]
            (row,) = [row for row in desk.rows("executions") if row.exec_type is ExecType.FUNDING]
            assert (paid.ts_ns, paid.paid_e8, paid.position_lots, paid.rate_e8) == (row.ts_ns, row.fee_e8, 20, row.fee_rate_e8)
            (entry,) = [entry for entry in await venue.ledger(T0) if entry.kind is LedgerKind.FUNDING]
            assert (entry.change_e8, entry.funding_e8) == (-paid.paid_e8, -paid.paid_e8)

    run(test)


@kinds
def test_a_conditional_order_waits_and_tells_when_it_was_triggered(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        assert kind.traits.conditional_orders
        async with started(kind, faulty, desk) as venue:
            wish = order("stop", Side.BUY, 10, limit=590_000, trigger_ticks=605_000, trigger_rises=True)
            assert isinstance(await venue.place(wish), Taken)
            await told(venue, OrderWaits)
            (waiting,) = await venue.open_orders()
            assert (waiting.state, waiting.trigger_ticks, waiting.is_conditional) == (VenueOrderState.WAITING, 605_000, True)
            faulty.price("BTCUSDT", 606_000, after_ns=MINUTE)
            (triggered,) = await told(venue, OrderTriggered)
            assert triggered.client_order_id == "stop"

    run(test)


@kinds
def test_the_stop_of_a_position_lies_at_the_venue_and_can_be_taken_away(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        assert kind.traits.stop_loss
        async with started(kind, faulty, desk) as venue:
            await venue.place(order("long", Side.BUY, 10))
            for ticks in (550_000, 550_000, 0):
                assert isinstance(await venue.set_stop_loss(BTC, ticks), Taken)
                assert desk.position().stop_loss_ticks == ticks
                (position,) = await venue.positions()
                assert position.stop_loss_ticks == ticks

    run(test)


@kinds
def test_after_a_barrier_everything_before_it_is_at_hand(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            await venue.barrier()
            venue.news_at_hand()
            row = desk.place(Side.BUY, 10, link_id="aside")
            await venue.barrier()
            fills = [one for one in venue.news_at_hand() if isinstance(one, OrderFilled)]
            assert [(one.client_order_id, one.qty_lots) for one in fills] == [("aside", row.qty_lots)]

    run(test)


@kinds
def test_of_one_order_the_fills_are_told_before_its_end(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            await venue.place(order("swept", Side.BUY, 20_000, limit=600_010, time_in_force=TimeInForce.IOC))
            news = await told(venue, OrderFilled, OrderCanceled, until=lambda found: bool(found) and isinstance(found[-1], OrderCanceled))
            assert [type(one) for one in news[:-1]] == [OrderFilled] * (len(news) - 1)
            assert len(news) > 1
            assert sum(one.qty_lots for one in news[:-1]) == desk.position().lots

    run(test)


@kinds
def test_a_quote_is_the_top_of_the_book(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            depth = faulty.ask(lambda core: core.depth(BTC, 5))
            await venue.barrier()
            async with asyncio.timeout(5):
                while (quote := venue.quote(BTC)) is None:
                    await asyncio.sleep(0.01)
            assert ((quote.bid_ticks, quote.bid_lots), (quote.ask_ticks, quote.ask_lots)) == (depth.bids[0], depth.asks[0])
            assert venue.quote("bybit-linear:NOPEUSDT") is None

    run(test)


@kinds
def test_the_venues_clock_is_asked_and_not_remembered(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        async with started(kind, faulty, desk) as venue:
            first = await venue.wall_time_ns()
            faulty.clock.skew_ns += 3 * NS_PER_S
            try:
                assert await venue.wall_time_ns() - first >= 3 * NS_PER_S
            finally:
                faulty.clock.skew_ns -= 3 * NS_PER_S

    run(test)


@kinds
def test_closing_leaves_nothing_running_and_orders_as_they_are(kind: Kind, faulty: Loopback, desk: Desk) -> None:
    async def test() -> None:
        before = asyncio.all_tasks()
        async with started(kind, faulty, desk) as venue:
            await venue.place(order("rests", Side.BUY, 10, limit=500_000))
        assert asyncio.all_tasks() == before
        assert desk.order(link_id="rests").is_open
        venue.news_at_hand()
        with pytest.raises(VenueUnavailable, match="no more news"):
            await venue.news()

    run(test)


def test_the_table_of_traits_in_the_manual_is_what_the_clients_say() -> None:
    text = (Path(__file__).parents[2] / "docs" / "second-venue.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 5]
    says = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    head, rows = says[0], {row[0]: row[1:] for row in says[1:]}
    assert head[1:] == [*(kind.name for kind in KINDS), "ccxt, any other"]
    clients = [*(kind.traits for kind in KINDS), MARKET_DATA]
    assert rows == {name: ["yes" if getattr(client, name) else "no" for client in clients] for name in VenueTraits.__struct_fields__}
