"""`make drill`: the brake under real crashes and under every fault, over sockets; writes the tables of docs/brake.md.

Real processes: a simulated exchange that plays recorded bars, the guard, and where the row says so a trader and the server. Prints each
report; exits 1 when anything was not as it must be. `--only WORDS` holds the rows whose name holds the words and writes no tables.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tests.drills.course import hold, plan_of
from tests.drills.recorded import NAMES, recorded
from tests.drills.table import FAULTS, NO_FAULT, Fault
from tests.torture.processes import Nursery, Starter

from kedge.services.drills.crash import Crash
from kedge.services.drills.plan import KINDS, VAR99
from kedge.services.drills.report import DrillReport, deadlines, text_of
from kedge.services.drills.scenarios import crash_of

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "brake.md"
BEGIN, END = "<!-- drills: begin -->", "<!-- drills: end -->"
FAULT_CRASH = "mar-2020"
COMMAND = "make drill"
TIMES = ("latch", "block", "cancels", "orders zero", "positions zero", "FLAT")
LOST = "lost from breach to flat"
HEAD = ("crash", "moved out of the way", "fired first", *TIMES, LOST, "slices", "worst fill, collar (bps)")
FAULT_HEAD = ("fault", "outcome", "latch", "block", "positions zero", "FLAT", LOST, "slices", "what else")


class Row(NamedTuple):
    """One drill to be held."""

    crash: str
    kind: str
    fault: Fault

    @property
    def name(self) -> str:
        """What `--only` looks in."""
        return f"{self.crash} {self.kind} {self.fault.name}"


class Held(NamedTuple):
    """A row and what came of it; no report where the drill could not be held."""

    row: Row
    report: DrillReport | None
    why: str = ""


def main(argv: list[str] | None = None) -> int:
    """Parse, hold, print, write; 1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="hold only rows whose name holds this; the page is left as it is")
    parser.add_argument("--keep", type=Path, help="keep the drills' folders here")
    parser.add_argument("--list", action="store_true", help="only print the rows")
    chosen = parser.parse_args(argv)
    rows = [row for row in all_rows() if chosen.only in row.name]
    if chosen.list:
        print("\n".join(row.name for row in rows))
        return 0
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="kedge-drills-") as scratch:
        held = asyncio.run(hold_all(rows, (chosen.keep or Path(scratch)).resolve()))
    seconds = perf_counter() - begun
    if not chosen.only:
        write_page(PAGE, tables(held, seconds, datetime.now(UTC)))
    found = [
        f"{one.row.name}: {words}"
        for one in held
        for words in ((one.report.findings if one.report else ()) or ([one.why] if one.why else []))
    ]
    print("\n".join(f"FOUND {words}" for words in found))
    print(f"{len(held)} drills, {len(found)} findings, {seconds:.0f} s")
    return 1 if found else 0


def all_rows() -> Iterator[Row]:
    """Every crash with every trigger, then every fault."""
    for crash in NAMES:
        for kind in KINDS:
            yield Row(crash, kind, NO_FAULT)
    for fault in FAULTS:
        if fault is not NO_FAULT:
            yield Row(FAULT_CRASH, "drawdown", fault)


async def hold_all(rows: Sequence[Row], folder: Path) -> list[Held]:
    """One after the other: a drill measures times, and has the machine for itself."""
    starter = await Nursery.open()
    held = []
    try:
        for number, row in enumerate(rows):
            print(f"--- {row.name}", flush=True)
            one = await _hold(row, folder / f"{number:02d}", starter)
            print(text_of(one.report) if one.report else f"NOT HELD: {one.why}", flush=True)
            held.append(one)
    finally:
        await starter.close()
    return held


async def _hold(row: Row, folder: Path, starter: Starter) -> Held:
    try:
        return Held(row, await hold(folder, starter, plan_of(crash_named(row.crash, row.kind), row.kind, row.fault), row.fault))
    except Exception as error:
        traceback.print_exc()
        return Held(row, None, f"not held: {error}")


def crash_named(name: str, kind: str) -> Crash:
    """A crash from recorded bars, or from the product's own table where this machine has none."""
    folder = Path(os.environ.get("KEDGE_TEST_DATA") or REPOSITORY / ".." / "shared" / "data").resolve()
    return recorded(name, folder, from_calm=kind == VAR99) if (folder / "ohlcv").is_dir() else crash_of(name)


# --- the page ---------------------------------------------------------------------------------------------------------


def tables(held: Sequence[Held], seconds: float, now: datetime) -> str:
    """Both tables as Markdown."""
    plain = [one for one in held if one.row.fault is NO_FAULT]
    broken = [one for one in held if one.row.fault is not NO_FAULT]
    passed = sum(one.report is not None and one.report.is_passed for one in held)
    lines = [
        f"Held on {now:%Y-%m-%d} by `{COMMAND}`: {len(held)} drills in {seconds / 60:.0f} minutes on {os.cpu_count()} cores, "
        f"{passed} as they must be. Seconds count from the breach.",
        "",
        _row(HEAD),
        _row(["---"] * len(HEAD)),
        *(_crash_row(one) for one in plain),
        "",
        *_assumptions(plain),
        "",
        _row(FAULT_HEAD),
        _row(["---"] * len(FAULT_HEAD)),
        *(_fault_row(one) for one in broken),
    ]
    return "\n".join(lines)


def write_page(page: Path, content: str) -> None:
    """Put the tables between their marks.

    Raises
    ------
    ValueError
        The page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN} or {END}")
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}", encoding="utf-8")


def _crash_row(held: Held) -> str:
    report = held.report
    away = {"drawdown": "all but drawdown", "var99": "all but VaR99", "defaults": "nothing"}[held.row.kind]
    if report is None:
        return _row([held.row.crash, away, f"not held: {held.why}", *[""] * (len(HEAD) - 3)])
    block, cancels, orders, positions, flat = (one.measured_ms for one in deadlines(report))
    cells = [held.row.crash, away, f"{report.trigger or 'nothing'} {report.observed}"]
    cells += [_s(report.seen.latched_ms), _s(block), _s(cancels), _s(orders), _s(positions), _s(flat), _lost(report), str(report.slices)]
    cells.append(f"{_text(report.slip_bps)}, {_text(report.collar_bps)}")
    return _row(cells)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fault_row(held: Held) -> str:
    fault, report = held.row.fault, held.report
    if report is None:
        return _row([fault.name, f"not held: {held.why}", *[""] * (len(FAULT_HEAD) - 2)])
    block, _, _, positions, flat = (one.measured_ms for one in deadlines(report))
    block = block if report.trigger else None
    words = [fault.note] if fault.note else []
    words += [one for one in report.assumptions if one.startswith(("about ", "a buy ", "locked:")) or "second trader" in one]
    words += [f"paged {len(report.pages)} times"] if report.pages else []
    words += [f"FOUND {one}" for one in report.findings]
    cells = [fault.name, report.outcome, _s(report.seen.latched_ms), _s(block), _s(positions), _s(flat), _lost(report), str(report.slices)]
    return _row([*cells, "; ".join(words)])


def _assumptions(held: Sequence[Held]) -> list[str]:
    """What stands behind each crash, once."""
    told = {one.row.crash: one.report for one in held if one.report is not None}
    return [f"- {name}: {report.source}. {'; '.join(report.assumptions)}." for name, report in told.items()]


def _lost(report: DrillReport) -> str:
    if report.loss_at_flat_e8 is None or not report.equity_breach_e8:
        return "-"
    return f"{report.loss_at_flat_e8 / report.equity_breach_e8:.2%}"


def _s(span_ms: int | None) -> str:
    return "-" if span_ms is None else f"{span_ms / 1_000:.2f}"


def _text(value: int | None) -> str:
    return "-" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
