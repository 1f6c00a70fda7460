"""Small files of bars and funding, and `kedge` as a person runs it: arguments in, exit code and both streams out."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from kedge.apps.cli import main
from kedge.apps.output import progress_mode
from kedge.domain.events import Event
from kedge.domain.outputs import Output
from kedge.domain.record import RunStarted, Step
from kedge.storage.journal_reader import SqliteJournalReader

T0_MS = 1_704_067_200_000
"""1 January 2024, 00:00 UTC."""
MINUTE_MS = 60_000
HEADER = "ts,open,high,low,close,volume\n"
QUICK = ("--param", "fast=4", "--param", "slow=12")
"""A trend that is warm after a dozen bars."""
RECORD = {
    "instrument_id": "bybit-linear:BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "tick_size": "0.1",
    "lot_size": "0.001",
    "price_max": "1000000",
    "order_qty_min": "0.001",
    "order_qty_max": "100",
    "market_qty_max": "50",
    "position_max": "400",
    "notional_min": "5",
    "maker_fee": "0.0001",
    "taker_fee": "0.001",
    "leverage_max": "100",
    "tiers": [{"limit": "2000000", "rate": "0.005", "max_leverage": "100"}],
    "funding_interval_minutes": 480,
    "price_collar_bps": 100,
}
"""A complete instrument record whose taker fee is not the shipped one."""


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def kedge(*arguments: object) -> Answer:
    """Run a command in this process; the progress mode is as before afterwards."""
    out, err = io.StringIO(), io.StringIO()
    mode = progress_mode.get()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    finally:
        progress_mode.set(mode)
    return Answer(code, out.getvalue(), err.getvalue())


def refused(answer: Answer) -> tuple[int, str]:
    """Exit code and the code of the problem object, after checking that all of what, why and fix are there."""
    problem = answer.json
    assert problem["schema"] == "kedge/problem/v1"
    assert problem["status"] == answer.code
    assert problem["title"]
    assert problem["why"]
    assert problem["fix"]
    return answer.code, problem["code"]


def close_at(n: int, start: float, swing: float) -> float:
    """A wave of 40 bars on a grid of 0.1."""
    return round(start + swing * math.sin(2 * math.pi * n / 40), 1)


def bars_file(
    folder: Path,
    symbol: str = "BTCUSDT",
    count: int = 120,
    *,
    interval_ms: int = 5 * MINUTE_MS,
    start: float = 40_000.0,
    swing: float = 300.0,
    missing: Sequence[int] = (),
    volume: str = "500.5",
) -> Path:
    """A CSV of bars that swing, so that a trend turns round often; `missing` bars are left out."""
    lines = [HEADER]
    for n in range(count):
        opened, close = close_at(n, start, swing), close_at(n + 1, start, swing)
        high, low = max(opened, close) + 1, min(opened, close) - 1
        if n not in missing:
            lines.append(f"{T0_MS + n * interval_ms},{opened},{high:.1f},{low:.1f},{close},{volume}\n")
    path = folder / f"bybit-linear-{symbol}-{interval_ms // MINUTE_MS}m.csv"
    path.write_text("".join(lines))
    return path


def funding_file(folder: Path, symbol: str = "BTCUSDT", count: int = 3, rate: str = "0.001") -> Path:
    """Settlements every eight hours, the first at T0."""
    rows = "".join(f"{T0_MS + n * 8 * 60 * MINUTE_MS},{rate}\n" for n in range(count))
    path = folder / f"bybit-linear-{symbol}-funding.csv"
    path.write_text("ts,rate\n" + rows)
    return path


def steps(journal: Path) -> list[tuple[Event, tuple[Output, ...]]]:
    """What a journal holds: each event with its outputs."""
    with SqliteJournalReader(journal) as reader:
        return [(record.event, record.outputs) for record in reader.records() if isinstance(record, Step)]


def first_record(journal: Path) -> RunStarted:
    with SqliteJournalReader(journal) as reader:
        return reader.run_started()
