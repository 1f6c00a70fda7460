"""`kedge status`: what the running demo, or the last one, has done so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows
from kedge.ops.config import load_config
from kedge.ops.status_file import read_status

if TYPE_CHECKING:
    from rich.console import Console


def status(
    *,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Print fills, round trips, equity, drawdown and the decision funnel of the running demo or of the last one.

    Exits 3 when nothing has run yet. Figures of a run that ended or fell silent are marked stale.

    Parameters
    ----------
    state_dir
        Look in this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    folder = load_config(config, flags={"state_dir": state_dir}).state_folder
    found = {"schema": "kedge/status/v1", **read_status(folder, datetime.now(UTC))}
    emit(found, as_json, lambda target: _draw(target, found))
    return exit_codes.OK


def _draw(target: Console, found: Mapping[str, Any]) -> None:
    rows = [(name, value) for name, value in found.items() if name not in ("schema", "stale", "age_s", "running")]
    print_rows(target, ("field", "value"), [("state", _state(found)), *rows])


def _state(found: Mapping[str, Any]) -> str:
    age = f"{found['age_s']:.0f} s ago"
    if not found["running"]:
        return f"stopped; figures are the last ones, written {age}"
    return f"running but silent: figures are stale, written {age}" if found["stale"] else "running"
