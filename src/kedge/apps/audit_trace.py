"""`kedge audit trace` and `kedge audit orphans`: what a fill comes from, and whether anything comes from nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.audit_tree import draw_trace
from kedge.apps.output import emit, print_rows, progress
from kedge.governance.orphans import ORPHANS_SCHEMA, OrphanReport
from kedge.ops.folders import state_folder
from kedge.services.lineage import LineageStores, recomputed_trace
from kedge.services.lineage import trace as trace_of
from kedge.services.lineage_orphans import orphans as search_orphans

if TYPE_CHECKING:
    from rich.console import Console


def trace(
    wanted: Annotated[str, Parameter(name="id")],
    /,
    *,
    recompute: bool = False,
    run: str = "",
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Take a fill apart: order, limits, decision, prediction, features, model, training, commit, data set, raw files; exit 9 with gaps.

    Parameters
    ----------
    wanted
        A fill, client order, decision, prediction or run id, or the SHA-256 of a model or data set; 8 characters are enough where unique.
    recompute
        Compute the predictions again, from the stored features and from the recorded bars, and compare them bit by bit.
    run
        Look in this run only: its id, its first letters, or a journal file.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    stores = LineageStores(state=state_folder(config, state_dir))
    found = recomputed_trace(stores, wanted, run=run) if recompute else trace_of(stores, wanted, run=run)
    emit(msgspec.to_builtins(found), as_json, lambda target: draw_trace(target, found))
    return exit_codes.OK if found.complete else exit_codes.FINDINGS


def orphans(
    run: str = "",
    /,
    *,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Search journals for what comes from nowhere: fills without order, orders without decision, and so on; exit 9 when there is any.

    Parameters
    ----------
    run
        A run id (its first letters are enough) or a journal file; all runs of the state folder by default.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    state = state_folder(config, state_dir)
    with progress("reading records", None) as advance:
        reports = list(search_orphans(state, run, progress=advance))
    count = sum(report.count for report in reports)
    payload = {"schema": ORPHANS_SCHEMA, "count": count, "runs": [_plain(report) for report in reports]}
    emit(payload, as_json, lambda target: _draw_orphans(target, reports, count))
    return exit_codes.FINDINGS if count else exit_codes.OK


def _plain(report: OrphanReport) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    del plain["schema"]
    return plain


_COUNTS = ("records", "fills", "orders", "decisions", "predictions", "liquidations", "deleveragings", "stops", "adopted")


def _draw_orphans(target: Console, reports: list[OrphanReport], count: int) -> None:
    rows = [(report.run_id, *(getattr(report, name) for name in _COUNTS), report.count) for report in reports]
    print_rows(target, ("run", *_COUNTS, "orphans"), rows)
    found = [(report.run_id, o.kind, o.id, o.seq, o.why) for report in reports for o in report.orphans]
    if found:
        print_rows(target, ("run", "kind", "id", "record", "why"), found)
    target.print(f"{count} orphans in {len(reports)} runs", markup=False, highlight=False, soft_wrap=True)
