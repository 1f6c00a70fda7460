"""The layout of a state folder: keys, runs, snapshots, models. The only place that knows its names."""

from __future__ import annotations

import shutil
from pathlib import Path

from kedge.domain.errors import InvalidInput, NotFound

JOURNAL_NAME = "journal.sqlite"
INBOX_NAME = "inbox.sqlite"
RUN_SHOWN = 200
"""Characters of an unknown run's name that are said again."""
DISK_FREE_MIN_BYTES = 200 * 1024 * 1024
"""Free space that a run wants before it begins."""


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder."""
    return shutil.disk_usage(folder).free


def refuse_full_disk(folder: Path) -> None:
    """Refuse to begin a run where its journal would soon find no room.

    Raises
    ------
    InvalidInput
        Less than DISK_FREE_MIN_BYTES are free.
    """
    free = free_bytes(folder)
    if free < DISK_FREE_MIN_BYTES:
        raise InvalidInput(
            f"{free // 2**20} MiB free at {folder}",
            why=f"a run wants {DISK_FREE_MIN_BYTES // 2**20} MiB for its journal",
            fix="free space, or --state-dir",
        )


def keys_folder(state: Path) -> Path:
    """Where the journal's signing key lives."""
    return state / "keys"


def inbox_path(state: Path) -> Path:
    """Where people leave commands for the trader of this state folder."""
    return state / INBOX_NAME


def data_folder(state: Path) -> Path:
    """Where imported market data is kept."""
    return state / "data"


def blobs_folder(state: Path) -> Path:
    """Where frozen data sets are kept, by hash."""
    return state / "blobs"


def models_folder(state: Path) -> Path:
    """Where trained models are kept, by hash."""
    return state / "models"


def registry_folder(state: Path) -> Path:
    """Where MLflow keeps runs, versions and aliases."""
    return state / "mlflow"


def run_folder(state: Path, run_id: str) -> Path:
    """Where one run keeps its journal and result."""
    return state / "runs" / run_id


def journal_path(state: Path, run: str) -> Path:
    """A journal named by run id (or its first letters), or by path.

    Raises
    ------
    NotFound
        No such file, no such run, or more than one that begins so.
    """
    if not run.strip():
        raise NotFound("run ''", why="an empty name names no run", fix="name a journal file, or a run id that 'kedge backtest run' printed")
    given = Path(run)
    if _is_file(given):
        return given
    if _is_file(given / JOURNAL_NAME):
        return given / JOURNAL_NAME
    runs = state / "runs"
    found = sorted(p.parent.name for p in runs.glob(f"*/{JOURNAL_NAME}") if p.parent.name.startswith(run) and p.is_file())
    if len(found) == 1 or run in found:
        return runs / (run if run in found else found[0]) / JOURNAL_NAME
    why = f"{len(found)} runs begin so: {', '.join(found[:5])}" if found else f"neither a file nor a run under {runs}"
    raise NotFound(f"run {run[:RUN_SHOWN]!r}", why=why, fix="name a journal file, or a run id that 'kedge backtest run' printed")


def _is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False
