"""The records of the guard's journal: how it starts, and each thing the guard saw or did. Same rows, chain and heads as a run's journal.

A record is plain data under the tag of its type, since the guard's own types live on a higher floor: whole numbers, text, booleans, lists
and objects, never a float.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import NonNegativeInt

WATCH_FORMAT: Final = "kedge/guard/v1"
WATCH_PREFIX: Final = "guard-"
"""Begins the id of every guard's journal, which stands in its heads: such a journal has no end."""
WATCHED_BYTES_MAX: Final = 65_536
MENTIONED: Final = ("approval_id", "client_order_id")
"""Fields of a record whose text the index finds again."""
LATCH: Final = "latch"
"""The index's id for every record that changed the latch; one such record holds the number `GENERATION`."""
GENERATION: Final = "generation"
LATCHING: Final = frozenset({"latched", "released"})
"""The kinds of those records."""
WORDS: Final = ("reason", "root_cause", "why", "detail", "observed", "limit", "actor", "name", "words")
"""Fields that a person or a venue writes freely, which are searched for secrets."""


class WatchStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="watch_started"):
    """Row 0 of a guard's journal; `run_id` is the journal's own id, as heads name it."""

    run_id: str
    account: str
    engine_version: str
    started_wall_ns: int
    format: str = WATCH_FORMAT


class Watched(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="watched"):
    """One record. `seq` numbers records, the start being 0; `kind` is the tag of the guard's own type, `content` its fields."""

    seq: NonNegativeInt
    recorded_wall_ns: int
    kind: str
    content: dict[str, Any]


def watched_content(record: msgspec.Struct) -> tuple[str, dict[str, Any]]:
    """The tag and the plain fields of a guard's record.

    Raises
    ------
    InvalidInput
        It has no tag, holds a float, or is too long to be kept.
    """
    content = msgspec.to_builtins(record)
    kind = record.__struct_config__.tag
    if not isinstance(content, dict) or not isinstance(kind, str):
        raise InvalidInput(f"{type(record).__name__} cannot be recorded", why="it has no tag", fix="give the type a tag of text")
    content.pop(record.__struct_config__.tag_field or "type", None)
    _refuse_floats(content, kind)
    if (size := len(encode(content))) > WATCHED_BYTES_MAX:
        raise InvalidInput(f"{kind} has {size} bytes", why=f"at most {WATCHED_BYTES_MAX} are kept of one record", fix="record less of it")
    return kind, content


def _refuse_floats(value: Any, place: str) -> None:
    if isinstance(value, float):
        raise InvalidInput(f"{place} is {value!r}", why="canonical bytes hold no floats", fix="write it as text or as a scaled integer")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, one in inner:
        _refuse_floats(one, f"{place}.{name}")
