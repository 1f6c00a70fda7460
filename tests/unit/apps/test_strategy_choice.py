"""How a command finds its strategy: a rule by name, a model by hash, alias or version; and runs with models from the command line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kedge as kedge_package
from kedge.apps import wiring
from kedge.apps.strategy_choice import choose, models_of, recorded_strategy
from kedge.apps.system_loop import Stopping
from kedge.apps.trade_market import Market
from kedge.apps.trade_plan import Options, live_plan, run_settings, venue_settings
from kedge.apps.trade_process import TraderProcess
from kedge.apps.trade_run_folder import RunNote
from kedge.domain.errors import IntegrityError, InvalidConfig, InvalidInput, NotFound
from kedge.domain.outputs import Predicted
from kedge.learning.feature import Feature
from kedge.learning.feature_sets import feature_set, feature_set_sha256
from kedge.learning.model import Model, encode_model, model_sha256
from kedge.learning.operators import Operator
from kedge.ops.config import Config, load_config
from kedge.ops.paper_keys import load_or_create_paper_keys
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.kill_points import NoKillPoints
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.model_store import Aliases, ModelStore, Registered

from ..strategy.model_documents import a_model
from .market_files import MINUTE_MS, bars_file, kedge, refused
from .test_trade import exchange, run

FIVE_MINUTES_NS = 5 * MINUTE_MS * 1_000_000
MODEL = a_model(interval_ns=FIVE_MINUTES_NS)
SHA = model_sha256(MODEL)


def shelve(state: Path, model: Model, *, version: int | None = 3, alias: str = "champion") -> str:
    """Put a model where a state folder keeps them, with what a registry would have said of it."""
    sha256, store = model_sha256(model), ModelStore(state / "models")
    folder = store.folder / sha256
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(encode_model(model))
    if version is not None:
        store.set_registered(Registered(name=model.name, version=version, model_sha256=sha256, run_id="r", aliases=(alias,)))
        store.set_aliases(Aliases(aliases={model.name: {alias: version}}, versions={model.name: {str(version): sha256}}))
    return sha256


@pytest.fixture
def state(tmp_path: Path) -> Path:
    shelve(tmp_path / "state", MODEL)
    return tmp_path / "state"


def config(state: Path, text: str = "") -> Config:
    file = state.parent / "kedge.yaml"
    file.write_text(text)
    return load_config(file, flags={"state_dir": str(state)}, environ={})


def test_a_rule_is_taken_by_name_from_the_command_line_the_configuration_or_by_default(state: Path) -> None:
    assert choose(config(state), None, None) == ("trend", {}, None, 0, "")
    assert choose(config(state, "strategy: {name: mean_reversion, params: {window: 9}}\n"), None, None).params == {"window": 9}
    assert choose(config(state, "strategy: {name: mean_reversion}\n"), "trend", ["fast=3"])[:2] == ("trend", {"fast": "3"})
    assert choose(config(state, "strategy: {params: {fast: 3}}\n"), None, None)[:2] == ("trend", {"fast": 3})


@pytest.mark.parametrize("reference", [SHA, SHA[:8], "tiny@champion", "tiny/3"])
def test_a_model_is_found_by_any_of_its_names_and_only_its_hash_is_kept(state: Path, reference: str) -> None:
    chosen = choose(config(state), "model", [f"model={reference}", "exposure_frac=0.2"])
    assert chosen.params == {"model": SHA, "exposure_frac": "0.2", "version": "tiny/3"}
    assert chosen.strategy is not None
    assert chosen.history_bars == 4
    alone = choose(config(state), None, None, model=reference)
    assert (alone.name, alone.params["model"]) == ("model", SHA)


def test_the_registrys_absence_is_told_and_stops_nothing(state: Path) -> None:
    chosen = choose(config(state), "model", ["model=tiny@champion"])
    assert chosen.params["model"] == SHA
    assert "the local copy of its aliases answered" in chosen.warning


def test_a_model_that_was_never_registered_is_found_by_its_hash(tmp_path: Path) -> None:
    sha256 = shelve(tmp_path / "state", MODEL, version=None)
    assert choose(config(tmp_path / "state"), "model", [f"model={sha256}"]).params == {"model": sha256}


def test_the_configuration_may_name_a_model(state: Path) -> None:
    named = config(state, "strategy: {name: model, params: {model: tiny@champion, outside_max: 2}}\n")
    wiring.check_use(named)
    assert choose(named, None, None).params["model"] == SHA
    wiring.check_use(config(state, "strategy: {name: model}\n"))
    with pytest.raises(InvalidInput, match="outside_max"):
        wiring.check_use(config(state, "strategy: {name: model, params: {outside_max: -2}}\n"))


@pytest.mark.parametrize(
    ("name", "given", "model", "kind", "said"),
    [
        ("model", None, None, InvalidInput, "has no model"),
        ("trend", None, "tiny@champion", InvalidInput, "a rule has no model"),
        ("model", ["model=tiny@challenger"], None, NotFound, "tiny@challenger"),
        ("model", ["model=tiny/9"], None, NotFound, "tiny/9"),
        ("model", ["model=00000000"], None, NotFound, "00000000"),
        ("model", ["model=not a name"], None, InvalidInput, "not a name"),
        ("model", [f"model={SHA}", "fast=3"], None, InvalidInput, "fast"),
    ],
)
def test_what_names_no_model_is_refused(state: Path, name: str, given: list[str] | None, model: str | None, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        choose(config(state), name, given, model=model)


def test_a_backtest_with_a_model_replays_and_names_it_by_hash(state: Path) -> None:
    data = bars_file(state.parent)
    answer = kedge("backtest", "run", "--data", data, "--model", "tiny/3", "--state-dir", state, "--json")
    assert answer.code == 0, answer
    assert "the local copy of its aliases answered" in answer.err
    found = answer.json
    assert found["fills"] > 3
    with SqliteJournalReader(Path(found["journal"])) as reader:
        started = reader.run_started()
        strategy = recorded_strategy(state, started)
    assert started.settings["engine"]["params"] == {"model": SHA, "version": "tiny/3"}
    assert strategy is not None
    again = kedge("replay", found["run_id"], "--state-dir", state, "--json")
    assert (again.code, again.json["equal"]) == (0, True)
    assert kedge("audit", "verify", found["run_id"], "--state-dir", state, "--json").json["ok"]
    same = kedge(
        "backtest", "run", "--data", data, "--strategy", "model", "--param", f"model={SHA}", "--state-dir", state, "--no-journal", "--json"
    )
    assert same.json["run_id"] == found["run_id"]


def test_a_model_file_altered_by_one_byte_stops_backtest_and_replay(state: Path) -> None:
    data = bars_file(state.parent)
    run_id = kedge("backtest", "run", "--data", data, "--model", SHA, "--state-dir", state, "--json").json["run_id"]
    file = state / "models" / SHA / "model.json"
    body = file.read_bytes()
    at = body.index(b'"seed":7')
    file.write_bytes(body[: at + 7] + b"8" + body[at + 8 :])
    for arguments in (("backtest", "run", "--data", data, "--model", SHA), ("replay", run_id)):
        assert refused(kedge(*arguments, "--state-dir", state, "--json")) == (1, "INTEGRITY")
    assert models_of(state).registered(SHA) is not None
    with pytest.raises(IntegrityError, match="other bytes"):
        choose(config(state), "model", [f"model={SHA}"])


def test_bars_of_another_length_are_refused_before_anything_is_written(state: Path) -> None:
    data = bars_file(state.parent, interval_ms=MINUTE_MS)
    assert refused(kedge("backtest", "run", "--data", data, "--model", SHA, "--state-dir", state, "--json")) == (4, "INVALID_CONFIG")
    assert not list((state / "runs").glob("*"))


MINUTE_MODEL = a_model((Feature("momentum", Operator.MOMENTUM, 2), Feature("funding", Operator.FUNDING_RATE)))
WAITING = Market(1, True, "synthetic", "market-1", 1_700_000_000_000)


def options_of(model: Model, url: str, state: Path) -> Options:
    sha256 = shelve(state, model)
    chosen = choose(config(state), "model", [f"model={sha256}"])
    return Options(url, "paper", ("BTCUSDT",), chosen.name, chosen.params, "1m", "leave", chosen.strategy, chosen.history_bars)


def test_the_model_is_part_of_what_a_live_run_is_and_funding_is_asked_for_where_features_read_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = options_of(MINUTE_MODEL, "http://127.0.0.1:1", state)
    note = RunNote(run_id="paper-1", settings_sha256="", market="", begun="2026-01-01T00:00:00+00:00")
    plan = live_plan(config(state), options, WAITING, note)
    assert (plan.strategy, plan.params["model"], plan.history_bars) == ("model", model_sha256(MINUTE_MODEL), options.history_bars)
    assert venue_settings(options, WAITING).feed.funding
    assert plan.sizing == SizingPolicy(stop_frac_e8=plan.stop_distance_frac_e8)
    rule = options._replace(strategy="trend", params={}, loaded=None, history_bars=0)
    assert not venue_settings(rule, WAITING).feed.funding
    books = [venue_settings(rule, WAITING._replace(speed=speed)).feed.book_depth for speed in (1, 2)]
    assert books == [50, 0], "a book that stands still, or none"
    other = options._replace(params={**options.params, "model": "0" * 64})
    wanted = [run_settings(config(state), one, WAITING) for one in (options, rule, other)]
    assert wanted[0] != wanted[1] != wanted[2] != wanted[0]


def test_caps_on_sizes_are_part_of_what_a_live_run_is_and_may_be_switched_off_for_play_money_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = options_of(MINUTE_MODEL, "http://127.0.0.1:1", state)
    note = RunNote(run_id="paper-1", settings_sha256="", market="", begun="2026-01-01T00:00:00+00:00")
    off = load_config(None, flags={"state_dir": str(state), "sizing.active": False}, environ={})
    tight = load_config(None, flags={"state_dir": str(state), "sizing.book_es_975_frac": "0.02"}, environ={})
    assert live_plan(off, options, WAITING, note).sizing is None
    wanted = [run_settings(one, options, WAITING) for one in (config(state), off, tight)]
    assert wanted[0] != wanted[1] != wanted[2] != wanted[0]
    for rung in ("testnet", "live"):
        with pytest.raises(InvalidConfig, match=r"sizing\.active is false"):
            live_plan(off, options._replace(rung=rung), WAITING, note)
        assert live_plan(tight, options._replace(rung=rung), WAITING, note).sizing is not None


def test_a_trader_with_a_model_logs_every_prediction_and_its_run_replays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="kedge")
    state = tmp_path / "state"
    state.mkdir()

    async def main() -> dict[str, object]:
        async with exchange(state, 40) as url:
            options = options_of(MINUTE_MODEL, url, state)
            paper = load_or_create_paper_keys(state)[0]
            process = TraderProcess(config(state), options, paper, NoKillPoints(), logging.getLogger("kedge.trader"))
            return await process.run(Stopping(), quiet=True)

    status = run(main)
    assert (status["phase"], status["problem"]) == ("ended", "")
    with SqliteJournalReader(state / "runs" / str(status["run_id"]) / "journal.sqlite") as reader:
        predicted = [output for record in reader.records(start_seq=1) for output in record.outputs if isinstance(output, Predicted)]  # type: ignore[union-attr]
    told = [record.kedge_fields for record in caplog.records if getattr(record, "kedge_fields", {}).get("event") == "model_prediction"]
    assert len(told) == len(predicted) > 30
    assert [one["prediction_id"] for one in told] == [one.prediction_id for one in predicted]
    first = told[0]
    assert (first["model_id"], first["model_version"], first["symbol"]) == (model_sha256(MINUTE_MODEL), "tiny/3", "BTCUSDT")
    assert {one["features_hash"] for one in told} == {one.features_sha256 for one in predicted}
    assert {one["prediction"] for one in told} <= {"0.73105858", "0.26894142"}
    assert {one["confidence"] for one in told} == {"0.73105858"}
    assert first["timestamp"].endswith("Z")
    again = kedge("replay", status["run_id"], "--state-dir", state, "--json")
    assert (again.code, again.json["equal"]) == (0, True)


def test_a_trader_never_imports_mlflow_and_a_rule_nothing_of_models(tmp_path: Path) -> None:
    shelve(tmp_path / "state", MODEL)
    program = f"""
import json, sys
from pathlib import Path
from kedge.apps.strategy_choice import choose
from kedge.apps import trade_process
from kedge.ops.config import load_config
config = load_config(flags={{"state_dir": {str(tmp_path / "state")!r}}}, environ={{}})
choose(config, "trend", None)
stores = [name for name in sys.modules if name.startswith("kedge.storage.model")]
chosen = choose(config, "model", ["model=tiny@champion"])
heavy = [name for name in ("mlflow", "lightgbm", "sklearn", "fastapi") if name in sys.modules]
print(json.dumps([stores, heavy, chosen.params["model"]]))
"""
    given = {**os.environ, "PYTHONPATH": str(Path(kedge_package.__file__).parents[1]), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], [], SHA]


def test_the_shipped_features_of_a_leader_that_is_not_traded_are_refused(tmp_path: Path) -> None:
    spec = feature_set("core", "bybit-linear:ETHUSDT")
    count = len(spec.features)
    led = a_model(
        spec.features, feature_set=spec, feature_set_sha256=feature_set_sha256(spec),
        domain_low=(-1.0,) * count, domain_high=(1.0,) * count, interval_ns=FIVE_MINUTES_NS,
    )  # fmt: skip
    state = tmp_path / "state"
    sha256 = shelve(state, led)
    answer = kedge("backtest", "run", "--data", bars_file(tmp_path), "--model", sha256, "--state-dir", state, "--json")
    assert refused(answer) == (4, "INVALID_INPUT")
    assert "led by bybit-linear:ETHUSDT" in answer.json["title"]
