"""A live trader over the real matching engine: from bars to fills, equal books, the same run twice, and its journal replayed."""

from __future__ import annotations

from pathlib import Path

from kedge.domain.canonical import encode
from kedge.services.live_status import status
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader

from ...builders import AAA, BBB, Scripted
from .live_world import EXPOSURES, PlayedMarket, World, booked_ids, compare_books, executed_ids, minutes


def test_a_played_market_is_traded_to_its_end_with_equal_books(tmp_path: Path):
    world = World(tmp_path, (AAA, BBB))
    trader = world.trader(market=PlayedMarket(world.exchange, minutes(ids=(AAA, BBB))))
    assert world.run(trader) == "ended"
    assert trader.engine.state.round_trips >= 2
    assert booked_ids(world.steps()) == executed_ids(world.exchange) != []
    compare_books(trader.engine, world.exchange)
    told = status(trader)
    assert told["books_agree"]
    assert told["fills"] == len(executed_ids(world.exchange))
    assert told["guard"] == "none"
    assert told["rung"] == "paper"
    assert told["last_bar_ts_ns"] == trader.engine.state.ts_ns
    encode({name: value for name, value in told.items() if not isinstance(value, float)})


def test_two_runs_of_one_market_are_the_same_run(tmp_path: Path):
    journals = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name)
        world.run(world.trader(market=PlayedMarket(world.exchange, minutes())))
        journals.append([encode((step.event, step.outputs)) for step in world.steps()])
    assert journals[0] == journals[1]


def test_a_live_journal_replays_to_the_byte(tmp_path: Path):
    world = World(tmp_path)
    world.run(world.trader(market=PlayedMarket(world.exchange, minutes())))
    with SqliteJournalReader(world.path) as reader:
        assert replay(reader, code_sha256="", strategy=Scripted(EXPOSURES)).equal
