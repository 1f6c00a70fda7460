"""The event lane on one instrument and a year of minutes: bars a second, with and without the durable, chained journal.

The workload is the one the peers in `docs/performance.md` were measured on: a seeded walk of one-minute bars, EMA 20/100,
always in the market. Limits stand wide open, so that the run never goes quiet. Beside it, in the same process and on the
same bars: a bare Python loop (classes for bar, account and strategy) and a bare compiled loop, neither of which keeps
books, limits, funnel or records.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np

from kedge.domain.events import BarClosed, Event
from kedge.domain.outputs import Output
from kedge.engine.settings import EngineSettings
from kedge.kernel.compiling import mark_ready
from kedge.market.catalogue import CATALOGUE
from kedge.risk.limits import Limits
from kedge.services.backtest import Run, RunSpec, first_record
from kedge.services.recovery import recover
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal
from kedge.storage.journal_verify import verify_journal
from kedge.storage.keys import SigningKey

YEAR_BARS = 525_600
MINUTE_NS = 60_000_000_000
INSTRUMENT = CATALOGUE["bybit-linear:BTCUSDT"][-1]
CALM = {"fast": 1_000, "slow": 5_000}
"""The same strategy, trading rarely: what a bar costs when no order is on its way."""
WIDE = Limits(
    drawdown_soft_e8=97_000_000, drawdown_reduce_e8=98_000_000, drawdown_halt_e8=99_000_000,
    daily_loss_soft_e8=97_000_000, daily_loss_reduce_e8=98_000_000, daily_loss_halt_e8=99_000_000,
)  # fmt: skip


class NoJournal:
    """Keeps nothing: what the loop costs without records."""

    count = 1

    def start(self, _: Any) -> None: ...
    def keep(self, blobs: Mapping[str, bytes]) -> None: ...

    def commit(self, event: Event, outputs: tuple[Output, ...]) -> None: ...
    def flush(self) -> None: ...
    def save_snapshot(self, seq: int, body: bytes) -> None: ...


def walk(bars: int) -> list[BarClosed]:
    """A seeded walk of one-minute bars on BTCUSDT's grid."""
    rng = np.random.default_rng(7)
    close = np.maximum(10_000, 600_000 + np.cumsum(rng.normal(0, 300, bars)).astype(np.int64))
    open_ = np.concatenate(([600_000], close[:-1]))
    high = np.maximum(open_, close) + rng.integers(0, 200, bars)
    low = np.minimum(open_, close) - rng.integers(0, 200, bars)
    start = INSTRUMENT.valid_from_ns
    opens = start + np.arange(bars) * MINUTE_NS
    name = INSTRUMENT.instrument_id
    rows = zip((opens + MINUTE_NS).tolist(), opens.tolist(), open_.tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True)
    return [BarClosed(c_ns, name, o_ns, o, h, low_, c, 1_000_000) for c_ns, o_ns, o, h, low_, c in rows]


def spec(snapshot_every: int, params: dict[str, Any] | None = None) -> RunSpec:
    """The run: trend 20/100 unless `params` say otherwise, wide limits, default costs."""
    money = 10_000 * 10**8
    engine = EngineSettings(
        run_id="", account="bench", strategy="trend", params=params or {}, wallet_e8=money, start_ts_ns=INSTRUMENT.valid_from_ns,
        interval_ns=MINUTE_NS, limits=WIDE,
    )  # fmt: skip
    return RunSpec(
        engine=engine, venue=VenueSettings(wallet_e8=money), costs=BarCosts(), matcher="bar", instruments=(INSTRUMENT,), data=(),
        assumptions={}, source="synthetic", speed="max", seed=7, engine_version="bench", code_sha256="bench", snapshot_every=snapshot_every,
    )  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds, result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


class PlainAccount:
    """The bare Python loop's books."""

    def __init__(self) -> None:
        self.cash, self.lots, self.peak, self.drawdown, self.orders = 10_000 * 10**8, 0, 0, 0.0, 0

    def trade(self, lots: int, ticks: int) -> None:
        notional = abs(lots) * ticks * INSTRUMENT.tick_value_e8
        self.cash -= lots * ticks * INSTRUMENT.tick_value_e8 + notional * INSTRUMENT.taker_fee_e8 // 10**8
        self.lots += lots
        self.orders += 1

    def mark(self, ticks: int) -> None:
        equity = self.cash + self.lots * ticks * INSTRUMENT.tick_value_e8
        if equity > self.peak:
            self.peak = equity
        elif self.peak:
            self.drawdown = max(self.drawdown, (self.peak - equity) / self.peak)


class PlainTrend:
    """The bare Python loop's strategy."""

    def __init__(self) -> None:
        self.fast = self.slow = 0.0
        self.seen = 0

    def target(self, close: float) -> int | None:
        if not self.seen:
            self.fast = self.slow = close
        self.fast += 2.0 / 21.0 * (close - self.fast)
        self.slow += 2.0 / 101.0 * (close - self.slow)
        self.seen += 1
        return None if self.seen < 100 else 16 if self.fast > self.slow else -16


def bare_python(bars: list[BarClosed]) -> int:
    """Fill at the next open, fee, mark: no limits, no records."""
    account, strategy, target = PlainAccount(), PlainTrend(), 0
    for bar in bars:
        if target != account.lots:
            account.trade(target - account.lots, bar.open_ticks)
        account.mark(bar.close_ticks)
        wanted = strategy.target(bar.close_ticks * 0.1)
        if wanted is not None:
            target = wanted
    return account.orders


@numba.njit(cache=False)
def bare_compiled(open_ticks: Any, close_ticks: Any, value: int, fee_e8: int) -> Any:
    """The same in one compiled loop over int64 arrays."""
    fast = slow = close_ticks[0] * 0.1
    cash, lots, target, orders, peak, worst = 10_000 * 10**8, 0, 0, 0, 0, 0.0
    for t in range(open_ticks.size):
        if target != lots:
            change = target - lots
            notional = abs(change) * open_ticks[t] * value
            cash -= change * open_ticks[t] * value + notional * fee_e8 // 100_000_000
            lots = target
            orders += 1
        close = close_ticks[t] * 0.1
        equity = cash + lots * close_ticks[t] * value
        if equity > peak:
            peak = equity
        elif peak > 0:
            worst = max(worst, (peak - equity) / peak)
        fast += 2.0 / 21.0 * (close - fast)
        slow += 2.0 / 101.0 * (close - slow)
        if t >= 99:
            target = 16 if fast > slow else -16
    return orders


def step_latencies_us(bars: list[BarClosed]) -> dict[str, float]:
    """p50 and p99 of `engine.step` alone, over bars, in microseconds; the clock's own cost is taken off."""
    run = Run(first_record(spec(10**9), "bench"), bars, (), NoJournal())
    step, send, clock = run.engine.step, run.session.send, time.perf_counter_ns
    empty = statistics.median(clock_cost() for _ in range(1_000))
    spans = []
    for event in run.session:
        before = clock()
        outputs = step(event)
        spans.append(clock() - before - empty)
        if outputs:
            send(outputs)
    spans.sort()
    return {"p50": spans[len(spans) // 2] / 1e3, "p99": spans[len(spans) * 99 // 100] / 1e3}


def clock_cost() -> int:
    before = time.perf_counter_ns()
    return time.perf_counter_ns() - before


def drive(bars: list[BarClosed], journal: Any, snapshot_every: int = 10**9, params: dict[str, Any] | None = None) -> Run:
    run = Run(first_record(spec(snapshot_every, params), "bench"), bars, (), journal)
    run.drive()
    return run


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Every figure, best of `repeats` for the loops."""
    bars = walk(count)
    opens, closes = np.array([b.open_ticks for b in bars]), np.array([b.close_ticks for b in bars])
    bare_compiled(opens[:200], closes[:200], INSTRUMENT.tick_value_e8, INSTRUMENT.taker_fee_e8)
    drive(bars[:2_000], NoJournal())
    mark_ready()

    def rate(work: Callable[[], Any]) -> float:
        return count / min(timed(work)[0] for _ in range(repeats))

    figures: dict[str, Any] = {
        "bars": count,
        "bare_compiled_bars_per_s": rate(lambda: bare_compiled(opens, closes, INSTRUMENT.tick_value_e8, INSTRUMENT.taker_fee_e8)),
        "bare_python_bars_per_s": rate(lambda: bare_python(bars)),
        "event_lane_bars_per_s": rate(lambda: drive(bars, NoJournal())),
        "calm_lane_bars_per_s": rate(lambda: drive(bars, NoJournal(), params=CALM)),
        "calm_orders": drive(bars, NoJournal(), params=CALM).engine.summary()["orders"],
        "orders": drive(bars, NoJournal()).engine.summary()["orders"],
        "step_us": step_latencies_us(bars[:100_000]),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures |= with_journal(bars, Path(folder), repeats)
    return figures


def with_journal(bars: list[BarClosed], folder: Path, repeats: int) -> dict[str, Any]:
    """The event lane into a signed SQLite journal, then verification and recovery of what it wrote."""
    key, best, wall = SigningKey.generate(), 0.0, 0.0
    path = folder / "journal.sqlite"
    for n in range(repeats):
        path = folder / f"journal-{n}.sqlite"
        with SqliteJournal(path, signer=key, source="synthetic", group_size=1_000) as journal:
            cpu_s, wall_s, run = timed(lambda store=journal: drive(bars, store, 100_000))
        best, wall = max(best, len(bars) / cpu_s), max(wall, len(bars) / wall_s)
    final = run.engine.snapshot()
    verify_s, _, report = timed(lambda: verify_journal(path, key.public))
    assert report.ok, report.findings
    with SqliteJournalReader(path) as reader:
        _, none_s, from_none = timed(lambda: recover(reader, from_snapshot=False))
        _, some_s, from_some = timed(lambda: recover(reader))
    assert from_none.snapshot() == from_some.snapshot() == final, "recovery differs from the run"
    return {
        "journalled_bars_per_s": best,
        "journalled_bars_per_wall_s": wall,
        "journal_bytes_per_bar": path.stat().st_size / len(bars),
        "verify_records_per_s": report.records / verify_s,
        "start_from_none_s": none_s,
        "start_from_snapshot_s": some_s,
        "records": report.records,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    python, compiled = figures["bare_python_bars_per_s"], figures["bare_compiled_bars_per_s"]

    def row(name: str, rate: float) -> str:
        return f"| {name} | {rate:,.0f} | {rate / python:.2f} | 1/{compiled / rate:,.0f} |"

    lines = [
        f"One instrument, {figures['bars']:,} one-minute bars, {figures['orders']:,} orders. Rates are per CPU second.",
        "",
        "| loop | bars/s | of bare Python | of bare compiled |",
        "|---|---|---|---|",
        row("bare compiled loop", compiled),
        row("bare Python loop", python),
        row("event lane, no journal", figures["event_lane_bars_per_s"]),
        row(f"event lane, no journal, EMA 1000/5000 ({figures['calm_orders']:,} orders)", figures["calm_lane_bars_per_s"]),
        row("event lane, signed SQLite journal, groups of 1,000", figures["journalled_bars_per_s"]),
        "",
        "| what | figure |",
        "|---|---|",
        f"| event lane with journal, per wall second | {figures['journalled_bars_per_wall_s']:,.0f} bars |",
        f"| `step` p50 / p99 | {figures['step_us']['p50']:.1f} / {figures['step_us']['p99']:.1f} microseconds |",
        f"| journal size | {figures['journal_bytes_per_bar']:.0f} bytes a bar |",
        f"| verification | {figures['verify_records_per_s']:,.0f} records per CPU second |",
        f"| start from {figures['records']:,} records, no snapshot | {figures['start_from_none_s']:.1f} s |",
        f"| start from the newest snapshot | {figures['start_from_snapshot_s']:.2f} s |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=YEAR_BARS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.bars, given.repeats)
    print(json.dumps(figures) if given.json else table(figures))


if __name__ == "__main__":
    main()
