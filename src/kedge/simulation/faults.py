"""Faults to order: what a venue, and the network before it, do on a bad day. Descriptions only; `faults_armed` carries them out.

Rules: a fault says truly what it does: a refusal comes before anything happens, a lost answer after everything has. It strikes by count or
for a time, always or at a rate, at once or later. No fault is known by anything but its description, so that the exchange as a server and
the exchange in process have the same bad days.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec

from kedge.domain.errors import InvalidInput

Kind = Literal[
    "reject", "lose_request", "delay_request", "drop_reply", "hang_reply", "timeout_after", "delay_reply", "duplicate_reply",
    "reorder_reply", "lose_private", "duplicate_private", "duplicate_execution", "reorder_private", "delay_private", "drop_book",
    "duplicate_book", "reorder_book", "stale_book", "crossed_book", "thin_book", "wide_book", "ban", "maintenance", "clock_skew", "cut",
]  # fmt: skip
Stream = Literal["", "public", "private", "trade"]

RATE_ALWAYS_BPS: Final = 10_000
DAY_MS: Final = 86_400_000
COUNT_MAX: Final = 1_000_000
DEFAULT_MS: Final[Mapping[str, int]] = {
    "ban": 600_000, "maintenance": 60_000, "delay_private": 1_000, "stale_book": 5_000, "crossed_book": 5_000,
    "thin_book": 5_000, "wide_book": 5_000,
    "delay_request": 500, "delay_reply": 500,
}  # fmt: skip
"""Milliseconds meant by a fault that says none."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault as it is ordered; what each field means for each kind is in `RULES`.

    Attributes
    ----------
    fault : str
        The kind.
    count : int
        How many requests, operations or frames it strikes; without meaning where `for_ms` is given.
    for_ms : int
        Strikes everything that fits for so long from its beginning, instead of by count; 0 for by count.
    rate_bps : int
        Of those that fit, how many in ten thousand are struck; 10,000 for all.
    after_ms : int
        Begins so much later.
    ms : int
        How late an answer is, how long a lasting kind holds, or by how much a clock is off; 0 for the kind's usual.
    code, text : int, str
        What is answered; 0 and empty for the kind's usual.
    path : str
        Only requests to this path, such as `/v5/order/create`; the trade socket's operations count as their paths. Empty for those
        that place, change or cancel orders.
    bps : int
        How much of its usual size the background still quotes, or how far from the price, in ten thousandths.
    account, symbol, stream : str
        Only this account, this instrument (in the venue's words), these connections; empty for any.
    """

    fault: Kind
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)] = 1
    for_ms: Annotated[int, msgspec.Meta(ge=0, le=DAY_MS)] = 0
    rate_bps: Annotated[int, msgspec.Meta(ge=1, le=RATE_ALWAYS_BPS)] = RATE_ALWAYS_BPS
    after_ms: Annotated[int, msgspec.Meta(ge=0, le=DAY_MS)] = 0
    ms: Annotated[int, msgspec.Meta(ge=-DAY_MS, le=DAY_MS)] = 0
    code: Annotated[int, msgspec.Meta(ge=0, le=9_999_999)] = 0
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    path: Annotated[str, msgspec.Meta(max_length=64)] = ""
    bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    account: Annotated[str, msgspec.Meta(max_length=64)] = ""
    symbol: Annotated[str, msgspec.Meta(max_length=32)] = ""
    stream: Stream = ""

    @property
    def usual_ms(self) -> int:
        """`ms` as given, else as the kind means it."""
        return self.ms or DEFAULT_MS.get(self.fault, 0)


class Rule(NamedTuple):
    """What a kind does, and the fields that mean something for it beside `fault` and `after_ms`."""

    words: str
    fields: tuple[str, ...]


_BY_COUNT: Final = ("count", "for_ms", "rate_bps")
_REQUEST: Final = (*_BY_COUNT, "path", "account")
_PRIVATE: Final = (*_BY_COUNT, "account")
_BOOK: Final = (*_BY_COUNT, "symbol")

RULES: Final[Mapping[str, Rule]] = {
    "reject": Rule("refused with a code, nothing is done", (*_REQUEST, "code", "text")),
    "lose_request": Rule("never arrives: nothing is done, nothing is answered", _REQUEST),
    "delay_request": Rule("arrives `ms` later, and is judged then", (*_REQUEST, "ms")),
    "drop_reply": Rule("carried out, then the connection is cut without an answer", _REQUEST),
    "hang_reply": Rule("carried out and never answered; the connection stays", _REQUEST),
    "timeout_after": Rule("carried out, answered with a code that leaves it open (10000)", (*_REQUEST, "code", "text")),
    "delay_reply": Rule("carried out, answered `ms` later", (*_REQUEST, "ms")),
    "duplicate_reply": Rule("answered twice on the trade socket", _REQUEST),
    "reorder_reply": Rule("answered after the next answer of its trade socket", _REQUEST),
    "lose_private": Rule("private rows of an operation never come", _PRIVATE),
    "duplicate_private": Rule("private rows of an operation come twice", _PRIVATE),
    "duplicate_execution": Rule("executions of an operation come twice", _PRIVATE),
    "reorder_private": Rule("rows of an operation come one by one, backwards", _PRIVATE),
    "delay_private": Rule("private rows are held back for `ms`, then come in order", ("ms",)),
    "drop_book": Rule("a change of a book stream never comes", _BOOK),
    "duplicate_book": Rule("a change of a book stream comes twice", _BOOK),
    "reorder_book": Rule("a change of a book stream comes after the next one", _BOOK),
    "stale_book": Rule("books and tickers are held back for `ms`, then come in order", ("ms",)),
    "crossed_book": Rule("book streams show a bid above the best ask for `ms`", ("ms", "symbol")),
    "thin_book": Rule("the background quotes `bps` of its usual size for `ms`; nothing for 0", ("ms", "bps", "symbol")),
    "wide_book": Rule("the background quotes `bps` away from the price for `ms`", ("ms", "bps", "symbol")),
    "ban": Rule("every request gets 403 for `ms`, sockets are cut", ("ms",)),
    "maintenance": Rule("every request gets 503 for `ms`, sockets are cut", ("ms",)),
    "clock_skew": Rule("the wall's clock is off by `ms`, for `for_ms` or until disarmed", ("ms", "for_ms")),
    "cut": Rule("connections break", ("stream", "account")),
}
"""Every kind, in the order of the documentation."""

ON_ARRIVAL: Final[tuple[Kind, ...]] = ("lose_request", "delay_request")
LASTING: Final[tuple[Kind, ...]] = (
    "ban",
    "maintenance",
    "delay_private",
    "stale_book",
    "crossed_book",
    "thin_book",
    "wide_book",
    "clock_skew",
)
AT_ONCE: Final[tuple[Kind, ...]] = (*LASTING, "cut")
"""Kinds that begin at their time, whoever asks; all others wait for something to strike."""

FIELDS: Final = Fault.__struct_fields__
_ALWAYS: Final = ("fault", "after_ms")
_USUAL: Final = dict(zip(FIELDS[1:], Fault.__struct_defaults__, strict=True))


def read_fault(members: object) -> Fault:
    """A fault from the members of a JSON object.

    Raises
    ------
    InvalidInput
        Not an object, a field or kind that there is not, a value out of bounds, a field without meaning for the kind.
    """
    if not isinstance(members, dict):
        raise InvalidInput("a fault is not an object", why="its fields are named", fix='such as {"fault":"drop_reply","count":1}')
    for name in members:
        if name not in FIELDS:
            raise InvalidInput(f"field {name!r} is unknown", why="a fault has no such field", fix=f"use {', '.join(FIELDS)}")
    kind = members.get("fault")
    if not isinstance(kind, str) or kind not in RULES:
        raise InvalidInput(f"fault is {kind!r}", why="there is no such kind", fix=f"use one of {', '.join(RULES)}")
    try:
        fault = msgspec.convert(members, Fault)
    except msgspec.ValidationError as error:
        raise _out_of_bounds(members, error) from None
    for name in members:
        _meant(fault, name)
    return checked(fault)


def checked(fault: Fault) -> Fault:
    """The same fault, if it makes sense.

    Raises
    ------
    InvalidInput
        A kind that there is not, a value out of bounds, a field without meaning for the kind.
    """
    if fault.fault not in RULES:
        raise InvalidInput(f"fault is {fault.fault!r}", why="there is no such kind", fix=f"use one of {', '.join(RULES)}")
    members = msgspec.structs.asdict(fault)
    try:
        msgspec.convert(members, Fault)
    except msgspec.ValidationError as error:
        raise _out_of_bounds(members, error) from None
    for name, usual in _USUAL.items():
        if members[name] != usual:
            _meant(fault, name)
    if fault.ms < 0 and fault.fault != "clock_skew":
        raise InvalidInput(f"ms is {fault.ms}", why=f"{fault.fault} lasts or waits, and no time is negative", fix="give ms above 0")
    if fault.fault == "clock_skew" and not fault.ms:
        raise InvalidInput("ms is 0", why="a clock that is off by nothing is no fault", fix="give the milliseconds it is ahead, or behind")
    return fault


def _meant(fault: Fault, name: str) -> None:
    """Refuse a field that its kind does not have."""
    fields = (*RULES[fault.fault].fields, *_ALWAYS)
    if name not in fields:
        raise InvalidInput(
            f"{name} is {getattr(fault, name)!r}", why=f"{fault.fault} has no use for it", fix=f"leave it out; it takes {', '.join(fields)}"
        )


def _out_of_bounds(members: Mapping[str, Any], error: msgspec.ValidationError) -> InvalidInput:
    """The library's words turned into ours: field, value, remedy."""
    said, _, place = str(error).partition(" - at `$.")
    name = place.rstrip("`")
    words = get_args(Stream)[1:] if name == "stream" else ()
    remedy = f"use one of {', '.join(words)}, or leave it out for all" if words else f"give {said[:1].lower()}{said[1:]}".replace("`", "")
    return InvalidInput(f"{name} is {members[name]!r}", why=said.replace("`", ""), fix=remedy)
