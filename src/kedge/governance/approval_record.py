"""An approval as a signed record: its states, what may be done in each, who brought it there, and the bytes that are signed.

    requested -> approved | refused | withdrawn | expired;  approved -> used | expired

A record is only ever lengthened: every state is a step with its person, roles, time and proof, so that the signature of a state covers
all that led to it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import ApprovalRefused
from kedge.domain.people import Role, Source
from kedge.governance.approval_kinds import KINDS, ApprovalKind, KindRule

_DOMAIN: Final = b"kedge/approval/v1\n"


class State(StrEnum):
    """Where an approval is."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    USED = "used"


class Move(StrEnum):
    """What may be done with an approval."""

    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    USE = "use"
    EXPIRE = "expire"


class Code(StrEnum):
    """Why an approval does not carry the act. Stable: clients and records rely on these words."""

    OWN_REQUEST = "OWN_REQUEST"
    NOT_OWN_REQUEST = "NOT_OWN_REQUEST"
    NOT_INDEPENDENT = "NOT_INDEPENDENT"
    WRONG_ROLE = "WRONG_ROLE"
    PAYLOAD_CHANGED = "PAYLOAD_CHANGED"
    PROOF_ELSEWHERE = "PROOF_ELSEWHERE"
    NOT_APPROVED = "NOT_APPROVED"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    ALREADY_USED = "ALREADY_USED"
    EXPIRED = "EXPIRED"
    NOT_EXPIRED = "NOT_EXPIRED"
    COOLING = "COOLING"
    SOLO_NOT_ALLOWED = "SOLO_NOT_ALLOWED"
    NO_BOOTSTRAP = "NO_BOOTSTRAP"


class Mark(StrEnum):
    """By what one person stood in for two; empty where two decided."""

    NONE = ""
    SOLO = "SOLO"
    BOOTSTRAP = "BOOTSTRAP"


class Method(StrEnum):
    """How the person who decided proved who they are."""

    PASSKEY = "passkey"
    PASSWORD_TOTP = "password+totp"
    PASSWORD_RECOVERY = "password+recovery"
    SESSION = "session"


class Refused(ApprovalRefused):
    """An approval does not carry the act. Reaction: what `fix` says; `code` is one of `Code`."""

    def __init__(self, code: Code, what: str, *, why: str, fix: str) -> None:
        super().__init__(what, why=why, fix=fix)
        self.code = str(code)


NEXT: Final[dict[tuple[State, Move], State]] = {
    (State.REQUESTED, Move.APPROVE): State.APPROVED,
    (State.REQUESTED, Move.REFUSE): State.REFUSED,
    (State.REQUESTED, Move.WITHDRAW): State.WITHDRAWN,
    (State.REQUESTED, Move.EXPIRE): State.EXPIRED,
    (State.APPROVED, Move.USE): State.USED,
    (State.APPROVED, Move.EXPIRE): State.EXPIRED,
}
"""The legal moves; `ILLEGAL` holds every other cell."""

_DECISIONS: Final = (Move.APPROVE, Move.REFUSE, Move.WITHDRAW)

ILLEGAL: Final[dict[tuple[State, Move], Code]] = {
    (State.REQUESTED, Move.USE): Code.NOT_APPROVED,
    **{(State.APPROVED, move): Code.ALREADY_DECIDED for move in _DECISIONS},
    **{(State.REFUSED, move): Code.ALREADY_DECIDED for move in (*_DECISIONS, Move.EXPIRE)},
    (State.REFUSED, Move.USE): Code.NOT_APPROVED,
    **{(State.WITHDRAWN, move): Code.ALREADY_DECIDED for move in (*_DECISIONS, Move.EXPIRE)},
    (State.WITHDRAWN, Move.USE): Code.NOT_APPROVED,
    **{(State.EXPIRED, move): Code.EXPIRED for move in Move},
    **{(State.USED, move): Code.ALREADY_USED for move in Move},
}
"""What a move from a state where it is illegal is refused with."""


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the person who decided proved who they are, so that anybody can check it without us.

    Attributes
    ----------
    binds : str
        Of a passkey: SHA-256 (hex) that was its challenge, which must be `challenge_of` the approval.
    credential_id, public_key, authenticator_data, client_data_json, signature : str
        The assertion and the key that checks it, as text (hex or base64url, as services keep them).
    """

    method: Method
    binds: str = ""
    credential_id: str = ""
    public_key: str = ""
    authenticator_data: str = ""
    client_data_json: str = ""
    signature: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state that an approval came to: who brought it there, when, as what, and why.

    Attributes
    ----------
    at_wall_ns, expires_wall_ns : int
        When, and when this state expires.
    person_id, name, roles, source, ref
        Who, as in an act.
    mark : Mark
        By what one person stood in for two.
    solo_reason : str
        Why one person works alone here, as the configuration declares it; only with the mark SOLO.
    """

    state: State
    at_wall_ns: int
    expires_wall_ns: int
    person_id: str
    name: str
    roles: tuple[Role, ...]
    source: Source
    ref: str = ""
    reason: str = ""
    mark: Mark = Mark.NONE
    solo_reason: str = ""
    proof: Proof | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An approval with its whole history, oldest state first; the last is its state now.

    Attributes
    ----------
    payload : str
        The canonical text that was hashed: exactly this is shown and carried out.
    """

    approval_id: str
    kind: ApprovalKind
    payload: str
    payload_sha256: str
    steps: tuple[Step, ...]

    @property
    def state(self) -> State:
        """Where it is now."""
        return self.steps[-1].state

    @property
    def requester(self) -> Step:
        """Who asked."""
        return self.steps[0]

    @property
    def approver(self) -> Step | None:
        """Who approved; None where nobody did."""
        return next((step for step in self.steps if step.state is State.APPROVED), None)

    @property
    def expires_wall_ns(self) -> int:
        """When its state now expires."""
        return self.steps[-1].expires_wall_ns

    @property
    def mark(self) -> Mark:
        """By what one person stood in for two."""
        return self.approver.mark if self.approver else Mark.NONE

    @property
    def four_eyes(self) -> bool:
        """Whether two different people stand behind it: the one who asked and the one who approved."""
        approver = self.approver
        return approver is not None and approver.mark is Mark.NONE and not same_person(approver.person_id, self.requester.person_id)

    @property
    def rule(self) -> KindRule:
        """What its kind takes."""
        return KINDS[self.kind]

    def content(self) -> Any:
        """The payload as plain data."""
        return msgspec.json.decode(self.payload)


def is_due(approval: Approval, now_wall_ns: int) -> bool:
    """Whether its time is over and it has not been told so yet."""
    return (approval.state, Move.EXPIRE) in NEXT and now_wall_ns >= approval.expires_wall_ns


def signing_bytes(approval: Approval, steps: int | None = None) -> bytes:
    """What the server signs of a state: the approval with its history up to it (the first `steps`; all when absent)."""
    kept = approval.steps if steps is None else approval.steps[:steps]
    return _DOMAIN + encode(msgspec.structs.replace(approval, steps=kept))


def challenge_of(approval: Approval) -> bytes:
    """The 32 bytes that an approver's passkey signs: the hash of the request, so of this payload, kind, person and time and no other."""
    return bytes.fromhex(digest(signing_bytes(approval, 1)))


def same_person(one: str, other: str) -> bool:
    """Whether two ids are of one person, however they are written."""
    return one.strip().casefold() == other.strip().casefold()
