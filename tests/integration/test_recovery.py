"""After a stop: folding the journal gives the engine that was there, from any snapshot and from none, soon enough to start."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from kedge.domain.errors import IntegrityError
from kedge.domain.record import RunStarted, Step
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.backtest import Run, RunSpec, first_record
from kedge.services.demo import SyntheticFeed
from kedge.services.recovery import recover, replay
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.storage import SqliteJournal, SqliteJournalReader, load_or_create_key

from .commands import kedge

ROWS = 2_000
EVERY = 300
MINUTE_NS = 60_000_000_000
YEAR_BARS = 525_600
START_S_MAX = 30.0
"""Three times the ten seconds that are wanted: this is a stopwatch, not a safety deadline."""


@pytest.fixture(scope="module", params=["trend-market", "mean_reversion-limit"])
def done(request: pytest.FixtureRequest, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two instruments across SOL's change of tick, with a snapshot every few hundred records and an odd group size."""
    strategy, entry = request.param.split("-")
    state = tmp_path_factory.mktemp(request.param)
    config = state / "kedge.yaml"
    config.write_text(f"journal: {{group_size: 37, snapshot_every: {EVERY}}}\n")
    files: list[object] = []
    for symbol in ("ETHUSDT", "SOLUSDT"):
        path = state / f"bybit-linear-{symbol}-1h.parquet"
        pl.read_parquet(data_folder / "ohlcv" / path.name).slice(1_800, ROWS).write_parquet(path)
        files += ["--data", path, "--funding", data_folder / "funding" / f"bybit-linear-{symbol}.parquet"]
    answer = kedge("backtest", "run", "--strategy", strategy, "--entry", entry, *files, "--state-dir", state, "--config", config, "--json")
    assert answer.code == 0
    assert answer.json["fills"] > 20
    return answer.json


def test_every_start_ends_in_the_same_state(done: dict[str, Any]):
    with SqliteJournalReader(Path(done["journal"])) as journal:
        whole = recover(journal, from_snapshot=False)
        seqs = journal.snapshot_seqs()
        assert len(seqs) > 5
        ends = {seq: recover(journal, at_or_before=seq).snapshot() for seq in seqs}
    assert set(ends.values()) == {whole.snapshot()}
    shown = json.loads(json.dumps(msgspec.to_builtins(whole.summary())))
    assert {name: done[name] for name in shown} == shown


def test_recovery_ends_where_stepping_would(done: dict[str, Any]):
    """`apply` over recorded outputs and `step` over recorded events meet after every record, not only after the last."""
    with SqliteJournalReader(Path(done["journal"])) as journal:
        started, *records = journal.records()
        taken = {seq: journal.latest_snapshot(seq) for seq in journal.snapshot_seqs()}
    assert isinstance(started, RunStarted)
    stepped, folded = (Engine(EngineSettings.from_plain(started.settings["engine"]), started.instruments) for _ in range(2))
    for record in records:
        assert isinstance(record, Step)
        stepped.step(record.event)
        folded.apply(record.event, record.outputs)
        if record.seq in taken:
            snapshot = taken[record.seq]
            assert snapshot is not None
            assert stepped.snapshot() == folded.snapshot() == snapshot.body
    assert stepped.snapshot() == folded.snapshot()


def test_a_cut_journal_recovers_to_where_it_was_cut_and_goes_on_equal(done: dict[str, Any]):
    """Stop anywhere, fold what is there, and the next decisions are those of the run that never stopped."""
    with SqliteJournalReader(Path(done["journal"])) as journal:
        records = [record for record in journal.records() if isinstance(record, Step)]
        started = journal.run_started()
    for cut in (1, len(records) // 3, len(records) - 40):
        engine = Engine(EngineSettings.from_plain(started.settings["engine"]), started.instruments)
        for record in records[:cut]:
            engine.apply(record.event, record.outputs)
        assert [engine.step(record.event) for record in records[cut:]] == [record.outputs for record in records[cut:]]


def test_a_changed_snapshot_is_refused(done: dict[str, Any], tmp_path: Path):
    copy = tmp_path / "journal.sqlite"
    shutil.copy(done["journal"], copy)
    db = sqlite3.connect(copy)
    db.execute(
        "UPDATE snapshots SET body = CAST(replace(CAST(body AS TEXT), '1', '2') AS BLOB) WHERE seq = (SELECT max(seq) FROM snapshots)"
    )
    db.commit()
    db.close()
    with SqliteJournalReader(copy) as journal:
        with pytest.raises(IntegrityError, match="was changed"):
            recover(journal)
        assert recover(journal, from_snapshot=False).state.funnel.bars == done["bars"]


def test_a_start_after_a_year_of_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    key = load_or_create_key(tmp_path / "keys")
    path = tmp_path / "journal.sqlite"
    built_s = _build_year(path, key)
    began = time.process_time()  # what it costs: what others do with the machine meanwhile is not the start's
    with SqliteJournal(path, signer=key, source="synthetic") as writer, SqliteJournalReader(path) as journal:
        engine = recover(journal)
        count = writer.count
    newest_s = time.process_time() - began
    began = time.process_time()
    with SqliteJournalReader(path) as journal:
        from_none = recover(journal, from_snapshot=False)
    none_s = time.process_time() - began
    with capsys.disabled():
        print(f"\n  a year of minutes: {count:,} records built in {built_s:.1f} s, start {newest_s:.2f} s, from no snapshot {none_s:.2f} s")
    assert engine.state.funnel.bars == YEAR_BARS
    assert count > YEAR_BARS
    assert engine.snapshot() == from_none.snapshot()
    assert max(newest_s, none_s) < START_S_MAX


def _build_year(path: Path, key: Any) -> float:
    """One instrument's synthetic minutes through the whole loop, with snapshots as a run of the command has them."""
    btc = CATALOGUE[f"{VENUE}:BTCUSDT"][-1]
    feed = SyntheticFeed((btc,), 11, MINUTE_NS, btc.valid_from_ns, YEAR_BARS)
    engine = EngineSettings(
        run_id="",
        account="demo",
        strategy="trend",
        params={},
        wallet_e8=10**13,
        start_ts_ns=btc.valid_from_ns,
        interval_ns=MINUTE_NS,
    )
    spec = RunSpec(
        engine=engine,
        venue=VenueSettings(wallet_e8=10**13),
        costs=BarCosts(),
        matcher="bar",
        instruments=(btc,),
        data=(),
        assumptions={},
        source="synthetic",
        speed="max",
        seed=11,
        engine_version="0",
        code_sha256="",
        snapshot_every=100_000,
    )
    began = time.perf_counter()
    with SqliteJournal(path, signer=key, source="synthetic", group_size=5_000) as journal:
        Run(first_record(spec, "year"), feed.events(), feed.fundings, journal).drive()
    return time.perf_counter() - began


def test_a_journal_without_its_first_record_is_refused(tmp_path: Path):
    journal = SqliteJournal(tmp_path / "journal.sqlite", signer=load_or_create_key(tmp_path), source="test")
    journal.close()
    with SqliteJournalReader(tmp_path / "journal.sqlite") as reader:
        for act in (lambda: recover(reader), lambda: replay(reader, code_sha256="")):
            with pytest.raises(IntegrityError, match="first record"):
                act()
