"""`kedge trial` on real bars: learned, traded over the wire, judged; every feature that came over the wire is the batch's to the bit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kedge.domain.events import BarClosed, FundingKnown, OrderFilled
from kedge.domain.outputs import Predicted
from kedge.domain.record import Step
from kedge.learning.dataset import Part
from kedge.learning.feature_rows import closes_of, resets_of, rows_of
from kedge.learning.features import FeatureSet
from kedge.learning.model import Model
from kedge.market.grid_bars import GridBars
from kedge.ops.state_folder import models_folder
from kedge.services.market_data import load_market
from kedge.services.training import dataset_of
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.model_store import ModelStore

from .commands import environment, kedge

pytestmark = pytest.mark.slow

BARS = 1_500
INTERVAL = "15m"
TRIAL_S_MAX = 400.0


@pytest.fixture(scope="module")
def files(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """The last weeks of two real series, with their settlements."""
    folder = tmp_path_factory.mktemp("files")
    bars, paid = [], []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        name = f"bybit-linear-{symbol}-{INTERVAL}.parquet"
        pl.read_parquet(data_folder / "ohlcv" / name).tail(BARS).write_parquet(folder / name)
        bars.append(folder / name)
        paid.append(data_folder / "funding" / f"bybit-linear-{symbol}.parquet")
    return bars, paid


@pytest.fixture(scope="module")
def told(files: tuple[list[Path], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """State folder and answer of one trial."""
    state = tmp_path_factory.mktemp("trial")
    bars, paid = files
    # fmt: off
    command = [
        sys.executable, "-m", "kedge.apps.cli", "trial", *map(str, bars), "--funding", *map(str, paid),
        "--trade-without-skill", "--param", "exposure_frac=0.05", "--state-dir", str(state), "--json",
    ]
    # fmt: on
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TRIAL_S_MAX, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return state, json.loads(done.stdout)


def steps(state: Path, run_id: str) -> list[Step]:
    with SqliteJournalReader(state / "runs" / run_id / "journal.sqlite") as journal:
        return [one for one in journal.records() if isinstance(one, Step)]


def test_a_real_market_is_learned_traded_and_judged(told: tuple[Path, dict[str, Any]]) -> None:
    state, answer = told
    assert (answer["schema"], answer["instruments"]) == ("kedge/trial/v1", ["bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT"])
    assert answer["traded"]["bars"] == 2 * BARS // 3
    assert answer["run"]["fills"] >= 2
    assert answer["labels"]["predictions"] == answer["traded"]["bars"]
    assert answer["labels"]["labelled"] > 0.9 * answer["labels"]["predictions"]
    run_id = answer["run_id"]
    assert kedge("audit", "verify", run_id, "--state-dir", state, "--json").json["findings"] == []
    replay = kedge("replay", run_id, "--state-dir", state, "--json").json
    assert replay["equal"] is True
    assert float(replay["equity"]) == pytest.approx(float(answer["run"]["equity"]), abs=0.005)


def test_a_fill_of_the_trial_leads_back_to_its_raw_files(told: tuple[Path, dict[str, Any]]) -> None:
    state, answer = told
    trace = kedge("audit", "trace", answer["run"]["first_fill_id"], "--state-dir", state, "--json")
    assert trace.code == 0
    for words in (answer["model"], f"bybit-linear-BTCUSDT-{INTERVAL}.parquet", answer["run_id"]):
        assert words in trace.out


def test_settlements_came_over_the_wire_before_the_bars_of_their_instant(told: tuple[Path, dict[str, Any]]) -> None:
    state, answer = told
    events = [step.event for step in steps(state, answer["run_id"]) if isinstance(step.event, BarClosed | FundingKnown)]
    for name in answer["instruments"]:
        own = [event for event in events if event.instrument == name]
        rates = [event.ts_ns for event in own if isinstance(event, FundingKnown)]
        assert rates == sorted(set(rates))
        assert len(rates) > BARS // 3 // 32 - 1
        for n, event in enumerate(own):
            if isinstance(event, FundingKnown):
                assert not [one for one in own[:n] if isinstance(one, BarClosed) and one.ts_ns >= event.ts_ns]


def bars_of(taken: list[Step], name: str) -> list[BarClosed]:
    return [step.event for step in taken if isinstance(step.event, BarClosed) and step.event.instrument == name]


def grid(bars: list[BarClosed]) -> GridBars:
    """Bars as columns."""
    names = ("open_ts_ns", "ts_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    columns = [np.array([getattr(bar, name) for bar in bars], np.int64) for name in names]
    return GridBars(*columns)


def batch(model: Model, parts: list[Part], interval_ns: int) -> dict[tuple[str, int], bytes]:
    """Features of every bar as their bytes, by instrument and close."""
    features = FeatureSet(model.feature_set.features)
    led = next((closes_of(part.records, part.bars) for part in parts if part.instrument_id == features.leader), None)
    found: dict[tuple[str, int], bytes] = {}
    for part in parts:
        rows = rows_of(part.records, part.bars, interval_ns=interval_ns, funding=part.fundings, leader=led)
        x = features.batch(rows, resets_of(part.bars, interval_ns=interval_ns))
        keys = [(part.instrument_id, int(ts)) for ts in part.bars.close_ts_ns]
        found |= {key: np.ascontiguousarray(row, "<f8").tobytes() for key, row in zip(keys, x, strict=True)}
    return found


def test_bars_over_the_wire_are_the_files_but_where_our_own_orders_traded(
    told: tuple[Path, dict[str, Any]], files: tuple[list[Path], list[Path]]
) -> None:
    state, answer = told
    taken, whole = steps(state, answer["run_id"]), dataset_of(load_market(*files))
    filled = [(step.event.instrument, step.event.ts_ns) for step in taken if isinstance(step.event, OrderFilled)]
    for part in whole.parts:
        played = bars_of(taken, part.instrument_id)
        recorded = {int(row[0]): tuple(map(int, row)) for row in zip(*part.bars.columns, strict=True)}
        assert len(played) >= BARS // 3 + 96
        for bar in played:
            is_ours = any(name == bar.instrument and bar.open_ts_ns <= at <= bar.ts_ns for name, at in filled)
            assert is_ours or tuple(int(column[0]) for column in grid([bar]).columns) == recorded[bar.ts_ns]


def test_features_over_the_wire_are_the_batchs_to_the_bit(told: tuple[Path, dict[str, Any]], files: tuple[list[Path], list[Path]]) -> None:
    """On the bars as they came (our own trades are in them) and the settlements as they stand in the files."""
    state, answer = told
    model = ModelStore(models_folder(state)).load(answer["model"])
    taken, whole = steps(state, answer["run_id"]), dataset_of(load_market(*files))
    came = [replace(part, bars=grid(bars_of(taken, part.instrument_id))) for part in whole.parts]
    expected = batch(model, came, whole.interval_ns)
    last_ns = max(ts for _, ts in expected)  # where the record ends, which lacks the settlement of that instant
    compared = 0
    with SqliteJournalReader(state / "runs" / answer["run_id"] / "journal.sqlite") as journal:
        for step in taken:
            for output in step.outputs:
                if isinstance(output, Predicted) and step.event.ts_ns < last_ns:
                    assert journal.blob(output.features_sha256) == expected[output.instrument, step.event.ts_ns], step
                    compared += 1
    assert compared >= answer["traded"]["bars"] - len(answer["instruments"])
    funding = [n for n, one in enumerate(model.feature_set.features) if one.name == "funding_rate"]
    known = [np.frombuffer(body, "<f8")[funding[0]] for body in expected.values()]
    assert len(set(known)) > 10
