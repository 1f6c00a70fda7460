"""Bad input at the real commands: what failed, why, what to do, the promised exit code, and nothing half written."""

from __future__ import annotations

import json
import math
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kedge.domain.errors import Conflict
from kedge.storage import SqliteJournal, load_or_create_key

from .commands import Answer, environment, kedge, spawn

T0 = 1_700_006_400_000
MINUTE = 60_000
ROWS = 400
HEADER = ["ts", "open", "high", "low", "close", "volume"]


def bar(n: int) -> list[str]:
    """A bar of a slow wave, so that a trend follower trades."""
    close = 100 + 10 * math.sin(n / 25)
    before = 100 + 10 * math.sin((n - 1) / 25)
    return [
        str(T0 + n * MINUTE),
        *(f"{p:.2f}" for p in (before, max(before, close) + 0.25, min(before, close) - 0.25, close)),
        f"{900 + n % 7}.5",
    ]


def write(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    path.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "TESTUSDT-1m.csv", [bar(n) for n in range(ROWS)])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def backtest(state: Path, *arguments: object, run: Callable[..., Answer] = kedge, **options: Any) -> Answer:
    return run("backtest", "run", *arguments, "--state-dir", state, "--json", **options)


def runs(state: Path) -> list[str]:
    """Every folder under `runs`, the hidden ones too."""
    return sorted(p.name for p in (state / "runs").iterdir()) if (state / "runs").is_dir() else []


def test_good_bars_trade(good: Path, state: Path):
    answer = backtest(state, "--data", good, "--param", "fast=5", "--param", "slow=20")
    assert (answer.code, answer.json["bars"], answer.json["quarantined"]) == (0, ROWS, {})
    assert answer.json["fills"] > 5
    assert runs(state) == [answer.json["run_id"]]


# One broken bar -----------------------------------------------------------------------------------------------


def _cell(column: str, text: str) -> Callable[[list[str]], None]:
    def change(row: list[str]) -> None:
        row[HEADER.index(column)] = text

    return change


def _low_into_the_body(row: list[str]) -> None:
    row[3] = f"{max(float(row[1]), float(row[4])):.2f}"


BROKEN_BARS: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "blank": ("MISSING_FIELD", _cell("close", "")),
    "nan": ("NOT_FINITE", _cell("close", "nan")),
    "infinite": ("NOT_FINITE", _cell("high", "inf")),
    "minus infinite": ("NOT_FINITE", _cell("low", "-inf")),
    "no number": ("NOT_FINITE", _cell("open", "abc")),
    "volume is nan": ("NOT_FINITE", _cell("volume", "nan")),
    "no time": ("NOT_FINITE", _cell("ts", "yesterday")),
    "zero": ("NON_POSITIVE_PRICE", _cell("low", "0")),
    "negative": ("NON_POSITIVE_PRICE", _cell("low", "-1")),
    "volume below zero": ("NEGATIVE_VOLUME", _cell("volume", "-0.5")),
    "high below the body": ("HIGH_BELOW_BODY", _cell("high", "90.00")),
    "low above the body": ("LOW_ABOVE_BODY", _low_into_the_body),
    "between two bars": ("OFF_INTERVAL", _cell("ts", str(T0 + 200 * MINUTE + 17_000))),
    "seen before": ("DUPLICATE_TS", _cell("ts", str(T0 + 199 * MINUTE))),
}


@pytest.mark.parametrize("kind", BROKEN_BARS)
def test_a_broken_bar_is_set_aside_counted_and_told(kind: str, tmp_path: Path, state: Path):
    code, change = BROKEN_BARS[kind]
    rows = [bar(n) for n in range(ROWS)]
    change(rows[200])
    path = write(tmp_path / "TESTUSDT-1m.csv", rows)
    text = path.read_bytes()
    answer = backtest(state, "--data", path, "--param", "fast=5", "--param", "slow=20")
    assert answer.code == 0
    assert sum(answer.json["quarantined"].values()) >= 1
    assert code in answer.json["quarantined"]
    lost = sum(answer.json["quarantined"].values())
    assert answer.json["bars"] == ROWS - lost
    assert answer.json["funnel"]["gaps"] == 1
    assert f"{code} " in answer.json["assumptions"]["file:TESTUSDT quarantined rows"]
    assert path.read_bytes() == text
    assert kedge("replay", answer.json["run_id"], "--state-dir", state, "--json").json["equal"]


def test_a_bar_off_the_tick_of_its_instrument_is_set_aside(data_folder: Path, tmp_path: Path, state: Path):
    path = tmp_path / "bybit-linear-BTCUSDT-1h.parquet"
    table = pl.read_parquet(data_folder / "ohlcv" / path.name).head(ROWS)
    off = table.with_columns(
        pl.when(pl.int_range(pl.len()) == 77).then(pl.col("close").floor() + 0.37).otherwise(pl.col("close")).alias("close")
    )
    off = off.with_columns(high=pl.max_horizontal("high", "close"), low=pl.min_horizontal("low", "close"))
    off.write_parquet(path)
    answer = backtest(state, "--data", path)
    assert (answer.code, answer.json["quarantined"], answer.json["bars"]) == (0, {"OFF_TICK": 1}, ROWS - 1)


def test_an_unconfirmed_bar_is_not_traded_on(tmp_path: Path, state: Path):
    rows = [[*bar(n), "false" if n == ROWS - 1 else "true"] for n in range(ROWS)]
    answer = backtest(state, "--data", write(tmp_path / "TESTUSDT-1m.csv", rows, [*HEADER, "confirm"]))
    assert (answer.code, answer.json["quarantined"], answer.json["bars"]) == (0, {"UNCONFIRMED": 1}, ROWS - 1)


def test_a_row_that_names_no_instrument_is_not_traded_on(tmp_path: Path, state: Path):
    rows = [[*bar(n), "" if n == 30 else "TESTUSDT"] for n in range(ROWS)]
    answer = backtest(state, "--data", write(tmp_path / "x-1m.csv", rows, [*HEADER, "symbol"]))
    assert (answer.code, answer.json["quarantined"]) == (0, {"MIXED_INSTRUMENTS": 1})


def test_rows_in_any_order_are_put_in_order_or_told(tmp_path: Path, state: Path, good: Path):
    rows = [bar(n) for n in range(ROWS)]
    whole = backtest(state, "--data", good)
    backwards = backtest(state, "--data", write(tmp_path / "TESTUSDT-1m.csv", rows[::-1]))
    assert {n: backwards.json[n] for n in ("bars", "equity", "fills")} == {n: whole.json[n] for n in ("bars", "equity", "fills")}


# Errors: (arguments, exit code, code, words of what, words of the fix) -----------------------------------------


@pytest.fixture
def folder(tmp_path: Path, good: Path) -> Path:
    """Files that are wrong, each in one way, beside the good one."""
    rows = [bar(n) for n in range(ROWS)]
    write(tmp_path / "columns.csv", [row[:4] for row in rows], HEADER[:4])
    write(tmp_path / "header.csv", [])
    write(tmp_path / "mixed.csv", [[*row, "AAAUSDT" if n < 200 else "BBBUSDT"] for n, row in enumerate(rows)], [*HEADER, "symbol"])
    write(tmp_path / "TESTUSDT-5m.csv", rows)
    write(tmp_path / "OTHERUSDT-2m.csv", rows[::2])
    write(tmp_path / "broken.csv", [[row[0], "0", "0", "0", "0", "1"] for row in rows])
    write(tmp_path / "funding-TESTUSDT.csv", [[str(T0 + n * 28_800_000), "0.0001"] for n in range(9)], ["ts", "rate"])
    write(tmp_path / "funding-XYZUSDT.csv", [[str(T0 + n * 28_800_000), "0.0001"] for n in range(9)], ["ts", "rate"])
    (tmp_path / "again").mkdir()
    write(tmp_path / "again" / "TESTUSDT-1m.csv", rows)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "garbage.parquet").write_bytes(b"\x00garbage" * 200)
    (tmp_path / "letter.xlsx").write_text("dear sir")
    (tmp_path / "a folder.csv").mkdir()
    (tmp_path / "key.yaml").write_text("limits:\n  drawdown_halt_fraq: '0.5'\n")
    (tmp_path / "row.yaml").write_text("limits:\n  drawdown_halt_frac: '0.01'\n")
    (tmp_path / "value.yaml").write_text("costs:\n  impact_bps: -3\n")
    (tmp_path / "nan.yaml").write_text("wallet: .nan\n")
    (tmp_path / "yaml.yaml").write_text("limits: [1,\n")
    (tmp_path / "few.json").write_text('{"instrument_id": "x:ABC"}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "half.json").write_text("{")
    return tmp_path


GOOD = ("--data", "TESTUSDT-1m.csv")
ERRORS: dict[str, tuple[tuple[str, ...], int, str, str, str]] = {
    "no data": ((), 2, "USAGE", "--data", "--help"),
    "unknown option": ((*GOOD, "--stratgy", "trend"), 2, "USAGE", "--stratgy", "--help"),
    "missing file": (("--data", "none.csv"), 3, "NOT_FOUND", "none.csv", "path"),
    "folder": (("--data", "a folder.csv"), 3, "NOT_FOUND", "a folder.csv", "path"),
    "empty file": (("--data", "empty.csv"), 4, "INVALID_INPUT", "empty.csv", "fetch"),
    "no rows": (("--data", "header.csv"), 4, "INVALID_INPUT", "header.csv", "fetch"),
    "garbage": (("--data", "garbage.parquet"), 4, "INVALID_INPUT", "garbage.parquet", "fetch"),
    "other format": (("--data", "letter.xlsx"), 4, "INVALID_INPUT", ".xlsx", ".parquet"),
    "missing columns": (("--data", "columns.csv"), 4, "INVALID_INPUT", "close, volume", "close"),
    "no good bar": (("--data", "broken.csv"), 4, "INVALID_INPUT", "broken.csv", "kedge data validate"),
    "wrong interval": (("--data", "TESTUSDT-5m.csv"), 4, "INVALID_INPUT", "bars of 1m", "name"),
    "mixed instruments": (("--data", "mixed.csv"), 4, "INVALID_INPUT", "AAAUSDT, BBBUSDT", "--symbol"),
    "mixed intervals": ((*GOOD, "--data", "OTHERUSDT-2m.csv"), 4, "INVALID_INPUT", "OTHERUSDT 2m", "one interval"),
    "one instrument twice": ((*GOOD, "--data", "again/TESTUSDT-1m.csv"), 4, "INVALID_INPUT", "TESTUSDT, file:TESTUSDT", "join"),
    "missing funding": ((*GOOD, "--funding", "none.csv"), 3, "NOT_FOUND", "none.csv", "path"),
    "funding of another": ((*GOOD, "--funding", "funding-XYZUSDT.csv"), 4, "INVALID_INPUT", "funding of XYZUSDT", "add its bars"),
    "funding twice": (
        (*GOOD, "--funding", "funding-TESTUSDT.csv", "funding-TESTUSDT.csv"),
        4,
        "INVALID_INPUT",
        "second funding",
        "drop one",
    ),
    "bars as funding": ((*GOOD, "--funding", "TESTUSDT-1m.csv"), 4, "INVALID_INPUT", "rate", "rate"),
    "funding as bars": (("--data", "funding-TESTUSDT.csv"), 4, "INVALID_INPUT", "open", "open"),
    "unknown strategy": ((*GOOD, "--strategy", "trent"), 3, "NOT_FOUND", "trent", "did you mean 'trend'"),
    "unknown parameter": ((*GOOD, "--param", "fsat=3"), 4, "INVALID_INPUT", "fsat", "did you mean 'fast'"),
    "parameter without value": ((*GOOD, "--param", "fast"), 4, "INVALID_INPUT", "fast", "fast=20"),
    "parameter out of bounds": ((*GOOD, "--param", "fast=0"), 4, "INVALID_INPUT", "fast", "bounds"),
    "parameter of another kind": ((*GOOD, "--param", "fast=three"), 4, "INVALID_INPUT", "fast", "bounds"),
    "parameter not a number": ((*GOOD, "--param", "exposure_frac=nan"), 4, "INVALID_INPUT", "exposure_frac", "bounds"),
    "parameters that clash": ((*GOOD, "--param", "fast=200"), 4, "INVALID_INPUT", "fast is 200", "lower fast"),
    "negative wallet": ((*GOOD, "--wallet", "-5"), 4, "INVALID_INPUT", "-5", "positive"),
    "empty wallet": ((*GOOD, "--wallet", "0"), 4, "INVALID_INPUT", "0", "positive"),
    "wallet not a number": ((*GOOD, "--wallet", "nan"), 4, "INVALID_INPUT", "nan", "finite"),
    "wallet too fine": ((*GOOD, "--wallet", "0.000000001"), 4, "INVALID_INPUT", "1E-9", "0.00000001"),
    "wallet too large": ((*GOOD, "--wallet", "10000000000"), 4, "INVALID_INPUT", "10000000000", "at most"),
    "wallet beyond counting": ((*GOOD, "--wallet", "1e30"), 4, "INVALID_INPUT", "1E+30", "coarser"),
    "negative seed": ((*GOOD, "--seed", "-1"), 4, "INVALID_INPUT", "-1", "--seed"),
    "seed not a number": ((*GOOD, "--seed", "x"), 2, "USAGE", "--seed", "--help"),
    "unknown entry": ((*GOOD, "--entry", "lim"), 2, "USAGE", "limit", "--help"),
    "missing configuration": ((*GOOD, "--config", "none.yaml"), 3, "NOT_FOUND", "none.yaml", "path"),
    "unknown key": ((*GOOD, "--config", "key.yaml"), 4, "INVALID_CONFIG", "key.yaml:2", "did you mean limits.drawdown_halt_frac?"),
    "limits that fall": ((*GOOD, "--config", "row.yaml"), 4, "INVALID_CONFIG", "limits", "configuration.md"),
    "value out of bounds": ((*GOOD, "--config", "value.yaml"), 4, "INVALID_CONFIG", "costs.impact_bps", "configuration.md"),
    "configured nan": ((*GOOD, "--config", "nan.yaml"), 4, "INVALID_CONFIG", "wallet", "configuration.md"),
    "no YAML": ((*GOOD, "--config", "yaml.yaml"), 4, "INVALID_CONFIG", "yaml.yaml:2", "quotes"),
    "missing record": ((*GOOD, "--instrument", "none.json"), 3, "NOT_FOUND", "none.json", "instruments.md"),
    "record is a folder": ((*GOOD, "--instrument", "again"), 3, "NOT_FOUND", "again", "instruments.md"),
    "record lacks fields": ((*GOOD, "--instrument", "few.json"), 4, "INVALID_INPUT", "tick_size", "instruments.md"),
    "record is a list": ((*GOOD, "--instrument", "list.json"), 4, "INVALID_INPUT", "list.json", "instruments.md"),
    "record is cut": ((*GOOD, "--instrument", "half.json"), 4, "INVALID_INPUT", "half.json", "instruments.md"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_says_what_why_and_what_to_do(kind: str, folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    arguments, exit_code, code, what, fix = ERRORS[kind]
    answer = backtest(state, *arguments)
    problem = answer.json
    assert (answer.code, problem["status"], problem["code"], problem["schema"]) == (exit_code, exit_code, code, "kedge/problem/v1")
    assert what in problem["title"]
    assert problem["why"]
    assert fix in problem["fix"]
    assert answer.err == ""
    assert runs(state) == []


@pytest.mark.parametrize("kind", ["missing file", "unknown key", "unknown option", "negative wallet"])
def test_a_person_reads_four_lines_on_stderr(kind: str, folder: Path, state: Path):
    arguments, exit_code, code, what, _ = ERRORS[kind]
    answer = spawn("backtest", "run", *arguments, "--state-dir", state, cwd=folder)
    assert (answer.code, answer.out) == (exit_code, "")
    lines = answer.err.splitlines()
    assert [line.split()[0] for line in lines] == ["error", "why", "fix", "code"]
    assert what in lines[0]
    assert lines[3] == f"code   {code} (exit {exit_code})"


def test_a_key_from_the_environment_is_held_to_the_same_names(good: Path, state: Path):
    answer = backtest(state, "--data", good, run=spawn, env=environment(KEDGE_LIMITS__DRAWDOWN_HALT_FRAQ="0.5"))
    assert (answer.code, answer.json["code"]) == (4, "INVALID_CONFIG")
    assert "did you mean" in answer.json["fix"]


# Journals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(good: Path, state: Path) -> Path:
    """The journal of a good run."""
    answer = backtest(state, "--data", good, "--param", "fast=5", "--param", "slow=20")
    return Path(answer.json["journal"])


def _garbage(journal: Path) -> None:
    journal.write_bytes(b"garbage" * 1_000)


def _cut(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])


def _empty(journal: Path) -> None:
    journal.write_bytes(b"")


def _other_database(journal: Path) -> None:
    journal.unlink()
    db = sqlite3.connect(journal)
    db.execute("CREATE TABLE rows (seq INTEGER)")
    db.commit()
    db.close()


def _not_json(journal: Path) -> None:
    db = sqlite3.connect(journal)
    db.execute("UPDATE rows SET body = x'7b7b' WHERE seq = 10")
    db.commit()
    db.close()


@pytest.mark.parametrize("damage", [_garbage, _cut, _empty, _other_database, _not_json])
def test_a_journal_that_cannot_be_read_is_refused_by_replay_and_found_by_the_audit(damage: Callable[[Path], None], kept: Path, state: Path):
    damage(kept)
    before = kept.read_bytes()
    replay = kedge("replay", kept, "--state-dir", state, "--json")
    assert (replay.code, replay.json["code"]) == (1, "INTEGRITY")
    assert replay.json["why"]
    assert replay.json["fix"]
    audit = kedge("audit", "verify", kept, "--state-dir", state, "--json")
    assert (audit.code, audit.json["ok"]) == (9, False)
    assert audit.json["findings"]
    assert kept.read_bytes() == before


def test_a_run_that_does_not_exist(state: Path, tmp_path: Path):
    for command in (("replay",), ("audit", "verify")):
        answer = kedge(*command, "bt-0000", "--state-dir", state, "--json")
        assert (answer.code, answer.json["code"]) == (3, "NOT_FOUND")
    (tmp_path / "a").mkdir()
    assert kedge("replay", tmp_path / "a", "--state-dir", state, "--json").code == 3
    assert kedge("status", "--state-dir", state, "--json").code == 3


def test_audit_with_another_key_finds_the_signatures(kept: Path, state: Path, tmp_path: Path):
    other = load_or_create_key(tmp_path / "other").public.text
    answer = kedge("audit", "verify", kept, "--public-key", other, "--state-dir", state, "--json")
    assert (answer.code, answer.json["ok"]) == (9, False)
    for text in ("ed25519:00", "rsa:00", ""):
        answer = kedge("audit", "verify", kept, "--public-key", text, "--state-dir", state, "--json")
        assert answer.code == (4 if text else 0)


WRITER = """
import sys, time
from pathlib import Path
from kedge.storage import SqliteJournal, load_or_create_key
with SqliteJournal(Path(sys.argv[1]), signer=load_or_create_key(Path(sys.argv[2])), source="test"):
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_on_one_journal_is_turned_away_with_the_first_ones_process(tmp_path: Path):
    path, keys = tmp_path / "journal.sqlite", tmp_path / "keys"
    first = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, keys], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "holding\n"
        with pytest.raises(Conflict, match=f"process {first.pid}") as caught:
            SqliteJournal(path, signer=load_or_create_key(keys), source="test")
        assert caught.value.fix
    finally:
        first.communicate("")
    with SqliteJournal(path, signer=load_or_create_key(keys), source="test"):
        pass


# The disk ------------------------------------------------------------------------------------------------------


def _limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [30_000, 250_000])
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_done(size: int, data_folder: Path, state: Path):
    """A file that may not grow is what a full disk looks like to SQLite: a write that fails in the middle of a run."""
    hourly = data_folder / "ohlcv" / "bybit-linear-BTCUSDT-1h.parquet"
    answer = backtest(state, "--data", hourly, run=spawn, preexec_fn=_limited(size))
    assert (answer.code, answer.json["code"]) == (1, "RECORDING_FAILED")
    assert "disk" in answer.json["fix"]
    assert runs(state) == []
    assert kedge("replay", "bt-", "--state-dir", state, "--json").code == 3


def test_a_full_disk_does_not_harm_the_run_that_is_there(good: Path, kept: Path, state: Path):
    arguments = ("--data", good, "--param", "fast=5", "--param", "slow=20")
    before = kept.read_bytes()
    answer = backtest(state, *arguments, run=spawn, preexec_fn=_limited(30_000))
    assert (answer.code, answer.json["code"]) == (1, "RECORDING_FAILED")
    assert kept.read_bytes() == before
    assert kedge("audit", "verify", kept, "--state-dir", state, "--json").code == 0
    assert backtest(state, *arguments).code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_does_not_look_whole(number: signal.Signals, data_folder: Path, state: Path):
    files = [p for s in ("BTC", "ETH", "SOL", "BNB") for p in ("--data", data_folder / "ohlcv" / f"bybit-linear-{s}USDT-15m.parquet")]
    command = [sys.executable, "-m", "kedge.apps.cli", "backtest", "run", *map(str, files), "--state-dir", str(state), "--json"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not list(state.glob("runs/.bt-*/journal.sqlite-wal")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(30)
    assert process.returncode == (130 if number is signal.SIGINT else -9)
    assert not list(state.glob("runs/bt-*"))
    assert kedge("replay", "bt-", "--state-dir", state, "--json").code == 3
    if number is signal.SIGINT:
        assert runs(state) == []


def test_every_problem_is_one_json_document(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    for words in (["nonsense"], ["data", "validate", "none.csv"], ["config", "validate", "key.yaml"], ["up", "--bars", "0"], ["replay"]):
        answer = kedge(*words, "--json")
        assert answer.code in (2, 3, 4)
        assert json.loads(answer.out)["status"] == answer.code
