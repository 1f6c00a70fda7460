"""Which ids a step mentions, and which blobs it names: what a journal's index holds, and what a verification expects there.

The index is a hint that saves a walk through the file. It is built from the recorded bytes alone, so anyone can build it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kedge.domain import events, outputs
from kedge.domain.errors import IntegrityError
from kedge.domain.record import Record, Step
from kedge.journal.acts import ActRecorded
from kedge.journal.rows import decode_row
from kedge.journal.watch import GENERATION, LATCH, LATCHING, MENTIONED, Watched


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
    events.LimitsChanged: ("limits_changed", ("approval_id",)),
    events.OverrideGranted: ("override", ("approval_id",)),
    events.AccountInherited: ("inherited", ("from_run",)),
    outputs.Decided: ("decided", ("decision_id", "prediction_id")),
    outputs.Predicted: ("predicted", ("prediction_id",)),
    outputs.AmendSent: ("amend", ("client_order_id",)),
    outputs.CancelSent: ("cancel", ("client_order_id",)),
}
"""Where ids stand, by type; orders carry theirs one level down. Stops and quotes have no id: they are found by walking back from a fill."""

_PLAIN_BAR: Final = b'{"event":{"close_ticks":'
"""How the canonical bytes of a step with a bar begin; most rows are bars after which nothing was wanted."""


def telling_step(body: bytes) -> Step | ActRecorded | Watched | None:
    """What may mention an id or name a blob: a row's step, act or guard's record; None for all other rows, unreadable ones included."""
    if body.startswith(_PLAIN_BAR) and b'"outputs":[' not in body:
        return None
    try:
        record = decode_row(-1, body)
    except IntegrityError:
        return None
    return record if isinstance(record, Step | ActRecorded | Watched) else None


def mentions(record: Record | ActRecorded | Watched) -> Iterator[Mention]:
    """The ids in a record, in order, each once for each kind; empty ids are none."""
    if isinstance(record, ActRecorded):
        yield Mention(record.act.act_id, "acted", record.seq)
        return
    if isinstance(record, Watched):
        yield from _watched(record)
        return
    if not isinstance(record, Step):
        return
    yield from _of(record.event, record.seq)
    for output in record.outputs:
        yield from _of(output, record.seq)


def blobs_named(record: Record | ActRecorded | Watched) -> Iterator[str]:
    """SHA-256 (hex) of the blobs that a record needs."""
    if isinstance(record, Step):
        for output in record.outputs:
            if type(output) is outputs.Predicted:
                yield output.features_sha256


def _watched(record: Watched) -> Iterator[Mention]:
    for name in MENTIONED:
        found = record.content.get(name)
        if found and isinstance(found, str):
            yield Mention(found, record.kind, record.seq)
    if record.kind in LATCHING and GENERATION in record.content:
        yield Mention(LATCH, record.kind, record.seq)


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
