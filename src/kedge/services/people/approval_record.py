"""An approval as it is kept: its whole history in canonical form, and the server's signature of every state it came to.

Rules: the n-th signature is over the history up to the n-th state, so a state cannot be taken off, put in or changed without a signature
that fails; the approver's passkey signed the hash of the request itself. `findings` checks all of it with public keys alone.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography, verify_signature
from webauthn.helpers.exceptions import WebAuthnException

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError
from kedge.governance.approval_history import history_problems
from kedge.governance.approval_record import Approval, Method, Proof, challenge_of, signing_bytes
from kedge.services.people.answers import PasskeyEvidence
from kedge.storage.keys import SigningKey
from kedge.storage.people_rows import ApprovalRow

_PRESENT_AND_VERIFIED: Final = 0x01 | 0x04
_RP_HASH_BYTES: Final = 32
_UNREADABLE: Final = (WebAuthnException, msgspec.MsgspecError, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError)
"""What keys and client data that somebody made up are answered with, by the decoders below."""


class Verifier(Protocol):
    """Checks the server's signatures."""

    @property
    def key_id(self) -> str: ...

    def verify(self, signature: bytes, message: bytes) -> bool: ...


class Signed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature, hex, and the id of the key that made it."""

    key_id: str
    signature: str


class ApprovalRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of an approval: one signature for each of its states, in order."""

    approval: Approval
    signatures: tuple[Signed, ...]

    @property
    def text(self) -> str:
        """The one text of this record."""
        return encode(self).decode()


def signed(approval: Approval, signer: SigningKey, before: ApprovalRecord | None = None) -> ApprovalRecord:
    """The record of an approval that came to a new state."""
    made = Signed(key_id=signer.key_id, signature=signer.sign(signing_bytes(approval)).hex())
    return ApprovalRecord(approval=approval, signatures=(*(before.signatures if before else ()), made))


def row_of(record: ApprovalRecord) -> ApprovalRow:
    """The record as a row of the store."""
    approval = record.approval
    return ApprovalRow(
        approval_id=approval.approval_id,
        kind=approval.kind.value,
        state=approval.state.value,
        requester_id=approval.requester.person_id,
        made_wall_ns=approval.requester.at_wall_ns,
        expires_wall_ns=approval.expires_wall_ns,
        payload_sha256=approval.payload_sha256,
        body=record.text,
        version=len(approval.steps),
    )


def read_record(text: str | bytes) -> ApprovalRecord:
    """A record from its text.

    Raises
    ------
    IntegrityError
        It is no record, or not in canonical form.
    """
    raw = text.encode() if isinstance(text, str) else text
    try:
        record = msgspec.json.decode(raw, type=ApprovalRecord)
    except msgspec.MsgspecError as error:
        raise IntegrityError("this is no record of an approval", why=str(error), fix="keep it as evidence") from None
    if encode(record) != raw or not record.approval.steps:
        raise IntegrityError("the record of an approval is not in canonical form", why="somebody wrote it anew", fix="keep it as evidence")
    return record


def record_of(row: ApprovalRow) -> ApprovalRecord:
    """The record of a row, whose columns must say the same."""
    record = read_record(row.body)
    if row_of(record) != row:
        raise IntegrityError(
            f"approval {row.approval_id} is damaged", why="its columns are not what its record says", fix="keep the file, restore a backup"
        )
    return record


def proof_of(evidence: PasskeyEvidence | None, approval: Approval, method: Method) -> Proof:
    """How the person who decides proved who they are; what a passkey signed is kept whole."""
    if evidence is None:
        return Proof(method=method)
    return Proof(
        method=Method.PASSKEY,
        binds=challenge_of(approval).hex(),
        credential_id=evidence.credential_id,
        public_key=evidence.public_key,
        authenticator_data=evidence.authenticator_data.hex(),
        client_data_json=evidence.client_data_json.hex(),
        signature=evidence.signature.hex(),
    )


def findings(record: ApprovalRecord, verifier: Verifier) -> list[str]:
    """What is wrong with a record, in words; empty when everything holds."""
    approval = record.approval
    found = history_problems(approval)
    if len(record.signatures) != len(approval.steps):
        found.append(f"{len(approval.steps)} states and {len(record.signatures)} signatures")
    for number, (step, one) in enumerate(zip(approval.steps, record.signatures, strict=False), 1):
        if one.key_id != verifier.key_id:
            found.append(f"state {number} ({step.state}) was signed by key {one.key_id}, not {verifier.key_id}")
        elif not verifier.verify(_bytes(one.signature), signing_bytes(approval, number)):
            found.append(f"the server's signature of state {number} ({step.state}) does not fit")
    for step in approval.steps:
        if step.proof is not None and step.proof.method is Method.PASSKEY:
            found += _passkey_findings(approval, step.proof)
    return found


def _passkey_findings(approval: Approval, proof: Proof) -> list[str]:
    challenge = challenge_of(approval)
    found: list[str] = []
    data, flags_at = _bytes(proof.authenticator_data), _RP_HASH_BYTES
    if len(data) <= flags_at or data[flags_at] & _PRESENT_AND_VERIFIED != _PRESENT_AND_VERIFIED:
        found.append("the approver's passkey did not verify its user")
    try:
        client = msgspec.json.decode(_bytes(proof.client_data_json), type=_ClientData)
        if client.type != "webauthn.get" or client.challenge_bytes != challenge:
            found.append("the approver's passkey signed another challenge")
        key = decoded_public_key_to_cryptography(decode_credential_public_key(_bytes(proof.public_key)))
        message = data + hashlib.sha256(_bytes(proof.client_data_json)).digest()
        verify_signature(
            public_key=key,
            signature_alg=decode_credential_public_key(_bytes(proof.public_key)).alg,
            signature=_bytes(proof.signature),
            data=message,
        )
    except InvalidSignature:
        found.append("the approver's signature does not fit")
    except _UNREADABLE as error:
        found.append(f"the approver's proof cannot be read: {type(error).__name__}")
    return found


class _ClientData(msgspec.Struct):
    """What a browser signs of a page."""

    type: str
    challenge: str
    origin: str

    @property
    def challenge_bytes(self) -> bytes:
        """The challenge, decoded."""
        return base64.urlsafe_b64decode(self.challenge + "=" * (-len(self.challenge) % 4))


def _bytes(text: str) -> bytes:
    """Bytes of hex; none where it is no hex, so that nothing fits."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
