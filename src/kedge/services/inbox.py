"""The inbox: what people tell a trader, in a file that outlives both sides.

Rules: a command is durable when `put` returns; a run claims it, journals it with its id, and then marks it as taken. So whichever side
dies, it is taken once: the claim says in whose journal to look. Commands are taken in the order in which they were put.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from kedge.domain.errors import IntegrityError, InvalidInput, RecordingFailed
from kedge.domain.events import Command

APPLICATION_ID: Final = 0x4B444931
"""'KDI1' in the header of the file: a Kedge inbox, table layout 1."""

TEXT_CHARS_MAX: Final = 500
_SCHEMA: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "CREATE TABLE commands (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, put_wall_ns INTEGER NOT NULL, "
    "command TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0, "
    "claimed_by TEXT NOT NULL DEFAULT '')",
)
_CLAIMS: Final = "ALTER TABLE commands ADD COLUMN claimed_by TEXT NOT NULL DEFAULT ''"
"""For a file that was made before runs claimed their commands."""


_WAITING: Final = "SELECT id, command, actor, reason, put_wall_ns, claimed_by FROM commands WHERE taken = 0 ORDER BY number"


class InboxCommand(NamedTuple):
    """One command that waits; `claimed_by` is the run that was about to take it, empty where none was."""

    command_id: str
    command: Command
    actor: str
    reason: str
    put_wall_ns: int
    claimed_by: str = ""


class Inbox:
    """The commands of one account. Any process may put, one trader takes.

    Raises
    ------
    IntegrityError
        The file is no inbox, or damaged.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=5.0)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Inbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def put(self, command: Command, actor: str, reason: str, *, wall_ns: int) -> str:
        """Leave a command; its id. Putting the same words at the same time again is the same command.

        Raises
        ------
        InvalidInput
            Nobody's name, no reason, or more than `TEXT_CHARS_MAX` characters of either.
        RecordingFailed
            It could not be made durable: it may not be relied upon.
        """
        for field, text in (("actor", actor), ("reason", reason)):
            if not text.strip() or len(text) > TEXT_CHARS_MAX:
                raise InvalidInput(f"{field} is {text[:40]!r}", why=f"1 to {TEXT_CHARS_MAX} characters are wanted", fix="say who, and why")
        name = hashlib.sha256(f"{wall_ns}|{command.value}|{actor}|{reason}".encode()).hexdigest()[:16]
        try:
            self._db.execute(
                "INSERT OR IGNORE INTO commands (id, put_wall_ns, command, actor, reason) VALUES (?, ?, ?, ?, ?)",
                (name, wall_ns, command.value, actor, reason),
            )
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None
        return name

    def waiting(self) -> list[InboxCommand]:
        """Commands that nobody has taken, in order."""
        try:
            rows = self._db.execute(_WAITING).fetchall()
            return [InboxCommand(name, Command(word), actor, reason, put, run) for name, word, actor, reason, put, run in rows]
        except (sqlite3.Error, ValueError) as error:
            raise _damaged(self.path, error) from None

    def claim(self, command_id: str, run_id: str) -> None:
        """This run is about to journal the command: where it is not marked as taken, its journal says whether it was."""
        self._write("UPDATE commands SET claimed_by = ? WHERE id = ?", run_id, command_id)

    def taken(self, command_id: str) -> None:
        """This command stands in the journal, or is for nobody any more."""
        self._write("UPDATE commands SET taken = 1 WHERE id = ?", command_id)

    def is_taken(self, command_id: str) -> bool:
        """Whether the trader has taken this command."""
        row = self._db.execute("SELECT taken FROM commands WHERE id = ?", (command_id,)).fetchone()
        return bool(row and row[0])

    def close(self) -> None:
        """Release the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _write(self, statement: str, *values: str) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None

    def _prepare(self) -> None:
        try:
            (application_id,) = self._db.execute("PRAGMA application_id").fetchone()
            if application_id not in (0, APPLICATION_ID):
                raise _damaged(self.path, f"its application id is {application_id:#x}, not {APPLICATION_ID:#x}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("BEGIN IMMEDIATE")
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _SCHEMA:
                    self._db.execute(statement)
            columns = {row[1] for row in self._db.execute("PRAGMA table_info(commands)")}
            if columns and "claimed_by" not in columns:
                self._db.execute(_CLAIMS)
            self._db.execute("COMMIT")
            self._db.execute("SELECT number, id, put_wall_ns, command, actor, reason, taken, claimed_by FROM commands LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
                raise _failed(self.path, error) from None
            raise _damaged(self.path, error) from None


def _failed(path: Path, error: Exception) -> RecordingFailed:
    return RecordingFailed(f"cannot use the inbox {path}", why=str(error), fix="free disk space or mend the folder, then try again")


def _damaged(path: Path, why: object) -> IntegrityError:
    return IntegrityError(f"{path} is no Kedge inbox", why=str(why), fix="keep it as evidence, move it away, and give the command again")
