"""`kedge status`: what the trader, or the demo, that runs or ran last has done so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import NotFound
from kedge.ops.config import load_config
from kedge.ops.status_file import read_status
from kedge.ops.trader_status import read_trader_status

if TYPE_CHECKING:
    from rich.console import Console


def status(
    *,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Print fills, round trips, equity, drawdown and the decision funnel of what runs, or ran last, with this state folder.

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
    found = {"schema": "kedge/status/v1", **_newest(folder, datetime.now(UTC))}
    emit(found, as_json, lambda target: _draw(target, found))
    return exit_codes.OK


def _newest(folder: Path, now: datetime) -> dict[str, Any]:
    """The trader's status or the demo's, whichever was written last."""
    found: list[dict[str, Any]] = []
    nothing: NotFound | None = None
    for read in (read_trader_status, read_status):
        try:
            found.append(read(folder, now))
        except NotFound as error:
            nothing = error
    if not found:
        raise nothing or NotFound("no run yet", why=f"{folder} holds no status", fix="kedge up")
    return min(found, key=lambda one: float(one["age_s"]))


def _draw(target: Console, found: Mapping[str, Any]) -> None:
    rows = [
        (name, value) for name, value in found.items() if name not in ("schema", "stale", "age_s", "running", "alive", "fresh", "recent")
    ]
    print_rows(target, ("field", "value"), [("state", _state(found)), *rows])


def _state(found: Mapping[str, Any]) -> str:
    age = f"{found['age_s']:.0f} s ago"
    if not found["running"]:
        return f"stopped; figures are the last ones, written {age}"
    return f"running but silent: figures are stale, written {age}" if found["stale"] else "running"
