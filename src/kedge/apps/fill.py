"""`kedge fill list`: the newest fills of a run, each by the id that `kedge audit trace` takes apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import InvalidInput, NotFound
from kedge.ops.folders import state_folder
from kedge.ops.state_folder import journal_path
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_search import journals
from kedge.services.newest_fills import newest_fills

if TYPE_CHECKING:
    from rich.console import Console

FILLS_SCHEMA = "kedge/fills/v1"
COLUMNS = (
    "fill_id", "at", "instrument", "side", "qty", "price", "fee", "liquidity", "cause", "client_order_id",
    "slippage", "slippage_bps", "slippage_against",
)  # fmt: skip
LIMIT_MAX = 100_000


def list_(
    run: str = "",
    /,
    *,
    limit: int = 20,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """List the newest fills of a run, the newest last; the first column is the id for `kedge audit trace`.

    Parameters
    ----------
    run
        A run id (its first letters are enough) or a journal file; the run written last by default.
    limit
        How many.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput(f"--limit is {limit}", why=f"it is 1 to {LIMIT_MAX}", fix="leave it out for the newest 20")
    state = state_folder(config, state_dir)
    with RunRecords(journal_path(state, run) if run else _newest(state)) as records:
        run_id = records.started.run_id
        rows = [msgspec.to_builtins(fill) for fill in newest_fills(records, limit)]
    emit({"schema": FILLS_SCHEMA, "run_id": run_id, "fills": rows}, as_json, lambda target: _draw(target, run_id, rows))
    return exit_codes.OK


def _newest(state: Path) -> Path:
    found = journals(state)
    if not found:
        raise NotFound("no run yet", why=f"{state / 'runs'} holds no journal", fix="kedge up, or kedge backtest run")
    return found[0]


def _draw(target: Console, run_id: str, rows: list[dict[str, Any]]) -> None:
    if not rows and target.is_terminal:
        target.print(f"run {run_id} has no fills", markup=False, highlight=False, soft_wrap=True)
        return
    print_rows(target, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
