"""The journal of acts in its file: the writer of every other journal, which takes acts and nothing else here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from kedge.domain.errors import IntegrityError, RecordingFailed
from kedge.domain.people import Act
from kedge.journal import ACTS_PREFIX, ActRecorded, ActsStarted, Redactor, Signer, decode_row
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.storage.journal_sqlite import SqliteJournal

GROUP_ACTS: Final = 1_000_000
"""Larger than any batch: a batch is one group, closed by its flush."""
_ID_BYTES: Final = 8
_FIX: Final = "stop the server, keep the files as evidence, run `kedge audit verify` on the journal of acts"


class ActsEnd(NamedTuple):
    """Where the journal ends: its id, the number of its last row, and that row's hash (hex)."""

    journal_id: str
    row: int
    row_hash: str


class ActsWriter:
    """Appends acts, and knows which it has. One per file, by the writer's lock; any thread may call, one at a time.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it is not there, for its owner only.
    engine_version : str
        Said in the first row.
    wall_ns : callable
        The time now.
    random_bytes : callable
        Gives a new journal its id.

    Raises
    ------
    Conflict
        Another process writes it.
    IntegrityError
        Cut or lengthened tail, another key, a journal of something else.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        signer: Signer,
        engine_version: str,
        wall_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        redactor: Redactor | None = None,
    ) -> None:
        self.path, self._wall_ns = Path(path), wall_ns
        _make_folder(self.path.parent)
        self._journal = SqliteJournal(self.path, signer=signer, source="acts", group_size=GROUP_ACTS, redactor=redactor, any_thread=True)
        try:
            if not self._journal.count:
                journal_id = ACTS_PREFIX + random_bytes(_ID_BYTES).hex()
                self._journal.start_acts(ActsStarted(run_id=journal_id, engine_version=engine_version, started_wall_ns=wall_ns()))
            elif not self._journal.run_id.startswith(ACTS_PREFIX):
                raise IntegrityError(
                    f"{self.path} is no journal of acts", why=f"it records run {self._journal.run_id}", fix="name another file"
                )
            self._reader = SqliteJournalReader(self.path, any_thread=True)
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        """Release the file and the lock."""
        self._reader.close()
        self._journal.close()

    @property
    def end(self) -> ActsEnd:
        """Where the journal ends now."""
        return ActsEnd(self._journal.run_id, self._reader.last_seq(), self._journal.last_hash.hex())

    def append(self, acts: Sequence[Act]) -> None:
        """Write acts in this order, all of them or none. Durable on return.

        Raises
        ------
        RecordingFailed
            The disk is full or failing. This writer takes nothing more; open another one.
        """
        now_wall_ns = self._wall_ns()
        for act in acts:
            self._journal.commit_act(act, now_wall_ns)
        self._journal.flush()

    def has(self, act_id: str) -> bool:
        """Whether the act is in the journal.

        Raises
        ------
        IntegrityError
            The index says where it is, and it is not there.
        """
        hints = [seq for kind, seq in self._reader.beside.hints(act_id) if kind == "acted"]
        if hints and not any(self._act_id(seq) == act_id for seq in hints):
            raise IntegrityError(f"{self.path} does not hold act {act_id}", why=f"its index says record {hints[0]}", fix=_FIX)
        return bool(hints)

    def refuse_if_cut(self, mark: ActsEnd) -> None:
        """Refuse a journal that ends before a place which it is known to have reached.

        Raises
        ------
        IntegrityError
            The row is gone or another one: an older copy was put in place.
        """
        found = next(iter(self._reader.raw_rows(start=mark.row, stop=mark.row + 1)), None)
        if mark.journal_id != self._journal.run_id or found is None or found[0] != mark.row or found[1].hex() != mark.row_hash:
            raise IntegrityError(
                f"{self.path} is not the journal of acts that was written here",
                why=f"row {mark.row} of {mark.journal_id} is gone or another one: an older copy was put in its place",
                fix=_FIX,
            )

    def _act_id(self, record: int) -> str:
        row = self._reader.row_of(record)
        for number, _, body in self._reader.raw_rows(start=row, stop=row + 2):  # a head may stand before it
            found = decode_row(number, body)
            if isinstance(found, ActRecorded) and found.seq == record:
                return found.act.act_id
        return ""


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise RecordingFailed(f"cannot make {folder}", why=error.strerror or str(error), fix="check the folder's permissions") from None
