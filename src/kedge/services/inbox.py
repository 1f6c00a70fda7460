"""The inbox: what people tell a trader, in a file that outlives both sides.

Rules: a command is durable when `put` returns; a run claims it, journals it with its id, and then marks it as taken. So whichever side
dies, it is taken once: the claim says in whose journal to look. Commands are taken in the order in which they were put. Who gave a command
from where stands beside it, and so does its act until the journal of acts has it: no death in between loses the act.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.events import Command
from kedge.domain.people import Role, Source
from kedge.services.inbox_file import open_inbox, unreadable, unwritable

TEXT_CHARS_MAX: Final = 500
_NUMBER_MAX: Final = 2**63 - 1
_COLUMNS: Final = "number, id, command, actor, reason, put_wall_ns, claimed_by, roles, source, taken"


class InboxCommand(NamedTuple):
    """One command; `claimed_by` is the run that was about to take it, empty where none was.

    `roles` and `source` are those of who gave it, empty and None where an older Kedge put it. `number` counts the commands.
    """

    command_id: str
    command: Command
    actor: str
    reason: str
    put_wall_ns: int
    claimed_by: str = ""
    roles: tuple[Role, ...] = ()
    source: Source | None = None
    taken: bool = False
    number: int = 0


class Inbox:
    """The commands of one account. Any process may put, one trader takes.

    Raises
    ------
    Conflict
        Others have held the file for longer than `sqlite_files.BUSY_S`: nothing was read or left, and asking again is right.
    IntegrityError
        The file is no inbox, or damaged.
    RecordingFailed
        The folder or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._db = open_inbox(self.path, f"SELECT {_COLUMNS}, act FROM commands LIMIT 1")

    def __enter__(self) -> Inbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def put(
        self,
        command: Command,
        actor: str,
        reason: str,
        *,
        wall_ns: int,
        command_id: str = "",
        roles: Sequence[Role] = (),
        source: Source | None = None,
        act: str = "",
    ) -> str:
        """Leave a command; its id. As `add`, whose id is the hash of the words and the time where none is given."""
        name = command_id or command_id_of(wall_ns, command.value, actor, reason)
        self.add(name, command, actor, reason, wall_ns=wall_ns, roles=roles, source=source, act=act)
        return name

    def add(
        self,
        command_id: str,
        command: Command,
        actor: str,
        reason: str,
        *,
        wall_ns: int,
        roles: Sequence[Role] = (),
        source: Source | None = None,
        act: str = "",
    ) -> bool:
        """Leave a command under an id of one's own; whether it is new. The same id again is the same command, whatever it says.

        Parameters
        ----------
        act : str
            What the journal of acts has to hold of it, as JSON; it waits here until `act_recorded`.

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
        return self._write(
            "INSERT OR IGNORE INTO commands (id, put_wall_ns, command, actor, reason, roles, source, act) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            command_id,
            wall_ns,
            command.value,
            actor,
            reason,
            " ".join(roles),
            source or "",
            act,
        )

    def waiting(self) -> list[InboxCommand]:
        """Commands that nobody has taken, in order."""
        return self._commands(f"SELECT {_COLUMNS} FROM commands WHERE taken = 0 ORDER BY number")

    def find(self, command_id: str) -> InboxCommand | None:
        """One command, taken or not; None where there is none of that id."""
        found = self._commands(f"SELECT {_COLUMNS} FROM commands WHERE id = ?", command_id)
        return found[0] if found else None

    def newest(self, limit: int, before: int | None = None) -> list[InboxCommand]:
        """At most so many commands, newest first, from before a number on."""
        last = before if before is not None else _NUMBER_MAX
        return self._commands(f"SELECT {_COLUMNS} FROM commands WHERE number < ? ORDER BY number DESC LIMIT ?", last, limit)

    def acts_due(self) -> list[tuple[str, str]]:
        """Ids and acts (JSON) of the commands whose act the journal of acts may not hold yet, in order."""
        try:
            return list(self._db.execute("SELECT id, act FROM commands WHERE act != '' ORDER BY number").fetchall())
        except sqlite3.Error as error:
            raise unreadable(self.path, error) from None

    def act_recorded(self, command_id: str) -> None:
        """The journal of acts holds this command's act."""
        self._write("UPDATE commands SET act = '' WHERE id = ?", command_id)

    def claim(self, command_id: str, run_id: str) -> None:
        """This run is about to journal the command: where it is not marked as taken, its journal says whether it was."""
        self._write("UPDATE commands SET claimed_by = ? WHERE id = ?", run_id, command_id)

    def taken(self, command_id: str) -> None:
        """This command stands in the journal, or is for nobody any more."""
        self._write("UPDATE commands SET taken = 1 WHERE id = ?", command_id)

    def is_taken(self, command_id: str) -> bool:
        """Whether the trader has taken this command."""
        found = self.find(command_id)
        return found is not None and found.taken

    def close(self) -> None:
        """Release the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _commands(self, query: str, *values: str | int) -> list[InboxCommand]:
        try:
            return [_command(*row) for row in self._db.execute(query, values).fetchall()]
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise unreadable(self.path, error) from None

    def _write(self, statement: str, *values: str | int) -> bool:
        try:
            return self._db.execute(statement, values).rowcount > 0
        except sqlite3.Error as error:
            raise unwritable(self.path, error) from None


def command_id_of(*parts: object) -> str:
    """An id that the same parts always give."""
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:16]


def _command(number: int, name: str, word: str, actor: str, reason: str, put_wall_ns: int, run: str, *given: Any) -> InboxCommand:
    roles, source, taken = given
    known = tuple(Role(role) for role in roles.split())
    return InboxCommand(
        name, Command(word), actor, reason, put_wall_ns, run, known, Source(source) if source else None, bool(taken), number
    )
