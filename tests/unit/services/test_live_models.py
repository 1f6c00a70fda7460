"""A live trader with a model: its predictions are durable with the step, and killed anywhere it goes on with the same model."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from kedge.domain.errors import Conflict
from kedge.domain.events import OrderFilled
from kedge.domain.outputs import Decided, OrderSent, Predicted
from kedge.governance.lineage import NodeKind
from kedge.services.kill_points import KillAt
from kedge.services.lineage import LineageStores, recomputed_trace, trace
from kedge.services.lineage_documents import Documents
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_orphans import search
from kedge.services.live import LiveTrader
from kedge.services.live_stop import OnStop, risk_on, stop
from kedge.services.models import model_strategy, strategy_of
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader
from kedge.storage.journal_verify import verify_journal
from kedge.storage.model_store import ModelStore
from kedge.strategy.execution import ExecutionPolicy

from ..strategy.model_documents import Shelf, a_model, params_of, trader_of
from .lineage_world import stocked
from .live_world import QUICK, PlayedMarket, World, booked_ids, compare_books, die, executed_ids, minutes, play, until

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


def test_every_fill_of_a_live_run_has_a_whole_chain_those_of_a_flattening_stop_too(tmp_path: Path) -> None:
    """Orders in slices, each with several fills, exits that only reduce, and at the end a person's command."""
    world, state = World(tmp_path), tmp_path / "state"
    sha256 = stocked(state)
    params = {"model": sha256, "exposure_frac": "0.1"}
    plan = {"strategy": "model", "params": params, "execution": ExecutionPolicy(slice_notional_frac_e8=4_000_000)}
    bars = minutes([1_000 + (n % 7) * (n % 5) for n in range(40)])

    trader = world.trader(strategy=model_strategy(params, ModelStore(state / "models")), plan=plan, settings=SNAPSHOTS)

    async def script(trader: LiveTrader) -> None:
        for one in bars:
            world.exchange.play(one)
            await until(trader, lambda ts_ns=one.ts_ns: trader.engine.state.ts_ns >= ts_ns)
        await until(trader, lambda: risk_on(trader).is_on and not trader.desk.under_way)
        assert (await stop(trader, OnStop.FLATTEN, within_s=30.0, actor="ann", reason="enough")).complete
        await asyncio.sleep(30)

    assert play(world, trader, script) == "stopped"
    fills = [step.event.fill_id for step in world.steps() if isinstance(step.event, OrderFilled)]
    found = [trace(LineageStores(state=state), one, run=str(world.path)) for one in fills]
    assert len(found) > 10
    assert [gap for one in found for gap in one.missing] == []
    by_command = [one for one in found if any("a person's command to be flat" in note for note in one.notes)]
    assert 0 < len(by_command) < len(found)
    assert any(one.of_kind(NodeKind.ORDER)[0].facts["reduce only"] == "yes" for one in found if one not in by_command)
    again = recomputed_trace(
        LineageStores(state=state), found[-len(by_command) - 1].of_kind(NodeKind.PREDICTION)[0].id, run=str(world.path)
    )
    assert again.complete
    assert again.recomputed
    with RunRecords(world.path) as records:
        report = search(records, Documents(state))
    assert (report.count, report.fills) == (0, len(set(fills)))


def test_a_run_does_not_go_on_with_another_model(tmp_path: Path) -> None:
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes(PRICES))
    trader = world.trader(market=market, strategy=trader_of(MODEL), plan=PLAN, settings=SNAPSHOTS, kill=KillAt("after_commit", 9, die))
    assert world.run_until_killed(trader)
    records = len(world.steps())
    other = a_model(seed=8)
    trader = world.trader(market=market, strategy=trader_of(other), plan={**PLAN, "params": params_of(other)}, settings=SNAPSHOTS)
    with pytest.raises(Conflict, match="trades with model"):
        world.run(trader)
    assert len(world.steps()) == records
    finish(world, market)
