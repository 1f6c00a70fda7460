"""`kedge backtest run` on files of a few dozen bars: what it prints, what it keeps, what it refuses and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kedge.apps import backtest
from kedge.domain.errors import RecordingFailed
from kedge.domain.events import OrderFilled
from kedge.domain.orders import OrderKind
from kedge.domain.outputs import OrderSent
from kedge.services.backtest import Run
from kedge.storage.journal_sqlite import SqliteJournal

from .market_files import QUICK, RECORD, Answer, bars_file, first_record, funding_file, kedge, refused, steps

HOUR_MS = 3_600_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return bars_file(tmp_path)


def run(state: Path, *arguments: object) -> Answer:
    return kedge("backtest", "run", *QUICK, "--state-dir", state, *arguments, "--json")


def ran(state: Path, *arguments: object) -> dict[str, Any]:
    answer = run(state, *arguments)
    assert answer.code == 0, answer
    assert answer.err == ""
    return answer.json


def test_the_answer_is_what_the_journal_and_the_result_file_hold(state: Path, data: Path) -> None:
    answer = ran(state, "--data", data)
    journal = Path(answer["journal"])
    assert journal == state / "runs" / answer["run_id"] / "journal.sqlite"
    assert journal.with_name("journal.sqlite.seal").is_file()
    assert answer["schema"] == "kedge/backtest/v1"
    assert answer["bars"] == 120
    assert answer["round_trips"] >= 3
    held = steps(journal)
    assert answer["fills"] == sum(isinstance(event, OrderFilled) for event, _ in held)
    assert answer["orders"] == sum(isinstance(output, OrderSent) for _, outputs in held for output in outputs)
    kept = json.loads(journal.with_name("result.json").read_text())
    assert {name: answer[name] for name in kept} == kept
    assert kept.keys() >= {"bars", "orders", "fills", "round_trips", "equity", "drawdown", "funnel", "run_id"}


def test_the_money_adds_up(state: Path, data: Path, tmp_path: Path) -> None:
    answer = ran(state, "--data", bars_file(tmp_path, count=300), "--funding", funding_file(tmp_path, count=4))
    money = {name: Decimal(answer[name]) for name in ("equity", "wallet", "realised", "unrealised", "fees", "funding_paid")}
    assert money["equity"] == 100_000 + money["realised"] + money["unrealised"] - money["fees"] - money["funding_paid"]
    fees = sum(event.fee_e8 for event, _ in steps(Path(answer["journal"])) if isinstance(event, OrderFilled))
    assert money["fees"] == Decimal(fees).scaleb(-8)
    assert money["fees"] > 0
    assert money["funding_paid"] != 0
    assert answer["assumptions"]["bybit-linear:BTCUSDT funding"] == "3 settlements from bybit-linear-BTCUSDT-funding.csv"


def test_without_a_funding_file_none_is_charged_and_it_says_so(state: Path, data: Path) -> None:
    answer = ran(state, "--data", data)
    assert Decimal(answer["funding_paid"]) == 0
    assert answer["assumptions"]["bybit-linear:BTCUSDT funding"] == "none charged: no funding file was given"


def test_the_same_command_is_the_same_run_in_one_folder(state: Path, data: Path) -> None:
    first, again = ran(state, "--data", data), ran(state, "--data", data)
    assert again == first
    assert [path.name for path in (state / "runs").iterdir()] == [first["run_id"]]
    other = ran(state, "--data", data, "--wallet", "50000")
    assert other["run_id"] != first["run_id"]
    assert len(list((state / "runs").iterdir())) == 2


def test_a_portfolio_trades_every_instrument(state: Path, data: Path, tmp_path: Path) -> None:
    answer = ran(state, "--data", data, "--data", bars_file(tmp_path, "ETHUSDT", start=2_000.0, swing=20.0))
    assert answer["bars"] == 240
    traded = {event.instrument for event, _ in steps(Path(answer["journal"])) if isinstance(event, OrderFilled)}
    assert traded == {"bybit-linear:BTCUSDT", "bybit-linear:ETHUSDT"}


def test_in_memory_nothing_touches_the_disk(state: Path, data: Path) -> None:
    kept = ran(state, "--data", data, "--wallet", "80000")
    other = state.with_name("other")
    answer = ran(other, "--data", data, "--wallet", "80000", "--no-journal")
    assert answer == {**kept, "journal": None}
    assert not other.exists()


def test_limit_entries_rest_and_pay_the_maker_fee(state: Path, data: Path) -> None:
    kinds = {}
    for entry in ("market", "limit"):
        answer = ran(state, "--data", data, "--entry", entry)
        kinds[entry] = {o.approved.order.kind for _, outputs in steps(Path(answer["journal"])) for o in outputs if isinstance(o, OrderSent)}
    assert kinds["market"] == {OrderKind.MARKET}
    assert OrderKind.LIMIT in kinds["limit"]


@pytest.mark.parametrize("matcher", ["bar", "book"])
@pytest.mark.parametrize("style", ["market", "limit", "chase", "twap", "participation", "stop_entry"])
def test_every_style_runs_and_tells_its_slippage(state: Path, data: Path, style: str, matcher: str) -> None:
    answer = ran(state, "--data", data, "--style", style, "--matcher", matcher)
    assert answer["fills"] > 0
    assert (answer["slippage_against"], answer["slippage_against_mid"]) == ("mark", "0.00000000")
    assert Decimal(answer["slippage"]) == Decimal(answer["slippage_against_mark"])
    assert Decimal(answer["unfilled_shortfall"]).is_finite()
    told = first_record(Path(answer["journal"])).settings["engine"]["execution"]
    assert told["style"] == style


def test_the_book_matcher_fills_otherwise_and_is_named(state: Path, data: Path) -> None:
    by_bar = ran(state, "--data", data, "--no-journal")
    by_book = ran(state, "--data", data, "--no-journal", "--matcher", "book")
    assert by_book["assumptions"]["fills"].startswith("order book")
    assert by_bar["assumptions"]["fills"].startswith("takers at the open of the next bar")
    assert by_book["fills"] > 0
    assert by_book["equity"] != by_bar["equity"]
    assert ran(state, "--data", data, "--no-journal", "--matcher", "book", "--seed", "8")["run_id"] != by_book["run_id"]


def test_an_instrument_record_of_ones_own_is_used(state: Path, data: Path, tmp_path: Path) -> None:
    record = tmp_path / "btc.json"
    record.write_text(json.dumps(RECORD))
    shipped, own = ran(state, "--data", data), ran(state, "--data", data, "--instrument", record)
    assert own["assumptions"]["bybit-linear:BTCUSDT instrument"] == "record given with --instrument"
    assert shipped["assumptions"]["bybit-linear:BTCUSDT instrument"] == "shipped record: tick 0.1 lot 0.001"
    assert first_record(Path(own["journal"])).instruments[0].taker_fee_e8 == 100_000
    assert Decimal(own["fees"]) > Decimal(shipped["fees"])


def test_configured_fees_and_strategy_are_used(state: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text('costs: {taker_rate_frac: "0"}\nstrategy: {name: mean_reversion, params: {window: 10}}\n')
    answer = kedge("backtest", "run", "--data", data, "--config", config, "--state-dir", state, "--json").json
    started = first_record(Path(answer["journal"]))
    assert started.settings["engine"]["strategy"] == "mean_reversion"
    assert started.settings["engine"]["params"] == {"window": 10}
    assert answer["fills"] > 0
    assert Decimal(answer["fees"]) == 0


def test_a_position_is_carried_over_a_change_of_tick(state: Path, tmp_path: Path) -> None:
    """SOLUSDT's tick became ten times larger at midnight of 6 April 2024; a long position is open then."""
    change_ms = 1_712_361_600_000
    closes = [100 + 0.5 * n for n in range(40)]
    rows = "".join(f"{change_ms + (n - 24) * HOUR_MS},{c},{c},{c},{c},90000\n" for n, c in enumerate(closes))
    path = tmp_path / "bybit-linear-SOLUSDT-1h.csv"
    path.write_text("ts,open,high,low,close,volume\n" + rows)
    answer = ran(state, "--data", path)
    (position,) = answer["positions"]
    bought = [(event.qty_lots, event.price_ticks) for event, _ in steps(Path(answer["journal"])) if isinstance(event, OrderFilled)]
    assert Decimal(position["qty"]) == Decimal(sum(lots for lots, _ in bought)) / 10
    gain = sum(lots * (Decimal("119.5") - Decimal(ticks) / 1000) / 10 for lots, ticks in bought)
    assert Decimal(answer["unrealised"]) == gain > 0
    assert kedge("replay", answer["run_id"], "--state-dir", state, "--json").json["equity"] == answer["equity"]


def test_bad_bars_are_set_aside_and_counted(state: Path, data: Path) -> None:
    lines = data.read_text().splitlines()
    lines[20] = lines[20].rpartition(",")[0] + ",-1"
    data.write_text("\n".join(lines) + "\n")
    answer = ran(state, "--data", data)
    assert answer["bars"] == 119
    assert answer["quarantined"] == {"NEGATIVE_VOLUME": 1}
    assert answer["funnel"]["gaps"] == 1
    assert answer["assumptions"]["bybit-linear:BTCUSDT quarantined rows"] == "NEGATIVE_VOLUME 1"


def test_a_person_reads_figures_funnel_and_assumptions(state: Path, data: Path) -> None:
    told = ran(state, "--data", data)
    answer = kedge("backtest", "run", *QUICK, "--state-dir", state, "--data", data)
    shown = answer.out.splitlines()
    assert answer.code == 0
    for name in ("run_id", "bars", "orders", "fills", "round_trips", "equity", "drawdown", "fees", "funding_paid"):
        assert f"{name}\t{told[name]}" in shown
    assert f"risk state\t{told['risk_state']}" in shown
    for name in ("signals", "sized", "sent", "filled"):
        assert f"{name}\t{told['funnel'][name]}" in shown
    assert shown[-len(told["assumptions"]) :] == [f"{name}\t{how}" for name, how in told["assumptions"].items()]


def test_refused_orders_are_counted_by_code(state: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "tight.yaml"
    config.write_text('limits: {fat_finger_volume_frac: "0.00000001"}\n')
    answer = kedge("backtest", "run", *QUICK, "--state-dir", state, "--data", data, "--config", config)
    assert answer.code == 0
    vetoed = [line for line in answer.out.splitlines() if line.startswith("vetoed: ")]
    assert len(vetoed) == 1
    assert int(vetoed[0].split("\t")[1]) > 0
    assert "\nfilled\t0\n" in answer.out


def test_a_person_is_told_that_trading_halted(state: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "tight.yaml"
    rows = ", ".join(f'drawdown_{name}_frac: "0.0000{n}"' for n, name in enumerate(("soft", "reduce", "halt"), 1))
    config.write_text(f"limits: {{{rows}}}\n")
    options = (*QUICK, "--state-dir", state, "--data", data, "--config", config)
    told, found = kedge("backtest", "run", *options), kedge("backtest", "run", *options, "--json").json
    assert (found["risk_state"], bool(found["halt_code"])) == ("halted", True)
    assert f"trading ended halted ({found['halt_code']})" in told.out
    assert "trading ended" not in kedge("backtest", "run", *QUICK, "--state-dir", state, "--data", data).out


def test_imported_bars_are_named_by_their_hash(state: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_STATE_DIR", str(state))
    name = kedge("data", "import", data, "--json").json["sha256"]
    by_file, by_hash = ran(state, "--data", data), ran(state, "--data", name)
    assert by_hash["fills"] > 0
    assert {key: by_hash[key] for key in ("bars", "fills", "equity", "drawdown")} == {
        key: by_file[key] for key in ("bars", "fills", "equity", "drawdown")
    }
    assert refused(run(state, "--data", "0" * 64)) == (3, "NOT_FOUND")


def test_what_a_killed_run_left_is_cleared_and_a_living_ones_is_spared(state: Path, data: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = {f".bt-b.{os.getpid()}", ".bt-c.1", ".bt-d.notes", f".demo-e.{ended.pid}"}
    for name in (f".bt-a.{ended.pid}", *living):
        (state / "runs" / name).mkdir(parents=True)
        (state / "runs" / name / "journal.sqlite").touch()
    run_id = ran(state, "--data", data)["run_id"]
    assert {path.name for path in (state / "runs").iterdir()} == living | {run_id}


def test_of_two_same_runs_that_finish_at_once_one_stays_whole(state: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ran(state, "--data", data)["run_id"]
    rename, rivals = Path.rename, []

    def later(path: Path, target: Path) -> Path:
        if path.name.startswith(f".{first}.{os.getpid()}") and not rivals:
            target.mkdir()
            rivals.append((target / "journal.sqlite").write_text("a rival's"))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", later)
    assert ran(state, "--data", data)["run_id"] == first
    assert rivals
    assert [path.name for path in (state / "runs").iterdir()] == [first]
    assert first_record(state / "runs" / first / "journal.sqlite").run_id == first


def test_a_run_whose_place_cannot_be_had_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    building, final = tmp_path / ".bt-a.1", tmp_path / "bt-a"
    building.mkdir()
    final.mkdir()
    (final / "result.json").touch()
    rename = Path.rename

    def never(path: Path, target: Path) -> Path:
        if path == building:
            raise PermissionError(13, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", never)
    with pytest.raises(PermissionError):
        backtest._put_in_place(building, final)
    assert (final / "result.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bt-a.1", "bt-a"]


def test_progress_goes_to_stderr_only(state: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "PROGRESS_BARS", 50)
    answer = run(state, "--data", data, "--progress", "plain")
    assert answer.code == 0
    assert answer.json["bars"] == 120
    assert answer.err.splitlines()[-1].startswith(f"running {answer.json['run_id']}: ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--strategy", "trnd"], (3, "NOT_FOUND")),
        (["--param", "fast"], (4, "INVALID_INPUT")),
        (["--param", "fats=3"], (4, "INVALID_INPUT")),
        (["--param", "fast=20"], (4, "INVALID_INPUT")),
        (["--wallet", "0"], (4, "INVALID_INPUT")),
        (["--wallet", "-5"], (4, "INVALID_INPUT")),
        (["--wallet", "NaN"], (4, "INVALID_INPUT")),
        (["--wallet", "much"], (4, "INVALID_INPUT")),
        (["--seed", "-1"], (4, "INVALID_INPUT")),
        (["--config", "none.yaml"], (3, "NOT_FOUND")),
        (["--instrument", "none.json"], (3, "NOT_FOUND")),
        (["--entry", "stop"], (2, "USAGE")),
        (["--matcher", "guess"], (2, "USAGE")),
        (["--seed", "x"], (2, "USAGE")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_run_is_refused_and_leaves_no_run(state: Path, data: Path, arguments: list[str], expected: tuple[int, str]) -> None:
    assert refused(run(state, "--data", data, *arguments)) == expected
    assert list(state.glob("runs/*")) == []
    assert list(state.glob("runs/.*")) == []


def test_files_that_do_not_fit_together_are_refused(state: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    eth = bars_file(tmp_path, "ETHUSDT", start=2_000.0, swing=20.0)
    hourly = bars_file(tmp_path, "SOLUSDT", interval_ms=HOUR_MS, start=100.0, swing=5.0)
    record = tmp_path / "btc.json"
    record.write_text(json.dumps({**RECORD, "tick_size": "0.5"}))
    funding, second = funding_file(tmp_path), funding_file(folder)
    cases: dict[str, tuple[object, ...]] = {
        "one file per instrument": ("--data", data, "--data", bars_file(folder)),
        "a run has one clock of bars": ("--data", data, "--data", hourly),
        "which file it describes is unclear": ("--data", data, "--data", eth, "--instrument", record),
        "this looks like another instrument's record": ("--data", data, "--instrument", record),
        "bars were given for ETHUSDT": ("--data", eth, "--funding", funding),
        "a settlement happens once": ("--data", data, "--funding", funding, "--funding", second),
    }
    for why, arguments in cases.items():
        answer = run(state, *arguments)
        assert refused(answer) == (4, "INVALID_INPUT")
        assert why in answer.json["why"]
    assert refused(run(state, "--data", tmp_path / "none.csv")) == (3, "NOT_FOUND")
    assert refused(run(state)) == (2, "USAGE")
    assert not state.exists()


def test_a_file_without_one_good_bar_is_refused(state: Path, tmp_path: Path) -> None:
    answer = run(state, "--data", bars_file(tmp_path, volume="-1"))
    assert refused(answer) == (4, "INVALID_INPUT")
    assert answer.json["why"] == "{'NEGATIVE_VOLUME': 120}"
    assert answer.json["fix"].startswith("kedge data validate ")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RecordingFailed("disk full", why="w", fix="f"), 1)])
def test_a_run_that_breaks_leaves_nothing_and_spares_the_whole_one(
    state: Path, data: Path, error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ran(state, "--data", data)
    before = Path(whole["journal"]).read_bytes()
    commit, count = SqliteJournal.commit, 0

    def breaking(journal: SqliteJournal, *what: Any) -> None:
        nonlocal count
        count += 1
        if count == 60:
            assert len(list((state / "runs").iterdir())) == 2
            raise error
        commit(journal, *what)

    monkeypatch.setattr(SqliteJournal, "commit", breaking)
    assert run(state, "--data", data).code == code
    assert count == 60
    assert [path.name for path in (state / "runs").iterdir()] == [whole["run_id"]]
    assert Path(whole["journal"]).read_bytes() == before


def test_an_error_while_cleaning_up_does_not_hide_the_first(state: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RecordingFailed("the first error", why="w", fix="f")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Run, "drive", failing)
    monkeypatch.setattr(backtest.shutil, "rmtree", full)
    answer = run(state, "--data", data)
    assert (answer.code, answer.json["title"]) == (1, "the first error")


def test_a_state_folder_that_is_a_file_is_told(state: Path, data: Path) -> None:
    state.write_text("")
    assert refused(run(state, "--data", data)) == (1, "SYSTEM_ERROR")
    assert state.read_text() == ""


def test_secrets_of_the_configuration_never_reach_the_journal(
    state: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("secrets: {venue: env:VENUE_KEY}\nstrategy: {params: {fast: 4}}\n")
    monkeypatch.setenv("VENUE_KEY", "bybit-linear-BTCUSDT-5m.csv")
    answer = run(state, "--data", data, "--config", config)
    assert answer.code == 0, answer
    assert b"bybit-linear-BTCUSDT-5m.csv" not in Path(answer.json["journal"]).read_bytes()
    monkeypatch.delenv("VENUE_KEY")
    assert refused(run(state, "--data", data, "--config", config)) == (3, "NOT_FOUND")
