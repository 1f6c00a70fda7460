"""Who asks: signatures over what was sent, the time window, addresses, permissions. All times here are the wall's.

The text that is signed is the one on the wire: the raw query or the raw body, never something parsed and written again. Checks come
in this order: headers, key, its life, its address, time, signature, then what the key may do.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from multidict import istr

from kedge.domain.units import NS_PER_MS
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.routes import ApiError, Permission

RECV_WINDOW_MS: Final = 5_000
"""The window of a request that names none."""
AHEAD_MS: Final = 1_000
"""A request's time must be less than this ahead of ours, however wide its window."""

KEY_HEADER: Final = istr("X-BAPI-API-KEY")
TIMESTAMP_HEADER: Final = istr("X-BAPI-TIMESTAMP")
WINDOW_HEADER: Final = istr("X-BAPI-RECV-WINDOW")
SIGN_HEADER: Final = istr("X-BAPI-SIGN")

_DIGITS_MAX: Final = 19


def signature(secret: bytes, text: bytes) -> str:
    """HMAC-SHA256 in lower-case hex."""
    return hmac.digest(secret, text, "sha256").hex()


def check_request(keys: ApiKeys, headers: Mapping[str, str], ip: str, payload: bytes, wall_ns: int) -> ApiKey | ApiError:
    """The key that signed a request, or why it is refused.

    Parameters
    ----------
    headers : mapping
        Found by `str` in any case, as aiohttp's are.
    payload : bytes
        What follows `?` in the address of a GET, the body of a POST, as sent.
    """
    name, stamp, sign = (_text(headers.get(header, "")) for header in (KEY_HEADER, TIMESTAMP_HEADER, SIGN_HEADER))
    if not (name and stamp and sign):
        return ApiError.parameter(f"empty value: apiTimestamp[{stamp}] apiKey[{name}] apiSignature[{sign}]")
    key = _admitted(keys, name, ip, wall_ns)
    if isinstance(key, ApiError):
        return key
    window = _text(headers.get(WINDOW_HEADER, ""))
    late = check_window(stamp, window, wall_ns)
    if late is not None:
        return late
    text = (stamp + name + window).encode() + payload
    if not hmac.compare_digest(signature(key.secret_bytes, text).encode(), sign.encode(errors="replace")):
        return ApiError(Code.SIGNATURE, f"error sign! origin_string[{text.decode(errors='replace')}]")
    return key


def check_window(timestamp: Any, recv_window: Any, wall_ns: int) -> ApiError | None:
    """Refuse a time outside `[ours - window, ours + 1000)`; both are milliseconds, as text or number, the window may be absent."""
    sent, window = _milliseconds(timestamp), _milliseconds(RECV_WINDOW_MS if recv_window in ("", None) else recv_window)
    if sent is None or window is None:
        return ApiError.parameter(f"params error: timestamp[{timestamp}] or recv_window[{recv_window}] is no whole number of milliseconds")
    ours = wall_ns // NS_PER_MS
    if ours - window <= sent < ours + AHEAD_MS:
        return None
    return ApiError(
        Code.TIMESTAMP,
        "invalid request, please check your server timestamp or recv_window param. "
        f"req_timestamp[{sent}],server_timestamp[{ours}],recv_window[{window}]",
    )


def check_expires(keys: ApiKeys, api_key: Any, expires: Any, sign: Any, ip: str, wall_ns: int) -> ApiKey | ApiError:
    """The key that opens a socket with `auth`, or why not; `expires` is milliseconds as text or number, and must lie ahead."""
    until = _milliseconds(expires)
    if not (isinstance(api_key, str) and api_key and isinstance(sign, str) and sign) or until is None:
        return ApiError.parameter("Params Error")
    key = _admitted(keys, api_key, ip, wall_ns)
    if isinstance(key, ApiError):
        return key
    ours = wall_ns // NS_PER_MS
    if until <= ours:
        return ApiError(Code.SIGNATURE, f"Request expired: expires[{until}] is not after server_timestamp[{ours}]")
    text = f"GET/realtime{expires}".encode()
    if not hmac.compare_digest(signature(key.secret_bytes, text).encode(), sign.encode(errors="replace")):
        return ApiError(Code.SIGNATURE, f"error sign! origin_string[{text.decode()}]")
    return key


def check_permission(key: ApiKey, permissions: frozenset[Permission], *, writes: bool) -> ApiError | None:
    """Refuse what the key may not do; `permissions` open the door each by itself, empty admits all keys."""
    if writes and key.read_only:
        return ApiError(Code.PERMISSION)
    return None if not permissions or permissions & key.permissions else ApiError(Code.PERMISSION)


def _admitted(keys: ApiKeys, name: str, ip: str, wall_ns: int) -> ApiKey | ApiError:
    key = keys.find(name)
    if key is None:
        return ApiError(Code.API_KEY)
    if key.is_expired(wall_ns):
        return ApiError(Code.KEY_EXPIRED)
    return key if key.admits_ip(ip) else ApiError(Code.UNMATCHED_IP)


def _text(header: str) -> str:
    """A header that can be written into an answer: bytes that are no text, which the server hands on as surrogates, become `?`."""
    return header if header.isascii() else header.encode(errors="replace").decode()


def _milliseconds(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX:
        return int(value)
    return None
