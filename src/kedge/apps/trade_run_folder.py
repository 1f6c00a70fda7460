"""Which run a trader goes on with: the newest unfinished one of the same settings in the same market, else a new one.

Rules: what a run is stands in `trade.json` beside its journal before the journal exists; a sealed run is finished; a simulated market
that began again is another market, and a run of the old one is never gone on with, because its orders and positions died with it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.errors import IntegrityError
from kedge.ops.state_folder import JOURNAL_NAME, run_folder
from kedge.storage.journal_files import seal_path

NOTE: Final = "trade.json"


class RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is, apart from its events. `market` is empty at a real venue, which never begins again."""

    run_id: str
    settings_sha256: str
    market: str
    begun: str


def find_or_make_run(state_folder: Path, rung: str, settings: dict[str, Any], market: str, now: datetime) -> tuple[RunNote, bool]:
    """The run to go on with and True, or a new one, whose folder is made, and False.

    Parameters
    ----------
    settings : dict
        Plain data; everything that decides what the run is.
    market : str
        The simulated market's own id; '' at a real venue.

    Raises
    ------
    IntegrityError
        A run's note cannot be read, so it is not known whether an account's run would be forgotten.
    """
    wanted = content_hash(settings)
    for note in sorted(unfinished(state_folder, rung), key=lambda one: one.begun, reverse=True):
        if (note.settings_sha256, note.market) == (wanted, market):
            return note, True
    begun = now.astimezone(UTC).isoformat()
    body = content_hash({"settings": wanted, "market": market, "begun": begun})
    note = RunNote(run_id=f"{rung}-{body[:16]}", settings_sha256=wanted, market=market, begun=begun)
    folder = run_folder(state_folder, note.run_id)
    folder.mkdir(parents=True, mode=0o700)
    draft = folder / f".{NOTE}.{os.getpid()}"
    draft.write_bytes(msgspec.json.encode(note))
    draft.replace(folder / NOTE)
    return note, False


def unfinished(state_folder: Path, rung: str) -> list[RunNote]:
    """Runs of a rung whose journal is not sealed, one that was killed before it had a journal among them."""
    found = []
    for path in sorted((state_folder / "runs").glob(f"{rung}-*/{NOTE}")):
        if seal_path(path.with_name(JOURNAL_NAME)).exists():
            continue
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=RunNote))
        except msgspec.DecodeError as error:
            raise IntegrityError(
                f"{path} cannot be read", why=str(error), fix="keep the folder as evidence and move it out of runs/"
            ) from None
    return found
