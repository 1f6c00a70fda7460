"""Records of drills: `<state>/drills/ID.json`, each written once, whole or not at all, readable by their owner alone.

Rules: a record is never replaced; one that cannot be read is told as such and counts for nothing. Beside it stands what it rests on, in a
folder of its name: the guard's journal, which `kedge audit verify` reads, and the prices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import Conflict
from kedge.ops.atomic_file import replace_content
from kedge.services.drills.report import SCHEMA, DrillReport

FOLDER: Final = "drills"
SUFFIX: Final = ".json"


class Records(NamedTuple):
    """Reports, newest first, and what could not be read, in words."""

    reports: tuple[DrillReport, ...]
    problems: tuple[str, ...]


def drills_folder(state_folder: Path) -> Path:
    """Where the records of a state folder are."""
    return state_folder / FOLDER


def write_record(state_folder: Path, report: DrillReport) -> Path:
    """Keep a report; returns its file.

    Raises
    ------
    Conflict
        There is one of this id.
    """
    folder = drills_folder(state_folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{report.drill_id}{SUFFIX}"
    if path.exists():
        raise Conflict(f"drill {report.drill_id} is recorded already", why="a record is never replaced", fix="hold another drill")
    replace_content(path, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return path


def read_records(state_folder: Path, *, most: int = 100) -> Records:
    """The newest records of a state folder."""
    found: list[DrillReport] = []
    problems: list[str] = []
    folder = drills_folder(state_folder)
    paths = sorted(folder.glob(f"*{SUFFIX}"), reverse=True) if folder.is_dir() else []
    for path in paths[:most]:
        try:
            report = msgspec.json.decode(path.read_bytes(), type=DrillReport)
        except (OSError, msgspec.DecodeError) as error:
            problems.append(f"{path.name}: {error}")
            continue
        if report.schema != SCHEMA:
            problems.append(f"{path.name}: schema is {report.schema!r}, not {SCHEMA}")
        else:
            found.append(report)
    return Records(tuple(sorted(found, key=lambda report: report.started_wall_ns, reverse=True)), tuple(problems))
