"""Write the tables of docs/risk.md from market data: `python -m scripts.risk_study --data FOLDER [--check] [--only var|levels]`.

VaR and ES one step ahead over hours, UTC days and sessions by every method, judged by the tests of `kedge.risk.var.backtests`; and how
often each level of the limits table fires for the shipped strategies. It takes some minutes on one core and prints how many.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.risk_study_page import put, series_table, verdict_table
from scripts.risk_study_play import levels_parts
from scripts.risk_study_series import CRYPTO, HOUR_MS, SHARES, Series, days_of, read_closes, series_of
from scripts.risk_study_var import METHODS, REFIT, WINDOW, chosen
from scripts.risk_study_verdict import Forecasts, Verdict, judge

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "risk.md"
PARTS: Final = ("days", "sessions", "hours")
HISTORY: Final = {unit: f"{WINDOW[unit]:,} {unit}s, GARCH fitted every {REFIT[unit]}" for unit in WINDOW}


def read_series(data: Path, parts: tuple[str, ...] = PARTS) -> Iterator[Series]:
    """The series of the study, in the order of its table."""
    hours = {name: read_closes(data / path, HOUR_MS) for name, path in CRYPTO.items()} if {"days", "hours"} & set(parts) else {}
    if "days" in parts:
        yield from (series_of(name, "day", days_of(closes), WINDOW["day"]) for name, closes in hours.items())
    if "sessions" in parts:
        yield from (series_of(name, "session", read_closes(data / path, 0), WINDOW["session"]) for name, path in SHARES.items())
    if "hours" in parts:
        yield from (series_of(name, "hour", closes, WINDOW["hour"]) for name, closes in hours.items())


def forecasts_of(series: Series) -> list[Forecasts]:
    """Every method, and what the product's chain would have picked."""
    found = [method(series) for method in METHODS.values()]
    return [*found, chosen(found)]


def verdicts_of(series: Series) -> list[Verdict]:
    """Every method of one series, judged."""
    return [judge(one, series.unit) for one in forecasts_of(series)]


def notes_text(found: list[tuple[Series, list[Verdict]]]) -> str:
    """What the fits came to, and what the chain picked."""
    lines = ["| series | GARCH-t fits | failed | steps forecast by EWMA instead | the chain picked |", "|---|---|---|---|---|"]
    for series, verdicts in found:
        notes = {one.method: one.notes for one in verdicts}
        garch, picked = notes["fhs-garch-t"], notes["chosen"]
        share = garch["steps by EWMA"] / series.tested * 100
        told = ", ".join(f"{name} {count:,}" for name, count in picked.items() if count)
        lines.append(f"| {series.name}, {series.unit}s | {garch['fits']:,} | {garch['failed']:,} | {share:.1f} % | {told} |")
    return "\n".join(lines)


def var_parts(data: Path, parts: tuple[str, ...] = PARTS) -> dict[str, str]:
    """The bodies of the VaR tables by the name of their markers."""
    found = []
    for series in read_series(data, parts):
        began = time.process_time()
        found.append((series, verdicts_of(series)))
        print(f"{series.name} {series.unit}s: {series.tested:,} steps, {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    return {
        "series": series_table([series for series, _ in found], HISTORY),
        "backtests": verdict_table(found),
        "fits": notes_text(found),
    }


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder that holds ohlcv/, funding/ and equities/")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page differs")
    parser.add_argument("--only", choices=("var", "levels"), help="make one half of the tables")
    given = parser.parse_args(argv)
    began = time.process_time()
    made = {} if given.only == "levels" else var_parts(given.data)
    made |= {} if given.only == "var" else levels_parts(given.data)
    print(f"{time.process_time() - began:.0f} CPU seconds in all", file=sys.stderr)
    before = PAGE.read_text(encoding="utf-8")
    page = before
    for name, body in made.items():
        page = put(page, name, body)
    if given.check:
        print("docs/risk.md is fresh" if page == before else "docs/risk.md differs; run without --check", file=sys.stderr)
        return int(page != before)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
