"""The envelope around every REST answer: `retCode`, `retMsg`, `result`, `retExtInfo`, `time` (wall milliseconds)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.venues.exchange.routes import ApiError, Reply, Result

_JSON: Final = msgspec.json.Encoder()
encode: Final = _JSON.encode
"""Compact JSON bytes of dicts, lists, texts, integers, booleans, structs."""

_EMPTY: Final = b"{}"

_decode: Final = msgspec.json.Decoder(float_hook=str).decode


def decode_object(body: bytes) -> dict[str, Any] | None:
    """Members of a JSON object, fractions as the text they were written in; {} for an empty body, None for anything else."""
    if not body:
        return {}
    try:
        found = _decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def envelope(code: int, message: str, result: Any, wall_ms: int, ext: Any = None) -> bytes:
    """The whole answer; `result` and `ext` of None stand for an empty object, bytes are taken as JSON text."""
    return b'{"retCode":%d,"retMsg":%b,"result":%b,"retExtInfo":%b,"time":%d}' % (code, encode(message), _text(result), _text(ext), wall_ms)


def answer(outcome: Result, wall_ms: int, message: str = "OK") -> tuple[int, bytes]:
    """`(retCode, envelope)` of what a handler answered; `message` is the text of a plain success."""
    if isinstance(outcome, ApiError):
        return outcome.code, envelope(outcome.code, outcome.message, outcome.result, wall_ms)
    if isinstance(outcome, Reply):
        text = message if outcome.message is None else outcome.message
        return 0, envelope(0, text, outcome.result, wall_ms, outcome.ext)
    return 0, envelope(0, message, outcome, wall_ms)


def _text(part: Any) -> bytes:
    if part is None:
        return _EMPTY
    return part if isinstance(part, bytes) else encode(part)
