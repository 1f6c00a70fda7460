"""Crashes from recorded bars, with the true daily closes of before: what the drills of `make drill` play.

Rules: bars and closes are the files' own, nothing is smoothed; what maps an equity crash to a coin is its beta, and the words say so. A
day without bars repeats the close of the day before it.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kedge.domain.units import E8
from kedge.risk.stress.table_betas import BETAS
from kedge.services.drills.crash import Bar, Crash, deepest, rebased

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAY_MS = 86_400_000
HISTORY_DAYS = 700
COIN_E8 = {"BTCUSDT": 50_000 * E8, "ETHUSDT": 2_500 * E8}


class Window(NamedTuple):
    """Where a crash is recorded: bars of which files, from when to when; daily closes from which files."""

    title: str
    bars: str
    minutes: int
    since: str
    until: str
    days: str
    count: int


WINDOWS = {
    "mar-2020": Window("Covid crash, 12 and 13 March 2020", "binance-spot-{}-1h", 60, "2020-03-12", "2020-03-14", "binance-spot-{}-1h", 3),
    "nov-2022": Window(
        "Collapse of FTX, 8 and 9 November 2022", "binance-spot-{}-1h", 60, "2022-11-08", "2022-11-10", "binance-spot-{}-1h", 3
    ),
    "oct-2025": Window(
        "Cascade of liquidations, 10 October 2025", "bybit-linear-{}-5m", 5, "2025-10-10", "2025-10-11", "binance-spot-{}-1h", 4
    ),
}
EQUITIES = "equities-2008"
NAMES = (*WINDOWS, EQUITIES)


def recorded(name: str, data_folder: Path, *, from_calm: bool = False) -> Crash:
    """A crash by name, one of `NAMES`.

    `from_calm` takes the part of the equities' crash before which days were still calm: by October of 2008 value at risk had long risen,
    and no day of it came as a surprise.
    """
    if name == EQUITIES:
        return _equities(data_folder, "2008-10-01" if from_calm else "2008-11-21")
    return _coins(name, WINDOWS[name], data_folder / "ohlcv")


def _coins(name: str, window: Window, folder: Path) -> Crash:
    since, until = _ms(window.since), _ms(window.until)
    files = [folder / f"{window.bars.format(symbol)}.parquet" for symbol in SYMBOLS]
    rows = {symbol: _bars(path, since, until) for symbol, path in zip(SYMBOLS, files, strict=True)}
    at = deepest([bar for _, bar in rows["BTCUSDT"]], window.count)
    first_ms = rows["BTCUSDT"][at][0]
    day_ms = first_ms - first_ms % DAY_MS
    before = {symbol: (found[at - 1][1].close if at else found[0][1].open) for symbol, found in rows.items()}
    return Crash(
        name=name,
        title=window.title,
        source="; ".join(f"{path.name} ({_sha(path)})" for path in files),
        bar_minutes=window.minutes,
        start_ts_ns=first_ms * 10**6,
        bars={symbol: rebased([bar for _, bar in found[at : at + window.count]], before[symbol]) for symbol, found in rows.items()},
        price_e8={symbol: round(before[symbol] * E8) for symbol in SYMBOLS},
        closes_e8={symbol: _closes(folder / f"{window.days.format(symbol)}.parquet", day_ms) for symbol in SYMBOLS},
        words=(
            f"the {window.count} recorded bars in a row with the deepest fall of BTCUSDT, from {_text(first_ms)}",
            f"the past is {HISTORY_DAYS} recorded daily closes",
        ),
    )


def _equities(data_folder: Path, until: str) -> Crash:
    """Days of SPY in the autumn of 2008, as the coins would have followed them by beta; the past is SPY's, mapped alike."""
    path = data_folder / "equities" / "us-SPY-1d.parquet"
    table = pl.read_parquet(path).sort("ts")
    inside = table.filter((pl.col("ts") >= _ms("2008-09-15")) & (pl.col("ts") < _ms(until)))
    bars = [Bar(*row) for row in inside.select("open", "high", "low", "close").rows()]
    count = 3
    at = deepest(bars, count)
    first_ms = inside["ts"][at]
    before = bars[at - 1].close
    past = table.filter(pl.col("ts") < first_ms)["close"].to_list()[-HISTORY_DAYS:]
    betas = {symbol: BETAS["SPY"][symbol.removesuffix("USDT")].beta_e4 / 10_000 for symbol in SYMBOLS}
    return Crash(
        name=EQUITIES,
        title="Equities after Lehman, autumn of 2008, by beta",
        source=f"{path.name} ({_sha(path)})",
        bar_minutes=1_440,
        start_ts_ns=first_ms * 10**6,
        bars={
            symbol: tuple(Bar(*((price / before) ** beta for price in bar)) for bar in bars[at : at + count])
            for symbol, beta in betas.items()
        },
        price_e8=dict(COIN_E8),
        closes_e8={symbol: tuple(round((close / before) ** beta * COIN_E8[symbol]) for close in past) for symbol, beta in betas.items()},
        words=(
            f"{count} sessions of SPY in a row with its deepest fall, from {_text(first_ms)[:10]}",
            "coins follow SPY by their beta: " + ", ".join(f"{symbol} {beta:.2f}" for symbol, beta in betas.items()),
            f"the past is {len(past)} sessions of SPY by the same beta, one a day; prices end at a made up level",
        ),
    )


def _bars(path: Path, since_ms: int, until_ms: int) -> list[tuple[int, Bar]]:
    table = pl.read_parquet(path).filter((pl.col("ts") >= since_ms) & (pl.col("ts") < until_ms)).sort("ts")
    return [(row[0], Bar(*row[1:])) for row in table.select("ts", "open", "high", "low", "close").rows()]


def _closes(path: Path, until_ms: int) -> tuple[int, ...]:
    """Daily closes of the days before `until_ms`, every day there, oldest first."""
    table = pl.read_parquet(path).filter((pl.col("ts") < until_ms) & (pl.col("ts") >= until_ms - HISTORY_DAYS * DAY_MS)).sort("ts")
    by_day = {ts // DAY_MS: close for ts, close in table.select("ts", "close").rows()}
    found, last = [], next(iter(by_day.values()))
    for day in range(until_ms // DAY_MS - HISTORY_DAYS, until_ms // DAY_MS):
        last = by_day.get(day, last)
        found.append(round(last * E8))
    assert all(math.isfinite(close) and close > 0 for close in found)
    return tuple(found)


def _ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000


def _text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
