"""`kedge system status`: what runs here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.exchange_file import read_running
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import KedgeError, NotFound
from kedge.ops.config import load_config
from kedge.ops.health_file import EXCHANGE, GUARD, SERVER, SUPERVISOR, TRADER, health_path, read_health_file
from kedge.ops.process_lock import holder_of
from kedge.ops.status_file import LOCK_NAME

if TYPE_CHECKING:
    from rich.console import Console

HEALTH_TIMEOUT_S = 5.0

Folder = Annotated[str | None, Parameter(name="--state-dir")]
ConfigFile = Annotated[Path | None, Parameter(name=["--config", "-c"])]
Json = Annotated[bool, Parameter(name="--json")]


def status(*, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print the processes of this state folder, their restarts, and what the health server says. Exits 9 unless all is well.

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
    now = datetime.now(UTC)
    found: dict[str, Any] = {
        "schema": "kedge/system/v1",
        "supervised": holder_of(folder / LOCK_NAME) is not None,
        "processes": _processes(folder, now),
        "health": _health(folder, now),
        "drill": _drill(folder),
    }
    if not found["processes"]:
        raise NotFound("nothing has run here", why=f"{folder} holds no process's file", fix="kedge up")
    emit(found, as_json, lambda target: _draw(target, found))
    is_well = found["health"] is not None and found["health"]["status"] == "ok" and not (found["drill"] or {}).get("is_missed")
    return exit_codes.OK if is_well else exit_codes.FINDINGS


def _processes(folder: Path, now: datetime) -> list[dict[str, Any]]:
    try:
        supervised = read_health_file(folder, SUPERVISOR, now)
    except KedgeError:
        supervised = {"fresh": False, "children": []}
    if supervised["fresh"]:
        return list(supervised["children"])
    rows = []
    for name in (EXCHANGE, GUARD, TRADER, SERVER):
        if health_path(folder, name).exists():
            rows.append(_alone(folder, name, now))
    return rows


def _alone(folder: Path, name: str, now: datetime) -> dict[str, Any]:
    """A process that nobody supervises, or that is gone."""
    row: dict[str, Any] = {"name": name, "state": "unknown", "pid": None, "restarts": None, "last_exit": None, "why": ""}
    if name == EXCHANGE:
        running = read_running(folder)
        return {**row, "state": "gone"} if running is None else {**row, "state": "running", "pid": running.pid}
    try:
        found = read_health_file(folder, name, now)
    except KedgeError as error:
        return {**row, "why": error.what}
    return {**row, "state": "running" if found["alive"] else "gone", "pid": found["pid"] if found["alive"] else None}


def _health(folder: Path, now: datetime) -> dict[str, Any] | None:
    """What the health server answers now; None where there is none."""
    import json
    import urllib.error
    import urllib.request

    try:
        url = str(read_health_file(folder, SERVER, now)["url"])
        with urllib.request.urlopen(f"{url}/health", timeout=HEALTH_TIMEOUT_S) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            found = json.load(error)
    except (KedgeError, OSError, KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _drill(folder: Path) -> dict[str, Any] | None:
    """Where the schedule of drills stands; None where no guard has ever watched."""
    from time import time_ns

    from kedge.services.brake_records import guarded_since, rung_of
    from kedge.services.drills.clerk import standing

    stands = standing(folder, rung_of(folder), guarded_since(folder), time_ns())
    return None if stands is None else {"words": stands.words, "is_due": stands.is_due, "is_missed": stands.is_missed}


def _draw(target: Console, found: dict[str, Any]) -> None:
    columns = ("name", "state", "pid", "restarts", "last_exit", "why")
    print_rows(target, columns, [[row[name] for name in columns] for row in found["processes"]])
    if found["drill"] is not None:
        target.print(("MISSED: " if found["drill"]["is_missed"] else "") + found["drill"]["words"], highlight=False)
    health = found["health"]
    if health is None:
        target.print("no health server answers: kedge serve")
        return
    print_rows(target, ("service", "health"), [("all", health["status"]), *health["services"].items()])
