"""WebSocket frames as bytes, and the acknowledgements of the three sockets, which differ in their words.

A server's frames are not masked, so one frame is made once and written as it is to everybody who listens.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from kedge.venues.exchange.envelope import encode

TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

GOING_AWAY: Final = 1001
"""Close code of a server that stops."""

PARAMS_ERROR: Final = "Params Error"
"""What the public and private sockets say of a request that they cannot read."""

_FIN: Final = 0x80
_SHORT: Final = 126
_LONG: Final = 1 << 16
_REMEMBERED: Final = 8_192


def text_frame(payload: bytes) -> bytes:
    """One whole text message."""
    size = len(payload)
    if size < _SHORT:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < _LONG:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


@lru_cache(_REMEMBERED)
def frame_head(size: int) -> str:
    """What stands before a text message of `size` bytes, each byte as the character of its number (see `bytes_as_text`)."""
    return bytes_as_text(text_frame(bytes(size))[:-size]) if size else "\x81\x00"


def bytes_as_text(given: str | bytes) -> str:
    """Text whose characters are the bytes of a text in UTF-8: what it encodes to in Latin-1 is what the text encodes to in UTF-8."""
    return (given.encode() if isinstance(given, str) else given).decode("latin-1")


def control_frame(opcode: int, payload: bytes = b"") -> bytes:
    """A ping, pong or close; what exceeds the protocol's 125 bytes is cut off."""
    payload = payload[: _SHORT - 1]
    return bytes((_FIN | opcode, len(payload))) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """The frame that ends a connection with a code and a reason in ASCII."""
    return control_frame(CLOSE, code.to_bytes(2, "big") + reason.encode("ascii", "replace"))


def public_ack(op: str, conn_id: str, req_id: Any, refusal: str = "") -> bytes:
    """Answer of the public socket; an empty refusal is a success, an absent request id comes back empty."""
    return text_frame(
        encode(
            {"success": not refusal, "ret_msg": refusal, "conn_id": conn_id, "req_id": "" if req_id is None else req_id, "op": op},
        )
    )


def public_pong(conn_id: str, req_id: Any) -> bytes:
    """The public socket answers a ping as a ping."""
    return text_frame(
        encode({"success": True, "ret_msg": "pong", "conn_id": conn_id, "req_id": "" if req_id is None else req_id, "op": "ping"})
    )


def private_ack(op: str, conn_id: str, req_id: Any, refusal: str = "") -> bytes:
    """Answer of the private socket to auth and subscriptions; the request id only where one was sent."""
    body: dict[str, Any] = {"success": not refusal, "ret_msg": refusal, "op": op, "conn_id": conn_id}
    if req_id is not None:
        body["req_id"] = req_id
    return text_frame(encode(body))


def private_pong(conn_id: str, req_id: Any, wall_ms: int) -> bytes:
    """The private socket answers a ping with a pong and the wall's time."""
    body: dict[str, Any] = {} if req_id is None else {"req_id": req_id}
    return text_frame(encode({**body, "op": "pong", "args": [str(wall_ms)], "conn_id": conn_id}))


def trade_ack(op: str, conn_id: str, req_id: Any, code: int, message: str, data: Any = None) -> bytes:
    """Answer of the trade socket to everything but orders: auth, ping, and what it cannot read."""
    body: dict[str, Any] = {} if req_id is None else {"reqId": req_id}
    body |= {"retCode": code, "retMsg": message, "op": op}
    if data is not None:
        body["data"] = data
    return text_frame(encode({**body, "connId": conn_id}))
