"""The people who release the brake on a day, and those who should not be able to: approvals, signed by the server's key or by another."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from tests.simulation.world import ACCOUNT

from kedge.domain.people import Actor, Role, Source
from kedge.governance.approval_record import Mark
from kedge.governance.approvals import Approval, ApprovalKind, Method, Proof, approve, request
from kedge.services.people.approval_record import ApprovalRecord, signed
from kedge.storage.keys import PublicKey, SigningKey

GOOD: Final = ("good", "solo")
FORGED: Final = ("unapproved", "same_person", "wrong_generation", "stranger_key", "expired", "other_account", "replayed", "undeclared_solo")
"""Releases that are none, by what is wrong with them."""
_MINUTE_NS: Final = 60_000_000_000
_RAW: Final = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
_SERVER: Final = SigningKey(_RAW)
_STRANGER: Final = SigningKey(Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
SERVER_KEY: Final = PublicKey(_RAW.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
SOLO: Final = "one person works alone here"


def record_of(kind: str, approval_id: str, generation: int, high_water: str, now_wall_ns: int) -> ApprovalRecord:
    """What lies on the server for a release of this kind, asked a minute ago and approved just now."""
    payload = {
        "account": "777009" if kind == "other_account" else ACCOUNT, "reason": "it is calm again", "root_cause": "the script says",
        "generation": generation + 1 if kind == "wrong_generation" else generation, "high_water": high_water,
    }  # fmt: skip
    old_ns = 20 * _MINUTE_NS if kind in ("solo", "undeclared_solo") else 55 * _MINUTE_NS if kind == "expired" else _MINUTE_NS
    signer = _STRANGER if kind == "stranger_key" else _SERVER
    asked_ns = now_wall_ns - old_ns
    asked = request(
        ApprovalKind.BRAKE_RELEASE, payload, approval_id=approval_id, actor=_person("ada", Role.RISK, asked_ns), reason="it is calm",
        now_wall_ns=asked_ns,
    )  # fmt: skip
    first = signed(asked, signer)
    if kind == "unapproved":
        return first
    return signed(_approved(kind, asked, now_wall_ns), signer, first)


def _approved(kind: str, asked: Approval, now_wall_ns: int) -> Approval:
    alone = kind in ("solo", "undeclared_solo")
    at_ns = now_wall_ns - 40 * _MINUTE_NS if kind == "expired" else now_wall_ns
    who = _person("ada", Role.RISK, at_ns) if alone else _person("rita", Role.TRADER, at_ns)
    found = approve(
        asked, who, payload_sha256=asked.payload_sha256, proof=Proof(method=Method.PASSWORD_TOTP), requester_roles=[Role.RISK],
        now_wall_ns=at_ns, reason="seen", solo_reason=SOLO if alone else "",
    )  # fmt: skip
    if kind != "same_person":
        return found
    step = replace(found.steps[-1], person_id=found.steps[0].person_id, name=found.steps[0].name, mark=Mark.NONE)
    return replace(found, steps=(*found.steps[:-1], step))


def _person(name: str, role: Role, now_wall_ns: int) -> Actor:
    return Actor(person_id=f"p-{name}", name=name, roles=(role,), source=Source.BROWSER, ref=f"s-{name}", step_up_wall_ns=now_wall_ns)
