"""The words of the sockets: authentication, subscriptions, pings, and reading what answers them.

Rules: each request carries an id that its answer repeats; a refusal of the key says which key is meant and what to do, and never
shows the secret; arguments go out in batches below the venue's limits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from kedge.domain.errors import AccessRefused, VenueUnavailable
from kedge.venues.bybit.codec import Frame, encode
from kedge.venues.bybit.socket import Connection

AUTH_VALID_MS: Final = 10_000
"""How far in the venue's future an authentication expires; generous, because connecting may take seconds."""

ClockWasOff = Callable[[int], Awaitable[bool]]
"""Measures the venue's clock again; True where the time (ms) at which we thought that we asked was far from it."""

ARGS_PER_REQUEST: Final = 10
ARGS_CHARACTERS_MAX: Final = 21_000
"""All topics of one public connection together, by the venue's rule."""


def ping_words(request_id: str) -> bytes:
    """A ping as the public and private sockets take it."""
    return b'{"req_id":"%s","op":"ping"}' % request_id.encode()


def batches(topics: Sequence[str], size: int = ARGS_PER_REQUEST) -> Iterable[Sequence[str]]:
    """Topics in groups of at most `size`."""
    return (topics[first : first + size] for first in range(0, len(topics), size))


def read_answer(connection: Connection, frame: Frame) -> None:
    """Take a frame without a topic: a pong, or the answer to a request; answers nobody waits for are let go."""
    request_id = "" if frame.req_id is None else str(frame.req_id)
    if frame.op == "pong" or (frame.op == "ping" and frame.ret_msg == "pong"):
        connection.ponged(request_id)
    else:
        connection.acknowledge(request_id, frame)


async def ask(connection: Connection, op: str, args: Sequence[object]) -> Frame:
    """Send one request of the public or private socket and wait for its answer."""
    request_id = connection.next_id()
    answer = connection.expect_ack(request_id)
    try:
        connection.send(encode({"req_id": request_id, "op": op, "args": args}))
        frame = await answer
    finally:
        connection.forget(request_id)
    assert isinstance(frame, Frame)
    return frame


async def subscribe(connection: Connection, topics: Sequence[str], *, op: str = "subscribe") -> None:
    """Subscribe in batches.

    Raises
    ------
    VenueUnavailable
        The venue refused one of the batches; names its topics and the venue's words.
    """
    for batch in batches(topics):
        frame = await ask(connection, op, batch)
        if frame.success is not True:
            raise VenueUnavailable(
                f"cannot {op} {', '.join(batch)}",
                why=f"the venue says: {frame.ret_msg or 'nothing'}",
                fix="check that the symbols are listed and the interval is one of the venue's",
            )


async def refusal(
    stream: str, code: int | None, words: str, asked_ms: int, clock_was_off: ClockWasOff | None
) -> AccessRefused | VenueUnavailable:
    """The error for a refused authentication: the key's fault, unless our idea of the venue's clock was wrong and is right now."""
    if clock_was_off is not None and await clock_was_off(asked_ms):
        return VenueUnavailable(
            f"the {stream} stream was not opened",
            why=f"our time was wrong when we asked ({words or 'no words'}); it is measured now",
            fix="it is tried again by itself",
        )
    return key_refused(stream, code, words)


def key_refused(stream: str, code: int | None, words: str) -> AccessRefused:
    """The error for a refused authentication of a socket."""
    said = f"{code} {words}".strip() if code is not None else words
    return AccessRefused(
        f"the venue refuses the key on the {stream} socket",
        why=f"it says: {said or 'nothing'}",
        fix="check that key and secret belong together and to this environment, that the key is not expired, "
        "that this machine's address is on its list, and that the clock is right",
    )
