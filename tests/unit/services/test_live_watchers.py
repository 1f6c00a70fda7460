"""What watches a trader never stops it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kedge.apps.trade_report import Recorder
from kedge.domain.events import OrderFilled
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.services.live import LiveTrader

from ...builders import T0, Wish
from .live_world import World, play, until


def test_a_strangers_trade_in_an_instrument_that_is_not_traded_halts_and_does_not_end_the_trader(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())
    Recorder(trader, logging.getLogger("kedge.test"), "777001")

    async def script(trader: LiveTrader) -> None:
        world.venue.put(OrderFilled(T0 + 1, "e-1", "web-1", "test:ZZZUSDT", Side.BUY, 5, 100, 1, Liquidity.TAKER, 0, FillCause.TRADE))
        await until(trader, lambda: trader.engine.state.halt_code == "FOREIGN_INSTRUMENT")

    assert play(world, trader, script) == "script is through"
    assert "trade of an instrument that is not traded" in caplog.text
