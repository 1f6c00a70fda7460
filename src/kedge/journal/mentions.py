"""Which ids a step mentions, and which blobs it names: what a journal's index holds, and what a verification expects there.

The index is a hint that saves a walk through the file. It is built from the recorded bytes alone, so anyone can build it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kedge.domain import events, outputs
from kedge.domain.errors import IntegrityError
from kedge.domain.record import Record, Step
from kedge.journal.rows import decode_record


class Mention(NamedTuple):
    """An id in a record: `kind` is the tag of the event or output that mentions it, `seq` the record's number."""

    id: str
    kind: str
    seq: int


_FIELDS: Final[dict[type, tuple[str, tuple[str, ...]]]] = {
    events.OrderAccepted: ("accepted", ("client_order_id",)),
    events.OrderRejected: ("rejected", ("client_order_id",)),
    events.OrderFilled: ("fill", ("fill_id", "client_order_id")),
    events.OrderCanceled: ("canceled", ("client_order_id",)),
    events.OrderUnanswered: ("unanswered", ("client_order_id",)),
    events.OrderProvenAbsent: ("absent", ("client_order_id",)),
    events.OrderWaits: ("waits", ("client_order_id",)),
    events.OrderTriggered: ("triggered", ("client_order_id",)),
    events.OrderAmended: ("amended", ("client_order_id",)),
    events.OrderAmendRefused: ("amend_refused", ("client_order_id",)),
    outputs.Decided: ("decided", ("decision_id", "prediction_id")),
    outputs.Predicted: ("predicted", ("prediction_id",)),
    outputs.AmendSent: ("amend", ("client_order_id",)),
    outputs.CancelSent: ("cancel", ("client_order_id",)),
}
"""Where ids stand, by type; orders carry theirs one level down. Stops and quotes have no id: they are found by walking back from a fill."""

KINDS: Final = frozenset({kind for kind, _ in _FIELDS.values()} | {"send", "refused", "instrument_changed"})


_PLAIN_BAR: Final = b'{"event":{"close_ticks":'
"""How the canonical bytes of a step with a bar begin; most rows are bars after which nothing was wanted."""


def telling_step(body: bytes) -> Step | None:
    """The step in a row's bytes, if it may mention an id or name a blob; None for all other rows, unreadable ones included."""
    if body.startswith(_PLAIN_BAR) and b'"outputs":[' not in body:
        return None
    try:
        record = decode_record(-1, body)
    except IntegrityError:
        return None
    return record if isinstance(record, Step) else None


def mentions(record: Record) -> Iterator[Mention]:
    """The ids in a record, in order, each once for each kind; empty ids are none."""
    if not isinstance(record, Step):
        return
    yield from _of(record.event, record.seq)
    for output in record.outputs:
        yield from _of(output, record.seq)


def blobs_named(record: Record) -> Iterator[str]:
    """SHA-256 (hex) of the blobs that a record needs."""
    if isinstance(record, Step):
        for output in record.outputs:
            if type(output) is outputs.Predicted:
                yield output.features_sha256


def _of(value: events.Event | outputs.Output, seq: int) -> Iterator[Mention]:
    kind = type(value)
    if kind in _FIELDS:
        tag, names = _FIELDS[kind]
        for name in names:
            if found := getattr(value, name):
                yield Mention(found, tag, seq)
    elif isinstance(value, outputs.OrderSent | outputs.OrderRefused):
        order, tag = (value.approved.order, "send") if isinstance(value, outputs.OrderSent) else (value.order, "refused")
        yield Mention(order.client_order_id, tag, seq)
        yield Mention(order.decision_id, tag, seq)
    elif isinstance(value, events.InstrumentChanged):
        yield Mention(value.instrument.instrument_id, "instrument_changed", seq)
