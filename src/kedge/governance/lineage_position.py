"""The position that a fill of the venue's own doing closed: which orders built it, and which stop was wanted for it.

Read backwards from the fill, since neither positions nor stops have an id. A position begins where the books went from flat, or turned
round, last. The step that first wanted its stop marks that place; without stops the steps are read back to the run's first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.events import InstrumentChanged, OrderFilled, PositionAdopted, StopPlaced, StopUnconfirmed
from kedge.domain.instrument import Instrument
from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import StopWanted
from kedge.domain.record import Step
from kedge.governance.lineage import Moment, Node, NodeKind
from kedge.governance.lineage_records import record_node
from kedge.governance.lineage_words import price_text, qty_text, span_text

MARKS: Final = (b'"type":"fill"', b'"type":"adopted"', b'"type":"want_stop"', b'"type":"stop_placed"', b'"type":"stop_unconfirmed"')
"""What the bytes of a row hold that may tell something of a position; others need not be decoded."""

SAME_POSITION: Final = frozenset({"average moved", "liquidation is nearer"})
"""Reasons of a stop that is wanted elsewhere for the same position."""


class _Move(NamedTuple):
    """What one step did to the position, in 1e-8 of the base currency; `is_set` where it put the position in place of ours."""

    amount_e8: int
    client_order_id: str = ""
    fill_id: str = ""
    is_set: bool = False


class Holding(NamedTuple):
    """What a fill closed.

    Attributes
    ----------
    order_ids : tuple of str
        Orders of ours that opened it and added to it, the newest first.
    is_foreign : bool
        Whether somebody else traded a part of it: taken over with the account, or adopted.
    wanted : tuple of Step and StopWanted, or None
        The newest stop that was wanted for it.
    told : tuple of Step
        What was told of that stop until the fill, oldest first.
    """

    order_ids: tuple[str, ...]
    is_foreign: bool
    wanted: tuple[Step, StopWanted] | None
    told: tuple[Step, ...]


class HoldingReader:
    """Takes the steps before a closing fill, the newest first, until it knows the position's beginning.

    Parameters
    ----------
    fill : OrderFilled
        The one that closed: a sale closed a long position.
    spec_at : callable
        The instrument's record in force at a record of the journal.
    """

    def __init__(self, fill: OrderFilled, spec_at: Callable[[int], Instrument]) -> None:
        self._instrument, self._spec_at = fill.instrument, spec_at
        self._sign = 1 if fill.side is Side.SELL else -1
        self._moves: list[_Move] = []
        self._wanted: tuple[Step, StopWanted] | None = None
        self._told: list[Step] = []
        self._start_e8 = 0

    def take(self, step: Step) -> bool:
        """Take the next step back; True when nothing older matters."""
        event = step.event
        move = self._move(step)
        if move is not None:
            self._moves.append(move)
        elif isinstance(event, StopPlaced | StopUnconfirmed) and event.instrument == self._instrument and self._wanted is None:
            self._told.append(step)
        wanted = next((o for o in step.outputs if type(o) is StopWanted and o.instrument == self._instrument), None)
        if wanted is None:
            return False
        if self._wanted is None and wanted.stop_ticks and wanted.position_lots * self._sign > 0:
            self._wanted = step, wanted
        if self._wanted is None or wanted.reason in SAME_POSITION or isinstance(event, InstrumentChanged):
            return False  # a new grid begins stops anew, not positions; and our own order may have closed it while the stop fired
        after_e8 = wanted.position_lots * self._spec_at(step.seq).lot_e8
        self._start_e8 = after_e8 if move is None or move.is_set else after_e8 - move.amount_e8
        return True

    def holding(self) -> Holding:
        """What is known once the steps are taken."""
        held, ids, foreign = self._start_e8, dict[str, None](), False
        ended: tuple[dict[str, None], bool] = ({}, False)
        told: set[str] = set()
        for move in reversed(self._moves):
            if move.fill_id and move.fill_id in told:
                continue
            told.add(move.fill_id)
            before, held = held, move.amount_e8 if move.is_set else held + move.amount_e8
            if before * self._sign <= 0 or held * self._sign <= 0:
                ended = (ids, foreign) if ids or foreign else ended
                ids, foreign = {}, False
            if held * self._sign > 0 and move.amount_e8 * self._sign > 0:
                ids |= {move.client_order_id: None} if move.client_order_id else {}
                foreign = foreign or not move.client_order_id
        ids, foreign = (ids, foreign) if held * self._sign > 0 else ended
        shown = tuple(reversed(self._told)) if self._wanted is not None else ()
        return Holding(tuple(reversed(ids)), foreign, self._wanted, shown)

    def _move(self, step: Step) -> _Move | None:
        event = step.event
        if type(event) is PositionAdopted and event.instrument == self._instrument:
            return _Move(event.lots * self._spec_at(step.seq).lot_e8, is_set=True)
        if type(event) is not OrderFilled or event.instrument != self._instrument:
            return None
        signed = event.qty_lots if event.side is Side.BUY else -event.qty_lots
        ours = event.client_order_id if event.cause is FillCause.TRADE else ""
        return _Move(signed * self._spec_at(step.seq).lot_e8, ours, event.fill_id)


def stop_node(step: Step, wanted: StopWanted, told: tuple[Step, ...], spec: Instrument) -> Node:
    """The stop that was wanted for a position, and what the venue showed of it."""
    side, price = "sell" if wanted.position_lots > 0 else "buy", price_text(spec, wanted.stop_ticks)
    held = qty_text(spec, wanted.position_lots)
    facts = {
        "instrument": wanted.instrument,
        "trigger": f"the mark {'falls' if side == 'sell' else 'rises'} to {price}",
        "position": held,
        "reason": wanted.reason,
    }
    asked = Moment(at_ts_ns=step.event.ts_ns, what="wanted", text=f"at {price} for {held}: {wanted.reason}", seq=step.seq)
    life = (asked, *(_moment(one, spec) for one in told))
    title = f"stop at {price} for {held}, by the mark"
    return record_node(NodeKind.STOP, f"{wanted.instrument}@{step.seq}", title, facts, step, life)


def _moment(step: Step, spec: Instrument) -> Moment:
    event = step.event
    if isinstance(event, StopUnconfirmed):
        what, text = "unconfirmed", f"not shown for {span_text(event.waited_ns)}: {event.why}"
    else:
        ticks = event.stop_ticks if isinstance(event, StopPlaced) else 0
        what, text = ("shown", f"the venue shows it at {price_text(spec, ticks)}") if ticks else ("taken away", "the venue shows none")
    return Moment(at_ts_ns=event.ts_ns, what=what, text=text, seq=step.seq)
