"""One transaction over the rows of the store of people: typed, strict, and never a statement of the caller's own.

Rules: what is read is decoded strictly and compared with its columns, so that a damaged row is an IntegrityError and never half a person.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import Conflict, IntegrityError, InvalidInput
from kedge.domain.people import Act
from kedge.journal import Redactor, act_bytes, decode_act
from kedge.storage.people_errors import store_errors
from kedge.storage.people_layout import OUTBOX, columns
from kedge.storage.people_rows import ROW_TYPES, StoredRow

PAGE_ROWS_MAX: Final = 500

R = TypeVar("R", bound=StoredRow)
Key = str | tuple[str, ...]

_DECODERS: Final[dict[type[StoredRow], msgspec.json.Decoder[Any]]] = {kind: msgspec.json.Decoder(kind) for kind in ROW_TYPES}


class Page(NamedTuple, Generic[R]):
    """Rows, newest first; `before` asks for the next page, None where this was the last."""

    rows: list[R]
    before: int | None


class DueAct(NamedTuple):
    """An act that is not known to be in the journal yet; `number` orders them."""

    number: int
    act: Act


class Tx:
    """What a caller of `PeopleStore.writing` or `.reading` works with, within that block and not after it."""

    def __init__(self, db: sqlite3.Connection, path: Path, redactor: Redactor) -> None:
        self._db, self._path, self._redactor = db, path, redactor
        self._is_over = False

    def end(self) -> None:
        """The store's word that the block is left: a statement after it would be a transaction of its own."""
        self._is_over = True

    def get(self, row_type: type[R], key: Key) -> R | None:
        """The row with this key, None where there is none. A key of several fields is a tuple in the order of `KEY`."""
        found = self._select(row_type, self._where(row_type.KEY), self._key(row_type, key))
        return found[0] if found else None

    def find(self, row_type: type[R], **equal: str | int | None) -> list[R]:
        """All rows whose indexed fields have these values, oldest first; without fields all rows."""
        names, values = self._compared(row_type, equal)
        return self._select(row_type, f"{self._where(names)} ORDER BY seq", values)

    def count(self, row_type: type[StoredRow], **equal: str | int | None) -> int:
        """How many rows have these values."""
        names, values = self._compared(row_type, equal)
        [(count,)] = self._rows(f"SELECT count(*) FROM {row_type.TABLE} WHERE {self._where(names)}", values)
        return int(count)

    def page(self, row_type: type[R], limit: int, before: int | None = None, **equal: str | int | None) -> Page[R]:
        """Up to `limit` rows with these values, newest first, made before the place that an earlier page gave."""
        if not 1 <= limit <= PAGE_ROWS_MAX:
            raise InvalidInput(
                f"limit is {limit}", why=f"a page holds 1 to {PAGE_ROWS_MAX} rows", fix="ask for fewer, then for the next page"
            )
        names, values = self._compared(row_type, equal)
        below = 2**63 - 1 if before is None else before
        statement = (
            f"SELECT seq, {self._told(row_type)} FROM {row_type.TABLE} WHERE {self._where(names)} AND seq < ? ORDER BY seq DESC LIMIT ?"
        )
        found = self._rows(statement, (*values, below, limit + 1))
        rows = [self._row(row_type, told) for _, *told in found[:limit]]
        return Page(rows, found[limit - 1][0] if len(found) > limit else None)

    def put(self, row: StoredRow) -> None:
        """Write a row, in place of the one with its key where there is one.

        Raises
        ------
        Conflict
            Another row holds what only one may, such as a person's name.
        """
        kind = type(row)
        kept = [name for name in columns(kind) if name not in kind.KEY]
        change = ", ".join(f"{name} = excluded.{name}" for name in (*kept, "body"))
        self._insert(row, f"ON CONFLICT ({', '.join(kind.KEY)}) DO UPDATE SET {change}")

    def add(self, row: StoredRow) -> None:
        """Write a row whose key must be new; Conflict where it is not."""
        self._insert(row, "")

    def delete(self, row_type: type[StoredRow], key: Key) -> bool:
        """Remove the row with this key; whether there was one."""
        statement = f"DELETE FROM {row_type.TABLE} WHERE {self._where(row_type.KEY)}"
        return self._change(statement, self._key(row_type, key)) > 0

    def delete_all(self, row_type: type[StoredRow], **equal: str | int | None) -> int:
        """Remove the rows with these values; how many there were. At least one value must be named."""
        if not equal:
            raise InvalidInput(f"delete_all of {row_type.TABLE}", why="no field is named", fix="name what the rows have in common")
        names, values = self._compared(row_type, equal)
        return self._change(f"DELETE FROM {row_type.TABLE} WHERE {self._where(names)}", values)

    def delete_until(self, row_type: type[StoredRow], field: str, wall_ns: int) -> int:
        """Remove the rows whose indexed time is not after `wall_ns`; how many there were."""
        self._compared(row_type, {field: wall_ns})
        return self._change(f"DELETE FROM {row_type.TABLE} WHERE {field} <= ?", (wall_ns,))

    def act(self, act: Act) -> None:
        """Write an act, to be journalled: it stands and falls with this transaction. Writing it twice is writing it once.

        Raises
        ------
        InvalidInput
            A field has another type, or the act is too long to be kept.
        """
        act_bytes(act)
        body = encode(self._redactor.act(act))
        self._change(f"INSERT INTO {OUTBOX} (act_id, body) VALUES (?, ?) ON CONFLICT (act_id) DO NOTHING", (act.act_id, body))

    def acts_due(self, limit: int = PAGE_ROWS_MAX) -> list[DueAct]:
        """The oldest acts that are not known to be in the journal, in the order in which they were written."""
        found = self._rows(f"SELECT number, act_id, body FROM {OUTBOX} ORDER BY number LIMIT ?", (limit,))
        return [DueAct(number, self._due(number, act_id, body)) for number, act_id, body in found]

    def forget_acts(self, numbers: Iterable[int]) -> None:
        """Take acts off the list, because the journal has them."""
        for number in numbers:
            self._change(f"DELETE FROM {OUTBOX} WHERE number = ?", (number,))

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        self._refuse_if_over()
        with store_errors(self._path):
            return self._db.execute(statement, values).fetchall()

    def _change(self, statement: str, values: Sequence[Any] = ()) -> int:
        self._refuse_if_over()
        with store_errors(self._path):
            return self._db.execute(statement, values).rowcount

    def _refuse_if_over(self) -> None:
        if self._is_over:
            raise InvalidInput("the transaction is over", why="its block was left", fix="begin another one")

    def _insert(self, row: StoredRow, clause: str) -> None:
        kind, body = type(row), encode(row)
        try:
            again = _DECODERS[kind].decode(body)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"row of {kind.TABLE} cannot be kept", why=str(error), fix="pass what its type says") from None
        if again != row:
            raise InvalidInput(f"row of {kind.TABLE} cannot be kept", why="it would be read as another one", fix="pass tuples, not lists")
        values = self._columns(row)
        marks = ", ".join("?" * (len(values) + 1))
        statement = f"INSERT INTO {kind.TABLE} ({', '.join(columns(kind))}, body) VALUES ({marks}) {clause}"
        self._refuse_if_over()
        with store_errors(self._path):
            try:
                self._db.execute(statement, (*values, body))
            except sqlite3.IntegrityError as error:
                raise _taken(row, str(error)) from None

    def _select(self, row_type: type[R], condition: str, values: Sequence[Any]) -> list[R]:
        found = self._rows(f"SELECT {self._told(row_type)} FROM {row_type.TABLE} WHERE {condition}", tuple(values))
        return [self._row(row_type, told) for told in found]

    def _told(self, row_type: type[StoredRow]) -> str:
        return ", ".join((*columns(row_type), "body"))

    def _row(self, row_type: type[R], told: Sequence[Any]) -> R:
        body = told[-1]
        try:
            row: R = _DECODERS[row_type].decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise self._damaged(row_type.TABLE, str(error)) from None
        if encode(row) != body or self._columns(row) != tuple(told[:-1]):
            raise self._damaged(row_type.TABLE, "its columns are not what its body says")
        return row

    def _due(self, number: int, act_id: object, body: Any) -> Act:
        act = decode_act(body)
        if act is None or act.act_id != act_id:
            raise self._damaged(f"{OUTBOX} {number}", "it is not in canonical form, or has another id")
        return act

    def _damaged(self, place: str, why: str) -> IntegrityError:
        return IntegrityError(
            f"a row of {place} in {self._path} is damaged", why=why, fix="stop the server, keep the file, restore a backup"
        )

    @staticmethod
    def _columns(row: StoredRow) -> tuple[Any, ...]:
        return tuple(_stored(type(row), name, getattr(row, name)) for name in columns(type(row)))

    @staticmethod
    def _where(names: Iterable[str]) -> str:
        return " AND ".join([f"{name} IS ?" for name in names] or ["1"])

    @staticmethod
    def _key(row_type: type[StoredRow], key: Key) -> tuple[str, ...]:
        values = (key,) if isinstance(key, str) else key
        if len(values) != len(row_type.KEY):
            raise InvalidInput(f"key of {row_type.TABLE} has {len(values)} parts", why=f"it is {row_type.KEY}", fix="pass them all")
        return values

    @staticmethod
    def _compared(row_type: type[StoredRow], equal: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        strange = sorted(set(equal) - set(columns(row_type)))
        if strange:
            raise InvalidInput(f"{row_type.TABLE}.{strange[0]} cannot be compared", why="it has no column", fix="add it to INDEXED")
        return tuple(equal), tuple(_stored(row_type, name, value) for name, value in equal.items())


def _stored(row_type: type[StoredRow], name: str, value: Any) -> Any:
    fold = next((one.fold for one in row_type.UNIQUE if one.field == name and one.fold), None)
    return value if fold is None or value is None else fold(value)


def _taken(row: StoredRow, error: str) -> Conflict:
    kind = type(row)
    one = next((one for one in kind.UNIQUE if f"{kind.TABLE}.{one.field}" in error), None)
    if one is None:
        return Conflict(f"there is such a row of {kind.TABLE} already", why="its key is in use", fix="read it again, then decide again")
    return Conflict(f"{one.what} {getattr(row, one.field)!r} is taken", why="only one may have it", fix="choose another")
