"""The player: bars become klines again, funding is charged as recorded, speed changes nothing, and nothing is refused silently."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.builders import AAA, BBB, HOUR, MINUTE, T0, bar, flat_bars, instrument, walk
from tests.unit.venues.exchange.played_market import ACCOUNT, Scene, run

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, FeedGap, InstrumentChanged, TimerFired
from kedge.domain.orders import OrderKind, Side
from kedge.simulation.exchange import FundingRate
from kedge.simulation.venue_types import ExecType, ExecutionRow, FundingRow, KlineRow, OrderRequest, TickerRow
from kedge.venues.exchange.clocks import UNPACED_SPEED
from kedge.venues.exchange.player import instants


def confirmed(scene: Scene, interval: str = "1", name: str = AAA) -> list[KlineRow]:
    return [row for row in scene.changes if isinstance(row, KlineRow) and row.interval == interval and row.instrument == name]


def ohlcv(row: KlineRow) -> tuple[int, ...]:
    return row.start_ns, row.end_ns, row.open_ticks, row.high_ticks, row.low_ticks, row.close_ticks, row.volume_lots


def as_kline(one: BarClosed) -> tuple[int, ...]:
    return one.open_ts_ns, one.ts_ns, one.open_ticks, one.high_ticks, one.low_ticks, one.close_ticks, one.volume_lots


def test_every_bar_comes_back_as_its_own_kline_confirmed_once() -> None:
    bars = walk(3, 12, (AAA, BBB))
    scene = Scene(bars, ids=(AAA, BBB), steps=9)
    run(scene.play())
    for name in (AAA, BBB):
        assert [ohlcv(row) for row in confirmed(scene, name=name)] == [as_kline(one) for one in bars if one.instrument == name]
    assert (scene.player.bars, scene.player.ended, scene.player.playing, scene.player.gaps) == (24, True, False, 0)


def test_bars_of_few_lots_are_played_in_fewer_steps_so_that_every_price_trades() -> None:
    one = bar(1, 1_010, open=1_000, high=1_020, low=990, volume=5)
    scene = Scene([one], steps=25)
    run(scene.play())
    assert [ohlcv(row) for row in confirmed(scene)] == [as_kline(one)]


def test_opening_prices_are_there_before_anything_is_played() -> None:
    scene = Scene(flat_bars(2, 1_234))
    run(scene.player.prime())
    ticker = scene.venue.ticker(AAA)
    assert (ticker.last_ticks, ticker.bid_ticks is not None, ticker.ask_ticks is not None) == (1_234, True, True)
    assert any(isinstance(row, TickerRow) for row in scene.changes)
    assert scene.clock.venue_ns() == T0


def test_a_market_without_bars_is_refused() -> None:
    with pytest.raises(InvalidInput, match="holds no bar"):
        run(Scene([]).play())


def test_a_path_of_three_steps_is_refused() -> None:
    with pytest.raises(InvalidInput, match="3 steps a bar"):
        Scene([bar(1)], steps=3)


def fills_at_speed(speed: int) -> list[tuple[int, int, int]]:
    """Fills of three resting orders in a market of that speed."""
    scene = Scene(walk(5, 9, step=40), speed=speed, seed=11)
    venue, clock = scene.venue, scene.clock

    async def main() -> None:
        await scene.player.prime()
        for ticks in (-30, 0, 30):
            price = venue.ticker(AAA).last_ticks + ticks
            request = OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.LIMIT, qty_lots=1_000, limit_ticks=price)
            venue.place(ACCOUNT, request, clock.venue_ns())
        scene.hall.publish()
        await scene.player.play()

    run(main())
    return [(row.ts_ns, row.price_e8, row.qty_lots) for row in scene.changes if isinstance(row, ExecutionRow)]


def test_the_same_market_at_two_speeds_gives_the_same_fills() -> None:
    unpaced = fills_at_speed(UNPACED_SPEED)
    assert unpaced
    assert fills_at_speed(20_000) == unpaced


def test_recorded_funding_is_charged_at_its_time_and_rate() -> None:
    rates = [FundingRate(T0 + 8 * HOUR, AAA, 12_345)]
    bars = [bar(n, 1_000, span=4 * HOUR) for n in (1, 2, 3)]
    scene = Scene(bars, fundings=rates)

    async def main() -> None:
        await scene.player.prime()
        request = OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100)
        scene.venue.place(ACCOUNT, request, T0)
        assert scene.venue.ticker(AAA).funding_rate_e8 == 12_345
        await scene.player.play()

    run(main())
    settled = [row for row in scene.changes if isinstance(row, ExecutionRow) and row.exec_type is ExecType.FUNDING]
    assert [(row.ts_ns, row.fee_rate_e8) for row in settled] == [(T0 + 8 * HOUR, 12_345)]
    assert scene.funding.missing == 0


def test_several_settlements_within_one_bar_are_each_charged_at_their_own_rate() -> None:
    rates = [FundingRate(T0 + n * 8 * HOUR, AAA, 100 * n) for n in (1, 2, 3)]
    scene = Scene([bar(1, 1_000, span=24 * HOUR)], fundings=rates)
    run(scene.play())
    assert [(row.ts_ns, row.rate_e8) for row in scene.venue.funding_history(AAA)][::-1] == [(T0 + n * 8 * HOUR, 100 * n) for n in (1, 2, 3)]


def test_a_settlement_that_the_record_lacks_is_neither_charged_nor_told_but_said(caplog: pytest.LogCaptureFixture) -> None:
    rates = [FundingRate(T0 + 8 * HOUR, AAA, 5), FundingRate(T0 + 24 * HOUR, AAA, 777)]
    scene = Scene([bar(1, 1_000, span=24 * HOUR)], fundings=rates)

    async def main() -> None:
        await scene.player.prime()
        scene.venue.place(ACCOUNT, OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100), T0)
        await scene.player.play()

    with caplog.at_level(logging.WARNING, logger="kedge.exchange"):
        run(main())
    history = [(row.ts_ns, row.rate_e8) for row in scene.venue.funding_history(AAA) if isinstance(row, FundingRow)]
    assert sorted(history) == [(T0 + 8 * HOUR, 5), (T0 + 24 * HOUR, 777)]
    charged = [row.ts_ns for row in scene.changes if isinstance(row, ExecutionRow) and row.exec_type is ExecType.FUNDING]
    assert charged == [T0 + 8 * HOUR, T0 + 24 * HOUR]
    told = [(row.next_funding_ns, row.funding_rate_e8) for row in scene.changes if isinstance(row, TickerRow)]
    last = {at: rate for at, rate in told if at <= T0 + 24 * HOUR}
    assert last == {T0 + 8 * HOUR: 5, T0 + 16 * HOUR: None, T0 + 24 * HOUR: 777}
    assert scene.funding.missing == 1
    assert "no funding rate" in caplog.text


def test_an_instrument_without_recorded_rates_pays_what_the_premium_says() -> None:
    scene = Scene([bar(1, 1_000, span=8 * HOUR)])
    run(scene.play())
    (row,) = scene.venue.funding_history(AAA)
    assert row.rate_e8 != 0
    assert scene.funding.missing == 0


def test_a_hole_lets_time_pass_and_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    events = [bar(1), FeedGap(T0 + 4 * MINUTE, AAA, T0 + MINUTE), bar(5)]
    with caplog.at_level(logging.WARNING, logger="kedge.exchange"):
        scene = Scene(events)
        run(scene.play())
    assert (scene.player.gaps, scene.player.bars) == (1, 2)
    assert "no bars of test:AAAUSDT" in caplog.text
    silent = [row for row in confirmed(scene) if not row.volume_lots]
    assert [row.start_ns for row in silent] == [T0 + n * MINUTE for n in (1, 2, 3)]


def test_a_change_of_an_instrument_ends_the_market_with_the_reason() -> None:
    change = InstrumentChanged(T0 + 2 * MINUTE, instrument(tick_e8=20_000_000))
    scene = Scene([bar(1), change, bar(3)])
    with pytest.raises(InvalidInput, match="changes its tick or lot"):
        run(scene.play())
    assert "cut the file" in scene.player.failed
    assert not scene.player.ended


def test_an_event_that_no_price_source_has_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither bar nor gap"):
        list(instants([TimerFired(T0, "x")]))


def test_a_paced_market_lets_time_pass_between_far_steps() -> None:
    """Two-minute bars in four steps at 600: a step each 50 ms; the silent minute's kline is final before the next step."""
    scene = Scene([bar(1, 1_000, span=10 * MINUTE)], speed=600)

    async def main() -> None:
        await scene.player.prime()
        playing = asyncio.create_task(scene.player.play())
        while not confirmed(scene):
            await asyncio.sleep(0.01)
        assert scene.venue.now_ns < T0 + 10 * MINUTE // 4
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)

    run(main())
    assert not scene.player.ended


def test_requests_between_steps_carry_a_time_between_them() -> None:
    scene = Scene([bar(1, 1_000)], speed=15)

    async def main() -> None:
        await scene.player.prime()
        playing = asyncio.create_task(scene.player.play())
        while (now := scene.clock.venue_ns()) == T0:
            await asyncio.sleep(0.001)
        order = scene.venue.place(ACCOUNT, OrderRequest(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100), now)
        assert getattr(order, "created_ns", None) == now
        assert (now - T0) % (MINUTE // 4)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await scene.player.close()

    run(main())


def test_a_settlement_is_told_by_a_ticker_before_the_klines_of_its_instant() -> None:
    """First the rate that will settle, then the settlement, then the bar: whoever follows one socket knows the rate before the bar."""
    bars = [bar(n, 1_000, span=HOUR) for n in range(1, 10)]
    rates = [FundingRate(T0 + 8 * HOUR, AAA, 4_321)]
    scene = Scene(bars, fundings=rates)
    run(scene.play())
    told = [row for row in scene.changes if isinstance(row, TickerRow) or (isinstance(row, KlineRow) and row.interval == "60")]
    at = next(n for n, row in enumerate(told) if isinstance(row, TickerRow) and row.next_funding_ns > T0 + 8 * HOUR)
    before = [row for row in told[:at] if isinstance(row, TickerRow)][-1]
    assert (before.funding_rate_e8, before.next_funding_ns) == (4_321, T0 + 8 * HOUR)
    assert told[at].ts_ns == T0 + 8 * HOUR
