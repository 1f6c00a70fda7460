"""Signatures: REST headers over the exact query or body, the sockets' authentication, the trade socket's header.

Rules: what is signed is what is sent, byte for byte; times are UTC milliseconds of the venue's wall clock; a signer shows no secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Protocol

from kedge.domain.errors import AccessRefused
from kedge.venues.bybit.credentials import Credentials

RECV_WINDOW_CREATE_MS = 1_000
"""For requests that open risk: a late one must die. Takeover and FLAT wait as long."""

RECV_WINDOW_MS = 5_000
"""For everything else."""

BROKER_HEADER = "Referer"


class Signer(Protocol):
    """Signs for one key."""

    @property
    def api_key(self) -> str: ...

    def sign(self, text: bytes) -> str:
        """The signature of `text` as the venue writes it: lower-case hex of an HMAC, base64 of RSA."""


class HmacSigner:
    """HMAC-SHA256 with the shared secret; the keyed state is prepared once."""

    __slots__ = ("_keyed", "api_key")

    def __init__(self, api_key: str, secret: str) -> None:
        self.api_key = api_key
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, text: bytes) -> str:
        keyed = self._keyed.copy()
        keyed.update(text)
        return keyed.hexdigest()

    def __repr__(self) -> str:
        return f"HmacSigner({self.api_key[:4]}...)"


class RsaSigner:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64, for keys whose private half only we hold."""

    __slots__ = ("_key", "api_key")

    def __init__(self, api_key: str, private_pem: str) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        self.api_key = api_key
        try:
            key = serialization.load_pem_private_key(private_pem.encode(), password=None)
        except (ValueError, TypeError):
            raise _bad_private_key("it cannot be read, or has a password") from None
        if not isinstance(key, RSAPrivateKey):
            raise _bad_private_key("it is not an RSA key")
        self._key = key

    def sign(self, text: bytes) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return base64.b64encode(self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()

    def __repr__(self) -> str:
        return f"RsaSigner({self.api_key[:4]}...)"


def _bad_private_key(why: str) -> AccessRefused:
    return AccessRefused(
        "the API secret looks like a private key", why=why, fix="store the PEM text of an RSA private key without a password"
    )


def signer_for(credentials: Credentials) -> Signer:
    """The signer that fits the kind of secret."""
    if credentials.is_rsa:
        return RsaSigner(credentials.api_key, credentials.secret)
    return HmacSigner(credentials.api_key, credentials.secret)


def rest_headers(signer: Signer, payload: bytes, timestamp_ms: int, recv_window_ms: int) -> dict[str, str]:
    """The headers of a signed request; `payload` is the raw query of a GET or the raw body of a POST."""
    timestamp, window = str(timestamp_ms), str(recv_window_ms)
    text = f"{timestamp}{signer.api_key}{window}".encode() + payload
    return {
        "X-BAPI-API-KEY": signer.api_key,
        "X-BAPI-TIMESTAMP": timestamp,
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": signer.sign(text),
    }


def socket_auth_args(signer: Signer, expires_ms: int) -> list[str | int]:
    """The `args` of a socket's `auth`: key, expiry and its signature. The expiry must be later than the venue's clock at arrival."""
    return [signer.api_key, expires_ms, signer.sign(f"GET/realtime{expires_ms}".encode())]


def trade_header(timestamp_ms: int, recv_window_ms: int) -> dict[str, str]:
    """The header of a request on the trade socket, which is authenticated once and signs no more."""
    return {"X-BAPI-TIMESTAMP": str(timestamp_ms), "X-BAPI-RECV-WINDOW": str(recv_window_ms)}
