"""`CcxtVenue` on paper against the whole exchange over sockets; the port itself is in the conformance tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.loopback import BTC, ETH, MINUTE, T0, Loopback, running
from tests.conformance.venue_worlds import order, run, told

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, FundingSettled, OrderAccepted, OrderAmended, OrderCanceled, OrderFilled, OrderWaits
from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_MS
from kedge.domain.venue import ActionNeeded, Refused, StreamDown, StreamUp, Taken, VenueOrderState, VenuePosition, VenueWallet
from kedge.simulation.faults import Fault
from kedge.venues.ccxt.bybit import BybitAccount
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.ccxt.venue import CcxtVenue


@pytest.fixture(scope="module")
def exchange() -> Iterator[Loopback]:
    with running(faults=True) as found:
        yield found


def venue_of(exchange: Loopback, desk: Any, **given: Any) -> CcxtVenue:
    wanted: dict[str, Any] = {"exchange": "bybit", "instruments": (BTC,), "mode": Mode.PAPER, "poll_s": 0.05, "paced": False, **given}
    keys = Keys() if desk is None else Keys(api_key=desk.key.key, api_secret=desk.key.secret)
    return CcxtVenue(CcxtSettings(url=exchange.url, **wanted), keys)


def test_a_day_of_orders_is_told_and_the_books_are_the_exchanges(exchange: Loopback) -> None:
    desk = exchange.desk()

    async def test() -> None:
        venue = venue_of(exchange, desk, funding=True)
        try:
            await venue.start()
            assert venue.traits == BybitAccount.traits
            assert not venue.traits.pushes
            assert isinstance(await venue.place(order("rests", Side.BUY, 10, limit=500_000)), Taken)
            await told(venue, OrderAccepted)
            assert isinstance(await venue.amend(BTC, "rests", qty_lots=7, limit_ticks=510_000), Taken)
            await told(venue, OrderAmended)
            assert isinstance(await venue.cancel(BTC, "rests"), Taken)
            await told(venue, OrderCanceled)
            found = await venue.find_order(BTC, "rests")
            assert found is not None
            assert found.state is VenueOrderState.CANCELED
            assert isinstance(
                await venue.place(order("waits", Side.BUY, 5, limit=590_000, trigger_ticks=900_000, trigger_rises=True)), Taken
            )
            await told(venue, OrderWaits)
            assert isinstance(await venue.place(order("fills", Side.BUY, 20)), Taken)
            news = await told(venue, OrderFilled, VenuePosition, VenueWallet, until=lambda seen: len(seen) >= 3)
            assert {type(one) for one in news} == {OrderFilled, VenuePosition, VenueWallet}
            assert isinstance(await venue.set_stop_loss(BTC, 550_000), Taken)
            await asyncio.to_thread(exchange.pass_time, 8 * 60 * MINUTE)
            await told(venue, FundingSettled)
            (position,) = await venue.positions()
            assert (position.lots, position.stop_loss_ticks) == (20, 550_000)
            assert (await venue.wallet()).wallet_e8 == desk.wallet().wallet_e8
            assert len(await venue.ledger(T0)) == len(desk.rows("transaction_log"))
            assert len(await venue.executions(T0)) == len(desk.rows("executions"))
        finally:
            await venue.close()

    run(test)
    desk.leave()


def test_bars_and_rates_are_told_in_order_as_time_passes(exchange: Loopback) -> None:
    async def test() -> None:
        venue = venue_of(exchange, None, mode=Mode.READ_ONLY, funding=True)
        try:
            await venue.start()
            assert not venue.traits.account
            with pytest.raises(VenueUnavailable, match="no key is given"):
                await venue.wallet()
            await asyncio.to_thread(exchange.pass_time, 480 * MINUTE)
            news = await told(venue, BarClosed, FundingKnown, until=lambda seen: len(seen) > 400)
            bars = [one for one in news if isinstance(one, BarClosed)]
            assert [bar.ts_ns for bar in bars] == [bars[0].ts_ns + n * MINUTE for n in range(len(bars))]
            assert any(isinstance(one, FundingKnown) for one in news)
        finally:
            await venue.close()

    run(test)


def test_what_is_unknown_or_impossible_is_refused(exchange: Loopback) -> None:
    desk = exchange.desk()

    async def test() -> None:
        venue = venue_of(exchange, desk)
        try:
            await venue.start()
            for answer in (
                await venue.place(order("x", Side.BUY, 1, instrument=ETH)), await venue.cancel(ETH, "x"),
                await venue.amend(ETH, "x", qty_lots=1), await venue.set_stop_loss(ETH, 1),
                await venue.amend(BTC, "x"), await venue.amend(BTC, "x", qty_lots=0),
            ):  # fmt: skip
                assert isinstance(answer, Refused)
                assert answer.code in ("UNKNOWN_INSTRUMENT", "IMPOSSIBLE_AMEND")
            assert venue.quote(ETH) is None
            venue.remember(await venue.instruments([ETH]))
            await venue.barrier()
            venue.settings = type(venue.settings)(exchange="bybit", instruments=(BTC,), quote_age_max_s=1e-9)
            assert venue.quote(BTC) is None
        finally:
            await venue.close()

    run(test)


def test_an_account_that_holds_what_nobody_loaded_is_unknown(exchange: Loopback) -> None:
    desk = exchange.desk()
    desk.place(Side.BUY, 3, symbol="ETHUSDT")

    async def test() -> None:
        venue = venue_of(exchange, desk)
        try:
            with pytest.raises(VenueUnavailable, match="record is not loaded"):
                await venue.start()
        finally:
            await venue.close()

    run(test)
    desk.leave()


def test_a_refused_key_is_told_and_a_silent_exchange_is_told_as_down(exchange: Loopback) -> None:
    desk = exchange.desk()

    async def test() -> None:
        venue = venue_of(exchange, desk, poll_s=0.02)
        try:
            await venue.start()
            faults: Any = exchange.hall
            await told(venue, StreamUp, until=lambda seen: len(seen) == 2)
            for code in (10003, 10016):
                fault = Fault("reject", count=1, code=code, path="/v5/order/realtime", account=desk.account)
                exchange.ask(lambda _, fault=fault: faults.faults.arm(fault))  # type: ignore[misc]
                news = await told(venue, StreamDown, StreamUp, until=lambda seen: len(seen) == 4)
                assert [type(one) for one in news] == [StreamDown, StreamDown, StreamUp, StreamUp]
            exchange.ask(lambda _: faults.faults.arm(Fault("reject", count=1, code=10003, path="/v5/order/create")))
            assert isinstance(await venue.place(order("k", Side.BUY, 1)), Refused)
            needed = await told(venue, ActionNeeded, until=lambda seen: any(one.code == "10003" for one in seen))
            assert needed
        finally:
            await venue.close()
        venue.news_at_hand()
        with pytest.raises(VenueUnavailable, match="no more news"):
            await venue.news()

    run(test)


def test_lists_longer_than_a_page_and_a_window_are_whole(exchange: Loopback) -> None:
    desk = exchange.desk()
    for n in range(120):
        desk.place(Side.BUY if n % 2 else Side.SELL, 3, link_id=f"p{n}")
    exchange.pass_time(NS_PER_MS)

    async def test() -> None:
        venue = venue_of(exchange, desk)
        try:
            with pytest.raises(VenueUnavailable, match="not loaded"):
                await venue.instruments([BTC])
            await venue.start()
            assert [one.fill_id for one in await venue.executions(T0 - 20 * 1_440 * MINUTE) if isinstance(one, OrderFilled)] == [
                row.exec_id for row in reversed(desk.rows("executions"))
            ]
            assert await venue.funding_rates(BTC, T0, T0 + MINUTE) == []
        finally:
            await venue.close()

    run(test)
    desk.leave()
