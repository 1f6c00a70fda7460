"""What a run takes over from the one that traded the same account before it: what holds trading, and what losses are measured from.

Rules: a limit that a restart with other settings would forget is none. The earlier journal is checked and folded like that of a run which
goes on; what it cannot say is never taken for nothing. Positions and orders are the first comparison's business, as at every start. Between
the runs the venue's ledger tells what was a flow, which moves the high-water mark in proportion, and what was traded. What no row explains
is held against us: more money is a flow, so that it hides no drawdown; less is a loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from kedge.domain.errors import IntegrityError, KedgeError
from kedge.domain.events import AccountInherited
from kedge.domain.outputs import RiskStateChanged
from kedge.domain.record import Step
from kedge.domain.venue import LedgerEntry, LedgerKind, TradingVenue
from kedge.engine.engine import Engine
from kedge.journal import Head, decode_head, decode_record
from kedge.kernel.account import DAY, DAY_LOSS_E8, DAY_START, DRAWDOWN_E8, PEAK, WALLET, book_flow
from kedge.services.ledger import cash_of
from kedge.services.recovery import Onlooker, check_stored, recover
from kedge.services.seen import Seen, rebuild, seen_at_start
from kedge.storage.journal_files import head_path
from kedge.storage.journal_head import newest_copy
from kedge.storage.journal_reader import SqliteJournalReader
from kedge.strategy.model import MODEL

_PAGE_ROWS: Final = 4_096
_MARKED: Final = b'"risk_state"'
"""Stands in the bytes of every record in which the risk state changed."""


class Heritage(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier run of the account as it ended.

    Attributes
    ----------
    held : AccountInherited
        Which run it was and what held trading; nothing of its books.
    account : tuple of int
        The cells of its account, see `kernel.account`.
    orders_sent : int
        How many orders it sent.
    seen : Seen
        What of the venue's ledger was in its books.
    """

    held: AccountInherited
    account: tuple[int, ...]
    orders_sent: int
    seen: Seen


def read_heritage(path: Path, run_id: str) -> Heritage:
    """Fold an earlier run's journal.

    Raises
    ------
    IntegrityError
        It cannot be read whole, so it is not known what held trading.
    """
    try:
        with SqliteJournalReader(path) as reader:
            return _read(reader)
    except KedgeError as error:
        raise unreadable(run_id, error) from error


def unreadable(run_id: str, error: KedgeError) -> IntegrityError:
    """The refusal to begin while nobody can say how the run before ended."""
    return IntegrityError(
        f"the journal of the earlier run {run_id} cannot be read: {error.what}",
        why=f"{error.why}; whether it was halted, and its high-water mark, would be forgotten",
        fix="run `kedge audit verify` on it and put the file back as it was; who moves the run's folder out of runs/ gives up both",
    )


def _read(reader: SqliteJournalReader) -> Heritage:
    head = reader.head()
    if head is None:
        raise IntegrityError("it holds no record", why="its rows were removed")
    started = reader.run_started()
    _check_copy(reader.path, head)
    check_stored(reader, head.count)
    plain = started.settings["engine"]
    engine = recover(reader, strategy=Onlooker(MODEL) if plain["strategy"] == MODEL else None)
    seen, _ = rebuild(reader, head.count, seen_at_start(started))
    last_hash = next(bytes(stored).hex() for _, stored, _ in reader.raw_rows(start=head.seq))
    return Heritage(
        held=_held(engine, _last_change(reader) if engine.state.halt_code else None, started.run_id, head.count - 1, last_hash),
        account=tuple(engine.state.account_view),
        orders_sent=engine.state.funnel.sent,
        seen=seen,
    )


def _check_copy(path: Path, head: Head) -> None:
    """The copy of the newest head is never ahead of the journal: where it is, the end was cut, and with it perhaps what held trading."""
    try:
        copy = decode_head(newest_copy(head_path(path).read_bytes()).body)
    except FileNotFoundError:
        copy = None
    if copy is not None and copy.count > head.count:
        raise IntegrityError(f"it ends at record {head.count - 1}", why=f"its head file was signed at record {copy.count - 1}")


def _held(engine: Engine, change: RiskStateChanged | None, run_id: str, record: int, last_hash: str) -> AccountInherited:
    state = engine.state
    return AccountInherited(
        state.ts_ns,
        run_id,
        record,
        last_hash,
        risk_state=str(state.risk_state),
        code=state.halt_code,
        reason=change.observed if change is not None else "",
        limit=change.limit if change is not None else "",
        drawdown_accepted=state.drawdown_accepted,
    )


def _last_change(reader: SqliteJournalReader) -> RiskStateChanged | None:
    """The last move of the risk state; a journal of a long run is walked from its end."""
    stop = reader.last_seq() + 1
    while stop > 0:
        start = max(0, stop - _PAGE_ROWS)
        for seq, _, body in reversed(list(reader.raw_rows(start=start, stop=stop))):
            record = decode_record(seq, body) if _MARKED in body else None
            outputs = record.outputs if isinstance(record, Step) else ()
            for output in reversed(outputs):
                if isinstance(output, RiskStateChanged):
                    return output
        stop = start
    return None


async def books_inherited(
    venue: TradingVenue, heritage: Heritage, wallet_e8: int, start_ts_ns: int, booked: Iterable[str]
) -> AccountInherited:
    """All that a run with books of its own yet to come takes over.

    Parameters
    ----------
    wallet_e8 : int
        What the wallet holds at the beginning of the run that inherits.
    start_ts_ns : int
        When that is, in venue time.
    booked : iterable of str
        Ids of what carries that time or a later one and is in the wallet all the same.

    Raises
    ------
    VenueUnavailable
        The venue could not be asked for its ledger.
    """
    ledger = await venue.ledger(heritage.seen.ask_from_ns())
    ids = frozenset(booked)
    rows = [row for row in ledger if row.ts_ns < start_ts_ns or (row.fill_id or row.entry_id) in ids]
    account = np.array(heritage.account, np.int64)
    flows_e8 = traded_e8 = 0
    for row in rows:
        if heritage.seen.knows(row.fill_id or row.entry_id):
            continue
        if _is_traded(row):
            traded_e8 += row.change_e8
        elif row.kind is not LedgerKind.OTHER and (cash := cash_of(row)) is not None:
            flows_e8 += cash.amount_e8
            book_flow(account, cash.amount_e8)
    unexplained_e8 = wallet_e8 - heritage.account[WALLET] - flows_e8 - traded_e8
    if unexplained_e8 > 0:
        book_flow(account, unexplained_e8)
    return msgspec.structs.replace(
        heritage.held,
        peak_e8=int(account[PEAK]),
        drawdown_e8=int(account[DRAWDOWN_E8]),
        day=int(account[DAY]),
        day_start_e8=int(account[DAY_START]),
        day_loss_e8=int(account[DAY_LOSS_E8]),
        flows_e8=flows_e8,
        traded_e8=traded_e8,
        unexplained_e8=unexplained_e8,
    )


def _is_traded(row: LedgerEntry) -> bool:
    return row.kind in (LedgerKind.TRADE, LedgerKind.FUNDING) or bool(row.fill_id)
