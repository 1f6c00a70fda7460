"""The newest fills of one run, for a person who wants one to take apart.

Rule: read from the rows themselves, from the end backwards, so that neither an index nor a replica is needed or trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from kedge.domain.errors import NotFound
from kedge.domain.events import OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.record import Step
from kedge.domain.units import money_text
from kedge.journal import decode_record
from kedge.services.lineage_journal import RunRecords
from kedge.services.replica_text import time_text

PAGE_ROWS: Final = 4_096
_FILL: Final = b'"type":"fill"'


class ListedFill(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as text on its instrument's grid; the names are those of the API.

    Attributes
    ----------
    seq : int
        The journal record.
    at : str
        Venue time, RFC 3339 in UTC.
    client_order_id : str or None
        None where the venue acted by itself.
    qty, price, notional, fee : str or None
        Decimals: base units, then the quote currency; a fee is positive when paid. `qty`, `price` and `notional` are None where the run
        does not trade the instrument, so that its grid is not known.
    liquidity, cause : str
        'maker' or 'taker'; 'trade', 'liquidation' or 'adopted'.
    """

    seq: int
    at: str
    fill_id: str
    client_order_id: str | None
    instrument: str
    side: str
    qty: str | None
    price: str | None
    notional: str | None
    fee: str
    liquidity: str
    cause: str


def newest_fills(run: RunRecords, limit: int, *, page_rows: int = PAGE_ROWS) -> list[ListedFill]:
    """The last `limit` fills of a run, oldest first; rows are read `page_rows` at a time.

    Raises
    ------
    IntegrityError
        A row that tells a fill cannot be read.
    """
    found: list[ListedFill] = []
    for step, fill in _backwards(run, page_rows):
        found.append(_listed(run, step, fill))
        if len(found) == limit:
            break
    return found[::-1]


def _backwards(run: RunRecords, page_rows: int) -> Iterator[tuple[Step, OrderFilled]]:
    stop = run.reader.last_seq() + 1
    while stop > 0:
        start = max(0, stop - page_rows)
        page = [(row, body) for row, _, body in run.reader.raw_rows(start=start, stop=stop) if _FILL in body]
        for row, body in reversed(page):
            record = decode_record(row, body)
            if isinstance(record, Step) and isinstance(record.event, OrderFilled):
                yield record, record.event
        stop = start


def _listed(run: RunRecords, step: Step, fill: OrderFilled) -> ListedFill:
    spec = _spec(run, fill.instrument, step.seq)
    return ListedFill(
        seq=step.seq,
        at=time_text(fill.ts_ns),
        fill_id=fill.fill_id,
        client_order_id=fill.client_order_id or None,
        instrument=fill.instrument,
        side=fill.side.value,
        qty=spec.qty_text(fill.qty_lots) if spec else None,
        price=spec.price_text(fill.price_ticks) if spec else None,
        notional=money_text(spec.notional_e8(fill.price_ticks, fill.qty_lots)) if spec else None,
        fee=money_text(fill.fee_e8),
        liquidity=fill.liquidity.value,
        cause=fill.cause.value,
    )


def _spec(run: RunRecords, instrument: str, seq: int) -> Instrument | None:
    try:
        return run.spec(instrument, seq)
    except NotFound:
        return None
