"""What can be asked of a replica's rows: pages, single rows, and everything after a record. Rows come as JSON bytes, ready to be sent.

Pages are newest first by record; a cursor is the place of the last row given, so it points into the past and stays valid.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.services.replica import Replica
from kedge.services.replica_store import ReplicaStore
from kedge.services.replica_text import e8_text, span_s, time_text
from kedge.services.replica_views import as_json

Rows = list[bytes]
TABLES: Final = ("fills", "orders", "decisions", "predictions", "candles")
WRITTEN_MAX: Final = 20_000
"""Rows of one table whose text is kept: a few megabytes."""
_BODY: Final = "body"
_CANDLE: Final = "seq, instrument, ts_ns, open_ts_ns, open, high, low, close, volume"
_PREDICTION: Final = "seq, instrument, ts_ns, prediction_id, model, features, score, probability, probability_e8, return_e8, horizon_ns"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A page's filters, all optional: times are venue time, `since` inclusive, `until` exclusive; `cursor` is where a page ended."""

    limit: int
    cursor: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    equal: dict[str, str] = {}
    flags: dict[str, bool] = {}


class Page(msgspec.Struct, frozen=True):
    """Rows as JSON, newest first, and the cursor of the next page, None at the end."""

    rows: Rows
    next_cursor: str | None


class _Table(msgspec.Struct, frozen=True):
    name: str
    columns: str
    place: tuple[str, ...]
    made: Callable[[tuple[Any, ...]], bytes]
    changed: str = "seq"


def _stored(row: tuple[Any, ...]) -> bytes:
    return bytes(row[0])


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return as_json(text).decode()


def _candle(row: tuple[Any, ...]) -> bytes:
    # written out by hand, as below: pages of 500 are asked for often, and everything but the instrument's name is digits
    seq, instrument, ts_ns, open_ts_ns, opened, high, low, close, volume = row
    return (
        f'{{"seq":{seq},"open_at":"{time_text(open_ts_ns)}","close_at":"{time_text(ts_ns)}","instrument":{_quoted(instrument)},'
        f'"open":"{opened}","high":"{high}","low":"{low}","close":"{close}","volume":"{volume}"}}'
    ).encode()


def _prediction(row: tuple[Any, ...]) -> bytes:
    seq, instrument, ts_ns, prediction_id, model, features, score, probability, probability_e8, return_e8, horizon_ns = row
    (number,) = struct.unpack(">d", score)
    return (
        f'{{"seq":{seq},"at":"{time_text(ts_ns)}","prediction_id":{as_json(prediction_id).decode()},"instrument":{_quoted(instrument)},'
        f'"model_sha256":"{model.hex()}","features_sha256":"{features.hex()}","score":{number if isfinite(number) else "null"},'
        f'"score_hex":"{score.hex()}","probability":"{e8_text(probability_e8)}","probability_hex":"{probability.hex()}",'
        f'"expected_return":"{e8_text(return_e8)}","horizon_s":{span_s(horizon_ns)}}}'
    ).encode()


_TABLES: Final = {
    "fills": _Table("fills", _BODY, ("seq",), _stored),
    "orders": _Table("orders", _BODY, ("seq", "client_order_id"), _stored, "updated_seq"),
    "decisions": _Table("decisions", _BODY, ("seq", "part"), _stored),
    "predictions": _Table("predictions", _PREDICTION, ("seq",), _prediction),
    "candles": _Table("bars", _CANDLE, ("seq",), _candle),
}


_SEARCHED: Final = (
    ("fill", "fills", "fill_id", "side || ' ' || instrument", "ts_ns"),
    ("order", "orders", "client_order_id", "instrument || ' ' || status", "json_extract(CAST(body AS TEXT), '$.sent_at')"),
    ("decision", "decisions", "decision_id", "coalesce(instrument || ' ', '') || stage || ' ' || code", "ts_ns"),
    ("prediction", "predictions", "prediction_id", "instrument", "ts_ns"),
)
"""Kind, table, column of the id, and SQL for a title and the time."""


class Reading:
    """Questions to one replica."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._store: ReplicaStore = replica.store
        self._written: dict[str, dict[int, bytes]] = {"candles": {}, "predictions": {}}

    def page(self, what: str, wanted: Wanted) -> Page:
        """A page of `fills`, `orders`, `decisions`, `predictions` or `candles`.

        Raises
        ------
        InvalidInput
            The cursor is none of ours.
        """
        table = _TABLES[what]
        where, values = self._where(table, wanted)
        place = ", ".join(table.place)
        order = ", ".join(f"{column} DESC" for column in table.place)
        statement = f"SELECT {place}, {table.columns} FROM {table.name} WHERE {where} ORDER BY {order} LIMIT ?"
        found = self._store.rows(statement, (*values, wanted.limit + 1))
        more, found, width = len(found) > wanted.limit, found[: wanted.limit], len(table.place)
        return Page(self._made(what, [row[width:] for row in found]), write_cursor(found[-1][:width]) if more else None)

    def _made(self, what: str, rows: list[tuple[Any, ...]]) -> Rows:
        """Rows as JSON; those that are written out from columns are kept for the next who asks, since they never change."""
        made, known = _TABLES[what].made, self._written.get(what)
        if known is None:
            return [made(row) for row in rows]
        if len(known) > WRITTEN_MAX:
            known.clear()
        texts = []
        for row in rows:
            text = known.get(row[0])
            if text is None:
                text = known[row[0]] = made(row)
            texts.append(text)
        return texts

    def _where(self, table: _Table, wanted: Wanted) -> tuple[str, list[Any]]:
        terms: list[str] = ["1"]
        values: list[Any] = []
        for column, value in wanted.equal.items():
            terms.append(f"{column} = ?")
            values.append(value)
        terms += [column if flag else f"NOT {column}" for column, flag in wanted.flags.items()]
        if wanted.since_ns is not None:
            terms.append("ts_ns >= ? AND seq >= ?")
            values += [wanted.since_ns, self._first_seq(wanted.since_ns)]
        if wanted.until_ns is not None:
            terms.append("ts_ns < ? AND seq <= ?")
            values += [wanted.until_ns, self._last_seq(wanted.until_ns)]
        if wanted.cursor is not None:
            terms.append(f"({', '.join(table.place)}) < ({', '.join('?' * len(table.place))})")
            values += read_cursor(wanted.cursor, [str if column == "client_order_id" else int for column in table.place])
        return " AND ".join(terms), values

    def _first_seq(self, since_ns: int) -> int:
        """A record before which nothing happened at or after this time: bars are the clock, one interval of disorder is allowed for."""
        slack = since_ns - self.replica.settings.interval_ns
        found = self._store.one("SELECT seq FROM bars WHERE ts_ns < ? ORDER BY ts_ns DESC LIMIT 1", (max(slack, -(2**63)),))
        return found[0] if found is not None else 0

    def _last_seq(self, until_ns: int) -> int:
        slack = until_ns + self.replica.settings.interval_ns
        found = self._store.one("SELECT seq FROM bars WHERE ts_ns > ? ORDER BY ts_ns LIMIT 1", (min(slack, 2**63 - 1),))
        return found[0] if found is not None else 2**63 - 1

    def after(self, what: str, seq: int, limit: int) -> Rows | None:
        """Rows of records after `seq`, oldest first; None where there are more than `limit`."""
        table = _TABLES[what]
        order = ", ".join((table.changed, *table.place))
        statement = f"SELECT {table.columns} FROM {table.name} WHERE {table.changed} > ? ORDER BY {order} LIMIT ?"
        found = self._store.rows(statement, (seq, limit + 1))
        return None if len(found) > limit else self._made(what, found)

    def newest(self, what: str, limit: int) -> Rows:
        """The newest rows, newest first; of orders also every open one."""
        rows = self.page(what, Wanted(limit=limit)).rows
        if what != "orders":
            return rows
        known = set(rows)
        return rows + [row for row in self.open_orders() if row not in known]

    def open_orders(self) -> Rows:
        """Orders that may still trade, newest first."""
        return [_stored(row) for row in self._store.rows("SELECT body FROM orders WHERE is_open ORDER BY seq DESC")]

    def fill(self, fill_id: str) -> bytes | None:
        return self._single("SELECT body FROM fills WHERE fill_id = ?", fill_id)

    def order(self, client_order_id: str) -> bytes | None:
        return self._single("SELECT body FROM orders WHERE client_order_id = ?", client_order_id)

    def _single(self, statement: str, name: str) -> bytes | None:
        row = self._store.one(statement, (name,))
        return None if row is None else _stored(row)

    def last_prediction(self) -> bytes | None:
        """The newest prediction."""
        seq = self.replica.views.prediction_seq
        row = None if seq is None else self._store.one(f"SELECT {_PREDICTION} FROM predictions WHERE seq = ?", (seq,))
        return None if row is None else _prediction(row)

    def last_close(self, instrument: str) -> tuple[str, int] | None:
        """The last close of an instrument as text, and when."""
        found = self._store.one("SELECT close, ts_ns FROM bars WHERE instrument = ? ORDER BY seq DESC LIMIT 1", (instrument,))
        return None if found is None else (found[0], found[1])

    def equity(self, points: int, since_ns: int | None, until_ns: int | None) -> tuple[float, list[dict[str, str]]]:
        """Resolution in seconds, and points, oldest first: the finest level that fits."""
        levels = self.replica.levels
        low = self.replica.started.started_ts_ns if since_ns is None else since_ns
        high = self.replica.state.ts_ns + 1 if until_ns is None else until_ns
        level = levels.finest_for(max(0, high - low), points)
        statement = "SELECT * FROM equity WHERE level = ? AND ts_ns >= ? AND ts_ns < ? ORDER BY ts_ns DESC LIMIT ?"
        rows = self._store.rows(statement, (level, low, high, points))[::-1]
        rows += [row for row in levels.unfinished(level) if low <= row[1] < high and (not rows or row[1] > rows[-1][1])]
        return span_s(levels.spans_ns[level]), [_point(row) for row in rows[-points:]]

    def search(self, text: str, limit: int) -> list[tuple[str, str, str, str]]:
        """`(kind, id, title, time)` of fills, orders, decisions and predictions whose id begins so."""
        found = []
        for kind, table, column, title, at in _SEARCHED:
            statement = f"SELECT {column}, {title}, {at} FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT ?"
            for name, words, when in self._store.rows(statement, (text, text + "\U0010ffff", limit)):
                found.append((kind, name, words, when if isinstance(when, str) else time_text(when)))
        return found


def _point(row: Sequence[int]) -> dict[str, str]:
    _, ts_ns, equity_e8, low_e8, high_e8, drawdown_e8 = row
    return {
        "at": time_text(ts_ns),
        "equity": e8_text(equity_e8),
        "low": e8_text(low_e8),
        "high": e8_text(high_e8),
        "drawdown": e8_text(drawdown_e8),
    }


def write_cursor(place: Sequence[Any]) -> str:
    """Opaque text of a row's place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).decode().rstrip("=")


def read_cursor(text: str, kinds: Sequence[type]) -> list[Any]:
    """The place in a cursor.

    Raises
    ------
    InvalidInput
        It is none of ours, or of another list.
    """
    try:
        place = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(place, list) or [type(value) for value in place] != list(kinds):
            raise ValueError("another list's")
        if any(isinstance(value, int) and not 0 <= value < 2**63 for value in place):
            raise ValueError("out of range")
        return place
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError):
        raise InvalidInput(
            f"cursor is {text[:60]!r}", why="no cursor of this list", fix="hand back next_cursor of its last page, or leave it out"
        ) from None
