"""Memory of the running system: exchange and trader as `kedge up` starts them, at speed, for minutes; resident memory of each over time.

    python benchmarks/soak.py [--minutes N] [--speed N] [--quick]

A synthetic market plays one-minute bars of six instruments in lock-step; a nervous strategy turns large positions at about every third bar.
Before, the exchange's bounded histories are filled with orders to and fro, since what rises until they are full is no leak. The first third
of the samples warms up; judged is the growth of the medians from the second third's beginning to the end: flat is less than 5 % or 10 MB.
Money costs nothing and limits stand wide, or trading would end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from soak_filler import FULL, fill

from kedge.ops.paper_keys import load_or_create_paper_keys

FLAT_SHARE, FLAT_MB = 0.05, 10.0
EVERY_S = {True: 0.5, False: 2.0}
INSTRUMENTS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT")
STOP_S = 30.0
CONFIG = """\
costs: {maker_rate_frac: "0", taker_rate_frac: "0"}
limits:
  drawdown_soft_frac: "0.97"
  drawdown_reduce_frac: "0.98"
  drawdown_halt_frac: "0.99"
  daily_loss_soft_frac: "0.97"
  daily_loss_reduce_frac: "0.98"
  daily_loss_halt_frac: "0.99"
  orders_per_second_max: 1000
  orders_per_10s_max: 1000
  messages_per_3s_max: 1000
strategy: {name: trend, params: {fast: 1, slow: 2, exposure_frac: "0.2"}}
"""
EXCHANGE, TRADER = "exchange", "trader"


class Sample(NamedTuple):
    """Megabytes of one process so many seconds after the start."""

    at_s: float
    mb: float


def resident_mb(pid: int) -> float:
    """Resident memory now; from /proc, which Linux alone has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def child(*arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """`kedge ARGUMENTS`; stopped politely at the end, and reaped."""
    with log.open("w") as errors:
        process = subprocess.Popen([sys.executable, "-m", "kedge.apps.cli", *arguments], stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def started(process: subprocess.Popen[str], log: Path) -> str:
    """The exchange's address, once it answers."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}" or text.rstrip().endswith("}"):
            return str(json.loads(text)["url"])
    raise SystemExit(f"the exchange did not start: {text}{log.read_text()}")


def played(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/kedge/status", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def watch(folder: Path, seconds: float, speed: str, *, quick: bool) -> tuple[dict[str, list[Sample]], dict[str, Any], dict[str, Any]]:
    """Run both for so long; their memory, the exchange's last status and the trader's."""
    config, logs = folder / "config.yaml", (folder / "exchange.err", folder / "trader.err")
    config.write_text(CONFIG)
    state = ("--state-dir", str(folder / "state"), "--config", str(config))
    market = ("--market", "synthetic", "--instrument", *INSTRUMENTS, "--speed", speed, "--wait-for", "1", "--seed", "3")
    with child("exchange", "serve", "--port", "0", *market, *state, "--json", log=logs[0]) as exchange:
        url = started(exchange, logs[0])
        asyncio.run(fill(url, load_or_create_paper_keys(folder / "state")[0], FULL // 10 if quick else 2 * FULL))
        trade = ("--venue", url, "--instrument", *INSTRUMENTS, "--on-stop", "leave")
        with child("trade", *trade, *state, "--json", log=logs[1]) as trader:
            while TRADER not in {one["name"] for one in played(url)["clients"]}:
                if trader.poll() is not None:
                    raise SystemExit(f"the trader ended: {logs[1].read_text()}")
                time.sleep(0.1)
            samples: dict[str, list[Sample]] = {EXCHANGE: [], TRADER: []}
            begun_s = time.monotonic()
            while (at_s := time.monotonic() - begun_s) < seconds:
                for name, process in ((EXCHANGE, exchange), (TRADER, trader)):
                    if process.poll() is not None:
                        raise SystemExit(f"the {name} ended after {at_s:.0f} s: {logs[0].read_text()}{logs[1].read_text()}")
                    samples[name].append(Sample(at_s, resident_mb(process.pid)))
                time.sleep(EVERY_S[quick])
            status = played(url)
            trader.send_signal(signal.SIGTERM)
            said, _ = trader.communicate(timeout=STOP_S)
            return samples, status, json.loads(said)


def slope_mb_per_min(samples: list[Sample]) -> float:
    """Least squares."""
    return 60 * statistics.linear_regression([one.at_s for one in samples], [one.mb for one in samples]).slope


def row(name: str, samples: list[Sample]) -> str:
    third = len(samples) // 3
    warm = samples[third:]
    first, last = statistics.median(one.mb for one in warm[:third]), statistics.median(one.mb for one in warm[-third:])
    growth = last - first
    verdict = "flat" if growth < max(FLAT_MB, FLAT_SHARE * first) else "GROWS"
    most = max(one.mb for one in samples)
    figures = f"{samples[0].mb:>9.1f}{first:>9.1f}{last:>9.1f}{most:>9.1f}{growth:>9.1f}{slope_mb_per_min(warm):>10.2f}"
    return f"{name:<12}{figures}  {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--speed", default="6000", help="one-minute bars play this much faster than the clock; max for no pace")
    parser.add_argument("--quick", action="store_true", help="20 seconds: shows that it works, not whether memory is flat")
    given = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        print("memory of processes is read from /proc, which this system does not have")
        return
    seconds = 20.0 if given.quick else given.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        samples, status, trader = watch(Path(folder), seconds, given.speed, quick=given.quick)
        journals = sum(path.stat().st_size for path in Path(folder).glob("state/runs/*/journal*")) / 2**20
    fills, state = trader.get("fills", 0), trader.get("risk_state", "unknown")
    print(f"{seconds / 60:.1f} minutes, {status['bars']:,} bars, {fills:,} fills, trader {state}, journal {journals:,.0f} MB on disk")
    print(f"{'resident MB':<12}{'start':>9}{'warm':>9}{'end':>9}{'most':>9}{'growth':>9}{'MB/min':>10}")
    for name, found in samples.items():
        print(row(name, found))


if __name__ == "__main__":
    main()
