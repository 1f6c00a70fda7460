"""The newest fills of one run, for a person who wants one to take apart.

Rule: read from the rows themselves, from the end backwards, so that neither an index nor a replica is needed or trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kedge.domain.errors import NotFound
from kedge.domain.events import OrderFilled
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause
from kedge.domain.outputs import Decided, OrderSent, Output
from kedge.domain.record import Step
from kedge.domain.units import money_text
from kedge.engine.costs import CostLedger, FillCost
from kedge.services.lineage_journal import RunRecords
from kedge.services.lineage_position import PAGE_ROWS, steps_back
from kedge.services.replica_text import time_text

_FILL: Final = b'"type":"fill"'
_ORDERED: Final = (b'"type":"send"', b'"type":"decided"')


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
        'maker' or 'taker'; 'trade', 'liquidation', 'adl', 'stop' or 'adopted'.
    slippage, slippage_bps, slippage_against : str
        What it cost against the price that its decision saw, positive when paid, and which price that was, 'mid' or 'mark'; '' where no
        decision of this run ordered it.
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
    slippage: str = ""
    slippage_bps: str = ""
    slippage_against: str = ""


def newest_fills(run: RunRecords, limit: int, *, page_rows: int = PAGE_ROWS) -> list[ListedFill]:
    """The last `limit` fills of a run, oldest first; rows are read `page_rows` at a time.

    Raises
    ------
    IntegrityError
        A row that tells a fill cannot be read.
    """
    found: list[tuple[Step, OrderFilled]] = []
    for step in steps_back(run, (_FILL,), run.reader.last_seq() + 1, page_rows):
        if isinstance(step.event, OrderFilled):
            found.append((step, step.event))
        if len(found) == limit:
            break
    costs = _costs(run, found[::-1], page_rows)
    return [_listed(run, step, fill, cost) for (step, fill), cost in zip(found[::-1], costs, strict=True)]


def _costs(run: RunRecords, fills: Sequence[tuple[Step, OrderFilled]], page_rows: int) -> list[FillCost]:
    """What each fill cost against its decision, which may stand long before it; read back until every decision is found."""
    orders = {fill.client_order_id for _, fill in fills if fill.client_order_id and fill.cause is FillCause.TRADE}
    decisions: set[str] = set()
    told: list[Output] = []
    for step in steps_back(run, _ORDERED, run.reader.last_seq() + 1 if orders else 0, page_rows):
        for output in reversed(step.outputs):
            if isinstance(output, OrderSent) and output.approved.order.client_order_id in orders:
                orders.discard(output.approved.order.client_order_id)
                decisions.add(output.approved.order.decision_id)
                told.append(output)
            elif isinstance(output, Decided) and output.decision_id in decisions:
                decisions.discard(output.decision_id)
                told.append(output)
        if not orders and not decisions:
            break
    ledger = CostLedger({one.instrument: spec for step, one in fills if (spec := _spec(run, one.instrument, step.seq)) is not None})
    ledger.took(told[::-1])
    return [ledger.fill(fill) for _, fill in fills]


def _listed(run: RunRecords, step: Step, fill: OrderFilled, cost: FillCost) -> ListedFill:
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
        slippage=cost.slippage,
        slippage_bps=cost.bps,
        slippage_against=cost.against,
    )


def _spec(run: RunRecords, instrument: str, seq: int) -> Instrument | None:
    try:
        return run.spec(instrument, seq)
    except NotFound:
        return None
