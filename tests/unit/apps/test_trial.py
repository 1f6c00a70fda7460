"""`kedge trial`: what it refuses, what it starts, and the honest figures that it prints. The processes are tiny real ones here."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from kedge.apps import trial, up_parts
from kedge.apps.model_job import Done, Job
from kedge.apps.trial_report import out_of_sample, sentence
from kedge.apps.up_parts import Plan
from kedge.domain.errors import RecordingFailed
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.learning.dataset import Dataset
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.ops.health_file import EXCHANGE, TRADER
from kedge.ops.process_lock import holder_of
from kedge.ops.state_folder import models_folder
from kedge.ops.status_file import up_lock
from kedge.ops.trader_status import trader_lock, write_trader_status
from kedge.services.market_data import load_market
from kedge.services.supervisor_child import ChildSpec
from kedge.services.training import dataset_of, synthetic_dataset
from kedge.services.trial_figures import HoldFigures, Said, run_figures
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.model_store import ModelStore

from .market_files import kedge, refused
from .model_world import keep_model

HOUR = 3_600 * NS_PER_S
START = 1_717_200_000 * NS_PER_S
BARS = 1_200
SCRIPT = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from kedge.ops.trader_status import trader_lock, write_trader_status
state, figures = Path(sys.argv[1]), json.loads(sys.argv[2])
with trader_lock(state):
    for _ in range(5):
        write_trader_status(state, figures, datetime.now(UTC))
        time.sleep(0.05)
    write_trader_status(state, {**figures, "phase": sys.argv[3]}, datetime.now(UTC))
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Synthetic hours of ether, as a file."""
    spec = CATALOGUE[f"{VENUE}:ETHUSDT"][-1]
    grid = synthetic_dataset([spec], seed=5, bars=BARS, interval_ns=HOUR, start_ts_ns=START).parts[0].bars
    prices = (grid.open_ticks, grid.high_ticks, grid.low_ticks, grid.close_ticks)
    rows = [
        ",".join([str(at // NS_PER_MS), *(spec.price_text(int(p[n])) for p in prices), spec.qty_text(int(grid.volume_lots[n]))])
        for n, at in enumerate(grid.open_ts_ns.tolist())
    ]
    path = tmp_path / "bybit-linear-ETHUSDT-1h.csv"
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    return path


class Played:
    """A state folder in which the model has learned from the first two thirds of a file and traded the rest, in this process."""

    def __init__(self, state: Path, bars: Path) -> None:
        self.state = state
        self.market = load_market([bars])
        self.whole: Dataset = dataset_of(self.market)
        self.cut_ns = self.whole.time_at(2, 3)
        self.sha256 = keep_model(state, self.whole.take(None, self.cut_ns), "trial-1h")
        self.done = Done(model_sha256=self.sha256, name="trial-1h", version=1, rows=700, seconds={"fit": "0.1"})
        head, *rows = bars.read_text().splitlines()
        later = [row for row in rows if int(row.partition(",")[0]) * NS_PER_MS >= self.cut_ns]
        rest = bars.parent / "rest" / bars.name
        rest.parent.mkdir()
        rest.write_text("\n".join([head, *later]) + "\n")
        answer = kedge(
            "backtest", "run", "--data", rest, "--strategy", "model", "--param", f"model={self.sha256}", "--state-dir", state, "--json"
        )  # fmt: skip
        assert answer.code == 0, answer
        self.run_id = str(answer.json["run_id"])
        figures = {"run_id": self.run_id, "risk_state": "running", "halt_code": "", "funnel": {"bars": 400}, "phase": "ended"}
        with trader_lock(state):
            write_trader_status(state, figures, datetime.now(UTC))


@pytest.fixture
def played(state: Path, bars: Path) -> Played:
    return Played(state, bars)


def tell(played: Played, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The two long parts, replaced by what they left behind here."""
    jobs: list[Job] = []

    def train(job: Job, say: Callable[[str], None]) -> Done:
        jobs.append(job)
        say("final fit")
        return played.done

    monkeypatch.setattr(trial, "run_job", train)
    monkeypatch.setattr(trial, "_play", lambda plan, say, count: played.run_id)
    return jobs


def test_the_result_stands_beside_holding_and_costs(played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = tell(played, monkeypatch)
    answer = kedge("trial", bars, "--state-dir", played.state, "--wallet", "5000", "--json")
    assert (answer.code, answer.err) == (0, "")
    told = answer.json
    assert (told["schema"], told["run_id"], told["model"]) == ("kedge/trial/v1", played.run_id, played.sha256)
    (job,) = jobs
    assert (job.until_ns, job.name, job.alias, job.files) == (played.cut_ns, "trial-1h", None, (str(bars),))
    run, hold = told["run"], told["hold"]
    assert run["fills"] >= 2
    earned = float(run["equity"]) - float(run["wallet"])
    assert run["net_frac"] == pytest.approx(earned / float(run["wallet"]), abs=1e-6)
    money = {name: Decimal(run[name]) for name in ("gross", "fees", "funding", "equity", "wallet")}
    assert money["gross"] - money["fees"] - money["funding"] == money["equity"] - money["wallet"]
    closes = played.whole.take(played.cut_ns, None).parts[0].bars
    assert hold["price_frac"] == pytest.approx(int(closes.close_ticks[-1]) / int(closes.open_ticks[0]) - 1)
    assert told["labels"]["labelled"] > 200
    assert 0.2 < float(told["out_of_sample"]["auc"]) < 0.8
    assert set(told["seconds"]) == {"read", "train", "trade", "judge"}
    assert ("LOST" in told["sentence"]) == (run["net_frac"] < 0)


def test_a_person_gets_a_table_the_sentence_and_where_to_look(played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(played, monkeypatch)
    answer = kedge("trial", bars, "--state-dir", played.state)
    assert answer.code == 0
    for words in ("out of fold", "out of sample", "holding", "fees", "slippage", "drawdown", "took: read", f"kedge replay {played.run_id}"):
        assert words in answer.out
    assert "kedge audit trace " in answer.out
    assert "s  final fit" in answer.err


def test_funding_that_was_not_recorded_is_said_to_be_the_exchanges_own(played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(played, monkeypatch)
    name = f"{VENUE}:ETHUSDT"
    told = kedge("trial", bars, "--state-dir", played.state, "--json").json
    assert told["funding_not_recorded"] == [name]
    assert told["assumptions"][f"{name} funding"].startswith("not recorded in the traded part; what was charged is the simulated")
    assert f"Funding of {name}: not recorded in the traded part" in kedge("trial", bars, "--state-dir", played.state).out
    funding = bars.with_name("funding-bybit-linear-ETHUSDT.csv")
    funding.write_text(f"ts,funding_rate,symbol\n{(START + 1_000 * HOUR) // NS_PER_MS},0.0001,ETHUSDT\n")
    told = kedge("trial", bars, "--funding", funding, "--state-dir", played.state, "--json").json
    assert (told["funding_not_recorded"], told["assumptions"][f"{name} funding"].startswith("1 settlements")) == ([], True)


def test_predictions_are_judged_against_the_labels_of_their_own_bars(played: Played) -> None:
    model = ModelStore(models_folder(played.state)).load(played.sha256)
    later = played.whole.take(played.cut_ns, None).parts[0].bars
    said = [Said(int(ts), f"{VENUE}:ETHUSDT", 0.5, False) for ts in later.close_ts_ns]
    figures, counted = out_of_sample(model, played.whole, played.cut_ns, said)
    assert counted["predictions"] == len(said)
    assert len(said) - 10 < counted["labelled"] < len(said)
    assert (figures["auc"], figures["hit_rate"], figures["brier"]) == ("0.500000", "0.500000", "0.250000")
    few, counted = out_of_sample(model, played.whole, played.cut_ns, said[:5])
    assert (few, counted["labelled"] <= 5) == ({}, True)


def test_the_sentence_says_plainly_what_happened(played: Played) -> None:
    with SqliteJournalReader(played.state / "runs" / played.run_id / "journal.sqlite") as journal:
        _, figures, _ = run_figures(journal.records())
    hold = HoldFigures(price_frac=0.1, net_frac=-0.05, fees_frac=0, funding_frac=0, drawdown_frac=0.2, by_instrument={})
    halted = {
        "risk_state": "halted",
        "risk_code": "DRAWDOWN",
        "risk_ts_ns": START,
        "risk_observed": "10.1%",
        "risk_limit": "10%",
        "brakes": 1,
    }
    lost = sentence(msgspec.structs.replace(figures, net_frac=-0.0123, **halted), hold)
    assert lost.startswith("The model LOST 1.23% of its money after costs; holding the same instruments lost 5.00%")
    assert "New risk ENDED at 2024-06-01 00:00 UTC (halted: DRAWDOWN was 10.1% against a limit of 10%)" in lost
    passed = sentence(msgspec.structs.replace(figures, brakes=2), hold)
    assert passed.endswith("Limits held back new risk 2 times, and let it go on again.")
    figures = msgspec.structs.replace(figures, brakes=0, risk_ts_ns=0)
    earned = sentence(msgspec.structs.replace(figures, net_frac=0.02), msgspec.structs.replace(hold, net_frac=0.3))
    assert earned.endswith("here.")
    assert earned.startswith("The model earned 2.00% after costs; holding the same instruments earned 30.00%")
    assert sentence(msgspec.structs.replace(figures, fills=0), hold).startswith("The model did not trade;")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), (4, "INVALID_INPUT"), "no data file"),
        (("none.csv",), (3, "NOT_FOUND"), "none.csv"),
        (("BARS", "--train-frac", "3/2"), (4, "INVALID_INPUT"), "train fraction '3/2'"),
        (("BARS", "--param", "exposure_frac=9"), (4, "INVALID_INPUT"), "exposure_frac"),
        (("BARS", "--wallet", "0"), (4, "INVALID_INPUT"), "--wallet is 0"),
    ],
)
def test_what_cannot_be_tried_is_refused(state: Path, bars: Path, arguments: tuple[str, ...], code: tuple[int, str], words: str) -> None:
    given = [str(bars) if one == "BARS" else one for one in arguments]
    answer = kedge("trial", *given, "--state-dir", state, "--json")
    assert refused(answer) == code
    assert words in answer.json["title"]


def test_a_system_that_runs_here_already_is_left_alone(state: Path, bars: Path) -> None:
    with up_lock(state):
        assert refused(kedge("trial", bars, "--state-dir", state, "--json")) == (6, "CONFLICT")


def plan(state: Path) -> Plan:
    return Plan(state, 1, 0, "max", "1h", ("--market", "replay:x"), ("--strategy", "model"), ("--state-dir", str(state)))


def tiny(state: Path, monkeypatch: pytest.MonkeyPatch, phase: str, code: str = SCRIPT) -> list[str]:
    """A trial then starts one process that writes a trader's figures; names of those that were to be started."""
    asked: list[str] = []
    figures = {"run_id": "paper-1", "bars": 1_007, "fills": 2, "equity": "99.5", "ts_ns": START, "funnel": {}, "phase": "trading"}

    def specs(plan: Plan, session: aiohttp.ClientSession) -> list[ChildSpec]:
        asked.extend(one.name for one in up_parts.specs(plan, session))
        command = (sys.executable, "-c", code, str(state), json.dumps(figures), phase)
        done = up_parts.trader_is_done(state)
        probe = up_parts.trader_probe(state)
        out = state / "logs" / "trader.out"
        return [ChildSpec(name=TRADER, command=command, console=out, probe=probe, ends_by_itself=True, is_done=done)]

    monkeypatch.setattr(trial, "specs", specs)
    monkeypatch.setattr(trial, "LOOK_S", 0.02)
    monkeypatch.setattr(trial, "TELL_S", 0.0)
    return asked


def test_a_trial_is_played_to_the_end_of_its_market_and_tells_how_far_it_is(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tiny(state, monkeypatch, "ended")
    said: list[str] = []
    closes_ns = [START - HOUR, START, START + HOUR]
    assert trial._play(plan(state), said.append, closes_ns) == "paper-1"  # noqa: SLF001 - the part that starts processes
    assert {EXCHANGE, TRADER} <= set(asked)
    assert any(line == "2 of 3 bars, 2024-06-01 00:00, 2 fills, equity 99.50" for line in said)


def test_a_trader_that_cannot_be_kept_alive_ends_the_trial_with_its_last_words(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(state, monkeypatch, "ended", "import sys\nprint('error  the model was altered')\nsys.exit(4)")
    with pytest.raises(RecordingFailed) as told:
        trial._play(plan(state), lambda _: None, ())  # noqa: SLF001 - the part that starts processes
    assert "given_up: trader" in told.value.what
    assert "the model was altered" in told.value.why


def test_whoever_stops_a_trial_gets_no_result_and_the_code_of_an_interruption(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(state, monkeypatch, "trading", SCRIPT.replace("range(5)", "range(2_000)"))
    said: list[str] = []

    def say(words: str) -> None:
        said.append(words)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trial._play(plan(state), say, ())  # noqa: SLF001 - the part that starts processes
    assert "stopped before the end" in said[-1]
    assert holder_of(state / "trader.lock") is None


def test_a_part_that_cannot_be_played_is_refused_before_anything_is_learned(
    played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = tell(played, monkeypatch)
    ended = bars.with_name("bybit-linear-BTCUSDT-1h.csv")
    ended.write_text("\n".join(bars.read_text().splitlines()[:500]) + "\n")
    answer = kedge("trial", bars, ended, "--state-dir", played.state, "--json")
    assert refused(answer)[1] == "INVALID_INPUT"
    assert "BTCUSDT" in answer.json["title"]
    comma = bars.parent / "a,b" / bars.name
    comma.parent.mkdir()
    comma.write_text(bars.read_text())
    answer = kedge("trial", comma, "--state-dir", played.state, "--json")
    assert "holds a comma" in answer.json["title"]
    assert jobs == []


def test_figures_of_a_trader_that_left_none_are_read_from_the_journal(played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(played, monkeypatch)
    with trader_lock(played.state):
        write_trader_status(played.state, {"run_id": played.run_id, "phase": "ended"}, datetime.now(UTC))
    answer = kedge("trial", bars, "--state-dir", played.state, "--json")
    assert (answer.code, answer.json["funnel"]) == (0, None)
    assert answer.json["risk_state"] == answer.json["run"]["risk_state"]


def test_the_plan_plays_from_where_learning_ended_on_one_grid(played: Played, bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(played, monkeypatch)
    plans: list[Any] = []
    monkeypatch.setattr(trial, "_play", lambda plan, say, count: (plans.append((plan, count)), played.run_id)[1])
    config = bars.with_name("own.yaml")
    config.write_text('wallet: "777"\n')
    funding = bars.with_name("funding-bybit-linear-ETHUSDT.csv")
    funding.write_text(f"ts,funding_rate,symbol\n{(START + 800 * HOUR) // NS_PER_MS},0.0001,ETHUSDT\n")
    answer = kedge(
        "trial", bars, "--funding", funding, "--state-dir", played.state, "--config", config, "--param", "exposure_frac=0.02", "--json"
    )  # fmt: skip
    assert answer.code == 0
    ((made, count),) = plans
    exchange = " ".join(made.exchange)
    assert f"--market replay:{bars} --seed 7 --wallet 777 --steps 4 --from 2024-07-04T08:00:00Z --history 1000 --one-grid" in exchange
    assert exchange.endswith(f"--funding {funding}")
    assert made.trader == ("--instrument", "ETHUSDT", "--strategy", "model", "--param", f"model={played.sha256}", "exposure_frac=0.02")
    assert made.shared == ("--state-dir", str(played.state), "--config", str(config))
    assert (made.speed, made.interval, len(count)) == ("max", "1h", 400)
