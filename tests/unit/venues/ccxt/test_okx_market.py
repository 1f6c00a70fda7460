"""Market data of another exchange than Bybit through ccxt: another protocol, quantities in contracts, no dialect of its accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests import steady
from tests.unit.venues.ccxt.okx_server import MINUTE_MS, Okx, serving

from kedge.domain.errors import InvalidConfig, InvalidInput, VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_MS
from kedge.domain.venue import Quote, Refused, Stream, StreamDown, StreamUp
from kedge.venues.ccxt.dialect import MARKET_DATA
from kedge.venues.ccxt.settings import CcxtSettings, Mode
from kedge.venues.ccxt.venue import CcxtVenue

NAME = "okx-linear:BTC-USDT-SWAP"
MINUTE_NS = MINUTE_MS * NS_PER_MS


@asynccontextmanager
async def reading(okx: Okx, *, start: bool = True, **given: Any) -> AsyncIterator[CcxtVenue]:
    async with serving(okx) as url:
        wanted: dict[str, Any] = {"exchange": "okx", "instruments": (NAME,), "url": url, "paced": False, "poll_s": 60.0, **given}
        venue = CcxtVenue(CcxtSettings(**wanted))
        try:
            if start:
                await venue.start()
            yield venue
        finally:
            await venue.close()


def run(test: Callable[[], Any]) -> None:
    steady.run(test(), within_s=60)


def test_a_grid_counted_in_contracts_becomes_one_of_the_base_currency() -> None:
    async def test() -> None:
        async with reading(Okx()) as venue:
            (record,) = await venue.instruments([NAME, "okx-linear:BTC-USD-SWAP", "okx-linear:NOPE"])
            assert (record.tick_e8, record.lot_e8, record.tick_value_e8) == (E8 // 10, E8 // 1_000, 10_000)
            assert (record.order_qty_min_lots, record.base, record.quote) == (1, "BTC", "USDT")
            assert record.funding_interval_ns == 480 * MINUTE_NS
            assert [(tier.maintenance_rate_e8, tier.leverage_max_e2) for tier in record.tiers] == [(E8, 100)]
            words = "\n".join(venue.warnings)
            assert all(part in words for part in ("margin tiers are unknown", "fees are ccxt's", "BTC-USD-SWAP", "NOPE"))

    run(test)


def test_bars_are_those_that_closed_with_volumes_in_lots() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx) as venue:
            now_ns = okx.now_ms * NS_PER_MS
            bars = await venue.bars(NAME, now_ns - 4 * MINUTE_NS, now_ns + MINUTE_NS)
            assert [bar.ts_ns for bar in bars] == [now_ns - n * MINUTE_NS for n in (3, 2, 1, 0)]
            assert {bar.volume_lots for bar in bars} == {1_500}
            assert all(bar.high_ticks - bar.open_ticks == 105 for bar in bars)

    run(test)


def test_settled_rates_come_oldest_first_and_only_within_the_span() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx) as venue:
            times = [ms * NS_PER_MS for ms in sorted(okx.rates)]
            assert await venue.funding_rates(NAME, times[0], times[-1]) == [FundingKnown(ts, NAME, 12_500) for ts in times[1:]]
            assert await venue.funding_rates(NAME, times[-1], times[-1] + MINUTE_NS) == []

    run(test)


def test_a_history_of_rates_that_is_cut_off_is_refused() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx) as venue:
            newest = okx.rates[0]
            okx.rates = [newest - n * 480 * MINUTE_MS for n in range(150)]
            with pytest.raises(VenueUnavailable, match="older ones are missing"):
                await venue.funding_rates(NAME, okx.rates[-1] * NS_PER_MS - 1, newest * NS_PER_MS)

    run(test)


@pytest.mark.parametrize(("known", "interval_min"), [({}, 480), ({"nextFundingTime": ""}, None)])
def test_an_interval_that_is_not_said_is_read_from_the_history_or_the_market_is_refused(known: dict[str, str], interval_min: Any) -> None:
    async def test() -> None:
        okx = Okx()
        okx.funding |= known
        if interval_min is None:
            okx.rates = okx.rates[:1]
        async with reading(okx, start=False) as venue:
            await venue.market.start()
            if interval_min is None:
                with pytest.raises(VenueUnavailable):
                    await venue.instruments([NAME])
            else:
                (record,) = await venue.instruments([NAME])
                assert record.funding_interval_ns == interval_min * MINUTE_NS

    run(test)


def test_a_quote_counts_lots_and_is_none_of_a_book_that_is_crossed_or_empty() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx, poll_s=60.0) as venue:
            ts_ns = (okx.now_ms + 500) * NS_PER_MS
            assert venue.quote(NAME) == Quote(NAME, 600_000, 600_001, 420, 55, ts_ns)
            for asks in ([["60000.0", "1", "0", "1"]], []):
                okx.asks = asks
                await venue.barrier()
                assert venue.quote(NAME) is None

    run(test)


def test_bars_are_told_as_they_close_and_an_exchange_that_is_gone_is_told_once() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx, funding=True) as venue:
            assert venue.news_at_hand() == [StreamUp(Stream.PUBLIC, again=False)]
            okx.now_ms += 3 * MINUTE_MS
            await venue.barrier()
            bars = [one for one in venue.news_at_hand() if isinstance(one, BarClosed)]
            assert [bar.ts_ns // MINUTE_NS - okx.now_ms // MINUTE_MS for bar in bars] == [-2, -1, 0]
            okx.down = True
            for _ in range(2):
                with pytest.raises(VenueUnavailable):
                    await venue.barrier()
            (down,) = venue.news_at_hand()
            assert isinstance(down, StreamDown)
            okx.down = False
            await venue.barrier()
            assert venue.news_at_hand() == [StreamUp(Stream.PUBLIC, again=True)]

    run(test)


def test_the_account_of_an_exchange_without_a_dialect_is_unknown_and_never_empty() -> None:
    async def test() -> None:
        async with reading(Okx()) as venue:
            assert venue.traits == MARKET_DATA
            for question in (venue.open_orders, venue.positions, venue.wallet):
                with pytest.raises(VenueUnavailable, match="cannot be read"):
                    await question()
            for since in (venue.executions, venue.ledger):
                with pytest.raises(VenueUnavailable, match="cannot be read"):
                    await since(0)
            with pytest.raises(VenueUnavailable, match="cannot be read"):
                await venue.find_order(NAME, "one")

    run(test)


def test_a_client_that_only_reads_refuses_every_write_before_any_network() -> None:
    async def test() -> None:
        okx = Okx()
        async with reading(okx) as venue:
            asked = len(okx.asked)
            intent = OrderIntent(
                client_order_id="one", decision_id="d", strategy="s", instrument=NAME, side=Side.BUY, kind=OrderKind.MARKET,
                time_in_force=TimeInForce.IOC, qty_lots=1,
            )  # fmt: skip
            answers = [
                await venue.place(ApprovedOrder(order=intent, limits_version="v1")),
                await venue.cancel(NAME, "one"),
                await venue.amend(NAME, "one", qty_lots=2),
                await venue.set_stop_loss(NAME, 500_000),
                (await venue.client.write("create_order", "BTC/USDT:USDT", "market", "buy", "1"))[1],
            ]
            assert all(isinstance(answer, Refused) and answer.code == "READ_ONLY" for answer in answers)
            assert len(okx.asked) == asked
            assert all(line.startswith("GET ") for line in okx.asked)
            assert await venue.wall_time_ns() == (okx.now_ms + 777) * NS_PER_MS
            assert venue.utilisation() == []

    run(test)


def test_bars_of_a_length_that_the_exchange_has_not_are_refused_and_an_unknown_record_is_unknown() -> None:
    async def test() -> None:
        async with reading(Okx(), start=False, interval_ns=7 * MINUTE_NS) as venue:
            with pytest.raises(InvalidInput, match="bars of 7m"):
                await venue.start()
            with pytest.raises(VenueUnavailable, match="record is not loaded"):
                await venue.bars("okx-linear:ETH-USDT-SWAP", 0, 1)
            with pytest.raises(InvalidInput, match="not of okx-linear"):
                await venue.bars("bybit-linear:BTCUSDT", 0, 1)

    run(test)


def test_a_start_that_takes_too_long_is_given_up() -> None:
    async def test() -> None:
        async with reading(Okx(), start=False, start_within_s=0.001) as venue:
            with pytest.raises(VenueUnavailable, match="not ready"):
                await venue.start()

    run(test)


def test_paper_is_refused_where_nobody_taught_the_client_its_orders() -> None:
    with pytest.raises(InvalidConfig, match="paper at okx"):
        CcxtVenue(CcxtSettings(exchange="okx", instruments=(NAME,), mode=Mode.PAPER, url="http://127.0.0.1:1"))
