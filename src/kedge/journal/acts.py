"""The records of the journal of acts: how it starts, and each act with its number. Same rows, chain and heads as a run's journal."""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import NonNegativeInt
from kedge.domain.people import Act

ACTS_FORMAT: Final = "kedge/acts/v1"
ACTS_PREFIX: Final = "acts-"
"""Begins the id of every journal of acts, which stands in its heads: such a journal has no end."""
ACT_BYTES_MAX: Final = 32_768
TEXT_CHARS_MAX: Final = 4_000
"""Of one text of an act."""

_acts: Final = msgspec.json.Decoder(Act)


class ActsStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="acts_started"):
    """Row 0 of a journal of acts; `run_id` is the journal's own id, as heads name it."""

    run_id: str
    engine_version: str
    started_wall_ns: int
    format: str = ACTS_FORMAT


class ActRecorded(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", tag="acted"):
    """One act. `seq` numbers records, the start being 0; `recorded_wall_ns` is when it was written here, after the act itself."""

    seq: NonNegativeInt
    recorded_wall_ns: int
    act: Act


def act_bytes(act: Act) -> bytes:
    """An act's canonical bytes.

    Raises
    ------
    InvalidInput
        A field holds another type than it says, or the act is too long to be kept or to be searched for secrets.
    """
    try:
        body = encode(act)
        _acts.decode(body)
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("the act cannot be recorded", why=str(error), fix="pass text and integers, as its type says") from None
    longest = max(len(text) for text in (act.name, act.subject, act.reason, *act.details, *act.details.values()))
    if len(body) > ACT_BYTES_MAX or longest > TEXT_CHARS_MAX:
        raise InvalidInput(
            f"the act {act.action} has {len(body)} bytes, its longest text {longest} characters",
            why=f"at most {ACT_BYTES_MAX} bytes and {TEXT_CHARS_MAX} characters in one text are kept",
            fix="shorten its reason or details",
        )
    return body


def decode_act(body: bytes) -> Act | None:
    """The act in these bytes, or None where they are not exactly one act's canonical bytes."""
    try:
        act: Act = _acts.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None
    return act if encode(act) == body else None
