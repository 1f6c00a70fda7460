"""`kedge system status`, `kedge halt` and `kedge resume`: what runs here, and what a person tells the trader."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.exchange_file import read_running
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import KedgeError, NotFound
from kedge.domain.events import Command
from kedge.ops.config import load_config
from kedge.ops.health_file import EXCHANGE, SERVER, SUPERVISOR, TRADER, health_path, read_health_file
from kedge.ops.process_lock import holder_of
from kedge.ops.status_file import LOCK_NAME

if TYPE_CHECKING:
    from rich.console import Console

INBOX_NAME = "inbox.sqlite"
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
    }
    if not found["processes"]:
        raise NotFound("nothing has run here", why=f"{folder} holds no process's file", fix="kedge up")
    emit(found, as_json, lambda target: _draw(target, found))
    return exit_codes.OK if found["health"] is not None and found["health"]["status"] == "ok" else exit_codes.FINDINGS


def _processes(folder: Path, now: datetime) -> list[dict[str, Any]]:
    try:
        supervised = read_health_file(folder, SUPERVISOR, now)
    except KedgeError:
        supervised = {"fresh": False, "children": []}
    if supervised["fresh"]:
        return list(supervised["children"])
    rows = []
    for name in (EXCHANGE, TRADER, SERVER):
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


def _draw(target: Console, found: dict[str, Any]) -> None:
    columns = ("name", "state", "pid", "restarts", "last_exit", "why")
    print_rows(target, columns, [[row[name] for name in columns] for row in found["processes"]])
    health = found["health"]
    if health is None:
        target.print("no health server answers: kedge serve")
        return
    print_rows(target, ("service", "health"), [("all", health["status"]), *health["services"].items()])


def halt(*, reason: str, actor: str | None = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Tell the trader to stop adding risk and cancel its orders. The command is durable: it also reaches a trader that is down now.

    Parameters
    ----------
    reason
        Why; stands in the journal.
    actor
        Who; your user name by default.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _tell(Command.HALT, reason, actor, state_dir, config, as_json)


def resume(*, reason: str, actor: str | None = None, state_dir: Folder = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Tell a halted trader to trade again.

    Parameters
    ----------
    reason
        Why; stands in the journal.
    actor
        Who; your user name by default.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    return _tell(Command.RESUME, reason, actor, state_dir, config, as_json)


def _tell(command: Command, reason: str, actor: str | None, state_dir: str | None, config: Path | None, as_json: bool) -> int:
    from kedge.services.inbox import Inbox

    folder = load_config(config, flags={"state_dir": state_dir}).state_folder
    if not folder.is_dir():
        raise NotFound("no trader has run here", why=f"{folder} does not exist", fix="kedge up, or name another --state-dir")
    with Inbox(folder / INBOX_NAME) as inbox:
        command_id = inbox.put(command, actor or getpass.getuser(), reason, wall_ns=time.time_ns())
    payload = {"schema": "kedge/command/v1", "command": command.value, "id": command_id, "durable": True}
    emit(payload, as_json, lambda target: target.print(f"{command.value}: left for the trader as {command_id}", highlight=False))
    return exit_codes.OK
