"""What only a person can mend reaches the trader's status, and trading goes on meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.venue import ActionNeeded
from kedge.services.live import LiveTrader
from kedge.services.live_status import status

from ...builders import Wish, bar
from .live_world import World, play, until


def test_a_refused_key_is_in_the_status_with_its_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        assert status(trader)["action_needed"] == []
        world.venue.put(ActionNeeded("10005", "create answered 10005", "give the key its permission"))
        await until(trader, lambda: bool(trader.news.needed))
        assert status(trader)["action_needed"] == ["create answered 10005; give the key its permission"]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 1)

    play(world, trader, script)
    assert "a person must act: create answered 10005" in caplog.text
