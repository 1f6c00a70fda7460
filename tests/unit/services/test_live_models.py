"""A live trader with a model: its predictions are durable with the step, and killed anywhere it goes on with the same model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from kedge.domain.outputs import Decided, OrderSent, Predicted
from kedge.services.kill_points import KillAt
from kedge.services.models import strategy_of
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader
from kedge.storage.journal_verify import verify_journal

from ..strategy.model_documents import Shelf, a_model, params_of, trader_of
from .live_world import QUICK, PlayedMarket, World, booked_ids, compare_books, die, executed_ids, minutes

PRICES = (1_000, 1_001, 1_003, 1_002, 1_004, 1_006, 1_003, 1_000, 998, 996, 999, 1_003, 1_006, 1_004, 1_000, 997)
MODEL = a_model()
PLAN = {"strategy": "model", "params": params_of(MODEL)}
SNAPSHOTS = msgspec.structs.replace(QUICK, snapshot_every=4)


def finish(world: World, market: PlayedMarket) -> None:
    trader = world.trader(market=market, strategy=trader_of(MODEL), plan=PLAN, settings=SNAPSHOTS)
    assert world.run(trader) == "ended"
    compare_books(trader.engine, world.exchange)
    steps = world.steps()
    assert Counter(booked_ids(steps)) == Counter(executed_ids(world.exchange))
    predicted = [output for step in steps for output in step.outputs if isinstance(output, Predicted)]
    assert [one.prediction_id for one in predicted] == [f"{predicted[0].prediction_id[:-2]}p{n}" for n in range(1, len(predicted) + 1)]
    decided = {output.prediction_id for step in steps for output in step.outputs if isinstance(output, Decided)}
    assert decided
    assert decided <= {one.prediction_id for one in predicted}
    with SqliteJournalReader(world.path) as reader:
        assert all(len(reader.blob(one.features_sha256)) == 16 for one in predicted)
        assert replay(reader, code_sha256="", strategy=strategy_of(reader.run_started(), Shelf(MODEL))).equal
    assert verify_journal(world.path, world.key.public).ok


def test_it_trades_and_every_prediction_is_durable_with_its_features(tmp_path: Path) -> None:
    world = World(tmp_path)
    finish(world, PlayedMarket(world.exchange, minutes(PRICES)))
    assert [1 for step in world.steps() for output in step.outputs if isinstance(output, OrderSent)]


@pytest.mark.parametrize(
    ("point", "count"), [("before_commit", 9), ("after_commit", 9), ("before_send", 1), ("after_send", 2), ("after_snapshot", 2)]
)
def test_killed_anywhere_it_goes_on_and_no_half_state_is_left(tmp_path: Path, point: str, count: int) -> None:
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes(PRICES))
    trader = world.trader(market=market, strategy=trader_of(MODEL), plan=PLAN, settings=SNAPSHOTS, kill=KillAt(point, count, die))
    assert world.run_until_killed(trader)
    assert verify_journal(world.path, world.key.public).ok, "what is on disk is whole: no blob without its step, no step without its blob"
    finish(world, market)


def test_history_before_the_first_bar_lets_it_predict_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    bars = minutes(PRICES)
    for one in bars[:6]:
        world.exchange.play(one)
    strategy = trader_of(MODEL)
    plan = {**PLAN, "history_bars": strategy.history_bars, "start_ts_ns": bars[5].ts_ns}
    trader = world.trader(market=PlayedMarket(world.exchange, bars[6:]), strategy=strategy, plan=plan)
    assert world.run(trader) == "ended"
    with_words = [step.event.ts_ns for step in world.steps() for output in step.outputs if isinstance(output, Predicted)]
    assert with_words[0] == bars[6].ts_ns
