"""A software authenticator and the browser around it: the other side of WebAuthn, written from the specification, and able to misbehave.

It shares no code with what verifies it: client data, authenticator data and signatures are put together here from bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

ORIGIN = "http://localhost:8080"
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "===")


@dataclass
class Key:
    """One credential: its private key, for whom it was made, and how often it signed."""

    credential_id: bytes
    private: ec.EllipticCurvePrivateKey
    user_id: bytes
    rp_id: str
    count: int = 0


@dataclass
class Authenticator:
    """Makes keys and signs. What it says of itself can be set to a lie, for one answer or for all.

    Attributes
    ----------
    origin : str
        The page that the browser shows.
    verifies : bool
        Whether the user is verified (finger, PIN).
    counts : bool
        Whether the counter goes up; many keys always say zero.
    """

    origin: str = ORIGIN
    verifies: bool = True
    counts: bool = True
    cross_origin: bool | None = False
    rp_id: str = ""
    keys: list[Key] = field(default_factory=list)

    def create(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.create` gives for these options, as JSON."""
        private = ec.generate_private_key(ec.SECP256R1())
        key = Key(os.urandom(16), private, unb64(options["user"]["id"]), lies.get("rp_id") or self.rp_id or options["rp"]["id"])
        numbers = private.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + len(key.credential_id).to_bytes(2, "big") + key.credential_id + cose
        data = self._data(key, AT | (0 if lies.get("unverified") else self._uv())) + attested
        client_data = self._client_data("webauthn.create", options["challenge"], lies)
        self.keys.append(key)
        return {
            "id": b64(key.credential_id),
            "rawId": b64(key.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client_data),
                "attestationObject": b64(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
                "transports": lies.get("transports", ["internal", "hybrid"]),
            },
        }

    def get(self, options: dict[str, Any], *, key: Key | None = None, **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.get` gives: the first key that the options allow signs, or the one that is named."""
        allowed = {one["id"] for one in options.get("allowCredentials", [])}
        used = key or next(one for one in self.keys if not allowed or b64(one.credential_id) in allowed)
        used.count = lies.get("count", used.count + 1 if self.counts else 0)
        data = self._data(used, 0 if lies.get("unverified") else self._uv(), rp_id=lies.get("rp_id", ""))
        client_data = self._client_data("webauthn.get", options["challenge"], lies)
        signer = lies.get("signer", used).private
        signature = signer.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return {
            "id": b64(used.credential_id),
            "rawId": b64(used.credential_id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(signature),
                "userHandle": b64(lies.get("user_id", used.user_id)),
            },
        }

    def _uv(self) -> int:
        return UV if self.verifies else 0

    def _data(self, key: Key, flags: int, *, rp_id: str = "") -> bytes:
        told = rp_id or self.rp_id or key.rp_id
        return hashlib.sha256(told.encode()).digest() + bytes([UP | flags]) + key.count.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str, lies: dict[str, Any]) -> bytes:
        told = {
            "type": lies.get("type", kind),
            "challenge": lies.get("challenge", challenge),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": lies.get("cross_origin", self.cross_origin),
        }
        return json.dumps(told).encode()
