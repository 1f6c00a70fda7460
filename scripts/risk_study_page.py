"""The tables of docs/risk.md, in Markdown, and how they get between their markers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from kedge.domain.brake import BrakeLevel
from kedge.risk.limits_table import Row
from scripts.risk_study_levels import Fired, RowFired, date_of
from scripts.risk_study_series import Series, since
from scripts.risk_study_verdict import LEVEL, Verdict

BEGIN: Final = "<!-- {name}: made by `python -m scripts.risk_study` -->"
END: Final = "<!-- end of {name} -->"
VERDICT_HEAD: Final = (
    "| series | method | steps | expected | exceptions | Kupiec p | ind p | cc p "
    "| light: last, worst (red) | Z2 (5 % at) | mean VaR | fails |"
)
WORDS: Final = {
    BrakeLevel.REDUCE_ONLY: "reduce-only",
    BrakeLevel.HALTED: "halt",
    BrakeLevel.FLATTENING: "flatten",
}


class Run(NamedTuple):
    """One watched run of the levels table."""

    account: str
    strategy: str
    exposure: str
    rows: tuple[RowFired, ...]

    @property
    def title(self) -> str:
        return f"{self.strategy}, {self.account}"


class Acted(NamedTuple):
    """One run in which the limits acted. `guard` says when the guard, which a backtest has not, would first have braked, and flattened."""

    account: str
    strategy: str
    exposure: str
    orders: int
    refused: dict[str, int]
    alerts: dict[str, int]
    states: dict[str, int]
    ended: str
    last_order: date | None
    return_frac: float
    drawdown_frac: float
    guard: str


def put(page: str, name: str, body: str) -> str:
    """The page with a new body between the markers of that name.

    Raises
    ------
    ValueError
        The page has no such markers.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no markers of {name}")
    return f"{before}{begin}\n\n{body.strip()}\n\n{end}{after}"


def taken(page: str, name: str) -> str:
    """What stands between the markers of that name."""
    return page.partition(BEGIN.format(name=name))[2].partition(END.format(name=name))[0].strip()


def series_table(series: Sequence[Series], windows: dict[str, str]) -> str:
    """What was tested, on what."""
    lines = ["| series | forecast | steps | history of a forecast | left out | SHA-256 of the file |", "|---|---|---|---|---|---|"]
    for one in series:
        first, last = since(one)
        widest = max(one.holes, key=lambda hole: abs(hole.move_frac), default=None)
        left = "nothing"
        if widest is not None:
            left = f"{sum(hole.bars for hole in one.holes)} {one.unit}s, largest move over a hole {widest.move_frac * 100:+.2f} %"
        name = f"{one.name}, {one.unit}s"
        lines.append(f"| {name} | {first} to {last} | {one.tested:,} | {windows[one.unit]} | {left} | `{one.sha256[:16]}` |")
    return "\n".join(lines)


def verdict_table(found: Sequence[tuple[Series, Sequence[Verdict]]]) -> str:
    """Every series and method."""
    lines = [VERDICT_HEAD, "|---" * (VERDICT_HEAD.count("|") - 1) + "|"]
    lines += [verdict_row(series, verdict) for series, verdicts in found for verdict in verdicts]
    return "\n".join(lines)


def verdict_row(series: Series, one: Verdict) -> str:
    """One line of the table."""
    cells = (
        f"{series.name}, {series.unit}s",
        one.method,
        f"{one.steps:,}",
        f"{one.expected:.1f}",
        f"{one.exceptions}",
        p_text(one.p_kupiec),
        p_text(one.p_ind),
        p_text(one.p_cc),
        f"{one.last}, {one.worst} ({one.red_share * 100:.1f} %)",
        f"{one.z2:+.3f} ({one.z2_critical:+.3f})",
        percent(one.mean_var),
        ", ".join(one.failed) or "none",
    )
    return "| " + " | ".join(cells) + " |"


def p_text(p: float) -> str:
    """A p-value; bold where it fails."""
    text = f"{p:.3f}" if p >= 0.0005 else "<0.001"
    return f"**{text}**" if p < LEVEL else text


def percent(frac: float) -> str:
    """A fraction with two decimals of a per cent."""
    return f"{frac * 100:.2f} %"


def levels_table(runs: Sequence[Run]) -> str:
    """How often each level fired, a column for each run."""
    head = "| measure | level | " + " | ".join(run.title for run in runs) + " |"
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for at, found in enumerate(runs[0].rows):
        rows = [run.rows[at] for run in runs]
        worst = " | ".join("-" if one.worst is None else percent(one.worst) for one in rows)
        lines.append(f"| {found.row.title} | worst reading | {worst} |")
        for level, told in _levels(found.row):
            cells = " | ".join(_fired_text(_at(one, level)) for one in rows)
            lines.append(f"| | {told} | {cells} |")
    return "\n".join(lines)


def _levels(row: Row) -> list[tuple[str, str]]:
    found = [("soft", f"soft {_level_text(row, row.soft, row.soft_sigmas_e2)}")] if row.soft is not None else []
    found += [("hard", f"hard {_level_text(row, row.hard, row.hard_sigmas_e2)}")] if row.hard is not None else []
    for value, level in row.brake:
        found.append((str(level), f"brake {_level_text(row, value, row.brake_sigmas_e2)}, {WORDS[level]}"))
    return found


def _level_text(row: Row, value: int, sigmas_e2: int) -> str:
    text = f"{value / 1e8:g}" if row.unit == "ratio" and row.measure == "gross_leverage" else f"{value / 1e6:g} %"
    return f"max({text}, {sigmas_e2 / 100:g} sigma)" if sigmas_e2 else text


def _at(one: RowFired, level: str) -> Fired | None:
    if level in ("soft", "hard"):
        found: Fired | None = getattr(one, level)
        return found
    return {str(name): fired for name, fired in one.brake}.get(level)


def _fired_text(found: Fired | None) -> str:
    if found is None:
        return "-"
    return "0" if not found.times else f"{found.times} ({found.days} d)"


def first_table(runs: Sequence[Run]) -> str:
    """Which row fires first of each kind of level, by exposure."""
    lines = ["| strategy, account | exposure | first soft level | first hard level | first brake level |", "|---|---|---|---|---|"]
    for run in runs:
        cells = " | ".join(first_text(run.rows, kind) for kind in ("soft", "hard", "brake"))
        lines.append(f"| {run.title} | {run.exposure} | {cells} |")
    return "\n".join(lines)


def first_text(rows: Sequence[RowFired], kind: str) -> str:
    """The measure that reached a level of this kind first, with its day; all of them where several came at one bar."""
    found: list[tuple[int, str]] = []
    for one in rows:
        for level, told in _levels(one.row):
            fired = _at(one, level)
            is_kind = level == kind if kind in ("soft", "hard") else level not in ("soft", "hard")
            if is_kind and fired is not None and fired.first_ns is not None:
                found.append((fired.first_ns, f"{one.row.measure} ({told.partition(' ')[2]})"))
    if not found:
        return "none"
    first = min(at for at, _ in found)
    return f"{', '.join(name for at, name in found if at == first)}, {date_of(first)}"


def acted_table(runs: Sequence[Acted]) -> str:
    """What the engine said where its limits acted."""
    lines = [
        "| strategy, account | exposure | orders sent | last order | refused orders by code | moves of the risk state | alerts "
        "| at the end | return | worst drawdown | a guard would have braked |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        cells = (
            f"{run.strategy}, {run.account}",
            run.exposure,
            f"{run.orders:,}",
            str(run.last_order or "-"),
            _counts(run.refused),
            _counts(run.states),
            _counts(run.alerts),
            run.ended,
            f"{run.return_frac * 100:+.1f} %",
            percent(run.drawdown_frac),
            run.guard,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))) or "none"
