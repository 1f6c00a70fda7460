"""Which run a trader goes on with: the newest unfinished one of the same settings in the same market, else a new one.

Rules: what a run is stands in `trade.json` beside its journal before the journal exists; a sealed run is finished; a simulated market
that began again is another market, and a run of the old one is never gone on with, because its orders and positions died with it. Nor is
one gone on with that another run overtook (see `apps.trade_earlier`): its books are not the account's any more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.errors import IntegrityError, KedgeError
from kedge.domain.events import CommandGiven, RunEnded
from kedge.domain.record import Step
from kedge.domain.units import NS_PER_S
from kedge.ops.state_folder import JOURNAL_NAME, run_folder
from kedge.storage.blobs import make_folder, write_whole
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_reader import SqliteJournalReader

NOTE: Final = "trade.json"
LAST_RECORDS: Final = 10_000
"""So many are searched for a command: a process that died before it could mark it as taken wrote few after it."""


class RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, apart from its events. `market` is empty at a real venue, which never begins again."""

    run_id: str
    settings_sha256: str
    market: str
    begun: str

    @property
    def begun_wall_ns(self) -> int:
        """When, on the wall's clock."""
        return int(datetime.fromisoformat(self.begun).timestamp()) * NS_PER_S


def find_or_make_run(
    state_folder: Path,
    rung: str,
    settings: dict[str, Any],
    market: str,
    now: datetime,
    *,
    is_overtaken: Callable[[RunNote], bool] = lambda note: False,
) -> tuple[RunNote, bool]:
    """The run to go on with and True, or a new one, whose folder is made, and False.

    Parameters
    ----------
    settings : dict
        Plain data; everything that decides what the run is.
    market : str
        The simulated market's own id; '' at a real venue.
    is_overtaken : callable, optional
        Whether another run has traded the account since this one did.

    Raises
    ------
    IntegrityError
        A run's note cannot be read, so it is not known whether an account's run would be forgotten.
    """
    wanted = content_hash(settings)
    for note in sorted(unfinished(state_folder, rung), key=lambda one: one.begun, reverse=True):
        if (note.settings_sha256, note.market) == (wanted, market):
            if is_overtaken(note):
                break
            return note, True
    begun = now.astimezone(UTC).isoformat()
    body = content_hash({"settings": wanted, "market": market, "begun": begun})
    note = RunNote(run_id=f"{rung}-{body[:16]}", settings_sha256=wanted, market=market, begun=begun)
    folder = run_folder(state_folder, note.run_id)
    make_folder(folder)
    write_whole(folder / NOTE, msgspec.json.encode(note))  # durable before the first order: a forgotten run would be begun anew
    return note, False


def unfinished(state_folder: Path, rung: str) -> list[RunNote]:
    """Runs of a rung whose journal is not sealed, one that was killed before it had a journal among them."""
    return [note for note in notes(state_folder, rung) if not seal_path(run_folder(state_folder, note.run_id) / JOURNAL_NAME).exists()]


def notes(state_folder: Path, rung: str) -> list[RunNote]:
    """What all runs of a rung are, finished ones among them.

    Raises
    ------
    IntegrityError
        One of the notes cannot be read.
    """
    found = []
    for path in sorted((state_folder / "runs").glob(f"{rung}-*/{NOTE}")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=RunNote))
        except msgspec.DecodeError as error:
            raise IntegrityError(
                f"{path} cannot be read", why=str(error), fix="keep the folder as evidence and move it out of runs/"
            ) from None
    return found


def was_taken(state_folder: Path, run_id: str, command_id: str) -> bool:
    """Whether a run's journal holds a command of the inbox; one that cannot be read holds none, since a stop must not get lost."""
    try:
        with SqliteJournalReader(run_folder(state_folder, run_id) / JOURNAL_NAME) as reader:
            records = reader.records(start_seq=max(0, reader.last_seq() - LAST_RECORDS))
            events = (one.event for one in records if isinstance(one, Step))
            return any(isinstance(event, CommandGiven) and event.command_id == command_id for event in events)
    except KedgeError:
        return False


def was_ended(path: Path, records: int) -> bool:
    """Whether the last of so many records of a journal says that its run is over: only the seal is missing."""
    with SqliteJournalReader(path) as reader:
        return any(isinstance(one, Step) and isinstance(one.event, RunEnded) for one in reader.records(start_seq=max(0, records - 1)))
