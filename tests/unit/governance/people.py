"""People who ask and approve, for the tests of roles and approvals."""

from __future__ import annotations

from collections.abc import Collection

from kedge.domain.people import Actor, Role, Scope, Source
from kedge.governance import approvals
from kedge.governance.approvals import Approval, ApprovalKind, Method, Proof

NOW = 1_800_000_000 * 10**9
SECOND = 10**9
MINUTE = 60 * SECOND

SYSTEM = Actor(person_id="system", name="kedge", roles=(), source=Source.SYSTEM)
LOCAL = Actor(person_id="local:ann", name="ann", roles=(), source=Source.LOCAL)
PASSWORD = Proof(method=Method.PASSWORD_TOTP)
GRANT = {"person_id": "p-cem", "roles": ["auditor"]}


def person(
    name: str,
    *roles: Role,
    at: int = NOW,
    scopes: Collection[Scope] | None = None,
    proved: int | None = NOW,
    source: Source | None = None,
) -> Actor:
    """Somebody in a session or, with scopes, with a token; `proved` is when they last proved who they are."""
    of = source or (Source.BROWSER if scopes is None else Source.TOKEN)
    held = None if scopes is None else tuple(scopes)
    return Actor(person_id=f"p-{name}", name=name, roles=roles, source=of, ref="s-1", scopes=held, step_up_wall_ns=proved)


def passkey(approval: Approval) -> Proof:
    """A passkey's signature over this approval, as services hand it in."""
    return Proof(method=Method.PASSKEY, binds=approvals.challenge_of(approval).hex(), credential_id="aa", public_key="bb", signature="cc")


ADMIN = person("ann", Role.ADMIN, Role.TRADER)
OTHER_ADMIN = person("ben", Role.ADMIN)
RISK = person("kim", Role.RISK)
TRADER = person("tom", Role.TRADER)
RESEARCHER = person("rea", Role.RESEARCHER)

PAYLOADS: dict[ApprovalKind, dict[str, object]] = {
    ApprovalKind.ROLE_GRANT: dict(GRANT),
    ApprovalKind.BRAKE_RELEASE: {"account": "paper"},
    ApprovalKind.LIMIT_LOOSEN: {"limit": "gross_leverage_max", "before": "1.0", "after": "1.2"},
    ApprovalKind.ORDER_OVERRIDE: {"account": "paper", "rules": ["FAT_FINGER"]},
    ApprovalKind.MODEL_PROMOTE: {"model_sha256": "ab" * 32},
    ApprovalKind.GO_LIVE: {"account": "live"},
    ApprovalKind.KEY_CHANGE: {"key_id": "k1"},
    ApprovalKind.RETENTION_CHANGE: {"days": 365},
}


def asked(actor: Actor = ADMIN, kind: ApprovalKind = ApprovalKind.ROLE_GRANT, at: int = NOW, approval_id: str = "a-1") -> Approval:
    """A request."""
    return approvals.request(kind, PAYLOADS[kind], approval_id=approval_id, actor=actor, reason="we need it", now_wall_ns=at)


def approved(actor: Actor = OTHER_ADMIN, at: int = NOW + SECOND) -> Approval:
    """A request of Ann's that another person approved."""
    request = asked()
    return approvals.approve(
        request, actor, payload_sha256=request.payload_sha256, proof=passkey(request), requester_roles=ADMIN.roles, now_wall_ns=at
    )
