"""The replica's own SQLite file: rows made for reading, and the checkpoint that says up to which journal row they reach.

Rules: rows and checkpoint are committed together, so that what is on disk is always the state after one journal row; a file that is of
another layout, run, code or history is deleted, never mended. It is a cache: nothing in it is evidence, and it is not synced.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.domain.canonical import encode
from kedge.services.replica_equity import Bucket, EquityRow

LAYOUT: Final = 4

_SCHEMA: Final = (
    "CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL, engine BLOB NOT NULL)",
    """CREATE TABLE bars (seq INTEGER PRIMARY KEY, instrument TEXT NOT NULL, ts_ns INTEGER NOT NULL, open_ts_ns INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL, volume TEXT NOT NULL)""",
    "CREATE INDEX bars_instrument ON bars (instrument, seq)",
    "CREATE INDEX bars_time ON bars (ts_ns)",
    """CREATE TABLE predictions (seq INTEGER PRIMARY KEY, instrument TEXT NOT NULL, ts_ns INTEGER NOT NULL, prediction_id TEXT NOT NULL,
    model BLOB NOT NULL, features BLOB NOT NULL, score BLOB NOT NULL, probability BLOB NOT NULL, probability_e8 INTEGER NOT NULL,
    return_e8 INTEGER NOT NULL, horizon_ns INTEGER NOT NULL)""",
    "CREATE INDEX predictions_instrument ON predictions (instrument, seq)",
    "CREATE INDEX predictions_id ON predictions (prediction_id)",
    """CREATE TABLE fills (seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, fill_id TEXT NOT NULL, instrument TEXT NOT NULL,
    side TEXT NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX fills_id ON fills (fill_id)",
    "CREATE INDEX fills_instrument ON fills (instrument, seq)",
    """CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, updated_seq INTEGER NOT NULL, instrument TEXT NOT NULL,
    status TEXT NOT NULL, is_open INTEGER NOT NULL, ticks_lots TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX orders_seq ON orders (seq, client_order_id)",
    "CREATE INDEX orders_updated ON orders (updated_seq)",
    "CREATE INDEX orders_open ON orders (seq) WHERE is_open",
    """CREATE TABLE decisions (seq INTEGER NOT NULL, part INTEGER NOT NULL, ts_ns INTEGER NOT NULL, decision_id TEXT, prediction_id TEXT,
    instrument TEXT, stage TEXT NOT NULL, code TEXT NOT NULL, vetoed INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (seq, part)) WITHOUT ROWID""",
    "CREATE INDEX decisions_id ON decisions (decision_id)",
    "CREATE INDEX decisions_code ON decisions (code, seq)",
    "CREATE INDEX decisions_vetoed ON decisions (seq) WHERE vetoed",
    """CREATE TABLE equity (level INTEGER NOT NULL, ts_ns INTEGER NOT NULL, equity_e8 INTEGER NOT NULL, low_e8 INTEGER NOT NULL,
    high_e8 INTEGER NOT NULL, drawdown_e8 INTEGER NOT NULL, PRIMARY KEY (level, ts_ns)) WITHOUT ROWID""",
)


class Day(msgspec.Struct):
    """Where the account stood when the UTC day (or the run) began; money in 1e-8, `price_e8` is realised and unrealised profit."""

    day: int
    since_ns: int
    equity_e8: int
    price_e8: int
    funding_e8: int
    fees_e8: int
    flows_e8: int


class RiskChange(msgspec.Struct, frozen=True):
    """The last change of the risk state."""

    ts_ns: int
    code: str
    observed: str
    limit: str


class Checkpoint(msgspec.Struct, kw_only=True):
    """What stands beside the rows: whose they are, up to where they reach, and what is remembered besides the engine.

    Attributes
    ----------
    row, row_hash : int, str
        The last journal row folded, and its chain hash (hex); -1 before the first.
    seq : int
        The last record folded.
    bar_ts_ns, bar_wall_ns : int or None
        The last bar's close, and when it was recorded, where the journal says so.
    """

    layout: int
    run_id: str
    settings_sha256: str
    code_sha256: str
    row: int
    row_hash: str
    seq: int
    day: Day
    buckets: list[Bucket | None]
    risk: RiskChange | None = None
    bar_ts_ns: int | None = None
    bar_wall_ns: int | None = None
    prediction_seq: int | None = None
    ended: bool = False


class ReplicaStore:
    """One run's file. Everything since the last `save` is lost with the process and folded again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -16384")
        if not self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA:
                self._db.execute(statement)
        self.load()
        self._db.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Release the file; what was not saved is dropped."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")
        self._db.close()

    def load(self) -> tuple[Checkpoint, bytes] | None:
        """The checkpoint and the engine's snapshot, None in a new file; ValueError or sqlite3.Error where they cannot be read."""
        row = self._db.execute("SELECT body, engine FROM checkpoint").fetchone()
        return None if row is None else (msgspec.json.decode(row[0], type=Checkpoint), row[1])

    def save(self, checkpoint: Checkpoint, engine: bytes) -> None:
        """Commit all rows so far together with the checkpoint that they reach."""
        self._db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?)", (encode(checkpoint), engine))
        self._db.execute("COMMIT")
        self._db.execute("BEGIN IMMEDIATE")

    # writing ---------------------------------------------------------------------------------------------------------

    def put_bar(self, row: tuple[Any, ...]) -> None:
        self._db.execute("INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put_prediction(self, row: tuple[Any, ...]) -> None:
        self._db.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put_fill(self, row: tuple[int, int, str, str, str, bytes]) -> None:
        self._db.execute("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?)", row)

    def put_order(self, row: tuple[str, int, int, str, str, bool, str, bytes]) -> None:
        self._db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put_decision(self, row: tuple[Any, ...]) -> None:
        self._db.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def put_equity(self, rows: Iterable[EquityRow]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO equity VALUES (?, ?, ?, ?, ?, ?)", rows)

    # reading ---------------------------------------------------------------------------------------------------------

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """A query's rows; a bounded number of them is the caller's duty."""
        return self._db.execute(statement, values).fetchall()

    def one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """A query's first row, or None."""
        return self._db.execute(statement, values).fetchone()


def remove_store(path: Path) -> None:
    """Delete a replica's file with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
