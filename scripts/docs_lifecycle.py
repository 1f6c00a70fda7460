"""docs/lifecycle.md, drawn from the life-cycle table of `kedge.engine.lifecycle` and the words beside its cells."""

from __future__ import annotations

import inspect
import re

from kedge.engine import lifecycle
from kedge.engine.lifecycle import LIVE, NEXT, REPORT_WORDS, STATUS_WORDS, Report, Status

HEAD = """# The life of an order

{made}

Every order of ours moves along one table: where it is, what is reported, where that leaves it. The table is
`kedge.engine.lifecycle.NEXT`. What it does not hold is illegal: the order stays as it was, and trading halts with `ILLEGAL_TRANSITION`.
Trades are booked all the same, since money has moved.

Live orders keep their reserved exposure: {live}.
While a change of an order is not settled, the larger quantity stays reserved. What is left is what was ordered less the trades that we
know: a trade that has not been told yet stays reserved too.

The trader's desk passes on everything that is told of an order of ours and leaves the judgement to the table. Only an acknowledgement that
the engine has is dropped, since the answer, the stream and the lists all repeat it. How searches and comparisons go: [live.md](live.md).

## The moves that change something

```mermaid
{diagram}
```

## The whole table

A dot is illegal, `=` leaves the order where it is.

{grid}

## What the statuses mean

{statuses}

## What the reports mean

{reports}

## Words about single cells

{cells}
"""

_CELL = re.compile(r"\(_S\.(\w+), _R\.(\w+)\): _S\.\w+,  # (.+)")


def lifecycle_page(made: str) -> str:
    """The page; `made` says by what."""
    return HEAD.format(
        made=made,
        live=", ".join(f"`{status}`" for status in Status if status in LIVE),
        diagram=diagram(),
        grid=grid(),
        statuses="\n".join(f"- `{status}`{'' if status in LIVE else ' (over)'}: {STATUS_WORDS[status]}" for status in Status),
        reports="\n".join(f"- `{report}`: {REPORT_WORDS[report]}" for report in Report),
        cells="\n".join(
            f"- `{status}` + `{report}` -> `{NEXT[status, report]}`: {words}." for (status, report), words in cell_words().items()
        ),
    )


def diagram() -> str:
    """Moves between different statuses, as Mermaid; the reports of one arrow share it."""
    arrows: dict[tuple[Status, Status], list[Report]] = {}
    for (before, report), after in NEXT.items():
        if before is not after:
            arrows.setdefault((before, after), []).append(report)
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {Status.PENDING_NEW}: order sent"]
    lines += [f"    {before} --> {after}: {', '.join(reports)}" for (before, after), reports in arrows.items()]
    lines += [f"    {status} --> [*]" for status in Status if status not in LIVE]
    return "\n".join(lines)


def grid() -> str:
    """Reports down, statuses across."""
    lines = ["| report | " + " | ".join(f"`{status}`" for status in Status) + " |", "|---" * (len(Status) + 1) + "|"]
    lines += [f"| `{report}` | " + " | ".join(_cell(status, report) for status in Status) + " |" for report in Report]
    return "\n".join(lines)


def cell_words() -> dict[tuple[Status, Report], str]:
    """The comments beside the table's cells."""
    return {
        (Status[status], Report[report]): words
        for status, report, words in (found.groups() for found in _CELL.finditer(inspect.getsource(lifecycle)))
    }


def _cell(status: Status, report: Report) -> str:
    after = NEXT.get((status, report))
    return "·" if after is None else "=" if after is status else str(after)
