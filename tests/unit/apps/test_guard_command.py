"""`kedge guard` as a command: what it refuses first, and what it says at its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apps.test_trade import config_of

from kedge.apps import exit_codes, guard, guard_process
from kedge.apps.cli import main
from kedge.apps.guard_market import MarketKnown
from kedge.apps.trade_market import Market
from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import RecordingFailed
from kedge.ops.latch_file import LatchFile, guard_folder, latch_path
from kedge.services.guard.records import Baseline, Latched, Released
from kedge.services.guard_record import KeptRecords
from kedge.storage import SigningKey
from kedge.storage.guard_journal import GUARD_JOURNAL, GuardWriter


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("rung", ["live", "testnet"])
def test_rungs_of_which_no_proof_is_kept_yet_are_refused(state: Path, capsys: pytest.CaptureFixture[str], rung: str) -> None:
    assert main(["guard", "--rung", rung, "--venue", "http://127.0.0.1:1", "--state-dir", str(state)]) == exit_codes.REFUSED
    assert main(["guard", "--venue", "http://10.0.0.1:1", "--state-dir", str(state)]) == exit_codes.INVALID
    assert main(["guard", "--port", "70000", "--venue", "http://127.0.0.1:1", "--state-dir", str(state)]) == exit_codes.INVALID
    assert not guard_folder(state).exists()


def test_it_gives_the_process_what_was_asked_and_says_how_it_ended(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def run_guard(settings: object, **given: Any) -> dict[str, Any]:
        asked.update(given)
        return {"account": "demo", "latch": {"level": "halted"}, "positions": [1]}

    monkeypatch.setattr(guard_process, "run_guard", run_guard)
    arguments = ["guard", "--venue", "http://127.0.0.1:1/", "--instrument", "ethusdt", "--port", "0", "--state-dir", str(state)]
    assert main(arguments) == exit_codes.OK
    assert "the guard of demo ends: the brake is halted, 1 positions" in capsys.readouterr().out
    assert asked == {"venue": "http://127.0.0.1:1", "symbols": ("ETHUSDT",), "port": 0, "stays": True, "quiet": False}
    assert main([*arguments, "--on-stop", "leave", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["schema"] == "kedge/guard/v1"
    assert (asked["stays"], asked["quiet"]) == (False, True)
    assert guard.STAY == "stay"


@pytest.mark.slow
def test_a_process_told_to_end_before_its_exchange_answers_says_that_it_never_began(state: Path) -> None:
    arguments = ["guard", "--venue", "http://127.0.0.1:9", "--port", "0", "--state-dir", str(state)]
    process = subprocess.Popen(
        [sys.executable, "-m", "kedge.apps.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    log = state / "logs" / "guard.jsonl"
    while not (log.exists() and "exchange unavailable" in log.read_text()):
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == exit_codes.INVALID
    assert "never began" in err


# records and markets --------------------------------------------------------------------------------------------------


def records_of(state: Path, key: SigningKey) -> KeptRecords:
    path = guard_folder(state) / GUARD_JOURNAL
    found = KeptRecords(path, lambda: GuardWriter(path, "demo", signer=key, engine_version="1", wall_ns=lambda: 1))
    found.start()
    return found


BASELINE = Baseline(wall_ns=1, high_water_e8=5, day_start_e8=4, day=20_000, wallet_e8=3, equity_e8=5, ledger_ts_ns=9, ledger_ids=("a",))


def test_a_baseline_comes_back_to_the_field_and_a_new_market_makes_it_void(state: Path) -> None:
    key, market = SigningKey.generate(), Market(1, True, "synthetic", "one", 0)
    latch = LatchFile(latch_path(state), "demo")
    log = guard_process.logging.getLogger("kedge.guard")
    records = records_of(state, key)
    assert records.baseline() is None
    MarketKnown(state, latch, records, log).meet(market._replace(session="zero"))
    assert records.journal.flush(10)
    records.close()

    latch.write(Latch(account="demo", generation=3, level=BrakeLevel.HALTED, trigger=Trigger.MANUAL, high_water_e8=77))
    records = records_of(state, key)
    records.append(BASELINE)
    assert records.journal.flush(10)
    assert records.baseline() == BASELINE
    MarketKnown(state, latch, records, log).meet(market)
    assert records.baseline() is None, "of this process"
    assert records.journal.flush(10)
    records.close()
    found = latch.read()
    assert (found.level, found.high_water_e8, found.generation) == (BrakeLevel.HALTED, 0, 4)

    again = records_of(state, key)
    assert again.baseline() is None, "and of the next"
    MarketKnown(state, latch, again, log).meet(market)
    assert latch.read() == found, "the same market changes nothing"
    again.append(BASELINE)
    assert again.journal.flush(10)
    assert again.baseline() == BASELINE
    MarketKnown(state, latch, again, log).meet(market._replace(session=""))
    assert again.baseline() == BASELINE, "a market that never begins again"
    again.close()


def test_where_nobody_knows_which_market_it_was_the_high_water_mark_stays(state: Path) -> None:
    records = records_of(state, SigningKey.generate())
    latch = LatchFile(latch_path(state), "demo")
    latch.write(Latch(account="demo", generation=3, level=BrakeLevel.RUNNING, high_water_e8=77))
    MarketKnown(state, latch, records, guard_process.logging.getLogger("kedge.guard")).meet(Market(1, True, "synthetic", "one", 0))
    assert latch.read().high_water_e8 == 77
    records.close()


def test_a_market_that_cannot_be_remembered_is_told(state: Path) -> None:
    records = records_of(state, SigningKey.generate())
    (guard_folder(state) / ".market.json.0").mkdir()
    path = guard_folder(state) / "market.json"
    path.mkdir()
    known = MarketKnown(state, LatchFile(latch_path(state), "demo"), records, guard_process.logging.getLogger("kedge.guard"))
    with pytest.raises(RecordingFailed, match="market.json"):
        known.meet(Market(1, True, "synthetic", "one", 0))
    records.close()


def test_what_the_journal_does_not_take_is_refused_at_once_and_a_release_is_on_the_disk(state: Path) -> None:
    records = records_of(state, SigningKey.generate())
    released = Released(
        wall_ns=1, approval_id="ap-1", generation=1, from_level=BrakeLevel.HALTED, reason="r", root_cause="c", high_water="keep",
        actors=("a", "b"), solo=False,
    )  # fmt: skip
    assert not records.was_used("ap-1")
    records.append(released)
    assert records.was_used("ap-1")
    path = guard_folder(state) / GUARD_JOURNAL
    path.rename(path.with_name("away"))
    while not records.problem:
        pass
    with pytest.raises(RecordingFailed, match="takes no records"):
        records.append(
            Latched(
                wall_ns=1, level=BrakeLevel.HALTED, generation=2, trigger=Trigger.MANUAL, observed="", limit="", reason="", actor_id="a",
                source="", is_durable=True, took_ns=1,
            )
        )  # fmt: skip
    records.journal.append(released)  # something waits, so nobody can say
    with pytest.raises(RecordingFailed, match="nobody can say"):
        records.was_used("ap-2")
    assert records.baseline() is None
    records.close()


def test_the_configuration_s_account_names_the_latch_and_the_permits(state: Path) -> None:
    assert guard_process.guard_settings(config_of(state), ("BTCUSDT",)).account == config_of(state).settings.account
    assert asyncio.iscoroutinefunction(guard_process.GuardProcess.run)
