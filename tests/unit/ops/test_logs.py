"""Structured logs: one ASCII line of JSON a record, OpenTelemetry's names, rotation, correlation, and no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.compliance import compliance_id
from kedge.ops.logs import correlated, correlation_id, fields, log_file, logging_to, trade_executed

SECRET = "s3cretValueOfTheKey"


def lines(folder: Path, service: str = "trader") -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file(folder, service).read_bytes().decode("ascii").splitlines()]


def test_a_record_is_one_line_of_ascii_json_with_the_fields_of_opentelemetry(tmp_path: Path) -> None:
    with logging_to(tmp_path, "trader") as log:
        log.warning("caf\u00e9 %s\nnext", "\U0001f680", extra=fields(order="o1", lots=3, ratio=0.5, unknown=None))
    (found,) = lines(tmp_path)
    assert found["body"] == "caf\u00e9 \U0001f680\nnext"
    assert (found["severity_text"], found["severity_number"]) == ("WARNING", 13)
    assert found["attributes"] == {"order": "o1", "lots": 3, "ratio": 0.5, "unknown": None}
    assert found["resource"]["service.name"] == "kedge-trader"
    assert found["scope"] == "kedge.trader"
    assert datetime.fromisoformat(found["timestamp"]).tzinfo == UTC
    assert found["timestamp"].endswith("Z")


def test_fields_given_the_plain_way_are_attributes_too(tmp_path: Path) -> None:
    with logging_to(tmp_path, "trader"):
        logging.getLogger("kedge.exchange").info("paused", extra={"event": "market_paused"})
    assert lines(tmp_path)[0]["attributes"] == {"event": "market_paused"}


def test_values_that_json_has_not_become_text(tmp_path: Path) -> None:
    with logging_to(tmp_path, "trader") as log:
        log.info("odd", extra=fields(nan=float("nan"), rows=[float("inf"), {"at": Path("a")}], when=datetime(2026, 1, 1, tzinfo=UTC)))
    assert lines(tmp_path)[0]["attributes"] == {"nan": "nan", "rows": ["inf", {"at": "a"}], "when": "2026-01-01 00:00:00+00:00"}


def test_an_exception_is_told_with_type_message_and_place(tmp_path: Path) -> None:
    with logging_to(tmp_path, "trader", secrets=[SECRET]) as log:
        try:
            raise ValueError(f"bad {SECRET}")
        except ValueError:
            log.exception("it broke")
    attributes = lines(tmp_path)[0]["attributes"]
    assert attributes["exception.type"] == "ValueError"
    assert attributes["exception.message"] == "bad REDACTED"
    assert "test_logs.py" in attributes["exception.stacktrace"]
    assert SECRET not in log_file(tmp_path, "trader").read_text()


def test_secrets_are_blanked_by_value_by_name_and_by_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path, "trader", secrets=[SECRET], console=True) as log, correlated(f"for {SECRET}"):
        log.info("key is %s", SECRET, extra=fields(api_key="abc", nested={"password": "pw", "note": SECRET}, **{SECRET: 1}))
        log.info("Authorization: Bearer abc.def.ghi and postgres://me:hunter2@host/db")
    written = log_file(tmp_path, "trader").read_text() + capsys.readouterr().err
    for hidden in (SECRET, '"abc"', "=abc", '"pw"', "abc.def.ghi", "hunter2"):
        assert hidden not in written
    assert lines(tmp_path)[0]["attributes"]["api_key"] == "REDACTED"


def test_a_terminal_gets_plain_ascii_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path, "trader", console=True) as log:
        log.info("equity \u2713", extra=fields(lots=3))
        try:
            raise OSError("gone")
        except OSError:
            log.exception("lost")
    shown = capsys.readouterr().err
    assert "info     equity \\u2713 lots=3\n" in shown
    assert "error    lost\nTraceback" in shown
    assert shown.isascii()


def test_without_a_console_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path, "trader") as log:
        log.error("quiet")
    assert capsys.readouterr() == ("", "")


def test_the_file_rotates_at_its_size_and_keeps_so_many(tmp_path: Path) -> None:
    with logging_to(tmp_path, "trader", file_bytes_max=2_000, files_kept=2) as log:
        for n in range(60):
            log.info("record %d", n)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["trader.jsonl", "trader.jsonl.1", "trader.jsonl.2"]
    assert all(path.stat().st_size <= 2_000 for path in (tmp_path / "logs").iterdir())
    assert lines(tmp_path)[-1]["body"] == "record 59"


def test_folder_and_file_are_the_owners_alone_and_a_second_start_appends(tmp_path: Path) -> None:
    for n in range(2):
        with logging_to(tmp_path / "new" / "state", "trader") as log:
            log.info("start %d", n)
    path = log_file(tmp_path / "new" / "state", "trader")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [line["body"] for line in lines(tmp_path / "new" / "state")] == ["start 0", "start 1"]


def test_the_level_holds_and_afterwards_everything_is_as_it_was(tmp_path: Path) -> None:
    root = logging.getLogger("kedge")
    before = (root.level, root.propagate, list(root.handlers))
    with logging_to(tmp_path, "trader", level=logging.WARNING) as log:
        log.info("not this")
        log.warning("this")
    assert [line["body"] for line in lines(tmp_path)] == ["this"]
    assert (root.level, root.propagate, list(root.handlers)) == before


def test_a_correlation_id_joins_tasks_and_ends_with_its_block(tmp_path: Path) -> None:
    async def work(log: logging.Logger) -> None:
        with correlated("bar-7"):
            await asyncio.gather(asyncio.create_task(told(log)), asyncio.create_task(told(log)))
        log.info("after")

    async def told(log: logging.Logger) -> None:
        log.info("inside")

    with logging_to(tmp_path, "trader") as log:
        asyncio.run(work(log))
    assert [line["attributes"].get("correlation_id") for line in lines(tmp_path)] == ["bar-7", "bar-7", None]
    assert correlation_id.get() == ""


def test_a_trade_is_told_with_every_field_and_a_compliance_id_from_its_decision(tmp_path: Path) -> None:
    trade = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "buy", "size": "0.010", "price": "60000.1", "timestamp": "2026-01-01T00:00:00Z"}
    with logging_to(tmp_path, "trader") as log:
        trade_executed(log, **trade, user_id="paper-1", decision_id="d1")
        trade_executed(log, **trade, user_id="paper-1", decision_id="")
    ours, strange = (line["attributes"] for line in lines(tmp_path))
    assert ours == {"event": "trade_executed", **trade, "user_id": "paper-1", "compliance_id": compliance_id("d1")}
    assert strange["compliance_id"] == ""


def test_compliance_ids_differ_by_decision_and_repeat_for_the_same() -> None:
    assert compliance_id("d1") == compliance_id("d1") != compliance_id("d2")
    assert len(compliance_id("d1")) == 32
