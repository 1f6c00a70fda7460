"""Passkeys: what a browser is asked, and whether its answer proves a person (WebAuthn level 2, verified by the `webauthn` package).

Rules: the user must have been verified (finger, face, PIN), the origin be exactly one of ours, the page not inside another's. No
attestation is asked for: which maker built the key is nobody's business here.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from kedge.domain.errors import InvalidConfig

RP_NAME: Final = "Kedge"
TIMEOUT_MS: Final = 300_000
CHALLENGE_BYTES: Final = 32
CREDENTIAL_ID_BYTES_MAX: Final = 1023
"""WebAuthn's own limit."""
_TRANSPORTS: Final = {transport.value: transport for transport in AuthenticatorTransport}
_UNREADABLE: Final = (
    WebAuthnException,
    InvalidSignature,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    LookupError,
    UnsupportedAlgorithm,
    RecursionError,
)
"""What the package raises for an answer that somebody made up: its own errors, and those of the decoders below it."""


class PasskeyRefused(Exception):
    """The answer proves nothing; the text says why, for the journal and not for who asks."""


class Party(NamedTuple):
    """Whom passkeys are for: `rp_id` is a host name, `origins` the pages that may ask."""

    rp_id: str
    origins: tuple[str, ...]

    @classmethod
    def of(cls, origin: str) -> Party:
        """The party of one public address, such as `http://localhost:8080`.

        Raises
        ------
        InvalidConfig
            It is no origin, or names an address instead of a host, which WebAuthn does not allow.
        """
        parts = urlsplit(origin)
        host = parts.hostname or ""
        is_address = host.replace(".", "").isdigit() or ":" in host
        secure = parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")
        if not secure or is_address or not host or parts.path or parts.query or parts.fragment or parts.username:
            raise InvalidConfig(
                f"public origin {origin!r}",
                why="passkeys belong to a host name, over TLS unless it is localhost, and not to an address",
                fix="such as http://localhost:8080 or https://kedge.example.org",
            )
        return cls(host, (origin,))


class KnownKey(NamedTuple):
    """A registered passkey; ids and keys are hex, as they are kept."""

    credential_id: str
    public_key: str
    sign_count: int
    transports: tuple[str, ...] = ()


class Assertion(NamedTuple):
    """A verified answer: the count to keep, and the signed bytes."""

    sign_count: int
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes


def creation_options(
    party: Party, *, challenge: bytes, user_id: str, name: str, display_name: str, existing: Sequence[KnownKey] = ()
) -> dict[str, Any]:
    """What `navigator.credentials.create` is given, in WebAuthn's JSON form."""
    options = webauthn.generate_registration_options(
        rp_id=party.rp_id,
        rp_name=RP_NAME,
        user_name=name,
        user_id=user_id.encode(),
        user_display_name=display_name,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, require_resident_key=True, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=_descriptors(existing),
    )
    return webauthn.helpers.options_to_json_dict(options)


def request_options(party: Party, *, challenge: bytes, allowed: Sequence[KnownKey] = ()) -> dict[str, Any]:
    """What `navigator.credentials.get` is given; without `allowed`, the browser offers whatever passkeys it has for us."""
    options = webauthn.generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=_descriptors(allowed),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return webauthn.helpers.options_to_json_dict(options)


def credential_id_of(credential: dict[str, Any]) -> str:
    """Which passkey answers, as hex; empty where that cannot be told."""
    given = credential.get("id")
    try:
        raw = base64url_to_bytes(given) if isinstance(given, str) else b""
    except ValueError:
        return ""
    return raw.hex() if len(raw) <= CREDENTIAL_ID_BYTES_MAX else ""


def registered(party: Party, credential: dict[str, Any], *, challenge: bytes) -> KnownKey:
    """The passkey that a browser just made.

    Raises
    ------
    PasskeyRefused
        It answers another challenge or page, without the user's verification, or is no answer at all.
    """
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            require_user_verification=True,
        )
        _refuse_framed(credential)
    except _UNREADABLE as error:
        raise PasskeyRefused(_told(error)) from None
    if not 0 < len(verified.credential_id) <= CREDENTIAL_ID_BYTES_MAX:
        raise PasskeyRefused("the credential's id is too long")
    transports = credential["response"].get("transports")
    known = (
        tuple(sorted({word for word in transports if isinstance(word, str) and word in _TRANSPORTS}))
        if isinstance(transports, list)
        else ()
    )
    return KnownKey(verified.credential_id.hex(), verified.credential_public_key.hex(), verified.sign_count, known)


def asserted(party: Party, credential: dict[str, Any], *, challenge: bytes, key: KnownKey, user_id: str) -> Assertion:
    """The proof that the key's owner is there now.

    Raises
    ------
    PasskeyRefused
        Another challenge, page, key or user; no verification of the user; a counter that went back, as of a copied key.
    """
    try:
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=bytes.fromhex(key.public_key),
            credential_current_sign_count=key.sign_count,
            require_user_verification=True,
        )
        _refuse_framed(credential)
        answer = webauthn.helpers.parse_authentication_credential_json(credential)
    except _UNREADABLE as error:
        raise PasskeyRefused(_told(error)) from None
    handle = answer.response.user_handle
    if answer.raw_id.hex() != key.credential_id or (handle is not None and not hmac.compare_digest(handle, user_id.encode())):
        raise PasskeyRefused("the passkey is another person's")
    response = answer.response
    return Assertion(verified.new_sign_count, response.client_data_json, response.authenticator_data, response.signature)


def _refuse_framed(credential: dict[str, Any]) -> None:
    """The package reads `crossOrigin` and leaves it to us."""
    client_data = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
    if client_data.get("crossOrigin"):
        raise PasskeyRefused("asked from inside another page")


def _descriptors(keys: Sequence[KnownKey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=bytes.fromhex(key.credential_id), transports=[_TRANSPORTS[word] for word in key.transports if word in _TRANSPORTS] or None
        )
        for key in keys
    ]


def _told(error: BaseException) -> str:
    """Why, without what was sent: only the package's own sentences are said again, and of those the first words."""
    return str(error).split('"')[0].strip()[:120] if isinstance(error, WebAuthnException) else type(error).__name__
